"""DNS questions asked for a report: of a zone file, or of the network; each kept with its answer and its time."""

import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from relaygw.cli.answer import CommandError, UsageError, printable
from relaygw.cli.direct import run_now
from relaygw.config.schema import DnsConfig
from relaygw.control.shapes import Json
from relaygw.core.dns_check.finding import text_of
from relaygw.core.question import Data
from relaygw.dns import Asked, DeadlineResolver, RecordingResolver, ZoneError, make_resolver, read_zone
from relaygw.interfaces import IResolver

T = TypeVar("T")

_WIDTH = 90

LIMIT = 50.0
"""Seconds for all questions together; after them every answer is a failure, and the report says so."""

Asking = Callable[[IResolver], Coroutine[Any, Any, T]]


def ask_all(config: DnsConfig, zone: str, ask: Asking[T], progress: "Progress") -> tuple[T, Sequence[Asked]]:
    """What `ask` makes of the answers, and all questions in order of their answers. Raises CommandError."""
    try:
        if zone:
            recorder = RecordingResolver(read_zone(zone), time.monotonic)
            return run_now(ask(recorder)), recorder.asked
        return _ask_network(config, ask, progress)
    except ZoneError as error:
        raise UsageError(str(error)) from None
    except ValueError as error:
        raise CommandError(str(error)) from None
    finally:
        progress.end()


def _ask_network(config: DnsConfig, ask: Asking[T], progress: "Progress") -> tuple[T, Sequence[Asked]]:
    from relaygw.cli.borrowed import run_with_reactor

    async def begin(reactor: Any) -> tuple[T, Sequence[Asked]]:
        limited = DeadlineResolver(make_resolver(config, reactor), reactor, LIMIT)
        recorder = RecordingResolver(limited, time.monotonic, progress.told)
        return await ask(recorder), recorder.asked

    return run_with_reactor(begin)


class Progress:
    """One line on the terminal of whoever waits, written over again and gone at the end; nothing elsewhere."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._count = 0

    def told(self, asked: Asked) -> None:
        self._count += 1
        self._write(f"{self._count} answers; {asked.question.type} of {printable(asked.question.name)[:60]}")

    def end(self) -> None:
        self._write("")

    def _write(self, text: str) -> None:
        if self._shown:
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)


def question_document(asked: Asked) -> Json:
    """One question as --json shows it."""
    return {
        "name": asked.question.name,
        "type": asked.question.type,
        "status": asked.answer.status.value,
        "records": [text_of(record) for record in asked.answer.records],
        "ttl": asked.answer.ttl,
        "authentic": asked.answer.authentic,
        "reason": asked.answer.reason,
        "milliseconds": round(asked.milliseconds, 3),
    }


def question_line(asked: Asked) -> str:
    """One question as people read it."""
    answer = asked.answer
    told = "; ".join(map(_short, answer.records)) or answer.status.value
    why = f" ({answer.reason})" if answer.reason else ""
    line = f"{asked.question.name} {asked.question.type}: {told}{why}"
    return f"{printable(line)}  [{asked.milliseconds:.1f} ms]"


def _short(record: Data) -> str:
    """Keys are long; whole they are in --json."""
    text = text_of(record)
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."
