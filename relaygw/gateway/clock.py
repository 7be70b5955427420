"""Watches the system's clock, which Twisted's timers run by: put back by an hour, it would let all of them wait for an
hour longer, and nothing would time out meanwhile, nor be looked at again.

A thread compares it with the clock that nobody sets; the calls to come are moved back as far as it was. What fell due
early, because the clock was put forward, has been done by then, and is no worse for it.
"""

import time
from collections.abc import Callable
from threading import Event as Flag
from threading import Thread
from typing import Any

from relaygw.core.events import ClockChanged, Event

PERIOD = 1.0
"""Seconds between two looks."""

LEAST = 2.0
"""Seconds by which a clock must be off: less is lost in the waits we have. Clocks that are drawn to the right time
slowly never come to that."""

_AT_ONCE = 0.05
"""Seconds two readings may be apart to be of the same moment; more is a process that was stopped in between."""


def difference(wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> float:
    """How far the system's clock is before the one that nobody sets."""
    while True:
        before, now, after = steady(), wall(), steady()
        if after - before < _AT_ONCE:
            return now - before


class ClockWatch:
    """`put_back` is told by how much the clock was; `differ` answers what `difference` does, in a thread."""

    def __init__(
        self,
        reactor: Any,
        write_event: Callable[[Event], None],
        put_back: Callable[[float], None],
        differ: Callable[[], float] = difference,
        period: float = PERIOD,
    ) -> None:
        self._reactor = reactor
        self._write_event = write_event
        self._put_back = put_back
        self._differ = differ
        self._period = period
        self._ended = Flag()

    def start(self) -> None:
        """Watch from now on."""
        self._ended = ended = Flag()
        Thread(target=self._watch, args=(ended, self._differ()), name="clock", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._ended.set()

    def _watch(self, ended: Flag, known: float) -> None:
        while not ended.wait(self._period):
            before, known = known, self._differ()
            if abs(known - before) >= LEAST:
                self._reactor.callFromThread(self._changed, ended, known - before)

    def _changed(self, ended: Flag, seconds: float) -> None:
        if ended.is_set():
            return
        if seconds < 0:
            self._move(-seconds)
            self._put_back(-seconds)
        self._write_event(ClockChanged(seconds=round(seconds, 1)))

    def _move(self, seconds: float) -> None:
        """Calls that were made since then are nearer than that, but for few, which come early once."""
        now = self._reactor.seconds()
        for call in self._reactor.getDelayedCalls():
            left = call.getTime() - now
            if left > seconds - self._period - LEAST:
                call.reset(max(left - seconds, 0.0))
