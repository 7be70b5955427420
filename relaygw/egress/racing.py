"""Connecting to one host by several addresses at once, staggered (RFC 8305 5): an address that does not answer costs a
quarter of a second. The first connection wins; those still on their way are given up.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from relaygw.core.mx import Target
from relaygw.egress.broken import Broken
from relaygw.egress.connection import SmtpConnection

STAGGER = 0.25
"""Seconds between two beginnings (RFC 8305 8)."""

Begin = Callable[[Target], "Deferred[SmtpConnection]"]
Failed = Callable[[Target, Broken], None]
Won = tuple[Target, SmtpConnection]


def race(clock: Any, targets: Sequence[Target], begin: Begin, failed: Failed) -> "Deferred[Won]":
    """The first connection with its target; each that could not be made is told to `failed`. Fails with the last
    one's Broken when none could."""
    return _Race(clock, targets, begin, failed).won


class _Race:
    def __init__(self, clock: Any, targets: Sequence[Target], begin: Begin, failed: Failed) -> None:
        self.won: Deferred[Won] = Deferred(lambda _: self._stop())
        self._clock = clock
        self._waiting = list(targets)
        self._begin = begin
        self._failed = failed
        self._running: dict[Target, Deferred[SmtpConnection]] = {}
        self._timer: Any = None
        self._over = False
        self._next()

    def _next(self) -> None:
        """One more takes part, at once where nothing else is left to hope for."""
        self._timer = None
        if self._over or not self._waiting:
            return
        target = self._waiting.pop(0)
        if self._waiting:
            self._timer = self._clock.callLater(STAGGER, self._next)
        connecting = self._begin(target)
        self._running[target] = connecting
        _ = connecting.addCallbacks(
            lambda connection: self._made(target, connection), lambda failure: self._lost(target, failure.value)
        )

    def _made(self, target: Target, connection: SmtpConnection) -> None:
        del self._running[target]
        if self._over:
            connection.abort()
            return
        self._stop()
        self.won.callback((target, connection))

    def _lost(self, target: Target, reason: BaseException) -> None:
        self._running.pop(target, None)
        if self._over:
            return
        if isinstance(reason, Broken):
            self._failed(target, reason)
        if self._waiting and isinstance(reason, Broken):
            self._disarm()
            self._next()
        elif not self._running or not isinstance(reason, Broken):
            self._stop()
            self.won.errback(reason if isinstance(reason, Exception) else CancelledError())

    def _stop(self) -> None:
        self._over = True
        self._disarm()
        for connecting in tuple(self._running.values()):
            connecting.cancel()

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
