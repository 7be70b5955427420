"""Fire and forget, in one place: every background task has a name, its failure is journaled, stop cancels it."""

import contextlib
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.python.failure import Failure

from relaygw.bridge import as_deferred
from relaygw.core.events import Event, TaskFailed


def describe(failure: Failure) -> str:
    """The exception and the place it was raised at, on one line: for the journal, never for a peer."""
    frames = traceback.extract_tb(failure.getTracebackObject())
    place = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{failure.type.__name__ if failure.type else 'error'}: {failure.getErrorMessage()}{place}"[:1000]


class Tasks:
    """The background tasks of the service. After `stop` nothing new is started."""

    def __init__(self, write_event: Callable[[Event], None]) -> None:
        self._write_event = write_event
        self._running: set[Deferred[Any]] = set()
        self._stopping = False

    def spawn(self, name: str, awaitable: Awaitable[Any]) -> None:
        """Run it now, in the background, under this name."""
        task = as_deferred(awaitable)
        self._running.add(task)
        if self._stopping:
            task.cancel()
        task.addErrback(self._failed, name)
        task.addBoth(lambda _: self._running.discard(task))

    def _failed(self, failure: Failure, name: str) -> None:
        if not (self._stopping and failure.check(CancelledError)):
            self._write_event(TaskFailed(task=name, error=describe(failure)))

    async def stop(self) -> None:
        """Cancel what runs and wait until it has ended."""
        self._stopping = True
        running = list(self._running)
        for task in running:
            with contextlib.suppress(Exception):
                task.cancel()
        await DeferredList(running)
