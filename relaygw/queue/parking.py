"""Claimed records that cannot be worked on yet, as ids: what waits for a busy destination keeps nobody else waiting and
costs little memory. What was in memory as it came (the record, or all of the message) is kept with the first of them,
up to a bound, and need not be read again. Whose turn it is, is decided as among attempts (`relaygw.core.turns`).

No owner holds more than his share of it; where all is taken, one letter more takes the place of one of whoever has
most.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import attrs

from relaygw.core.content import Content
from relaygw.core.record import Record
from relaygw.core.shaping import Destination
from relaygw.core.turns import Turns

KEPT = 8 * 1024 * 1024
"""Octets of messages that are kept with their ids."""

OVERHEAD = 4096
"""Octets that a record costs beside its content."""

SHARE = 2
"""An owner may hold one of so many parts."""


Kept = tuple[Record, Content | None]


@attrs.frozen
class _Place:
    destination: Destination
    owner: str
    kept: Kept | None = None
    size: int = 0


class Parking:
    """At most `limit` ids. `opened` is to be called with a destination whenever there may be room in its line."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._places: dict[str, _Place] = {}
        self._size = 0  # octets that are kept
        self._turns: Turns[Destination, str] = Turns()
        self._owners: Counter[str] = Counter()
        self._stale = 0  # ids that were taken out and still stand in line

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def has_place(self, owner: str) -> bool:
        """Whether the owner may park one more; others may have to make room for it."""
        held = self._owners.get(owner, 0)
        if held >= max(1, self.limit // SHARE):
            return False
        return len(self._places) < self.limit or held + 1 < max(self._owners.values())

    def held(self, owner: str) -> int:
        """How many the owner has parked."""
        return self._owners.get(owner, 0)

    def add(
        self, queue_id: str, destination: Destination, owner: str, kept: Kept | None = None
    ) -> tuple[str, str] | None:
        """Park it; answers the id and owner of one that had to make room, None where there was room."""
        displaced = self._displaced() if len(self._places) >= self.limit else None
        size = _size_of(*kept) if kept is not None else 0
        if self._size + size > KEPT:
            kept, size = None, 0
        self._size += size
        self._places[queue_id] = _Place(destination, owner, kept, size)
        self._owners[owner] += 1
        self._turns.add(destination, owner, queue_id, is_open=True)
        return displaced

    def _displaced(self) -> tuple[str, str]:
        """The newest of the owner who has most."""
        most = max(self._owners, key=lambda owner: self._owners[owner])
        newest = next(queue_id for queue_id in reversed(self._places) if self._places[queue_id].owner == most)
        self.remove(newest)
        return newest, most

    def destination(self, queue_id: str) -> Destination | None:
        """What a parked record waits for; None when it is not parked."""
        place = self._places.get(queue_id)
        return place.destination if place is not None else None

    def owner(self, queue_id: str) -> str:
        """Whose a parked record is; "" when it is not parked."""
        place = self._places.get(queue_id)
        return place.owner if place is not None else ""

    def waiting(self, destination: Destination) -> int:
        """How many wait for the destination, those counted twice that left and came back."""
        return self._turns.waiting(destination)

    def remove(self, queue_id: str) -> bool:
        """Take it out, whatever it waits for; False when it is not parked."""
        place = self._places.pop(queue_id, None)
        if place is None:
            return False
        self._forget(place)
        self._stale += 1  # its lane forgets it when its turn comes
        if self._stale > self.limit:
            self._tidy()
        return True

    def _tidy(self) -> None:
        self._turns.clear()
        self._stale = 0
        for queue_id, place in self._places.items():
            self._turns.add(place.destination, place.owner, queue_id, is_open=True)

    def _forget(self, place: _Place) -> None:
        self._size -= place.size
        self._owners[place.owner] -= 1
        if not self._owners[place.owner]:
            del self._owners[place.owner]

    def opened(self, destination: Destination) -> None:
        """Its line may have room again."""
        self._turns.open(destination)

    def next(self, has_room: Callable[[Destination], bool]) -> tuple[str, Destination, Kept | None] | None:
        """The next one whose destination has room, taken out, with what was kept of it. Destinations found without
        room are passed over until they are said to be open."""
        while True:
            chosen = self._turns.peek()
            if chosen is None:
                return None
            destination = chosen[0]
            if not has_room(destination):
                self._turns.close(destination)
                continue
            taken = self._turns.next()
            assert taken is not None
            _, owner, queue_id = taken
            self._turns.open(destination)
            place = self._places.get(queue_id)
            if place is not None and (place.destination, place.owner) == (destination, owner):
                del self._places[queue_id]
                self._forget(place)
                return queue_id, destination, place.kept
            self._stale -= 1

    def send_home(self, destination: Destination) -> list[tuple[str, str]]:
        """Take out all that wait for the destination; their ids and owners."""
        home = []
        for queue_id in self._turns.drain(destination):
            place = self._places.get(queue_id)
            if place is None or place.destination != destination:
                self._stale -= 1
                continue
            del self._places[queue_id]
            self._forget(place)
            home.append((queue_id, place.owner))
        return home

    def clear(self) -> list[str]:
        """Take all out."""
        parked = list(self._places)
        self._places.clear()
        self._owners.clear()
        self._turns.clear()
        self._stale = self._size = 0
        return parked


def _size_of(record: Record, content: Content | None) -> int:
    return OVERHEAD + (record.size if content is not None else 0)
