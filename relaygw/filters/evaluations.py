"""The evaluations of DMARC, kept for aggregate reports: one file of JSON lines a day, written by a thread.

Mail never waits for it, and it never grows beyond its bounds: a day's file takes so many octets, days are kept for so
long. What cannot be written is lost, and the journal says why: where there is too much of it, once an hour.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool

from relaygw.core.events import TaskFailed
from relaygw.interfaces import Services

DAY_LIMIT = 256 * 1024 * 1024
"""Octets of one day's file: about 300,000 evaluations."""

_WAIT = 1.0
_MOST_WAITING = 10_000
_TASK = "keep DMARC evaluations"
_TELL_EVERY = 3600.0

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
        self._tell_from = 0.0
        self.lost = 0

    def add(self, time: float, make: Callable[[], Mapping[str, Any]]) -> None:
        """Keep one evaluation; it is made by the thread, and reaches its file within a second or two."""
        if len(self._waiting) >= _MOST_WAITING:
            self._lose(1, f"more than {_MOST_WAITING} wait to be written")
            return
        self._waiting.append((time, make))
        if not self._writing:
            self._writing = True
            self._services.spawn(_TASK, self._write_soon())

    async def _write_soon(self) -> None:
        reactor = self._services.reactor
        try:
            while self._waiting:
                await deferLater(reactor, _WAIT)
                batch, self._waiting = self._waiting, []
                beyond = await deferToThreadPool(reactor, reactor.getThreadPool(), self.write, batch)
                self._lose(beyond, f"the file of the day has its {self._day_limit} octets")
        except CancelledError:  # the service stops
            batch, self._waiting = self._waiting, []
            self.write(batch)
        finally:
            self._writing = False

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        now = self._services.reactor.seconds()
        if count and now >= self._tell_from:
            self._tell_from = now + _TELL_EVERY
            self._services.write_event(TaskFailed(task=_TASK, error=f"{self.lost} in all are not kept: {why}"))

    def write(self, batch: Sequence[_Made]) -> int:
        """Append to the files of their days; how many those have no room for. May be called in any thread, one at a
        time."""
        days: dict[str, list[str]] = {}
        for time, make in batch:
            line = json.dumps(make(), separators=(",", ":"))
            days.setdefault(f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}", []).append(line)
        return sum(self._append(day, lines) for day, lines in days.items())

    def _append(self, day: str, lines: list[str]) -> int:
        """How many there is no room for."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{day}.jsonl"
        new = not path.exists()
        # Unbuffered: one call writes all, so that after a reload two logs may share the file.
        with path.open("ab+", buffering=0) as file:
            if file.tell() > self._day_limit:
                return len(lines)
            left = _ended(file) + "".join(f"{line}\n" for line in lines).encode("ascii")
            while left:
                left = left[file.write(left) :]
        if new:
            path.chmod(0o600)
            self._forget(before=f"{datetime.fromisoformat(day) - self._keep:%Y-%m-%d}")
        return 0

    def _forget(self, before: str) -> None:
        for path in self._folder.glob("????-??-??.jsonl"):
            if path.stem < before:
                path.unlink(missing_ok=True)


def _ended(file: FileIO) -> bytes:
    """What ends a line that a full disk or a crash has cut short, so that no other one goes with it."""
    if not file.tell():
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


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
