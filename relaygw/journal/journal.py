"""The Journal: takes events from the reactor's thread, makes them lines and history in a thread of its own.

`write` never raises and never waits. Lines reach the file within 0.2 seconds and at stop. Mail does not depend on the
journal: where it cannot be written, lines are lost, counted, and said so in the log of the process once.
"""

import contextlib
import queue
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from relaygw.core.events import AUTHENTICATION, Event, FilterBroke, Judged
from relaygw.journal.file import LineFile
from relaygw.journal.history import History, Told, lookup
from relaygw.journal.line import Line, count_of, make_line

GATHER = 0.1
"""Seconds for which the thread lets lines gather before it writes them."""

MAX_WAITING = 100_000
"""Lines that may wait for a disk that does not answer; beyond, new ones are lost."""

DAY = 86400.0

_Job = Callable[[], None]
_Taken = tuple[Event, float]
"""An event, and when it happened."""

_log = Logger()


class Reactor(Protocol):
    """What the journal needs of a reactor."""

    def seconds(self) -> float: ...

    def callFromThread(self, callable: Callable[..., object], *args: object) -> None: ...  # noqa: A002


class Journal:
    """`file` as in JournalConfig; `history` is the directory of the history, None for none; `keep` in seconds.

    `counts` tells how many events of each (kind, detail) there were since start: kind is the event's name, detail is an
    attempt's status, a refusal's "4xx" or "5xx", a verdict's action, an operator's verb, or "". Under AUTHENTICATION
    what filters found out is counted by method and result ("spf=pass"). `lost` counts lines.
    """

    def __init__(self, file: str, history: str | None, reactor: Reactor, keep: float = 14 * DAY) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.lost = 0
        self.directory = history
        self._reactor = reactor
        self._seconds = reactor.seconds
        self._file = LineFile(file)
        self._history = History(history, keep) if history else None
        self._waiting: queue.SimpleQueue[_Taken | _Job | None] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self._ended: Deferred[None] = Deferred()
        self._thread: threading.Thread | None = None
        self._complained: set[str] = set()

    def start(self) -> None:
        """Begin to write; what came before waits. Not before the process has become a daemon."""
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, event: Event) -> None:
        """Take an event. Never raises, never waits."""
        try:
            self.counts[count_of(event)] += 1
            if type(event) is Judged or type(event) is FilterBroke:
                for found in event.found:
                    self.counts[AUTHENTICATION, found] += 1
            if self._waiting.qsize() < MAX_WAITING:
                self._waiting.put((event, self._seconds()))
            else:
                self.lost += 1
        except Exception:
            self.lost += 1
            _log.failure("an event could not be written")

    async def stop(self) -> None:
        """Write what waits and end the thread."""
        if self._thread is not None:
            self._thread = None
            self._waiting.put(None)
            self._hurry.set()
            await self._ended

    async def lookup(self, text: str, limit: int = 50) -> list[Told]:
        """See relaygw.journal.history.lookup; what was written before the call is found. Raises OSError."""
        directory = self.directory
        if directory is None or self._thread is None:
            return []
        answer: Deferred[list[Told]] = Deferred()

        def ask() -> None:
            try:
                found = lookup(directory, text, limit)
            except Exception as error:
                self._reactor.callFromThread(answer.errback, error)
            else:
                self._reactor.callFromThread(answer.callback, found)

        self._ask(ask)
        return await answer

    def reopen(self) -> None:
        """Let the file go; the next line opens what has its name then. Rotation is noticed without it, too."""
        self._ask(self._file.close)

    def _ask(self, job: _Job) -> None:
        """Have the thread do something after all lines that wait now."""
        self._waiting.put(job)
        self._hurry.set()

    def _run(self) -> None:
        """The thread: take what waits, let more gather, write it in one go."""
        stopping = False
        while not stopping:
            items = [self._waiting.get()]
            self._hurry.wait(GATHER)
            self._hurry.clear()
            with contextlib.suppress(queue.Empty):
                while True:
                    items.append(self._waiting.get_nowait())
            stopping = None in items
            self._write(self._lines([item for item in items if isinstance(item, tuple)]))
            for item in items:
                if item is not None and not isinstance(item, tuple):
                    self._guard("a question", item)
        self._guard("the file", self._file.close)
        if self._history is not None:
            self._guard("the history", self._history.close)
        self._reactor.callFromThread(self._ended.callback, None)

    def _lines(self, events: list[_Taken]) -> list[Line]:
        lines: list[Line] = []
        for event, moment in events:
            try:
                lines.append(make_line(event, moment))
            except Exception:
                self.lost += 1
                _log.failure("an event could not be written")
        return lines

    def _write(self, lines: list[Line]) -> None:
        if not lines:
            return
        history = self._history
        if not self._guard("the file", lambda: self._file.append([line.text for line in lines])):
            self.lost += len(lines)
        if history is not None:
            self._guard("the history", lambda: history.append(lines))

    def _guard(self, what: str, job: _Job) -> bool:
        """Do it; a failure is told once until it works again. The thread outlives everything."""
        try:
            job()
        except (OSError, sqlite3.Error, ValueError) as error:
            if what not in self._complained:
                self._complained.add(what)
                _log.error("the journal cannot write {what}: {error}", what=what, error=error)
            return False
        except Exception:
            _log.failure("the journal cannot write {what}", what=what)
            return False
        self._complained.discard(what)
        return True
