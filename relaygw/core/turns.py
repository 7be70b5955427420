"""Whose turn it is: things that wait, by owner (who sent them) and lane (what they wait for).

Owners take turns, and those for whom nothing runs take every second one; so do the owners within one lane. Who sends
one letter therefore waits for one or two others, however much somebody else has sent. In a lane, those who have no more
than a few letters in all pass in front of a crowd, but of two starts at most one is by passing, so that the crowd moves
on too. Within one owner and lane the order is that of arrival. Every step costs the same however much waits.

Each open lane is offered under two owners at most: the one whose turn it is in the crowd, and the one whose turn it is
among those with letters. Whoever of them has his turn first starts in it.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

import attrs

L = TypeVar("L", bound=Hashable)
J = TypeVar("J")

LETTERS = 10
"""Who has no more than this that waits or runs is nobody's crowd."""


@attrs.define(eq=False)
class _Lane(Generic[J]):
    """Each owner waits in one of the two rings, in the order of turns. `offered` are the owners under whom the lane may
    be chosen now, none while it is closed. `owes`: the last start passed in front of the crowd."""

    crowd: OrderedDict[str, deque[J]] = attrs.Factory(OrderedDict)
    letters: OrderedDict[str, deque[J]] = attrs.Factory(OrderedDict)
    size: int = 0
    is_open: bool = False
    offered: tuple[str, ...] = ()
    owes: bool = False

    def jobs(self, owner: str) -> deque[J] | None:
        return self.crowd.get(owner) or self.letters.get(owner)

    def heads(self) -> tuple[str, ...]:
        """Whose turn it is in each ring, who is first in front."""
        if not self.letters:
            return (next(iter(self.crowd)),)
        letter = next(iter(self.letters))
        if not self.crowd:
            return (letter,)
        crowd = next(iter(self.crowd))
        return (crowd, letter) if self.owes else (letter, crowd)


