"""One question to a filter that answers later, bounded in time.

The outcome fires when the time is up even if the filter ignores its cancellation; a later answer is thrown away.
"""

from collections.abc import Awaitable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from relaygw.bridge import as_deferred


class FilterTimeout(Exception):
    """The filter did not answer within its `timeout`."""


class Abandoned(Exception):
    """Whoever asked does not want the answer any more (the client has gone)."""


class Waiting:
    """`outcome` fires with the filter's answer, its failure, FilterTimeout, or Abandoned when it is cancelled."""

    def __init__(self, clock: IReactorTime, answer: Awaitable[object], timeout: float) -> None:
        self._seconds = timeout
        self.outcome: Deferred[object] = Deferred(self._abandon)
        self._timer: IDelayedCall | None = clock.callLater(timeout, self._expire)
        self._inner: Deferred[object] = as_deferred(answer)
        finished: Deferred[None] = self._inner.addCallbacks(self._answered, self._failed)
        self._finished = finished

    def _stop_timer(self) -> bool:
        """Whether the outcome is still open; it is ours to fire exactly once."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        return timer is not None

    def _answered(self, answer: object) -> None:
        if self._stop_timer():
            self.outcome.callback(answer)

    def _failed(self, failure: Failure) -> None:
        if self._stop_timer():
            self.outcome.errback(failure)

    def _expire(self) -> None:
        if self._stop_timer():
            self.outcome.errback(FilterTimeout(f"no answer within {self._seconds:g} s"))
            self._inner.cancel()

    def _abandon(self, outcome: Deferred[object]) -> None:
        if self._stop_timer():
            outcome.errback(Abandoned())
            self._inner.cancel()
