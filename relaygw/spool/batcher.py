"""A thread that takes everything that waits at once, so that one sync serves all who wait for one.

An idle thread starts on the first item at once; what arrives while it works forms the next batch. Where many waited for
the last one, the next is given a moment to grow as large. Items that nobody waits for give others longer to join them,
and those that need no sync do not bring one about. The thread outlives whatever its function raises.
"""

import contextlib
import enum
import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from twisted.logger import Logger

PATIENCE = 0.02
"""Seconds that items wait for company that nobody waits for: how much longer a delivery may be repeated if the power
goes, and what makes one sync serve many."""


COMPANY = 4
"""So many who waited for the last batch say that there is a crowd of them."""

LINGER = 0.002
"""Seconds for which a batch waits for the others of a crowd: little beside what each of them waits for anyway."""


QUIET = 0.01
"""Seconds in which nothing came that make a moment for chores, and the pause between two of them then."""

PAUSE = 0.002


class Haste(enum.Enum):
    """How much an item hurries."""

    NOW = "now"  # somebody waits for what it writes
    ASIDE = "aside"  # somebody waits for it, and it needs no sync; what must be synced may stay behind
    LATER = "later"  # nobody waits for it


class Chores(Protocol):
    """Work that nobody put and nobody waits for, in short pieces."""

    def overdue(self) -> bool | None:
        """Whether a piece is to be done at once; False: as soon as there is time, None: there is none to do."""

    def piece(self) -> None:
        """Do one."""


T = TypeVar("T")
_log = Logger()


class Batcher(Generic[T]):
    """`serve` gets the batches, in the order of `put` but for what is read aside; `limit` items are a full batch. While
    nothing comes, the thread does `chores`."""

    def __init__(
        self,
        name: str,
        serve: Callable[[list[T]], None],
        limit: int,
        haste: Callable[[T], Haste] = lambda item: Haste.NOW,
        chores: Chores | None = None,
    ) -> None:
        self._serve = serve
        self._chores = chores
        self._limit = limit
        self._haste = haste
        self._waiting: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._later: list[T | None] = []
        self._company = 0  # those of the last batch that somebody waited for
        self._until = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, item: T) -> None:
        """From any thread."""
        self._waiting.put(item)

    def stop(self) -> None:
        """Serve what waits, then end; returns when the thread has ended."""
        self._waiting.put(None)
        self._thread.join()

    def idle(self) -> bool:
        """Whether nothing waits at this moment."""
        return self._waiting.empty()

    def _run(self) -> None:
        running = True
        while running:
            batch = self._gather()
            running = None not in batch
            items = [item for item in batch if item is not None]
            if not items:
                continue
            try:
                self._serve(items)
            except Exception:
                _log.failure("a batch of the spool failed")

    def _gather(self) -> list[T | None]:
        """The next batch: all that waits, with what waited for company; or what is to be read aside, without it."""
        while True:
            came = self._come()
            aside: list[T | None] = []
            waited_for = 0
            for item in came:
                haste = Haste.NOW if item is None else self._haste(item)
                if haste is Haste.ASIDE:
                    aside.append(item)
                    continue
                if not self._later:
                    self._until = time.monotonic() + PATIENCE
                self._later.append(item)
                waited_for += haste is Haste.NOW
            overdue = self._later and time.monotonic() >= self._until
            if waited_for or not came or overdue or len(self._later) >= self._limit:
                batch, self._later = self._later + aside, []
                return self._grown(batch, waited_for)
            if aside:
                return aside

    def _come(self) -> list[T | None]:
        """What has been put since, at least one; nothing where what waits for company has waited for long enough."""
        came: list[T | None] = []
        with contextlib.suppress(queue.Empty):
            came.append(self._first())
            while len(came) < self._limit:
                came.append(self._waiting.get_nowait())
        return came

    def _first(self) -> T | None:
        """What is put next; raises Empty where it does not come in time for those who wait for company."""
        if self._later:
            return self._waiting.get(timeout=max(0.0, self._until - time.monotonic()))
        quiet = QUIET
        while self._chores is not None and (overdue := self._chores.overdue()) is not None:
            if not overdue:
                with contextlib.suppress(queue.Empty):
                    return self._waiting.get(timeout=quiet)
            self._chores.piece()
            quiet = PAUSE
        return self._waiting.get()

    def _grown(self, batch: list[T | None], waited_for: int) -> list[T | None]:
        """The batch with those who come in the moment it is given, where it is one of a crowd's."""
        if waited_for < self._company:
            until = time.monotonic() + LINGER
            with contextlib.suppress(queue.Empty):
                while waited_for < self._company and len(batch) < self._limit and None not in batch[-1:]:
                    item = self._waiting.get(timeout=max(0.0, until - time.monotonic()))
                    batch.append(item)
                    waited_for += item is None or self._haste(item) is Haste.NOW
        self._company = waited_for if waited_for >= COMPANY else 0
        return batch
