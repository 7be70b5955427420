"""Whose turn it is: things that wait, by owner (who sent them) and lane (what they wait for).

Owners take turns, and those for whom nothing runs take every second one; so do the owners within one lane. Who sends
one letter therefore waits for one or two others, however much somebody else has sent: a newcomer passes in front of
a crowd, but of two starts in a lane at most one is by passing, so that the crowd moves on too. Within one owner and
lane the order is that of arrival. Every step costs the same however much waits.

Each open lane is offered under one owner at a time, the one whose turn it is within the lane.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

import attrs

L = TypeVar("L", bound=Hashable)
J = TypeVar("J")


@attrs.define(eq=False)
class _Lane(Generic[J]):
    """`offered` is the owner under whom the lane may be chosen, None while it is closed. `passer` is a newcomer who
    went in front and waits; `passed` says that nobody may until an owner has started in the order of the lane, and
    `newcomers` are those who would."""

    owners: OrderedDict[str, deque[J]] = attrs.Factory(OrderedDict)
    size: int = 0
    offered: str | None = None
    passer: str | None = None
    passed: bool = False
    newcomers: deque[str] = attrs.Factory(deque)


class Turns(Generic[L, J]):
    """A fair queue. Lanes without anything in them do not exist."""

    def __init__(self) -> None:
        self._lanes: dict[L, _Lane[J]] = {}
        self._offers: dict[str, OrderedDict[L, None]] = {}  # of owners with an open lane
        self._idle: OrderedDict[str, None] = OrderedDict()  # of these, those for whom nothing runs
        self._busy: OrderedDict[str, None] = OrderedDict()  # and the others
        self._running: dict[str, int] = {}
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
        return len(found.owners.get(owner, ())) if found is not None else 0

    def lanes(self) -> Iterator[L]:
        return iter(self._lanes)

    def add(self, lane: L, owner: str, job: J, *, is_open: bool) -> None:
        """`is_open` counts where the lane comes into being with it."""
        found = self._lanes.get(lane)
        if found is None:
            found = self._lanes[lane] = _Lane()
            if is_open:
                self._offer(lane, found, owner)
        jobs = found.owners.get(owner)
        if jobs is None:
            jobs = found.owners[owner] = deque()
            self._pass_in_front(lane, found, owner)
        jobs.append(job)
        found.size += 1

    def _pass_in_front(self, lane: L, found: _Lane[J], owner: str) -> None:
        """A newcomer with less on offer than the one whose turn it is goes first, every second time."""
        holder = found.offered or next(iter(found.owners))
        if holder == owner:
            return
        fewer = found.offered is not None and len(self._offers.get(owner, ())) < len(self._offers[holder])
        if not fewer and not self._more_runs(holder, owner):
            return
        if not found.passed:
            self._pass(lane, found, owner)
            return
        found.newcomers.append(owner)
        if found.offered is not None:  # who must go first goes soon, however much else it has on offer
            self._offers[found.offered].move_to_end(lane, last=False)

    def _pass(self, lane: L, found: _Lane[J], owner: str) -> None:
        found.owners.move_to_end(owner, last=False)
        found.passer, found.passed = owner, True
        if found.offered is not None:
            self._withdraw(lane, found)
            self._offer(lane, found, owner)

    def _more_runs(self, one: str, other: str) -> bool:
        return self._running.get(one, 0) > self._running.get(other, 0)

    def open(self, lane: L) -> None:
        """It has room."""
        found = self._lanes.get(lane)
        if found is not None and found.offered is None:
            self._offer(lane, found, next(iter(found.owners)))

    def close(self, lane: L) -> None:
        """It has no room any more."""
        found = self._lanes.get(lane)
        if found is not None and found.offered is not None:
            self._withdraw(lane, found)

    def _offer(self, lane: L, found: _Lane[J], owner: str) -> None:
        found.offered = owner
        offers = self._offers.get(owner)
        if offers is None:
            offers = self._offers[owner] = OrderedDict()
            (self._busy if owner in self._running else self._idle)[owner] = None
        offers[lane] = None
        if found.newcomers:
            offers.move_to_end(lane, last=False)

    def _withdraw(self, lane: L, found: _Lane[J]) -> None:
        owner = found.offered
        assert owner is not None
        found.offered = None
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
        """The lane, owner and thing whose turn it is, taken out; its lane is closed by that."""
        chosen = self.peek(only_idle=only_idle)
        if chosen is None:
            return None
        lane, owner = chosen
        self._had_its_turn(owner)
        found = self._lanes[lane]
        self._withdraw(lane, found)
        jobs = found.owners[owner]
        job = jobs.popleft()
        found.size -= 1
        found.passed, found.passer = found.passed and found.passer == owner, None
        if jobs:
            found.owners.move_to_end(owner)
        else:
            del found.owners[owner]
            if not found.owners:
                del self._lanes[lane]
        while found.newcomers and not found.passed:
            newcomer = found.newcomers.popleft()
            if newcomer in found.owners:
                self._pass(lane, found, newcomer)
        return lane, owner, job

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
        if found.offered is not None:
            self._withdraw(lane, found)
        return [job for jobs in found.owners.values() for job in jobs]

    def clear(self) -> list[J]:
        """Take out everything."""
        return [job for lane in list(self._lanes) for job in self.drain(lane)]
