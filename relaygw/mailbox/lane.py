"""Work in threads, in order: one lane per account, so that files and index of an account have one user at a time.

The reactor thread never waits for a disk. What a job answers is delivered in the reactor thread, in the order of the
jobs. Cancelling stops a job that has not begun; one that runs is finished and its answer dropped, since a thread
cannot be stopped and the next job must not overtake it.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Pool(Protocol):
    """The part of twisted.python.threadpool.ThreadPool that is used."""

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, Any], object] | None, func: Callable[..., Any], *args: Any
    ) -> object: ...


@attrs.frozen
class Threads:
    """`reactor` (IReactorFromThreads, IReactorTime) and the pool whose results it gets."""

    reactor: Any
    pool: Pool

    def run(self, function: Callable[[], T], done: "Callable[[bool, T | Failure], None]") -> None:
        """Call the function in a thread, then `done(worked, result)` in the reactor thread."""
        self.pool.callInThreadWithCallback(
            lambda worked, result: self.reactor.callFromThread(done, worked, result), function
        )

    def call(self, function: Callable[[], T]) -> "Deferred[T]":
        """Call the function in any thread of the pool, beside everything else."""
        return Lane(self).run(function)


@attrs.define(eq=False)
class _Job(Generic[T]):
    function: Callable[[], T]
    answer: "Deferred[T]"


class Lane:
    """One job at a time, first come, first served. `between` is called in the reactor thread after each job, before
    its answer, whether it worked or not: until it returns, no job runs."""

    def __init__(self, threads: Threads, between: Callable[[], None] | None = None) -> None:
        self._threads = threads
        self._between = between
        self._jobs: deque[_Job[Any]] = deque()
        self._busy = False

    def run(self, function: Callable[[], T]) -> "Deferred[T]":
        """Queue the function; the Deferred fires in the reactor thread with what it returns or raises."""
        job: _Job[T] = _Job(function, Deferred(lambda _: self._cancel(job)))
        self._jobs.append(job)
        self._next()
        return job.answer

    def _next(self) -> None:
        if self._busy or not self._jobs:
            return
        self._busy = True
        job = self._jobs.popleft()
        self._threads.run(job.function, lambda worked, result: self._done(job, worked, result))

    def _cancel(self, job: _Job[Any]) -> None:
        if job in self._jobs:
            self._jobs.remove(job)

    def _done(self, job: _Job[Any], worked: bool, result: Any) -> None:
        if self._between is not None:
            self._between()
        self._busy = False
        self._next()
        if job.answer.called:
            return  # cancelled while it ran
        if worked:
            job.answer.callback(result)
        else:
            job.answer.errback(result)
