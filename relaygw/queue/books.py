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

ACTIVE = 2
"""Records with content in memory, in units of the concurrency."""


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

    def fits(self, plan: Plan, owner: str) -> bool:
        """Whether to work on it now: there is room, and something in it would not have to wait for long."""
        if self.room(owner) <= 0:
            return False
        return not plan.groups or any(self.short_line(group.destination) for group in plan.groups)

    def short_line(self, destination: Destination) -> bool:
        """Whether one more would not wait long for the destination."""
        lanes = self._lanes
        return lanes.in_line(destination) + self.coming.get(destination, 0) < LINE * lanes.most(destination)

    def runs_out(self, destination: Destination) -> bool:
        """Whether its line should be filled again: well before it is empty, and for several at once."""
        lanes = self._lanes
        most = lanes.most(destination)
        return lanes.in_line(destination) + self.coming.get(destination, 0) < LINE * most - most // 2

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
