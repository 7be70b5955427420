"""The evaluations of DMARC, kept for aggregate reports: one file of JSON lines a day, written by a thread.

Mail never waits for it, and it never grows beyond its bounds: a day's file takes so many octets, days are kept for so
long. What cannot be written is lost, and the journal says why.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool

from relaygw.interfaces import Services

DAY_LIMIT = 256 * 1024 * 1024
"""Octets of one day's file: about 300,000 evaluations."""

_WAIT = 1.0
_MOST_WAITING = 10_000

_Made = tuple[float, Callable[[], Mapping[str, Any]]]
"""When an evaluation was made, and what makes its entry."""


class EvaluationLog:
    """`folder` holds one file per UTC day, such as 2026-11-23.jsonl; `keep` is for how many seconds a day is kept."""

    def __init__(self, folder: Path, services: Services, keep: float, day_limit: int = DAY_LIMIT) -> None:
        self._folder = folder
        self._services = services
        self._keep = timedelta(seconds=keep)
        self._day_limit = day_limit
        self._waiting: list[_Made] = []
        self._writing = False
        self.lost = 0

    def add(self, time: float, make: Callable[[], Mapping[str, Any]]) -> None:
        """Keep one evaluation; it is made by the thread, and reaches its file within a second or two."""
        if len(self._waiting) >= _MOST_WAITING:
            self.lost += 1
            return
        self._waiting.append((time, make))
        if not self._writing:
            self._writing = True
            self._services.spawn("keep DMARC evaluations", self._write_soon())

    async def _write_soon(self) -> None:
        reactor = self._services.reactor
        try:
            while self._waiting:
                await deferLater(reactor, _WAIT)
                batch, self._waiting = self._waiting, []
                await deferToThreadPool(reactor, reactor.getThreadPool(), self.write, batch)
        except CancelledError:  # the service stops
            batch, self._waiting = self._waiting, []
            self.write(batch)
        finally:
            self._writing = False

    def write(self, batch: Sequence[_Made]) -> None:
        """Append to the files of their days; may be called in any thread, one at a time."""
        days: dict[str, list[str]] = {}
        for time, make in batch:
            line = json.dumps(make(), separators=(",", ":"))
            days.setdefault(f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}", []).append(line)
        for day, lines in days.items():
            self._append(day, lines)

    def _append(self, day: str, lines: list[str]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{day}.jsonl"
        new = not path.exists()
        # Unbuffered: one call writes all, so that after a reload two logs may share the file.
        with path.open("ab", buffering=0) as file:
            if file.tell() > self._day_limit:
                self.lost += len(lines)
                return
            file.write("".join(f"{line}\n" for line in lines).encode("ascii"))
        if new:
            path.chmod(0o600)
            self._forget(before=f"{datetime.fromisoformat(day) - self._keep:%Y-%m-%d}")

    def _forget(self, before: str) -> None:
        for path in self._folder.glob("????-??-??.jsonl"):
            if path.stem < before:
                path.unlink(missing_ok=True)


def read_evaluations(folder: Path, day: str) -> Iterator[dict[str, Any]]:
    """The evaluations of a UTC day such as "2026-11-23", in order; a line cut short by a crash is passed over."""
    path = folder / f"{day}.jsonl"
    if not path.exists():
        return
    with path.open(encoding="ascii") as file:
        for line in file:
            if line.endswith("}\n"):
                with contextlib.suppress(ValueError):
                    yield json.loads(line)
