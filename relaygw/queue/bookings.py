"""When those come back for whom there is no place to wait: each destination's further messages get times one after
another, at the pace it has lately taken them, so that each is claimed again when its turn is near.
"""

from collections import OrderedDict
from collections.abc import Hashable

REMEMBERED = 1000
"""Destinations with bookings that are remembered."""

SOONEST, LATEST = 5.0, 900.0
"""Bounds of a booking, in seconds from now."""

EAGER = 1.25
"""A destination is expected to be a little faster than lately: to come too early costs little, idleness more."""


class Bookings:
    """The end of each destination's line of bookings."""

    def __init__(self) -> None:
        self._ends: OrderedDict[Hashable, float] = OrderedDict()

    def book(self, destination: Hashable, before: int, throughput: float, now: float) -> float:
        """The time for one more, with so many `before` it that wait already and `throughput` a second."""
        pace = throughput * EAGER
        end = self._ends.pop(destination, 0.0)
        until = end if end > now else now + before / pace
        until = min(max(until + 1.0 / pace, now + SOONEST), now + LATEST)
        self._ends[destination] = until
        if len(self._ends) > REMEMBERED:
            self._ends.popitem(last=False)
        return until
