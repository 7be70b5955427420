"""A thread that takes everything that waits at once, so that one sync serves all who wait for one.

Nobody is made to wait for company who is waited for: an idle thread starts on the first item at once; what arrives
while it works forms the next batch. Items that nobody waits for (`patient`) give others a moment to join them. The
thread outlives whatever its function raises.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.logger import Logger

PATIENCE = 0.004
"""Seconds that patient items wait for company."""

T = TypeVar("T")
_log = Logger()


class Batcher(Generic[T]):
    """`serve` gets the batches, at most `limit` items each, in the order of `put`."""

    def __init__(
        self, name: str, serve: Callable[[list[T]], None], limit: int, patient: Callable[[T], bool] = lambda item: False
    ) -> None:
        self._serve = serve
        self._limit = limit
        self._patient = patient
        self._waiting: queue.SimpleQueue[T | None] = queue.SimpleQueue()
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
        """The next batch. While all in it are patient, it waits for more, but not for long."""
        batch = [self._waiting.get()]
        until = time.monotonic() + PATIENCE
        hurry = self._hurries(batch[0])
        with contextlib.suppress(queue.Empty):
            while len(batch) < self._limit:
                batch.append(self._waiting.get(timeout=0 if hurry else max(0.0, until - time.monotonic())))
                hurry = hurry or self._hurries(batch[-1])
        return batch

    def _hurries(self, item: T | None) -> bool:
        return item is None or not self._patient(item)
