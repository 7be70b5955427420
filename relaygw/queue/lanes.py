"""How many attempts may run at once: in all, and towards one destination. Who has to wait, waits in the lane of its
destination; lanes with room take turns, so that one busy destination does not keep the others waiting.

Pure bookkeeping: it starts nothing itself.
"""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

J = TypeVar("J")


class Lanes(Generic[J]):
    """`total` and `each` may be changed at any time; what runs already goes on."""

    def __init__(self, total: int, each: int) -> None:
        self.total = total
        self.each = each
        self.running = 0
        self._running: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, deque[J]] = {}
        self._turn: deque[Hashable] = deque()  # lanes that wait for a place in `total` only, each once

    def enter(self, destination: Hashable, job: J) -> bool:
        """True: the job runs from now on, until `leave`. False: it waits; `leave` will hand it out."""
        running = self._running.get(destination, 0)
        lane = self._waiting.get(destination)
        if lane is None and running < self.each and self.running < self.total:
            self._running[destination] = running + 1
            self.running += 1
            return True
        if lane is None:
            lane = self._waiting[destination] = deque()
            if running < self.each:
                self._turn.append(destination)
        lane.append(job)
        return False

    def leave(self, destination: Hashable) -> list[J]:
        """A job of this destination has ended; these run instead, from now on."""
        running = self._running[destination] - 1
        self.running -= 1
        if running:
            self._running[destination] = running
        else:
            del self._running[destination]
        if destination in self._waiting and destination not in self._turn:
            self._turn.append(destination)
        return self._start() if self._turn else []

    def _start(self) -> list[J]:
        started: list[J] = []
        while self._turn and self.running < self.total:
            destination = self._turn.popleft()
            running = self._running.get(destination, 0)
            if running >= self.each:
                continue
            lane = self._waiting[destination]
            started.append(lane.popleft())
            self._running[destination] = running + 1
            self.running += 1
            if not lane:
                del self._waiting[destination]
            elif running + 1 < self.each:
                self._turn.append(destination)
        return started

    def at_work(self, destination: Hashable) -> int:
        """How many run towards this destination."""
        return self._running.get(destination, 0)

    def in_line(self, destination: Hashable) -> int:
        """How many wait for this destination."""
        lane = self._waiting.get(destination)
        return len(lane) if lane else 0

    def clear(self) -> list[J]:
        """Send all home that wait."""
        waiting = [job for lane in self._waiting.values() for job in lane]
        self._waiting.clear()
        self._turn.clear()
        return waiting
