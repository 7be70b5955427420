"""Fire and forget, in one place: every background task has a name, its failure is journaled, stop cancels it."""

import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList

from relaygw.core.events import Event, TaskFailed


def describe(error: BaseException) -> str:
    """The exception and the place it was raised at, on one line: for the journal, never for a peer."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{place}"[:1000]


class Tasks:
    """The background tasks of the service. After `stop` nothing new is started."""

    def __init__(self, write_event: Callable[[Event], None]) -> None:
        self._write_event = write_event
        self._running: set[Deferred[Any]] = set()
        self._stopping = False

    def spawn(self, name: str, awaitable: Awaitable[Any]) -> None:
        """Run it now, in the background, under this name."""
        task = Deferred.fromCoroutine(self._watch(name, awaitable))
        if not task.called:
            self._running.add(task)
            _ = task.addBoth(lambda _: self._running.discard(task))
        if self._stopping:
            task.cancel()

    async def _watch(self, name: str, awaitable: Awaitable[Any]) -> None:
        try:
            await awaitable
        except Exception as error:
            if not (self._stopping and isinstance(error, CancelledError)):
                self._write_event(TaskFailed(task=name, error=describe(error)))

    async def stop(self) -> None:
        """Cancel what runs and wait until it has ended."""
        self._stopping = True
        running = list(self._running)
        for task in running:
            task.cancel()
        await DeferredList(running)
