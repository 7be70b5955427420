"""Claimed records that cannot be worked on yet, as ids only: what waits for a busy destination costs no content in
memory and keeps nobody else waiting. In order of arrival per destination; destinations take turns.
"""

from collections import deque
from collections.abc import Callable, Iterator

from relaygw.queue.work import Destination


class Parking:
    """At most `limit` ids."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._places: dict[str, Destination] = {}
        self._lots: dict[Destination, deque[str]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    @property
    def full(self) -> bool:
        return len(self._places) >= self.limit

    def add(self, queue_id: str, destination: Destination) -> None:
        self._places[queue_id] = destination
        self._lots.setdefault(destination, deque()).append(queue_id)

    def destination(self, queue_id: str) -> Destination | None:
        """What a parked record waits for; None when it is not parked."""
        return self._places.get(queue_id)

    def remove(self, queue_id: str) -> bool:
        """Take it out, whatever it waits for; False when it is not parked."""
        return self._places.pop(queue_id, None) is not None  # its lot forgets it when its turn comes

    def next(self, has_room: Callable[[Destination], bool]) -> tuple[str, Destination] | None:
        """The next one whose destination has room, taken out; that destination then goes to the end of the turn."""
        for destination in list(self._lots):
            if not has_room(destination):
                continue
            lot = self._lots.pop(destination)
            while lot:
                queue_id = lot.popleft()
                if self._places.get(queue_id) == destination:
                    del self._places[queue_id]
                    if lot:
                        self._lots[destination] = lot
                    return queue_id, destination
        return None

    def clear(self) -> list[str]:
        """Take all out."""
        parked = list(self._places)
        self._places.clear()
        self._lots.clear()
        return parked
