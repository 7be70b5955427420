"""A thread that takes everything that waits at once, so that one sync serves all who wait for one.

Nobody is made to wait for company who is waited for: an idle thread starts on the first item at once; what arrives
while it works forms the next batch. Items that nobody waits for give others a moment to join them, and those that need
no sync do not bring one about. The thread outlives whatever its function raises.
"""

import contextlib
import enum
import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.logger import Logger

PATIENCE = 0.02
"""Seconds that items wait for company that nobody waits for: how much longer a delivery may be repeated if the power
goes, and what makes one sync serve many."""


class Haste(enum.Enum):
    """How much an item hurries."""

    NOW = "now"  # somebody waits for what it writes
    ASIDE = "aside"  # somebody waits for what it reads; what must be synced may stay behind
    LATER = "later"  # nobody waits for it


T = TypeVar("T")
_log = Logger()


class Batcher(Generic[T]):
    """`serve` gets the batches, in the order of `put` but for what is read aside; `limit` items are a full batch."""

    def __init__(
        self,
        name: str,
        serve: Callable[[list[T]], None],
        limit: int,
        haste: Callable[[T], Haste] = lambda item: Haste.NOW,
    ) -> None:
        self._serve = serve
        self._limit = limit
        self._haste = haste
        self._waiting: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._later: list[T | None] = []
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
            now = not came
            for item in came:
                haste = Haste.NOW if item is None else self._haste(item)
                if haste is Haste.ASIDE:
                    aside.append(item)
                    continue
                if not self._later:
                    self._until = time.monotonic() + PATIENCE
                self._later.append(item)
                now = now or haste is Haste.NOW
            if now or len(self._later) >= self._limit:
                batch, self._later = self._later + aside, []
                return batch
            if aside:
                return aside

    def _come(self) -> list[T | None]:
        """What has been put since, at least one; nothing where what waits for company has waited for long enough."""
        came: list[T | None] = []
        with contextlib.suppress(queue.Empty):
            patience = max(0.0, self._until - time.monotonic()) if self._later else None
            came.append(self._waiting.get(timeout=patience))
            while len(came) < self._limit:
                came.append(self._waiting.get_nowait())
        return came
