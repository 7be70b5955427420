"""How long we wait for a client, and one timer for it: each wait is timed once, however often we look in between."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

LOGIN_COMMAND = 60.0
"""Seconds for one command before login, however slowly its octets come."""
LOGIN_ALL = 300.0
"""Seconds for all that comes before login."""
STALLED = 300.0
"""Seconds a client may leave our answers unread."""
CLOSING = 30.0
"""Seconds for the last answer to leave."""


class Patience:
    """Calls `ended` when a wait has lasted for its period."""

    def __init__(self, clock: IReactorTime, ended: Callable[[], None]) -> None:
        self._clock = clock
        self._ended = ended
        self._call: IDelayedCall | None = None
        self._wait: tuple[float | None, int] | None = None

    def wait(self, period: float | None, number: int) -> None:
        """Wait from now, unless this very wait (period and number) goes on already. None: nothing is owed."""
        if (period, number) == self._wait:
            return
        self.stop()
        self._wait = (period, number)
        if period is not None:
            self._call = self._clock.callLater(period, self._ended)

    def renew(self) -> None:
        """The client shows signs of life: the wait begins again."""
        if self._call is not None and self._call.active() and self._wait is not None and self._wait[0] is not None:
            self._call.reset(self._wait[0])

    def stop(self) -> None:
        """No more waiting."""
        self._wait = None
        if self._call is not None and self._call.active():
            self._call.cancel()
