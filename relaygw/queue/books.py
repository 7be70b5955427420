"""The queue's books: which records are in hand, in which state, and for how many more there is room.

It counts and remembers; it starts nothing and asks nothing of the spool.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from relaygw.core.lanes import RESERVE, Lanes
from relaygw.core.shaping import Destination
from relaygw.queue.bookings import Bookings
from relaygw.queue.parking import Parking
from relaygw.queue.plan import Plan
from relaygw.queue.work import Active, Delivery, Opening

LINE = 2
"""Records in line for one destination before more are parked, in units of what it bears at once."""

AHEAD = 0.06
"""Seconds for which its line is to last, where that is more: longer than the spool takes to read what comes next."""

ACTIVE = 2
"""Records with content in memory, in units of the concurrency."""


ENOUGH = 1000
"""Records of one owner that wait here: while there are as many, others come more slowly."""


class Books:
    """`actives` and `opening` by queue id; `coming` counts those being opened by where they go; `parked` records at
    most are known by id only."""

    def __init__(self, lanes: Lanes[Delivery], parked: int) -> None:
        self.actives: dict[str, Active] = {}
        self.opening: dict[str, Opening] = {}
        self.parking = Parking(parked)
        self._bookings = Bookings()
        self.coming: Counter[Destination | None] = Counter()
        self._lanes = lanes

    @property
    def counts(self) -> Mapping[str, int]:
        """For the metrics: how much is in hand."""
        return {
            "active": len(self.actives) + len(self.opening),
            "parked": len(self.parking),
            "attempts": self._lanes.running,
        }

    @property
    def idle(self) -> bool:
        """Nothing is worked on or about to be."""
        return not self.actives and not self.opening

    def ours(self) -> Sequence[str]:
        """The ids of all that is claimed."""
        return (*self.actives, *self.opening, *self.parking)

    def room(self, owner: str = "") -> int:
        """For how many more there is room. As among attempts, a tenth is kept for owners for whom nothing runs."""
        most = ACTIVE * self._lanes.total
        kept = 0 if owner and self._lanes.idle(owner) else most // RESERVE
        return most - kept - len(self.actives) - len(self.opening)

    def has_much_room(self) -> bool:
        """Whether it is worth while to fetch more from the spool."""
        return self.room() >= ACTIVE * self._lanes.total // 4

    def has_enough(self, owner: str) -> bool:
        """Whether more of this owner waits here already than is worked on for some time."""
        return self.parking.held(owner) >= ENOUGH

    def fits(self, plan: Plan, owner: str) -> bool:
        """Whether to work on it now: there is room, and something in it would not have to wait for long."""
        if self.room(owner) <= 0:
            return False
        return not plan.groups or any(self.short_line(group.destination) for group in plan.groups)

    def short_line(self, destination: Destination) -> bool:
        """Whether one more would not wait long for the destination."""
        return self._lanes.in_line(destination) + self.coming.get(destination, 0) < self._line(destination)

    def runs_out(self, destination: Destination) -> bool:
        """Whether its line should be filled again: long before it is empty, and where it is quick with many at once."""
        quickly = int(AHEAD / 2 * self._lanes.throughput(destination))
        waiting = self._lanes.in_line(destination) + self.coming.get(destination, 0)
        return waiting < self._line(destination) - quickly

    def _line(self, destination: Destination) -> int:
        """How many may be in line."""
        lanes = self._lanes
        return max(LINE * lanes.most(destination), int(AHEAD * lanes.throughput(destination)))

    def book(self, destination: Destination, now: float) -> float:
        """When one more is likely to have its turn, that finds no place even to wait."""
        before = self.parking.waiting(destination)
        return self._bookings.book(destination, before, self._lanes.throughput(destination), now)

    def end_opening(self, queue_id: str) -> Opening:
        """It was read, or could not be: one less is on its way into the line of its destination."""
        opening = self.opening.pop(queue_id)
        destination = opening.destination
        self.coming[destination] -= 1
        if not self.coming[destination]:
            del self.coming[destination]
        if destination is not None:
            self.parking.opened(destination)
        return opening
