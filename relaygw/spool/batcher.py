"""A thread that takes everything that waits at once, so that one sync serves all who wait for one.

An idle thread starts on the first item at once; what arrives while it works forms the next batch. Where more is about
to come, a batch is given a moment to grow. Items that nobody waits for give others longer to join them, and those that
need no sync do not bring one about. The thread outlives whatever its function raises.
"""

import enum
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from twisted.logger import Logger

PATIENCE = 0.02
"""Seconds that items wait for company that nobody waits for: how much longer a delivery may be repeated if the power
goes, and what makes one sync serve many."""

LINGER = 0.01
"""Seconds for which a batch waits at most for more that is about to come. Whoever brings it is busy meanwhile, and has
more time for it the fewer batches there are."""

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
    nothing comes, the thread does `chores`. It is woken when there is something to do for it, and not by each item:
    every time costs whoever puts it more than the item does.

    Whoever puts an item with `more` promises to call `no_more` when nothing else is about to come; a batch waits for
    that for `linger` seconds at most."""

    def __init__(
        self,
        name: str,
        serve: Callable[[list[T]], None],
        limit: int,
        haste: Callable[[T], Haste] = lambda item: Haste.NOW,
        chores: Chores | None = None,
        linger: float = LINGER,
        patience: float = PATIENCE,
    ) -> None:
        self._serve = serve
        self._chores = chores
        self._limit = limit
        self._haste = haste
        self._linger = linger
        self._patience = patience
        self._changed = threading.Condition(threading.Lock())
        self._came: list[tuple[T, Haste]] = []
        self._waited_for = 0  # of those who came
        self._aside = 0
        self._stopping = False
        self._awaited: Callable[[], bool] = self._nobody  # what wakes the thread
        self._until: float | None = None  # patience
        self._more = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, item: T, *, more: bool = False) -> None:
        """From any thread."""
        haste = self._haste(item)
        with self._changed:
            self._more = more or self._more
            self._came.append((item, haste))
            if haste is Haste.NOW:
                self._waited_for += 1
            elif haste is Haste.ASIDE:
                self._aside += 1
            if self._awaited():
                self._changed.notify()

    def no_more(self) -> None:
        """Nothing else is about to come: what waits for company has all it gets."""
        with self._changed:
            self._more = False
            if self._awaited():
                self._changed.notify()

    def stop(self) -> None:
        """Serve what waits, then end; returns when the thread has ended."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._gather():
            try:
                self._serve(batch)
            except Exception:
                _log.failure("a batch of the spool failed")

    def _gather(self) -> list[T]:
        """The next batch: all that waits, or what is to be read aside, without the rest; nothing at the end."""
        if self._until is None:
            self._await_any()
            self._until = time.monotonic() + self._patience
        self._sleep(self._hurried, self._until - time.monotonic())
        with self._changed:
            if self._aside and time.monotonic() < self._until and not (self._waited_for or self._is_full()):
                return self._take_aside()
        self._sleep(self._complete, self._linger)
        with self._changed:
            return self._take()

    def _await_any(self) -> None:
        """Until something came; with chores meanwhile."""
        quiet = QUIET
        while self._chores is not None and (overdue := self._chores.overdue()) is not None:
            if not overdue and self._sleep(self._anybody, quiet):
                return
            self._chores.piece()
            quiet = PAUSE
        self._sleep(self._anybody)

    def _sleep(self, awaited: Callable[[], bool], seconds: float | None = None) -> bool:
        """Until it is so; whether it was, in that time."""
        with self._changed:
            self._awaited = awaited
            come = self._changed.wait_for(awaited, seconds)
            self._awaited = self._nobody
            return come

    # What the thread may wait for, each also as soon as nothing else can come.

    def _nobody(self) -> bool:
        return False

    def _anybody(self) -> bool:
        return bool(self._came) or self._stopping

    def _hurried(self) -> bool:
        return bool(self._waited_for or self._aside) or self._is_full()

    def _complete(self) -> bool:
        return not self._more or self._is_full()

    def _is_full(self) -> bool:
        return len(self._came) >= self._limit or self._stopping

    # What the thread takes of those who came.

    def _take(self) -> list[T]:
        taken = self._came[: self._limit]
        self._leave(self._came[self._limit :])
        self._until = None
        return [item for item, _ in taken]

    def _take_aside(self) -> list[T]:
        taken = [item for item, haste in self._came if haste is Haste.ASIDE]
        self._leave([each for each in self._came if each[1] is not Haste.ASIDE])
        if not self._came:
            self._until = None
        return taken

    def _leave(self, rest: list[tuple[T, Haste]]) -> None:
        self._came = rest
        self._waited_for = sum(haste is Haste.NOW for _, haste in rest)
        self._aside = sum(haste is Haste.ASIDE for _, haste in rest)