class Turns(Generic[L, J]):
    """A fair queue. Lanes without anything in them do not exist."""

    def __init__(self) -> None:
        self._lanes: dict[L, _Lane[J]] = {}
        self._offers: dict[str, OrderedDict[L, None]] = {}  # of owners with an open lane
        self._idle: OrderedDict[str, None] = OrderedDict()  # of these, those for whom nothing runs
        self._busy: OrderedDict[str, None] = OrderedDict()  # and the others
        self._running: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._idle_next = True

    def __len__(self) -> int:
        return sum(lane.size for lane in self._lanes.values())

    @property
    def offered(self) -> bool:
        """Whether any lane with something in it is open."""
        return bool(self._offers)

    def waiting(self, lane: L) -> int:
        found = self._lanes.get(lane)
        return found.size if found is not None else 0

    def waiting_of(self, lane: L, owner: str) -> int:
        found = self._lanes.get(lane)
        return len(found.jobs(owner) or ()) if found is not None else 0

    def lanes(self) -> Iterator[L]:
        return iter(self._lanes)

    def add(self, lane: L, owner: str, job: J, *, is_open: bool) -> None:
        """`is_open` counts where the lane comes into being with it."""
        found = self._lanes.get(lane)
        if found is None:
            found = self._lanes[lane] = _Lane(is_open=is_open)
        waiting = self._waiting[owner] = self._waiting.get(owner, 0) + 1
        if waiting + self._running.get(owner, 0) > LETTERS:
            jobs = found.letters.pop(owner, None) or found.crowd.get(owner)
            ring = found.crowd
        else:
            jobs = found.letters.get(owner) or found.crowd.pop(owner, None)
            ring = found.letters
        if jobs is None:
            jobs = deque()
        if owner not in ring:
            ring[owner] = jobs
        jobs.append(job)
        found.size += 1
        if found.is_open:
            self._offer(lane, found)

    def open(self, lane: L) -> None:
        """It has room."""
        found = self._lanes.get(lane)
        if found is not None and not found.is_open:
            found.is_open = True
            self._offer(lane, found)

    def close(self, lane: L) -> None:
        """It has no room any more."""
        found = self._lanes.get(lane)
        if found is not None and found.is_open:
            found.is_open = False
            self._withdraw(lane, found)

    def _offer(self, lane: L, found: _Lane[J]) -> None:
        """Under those whose turn it is now."""
        heads = found.heads()
        if heads == found.offered:
            return
        for owner in found.offered:
            if owner not in heads:
                self._withdraw_from(lane, owner)
        for owner in heads:
            if owner not in found.offered:
                self._offer_to(lane, owner)
        found.offered = heads

    def _offer_to(self, lane: L, owner: str) -> None:
        offers = self._offers.get(owner)
        if offers is None:
            offers = self._offers[owner] = OrderedDict()
            (self._busy if owner in self._running else self._idle)[owner] = None
        offers[lane] = None

    def _withdraw(self, lane: L, found: _Lane[J]) -> None:
        for owner in found.offered:
            self._withdraw_from(lane, owner)
        found.offered = ()

    def _withdraw_from(self, lane: L, owner: str) -> None:
        offers = self._offers[owner]
        del offers[lane]
        if not offers:
            del self._offers[owner]
            self._idle.pop(owner, None)
            self._busy.pop(owner, None)

    def peek(self, *, only_idle: bool = False) -> tuple[L, str] | None:
        """The lane and owner whose turn it is. `only_idle`: of owners for whom nothing runs."""
        choice = self._choice(only_idle)
        if not choice:
            return None
        owner = next(iter(choice))
        return next(iter(self._offers[owner])), owner

    def next(self, *, only_idle: bool = False) -> tuple[L, str, J] | None:
        """The lane, owner and thing whose turn it is, taken out; its lane is closed by that.

        Where the lane owes the crowd a start, who has his turn gives it to the crowd, and has the next one.
        """
        chosen = self.peek(only_idle=only_idle)
        if chosen is None:
            return None
        lane, owner = chosen
        self._had_its_turn(owner)
        found = self._lanes[lane]
        found.is_open = False
        self._withdraw(lane, found)
        passes = owner in found.letters
        if passes and found.owes and found.crowd and not only_idle:
            owner, passes = next(iter(found.crowd)), False
        found.owes = passes
        return lane, owner, self._take(lane, found, owner)

    def _take(self, lane: L, found: _Lane[J], owner: str) -> J:
        ring = found.letters if owner in found.letters else found.crowd
        jobs = ring[owner]
        job = jobs.popleft()
        found.size -= 1
        self._waits_no_more(owner, 1)
        if jobs:
            ring.move_to_end(owner)
        else:
            del ring[owner]
            if not found.size:
                del self._lanes[lane]
        return job

    def _waits_no_more(self, owner: str, number: int) -> None:
        left = self._waiting[owner] - number
        if left:
            self._waiting[owner] = left
        else:
            del self._waiting[owner]

    def _choice(self, only_idle: bool) -> OrderedDict[str, None]:
        if only_idle or (self._idle and (self._idle_next or not self._busy)):
            return self._idle
        return self._busy

    def _had_its_turn(self, owner: str) -> None:
        self._idle_next = owner not in self._idle
        (self._busy if self._idle_next else self._idle).move_to_end(owner)

    def began(self, owner: str) -> None:
        """Something of the owner runs."""
        self._running[owner] = self._running.get(owner, 0) + 1
        if owner in self._idle:
            del self._idle[owner]
            self._busy[owner] = None

    def ended(self, owner: str) -> None:
        """Something of the owner has ended."""
        left = self._running[owner] - 1
        if left:
            self._running[owner] = left
            return
        del self._running[owner]
        if owner in self._busy:
            del self._busy[owner]
            self._idle[owner] = None

    def idle(self, owner: str) -> bool:
        """Whether nothing of the owner runs."""
        return owner not in self._running

    def drain(self, lane: L) -> list[J]:
        """Take out everything that waits in a lane."""
        found = self._lanes.pop(lane, None)
        if found is None:
            return []
        self._withdraw(lane, found)
        home: list[J] = []
        for ring in (found.letters, found.crowd):
            for owner, jobs in ring.items():
                self._waits_no_more(owner, len(jobs))
                home += jobs
        return home

    def clear(self) -> list[J]:
        """Take out everything."""
        return [job for lane in list(self._lanes) for job in self.drain(lane)]
