"""The scheduler: how many attempts may run at once, in all and towards one destination, how fast, and whose turn it is.

Who has to wait, waits in the lane of its destination. A lane has room when its destination does not rest, bears one
more attempt at once (`relaygw.core.health`) and its pace allows one now; owners and lanes take turns
(`relaygw.core.turns`). A tenth of all attempts is kept for owners for whom nothing runs, so that no mailing to slow
destinations can take every place. Bookkeeping only: it starts nothing itself. Time is an argument, in seconds.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from relaygw.core.health import Health
from relaygw.core.judgement import Advice
from relaygw.core.lane import BURST, Lane, Standing, reasons
from relaygw.core.remote_rules import Action
from relaygw.core.shaping import Destination, Shape
from relaygw.core.turns import Turns

J = TypeVar("J")

REMEMBERED = 10_000
"""Destinations that are remembered; beyond it those with nothing to do are forgotten."""

LOOKS = 8
"""Destinations looked at for each that is new, whether they can be forgotten."""

RESERVE = 10
"""One of so many attempts in all is for owners for whom nothing runs."""

_SMOOTH = 0.2


class Lanes(Generic[J]):
    """`total` may be changed at any time; what runs already goes on. `shape_of` tells the shape of a destination."""

    def __init__(self, total: int, shape_of: Callable[[Destination], Shape], remembered: int = REMEMBERED) -> None:
        self.total = total
        self.running = 0
        self._shape_of = shape_of
        self._remembered = remembered
        self._lanes: OrderedDict[Destination, Lane] = OrderedDict()
        self._turns: Turns[Destination, J] = Turns()
        self._alarms: list[tuple[float, int, Destination]] = []
        self._alarm = 0

    def reshape(self, shape_of: Callable[[Destination], Shape], now: float) -> None:
        """Other shapes from now on; what was learnt of each destination stays."""
        self._shape_of = shape_of
        for destination, lane in self._lanes.items():
            lane.shape = shape_of(destination)
            self._adjust(destination, lane, now)

    def put_back(self, seconds: float) -> None:
        """The clock is, by so much: rests and paces last as long as they would have."""
        for lane in self._lanes.values():
            lane.put_back(seconds)
        self._alarms = [(moment - seconds, number, destination) for moment, number, destination in self._alarms]

    # Coming and going

    def enter(self, destination: Destination, owner: str, job: J, now: float) -> bool:
        """True: the job runs from now on, until `leave`. False: it waits; `leave` or `wake` will hand it out."""
        lane = self._lane(destination, now)
        has_room = lane.running < lane.limit and lane.earliest(now) <= now
        if has_room and not self._turns.waiting(destination) and self._fits(owner):
            self._begin(lane, owner, now)
            return True
        self._turns.add(destination, owner, job, is_open=has_room)
        if not has_room:
            self._set_alarm(destination, lane, now)
        return has_room and self._passes(destination, lane, owner, now)

    def _passes(self, destination: Destination, lane: Lane, owner: str, now: float) -> bool:
        """Whether somebody for whom nothing runs goes past a crowd that waits for a place in all, at once."""
        if not self._fits(owner) or self._turns.peek(only_idle=True) != (destination, owner):
            return False
        if self._turns.waiting_of(destination, owner) != 1:  # what came before it goes before it
            return False
        self._turns.next(only_idle=True)
        self._begin(lane, owner, now)
        self._adjust(destination, lane, now)
        return True

    def leave(self, destination: Destination, owner: str, now: float) -> list[J]:
        """A job of this owner and destination has ended; these run instead, from now on."""
        lane = self._lanes[destination]
        lane.running -= 1
        self.running -= 1
        self._turns.ended(owner)
        if self._turns.waiting(destination):
            self._adjust(destination, lane, now)
        return self._start(now) if self._turns.offered else []

    def wake(self, now: float) -> list[J]:
        """Time has passed: what may start now, from now on runs."""
        while self._alarms and self._alarms[0][0] <= now:
            _, _, destination = heapq.heappop(self._alarms)
            lane = self._lanes.get(destination)
            if lane is not None:
                lane.alarm = False
                self._adjust(destination, lane, now)
        return self._start(now)

    def next_wake(self) -> float:
        """When `wake` may have something to do (infinity: when something ends)."""
        return self._alarms[0][0] if self._alarms else float("inf")

    def _lane(self, destination: Destination, now: float) -> Lane:
        lane = self._lanes.get(destination)
        if lane is None:
            if len(self._lanes) >= self._remembered:
                self._forget_some()
            lane = self._lanes[destination] = self._fresh(destination, now)
        lane.used = True
        return lane

    def _fresh(self, destination: Destination, now: float) -> Lane:
        shape = self._shape_of(destination)
        lane = Lane(shape=shape, health=Health(window=float(shape.care.initial)), since=now)
        lane.tokens = max(1.0, lane.pace * BURST)
        return lane

    def _forget_some(self) -> None:
        """Those with nothing to do, of the oldest that were not used since they were last looked at; a few are looked
        at for each one that is new, so that this costs the same however many are busy."""
        for _ in range(LOOKS):
            destination, lane = self._lanes.popitem(last=False)
            if lane.used or lane.running or self._turns.waiting(destination):
                lane.used = False
                self._lanes[destination] = lane
            if len(self._lanes) < self._remembered:
                return

    def _fits(self, owner: str) -> bool:
        return self.running < self.total - self.total // RESERVE or (
            self.running < self.total and self._turns.idle(owner)
        )

    def _begin(self, lane: Lane, owner: str, now: float) -> None:
        lane.begin(now)
        self.running += 1
        self._turns.began(owner)

    def _start(self, now: float) -> list[J]:
        started: list[J] = []
        while self.running < self.total:
            only_idle = self.running >= self.total - self.total // RESERVE
            chosen = self._turns.next(only_idle=only_idle)
            if chosen is None:
                break
            destination, owner, job = chosen
            lane = self._lanes[destination]
            self._begin(lane, owner, now)
            started.append(job)
            self._adjust(destination, lane, now)
        return started

    def _adjust(self, destination: Destination, lane: Lane, now: float) -> None:
        """Let the lane take part in the turns exactly while it has room."""
        if lane.running < lane.limit and lane.earliest(now) <= now:
            self._turns.open(destination)
        else:
            self._turns.close(destination)
            self._set_alarm(destination, lane, now)

    def _set_alarm(self, destination: Destination, lane: Lane, now: float) -> None:
        """Time alone opens a lane that is paced or rests."""
        earliest = lane.earliest(now)
        if earliest > now and not lane.alarm and self._turns.waiting(destination):
            lane.alarm = True
            self._alarm += 1
            heapq.heappush(self._alarms, (earliest, self._alarm, destination))

    def forget(self, destination: Destination) -> None:
        """It is known under another name now: nothing is remembered, unless something runs, waits or rests."""
        lane = self._lanes.get(destination)
        if lane is not None and not (lane.running or lane.health.rests or self._turns.waiting(destination)):
            del self._lanes[destination]

    # What attempts taught us

    def answered(self, destination: Destination, now: float, seconds: float) -> None:
        """An attempt got through to the destination. To be told before `leave`."""
        lane = self._lanes[destination]
        lane.seconds += _SMOOTH * (seconds - lane.seconds)
        if now >= lane.slow_until or lane.health.rests:
            lane.health.answered(lane.shape.care, lane.running)
        else:
            lane.health.cohorts = 0.0

    def unreachable(self, destination: Destination, now: float, reason: str) -> float:
        """An attempt did not get through. To be told before `leave`. Answers for how many seconds it rests now."""
        lane = self._lanes[destination]
        rests = lane.health.unreachable(lane.shape.care, now, reason)
        self._adjust(destination, lane, now)
        return lane.health.resting_until - now if rests else 0.0

    def follow(self, destination: Destination, now: float, advice: Advice) -> bool:
        """Do as a reply asks; answers whether that is anything new."""
        lane = self._lane(destination, now)
        if advice.action is Action.REST:
            new = lane.health.resting_until <= now
            self.rest(destination, now, advice.seconds, advice.reason)
        else:
            new = lane.slow_until <= now
            self.slow(destination, now, advice.seconds, advice.reason)
        return new

    def rest(self, destination: Destination, now: float, seconds: float, reason: str) -> None:
        """Attempt nothing there for a time."""
        lane = self._lane(destination, now)
        lane.health.rest(now, seconds, reason)
        self._adjust(destination, lane, now)

    def probe(self, destination: Destination, now: float) -> None:
        """End a rest at the operator's word: one attempt may go there now."""
        lane = self._lanes.get(destination)
        if lane is not None and lane.health.resting_until > now:
            lane.health.spare_no_more(now)
            self._adjust(destination, lane, now)

    def slow(self, destination: Destination, now: float, seconds: float, reason: str) -> None:
        """Half as much at once, and no more than that for a time."""
        lane = self._lane(destination, now)
        if now >= lane.slow_until:
            lane.health.halve()
        lane.slow_until = max(lane.slow_until, now + seconds)
        lane.slow_reason = reason
        self._adjust(destination, lane, now)

    def send_home(self, destination: Destination) -> list[J]:
        """Those who wait for it, taken out: it rests for longer than anybody should wait here."""
        return self._turns.drain(destination)

    # Questions

    def idle(self, owner: str) -> bool:
        """Whether nothing runs for the owner."""
        return self._turns.idle(owner)

    def resting(self, destination: Destination, now: float) -> tuple[float, str]:
        """Until when it rests, and why; (0, "") when it does not."""
        lane = self._lanes.get(destination)
        if lane is None or lane.health.resting_until <= now:
            return 0.0, ""
        return lane.health.resting_until, lane.health.reason

    def outlook(self, destination: Destination, now: float) -> tuple[float, str, int]:
        """Until when it rests (0: it does not) and why, and how many recipients it takes in one message (0: any)."""
        lane = self._lanes.get(destination)
        if lane is None:
            return 0.0, "", self._shape_of(destination).recipients_per_message
        health = lane.health
        if health.resting_until > now:
            return health.resting_until, health.reason, lane.shape.recipients_per_message
        return 0.0, "", lane.shape.recipients_per_message

    def most(self, destination: Destination) -> int:
        """Attempts at once that it bears."""
        lane = self._lanes.get(destination)
        return lane.limit if lane is not None else self._shape_of(destination).care.initial

    def shape(self, destination: Destination) -> Shape:
        lane = self._lanes.get(destination)
        return lane.shape if lane is not None else self._shape_of(destination)

    def throughput(self, destination: Destination) -> float:
        """About how many attempts a second it has lately taken."""
        lane = self._lanes.get(destination)
        if lane is None:
            return 1.0
        rate = lane.limit / max(lane.seconds, 0.01)
        return min(rate, lane.pace) if lane.pace else rate

    def full(self, owner: str | None) -> str:
        """Why nothing more of the owner may start anywhere, in a sentence; "" where it may. None: of any owner for whom
        something runs."""
        if self._fits(owner) if owner is not None else self.running < self.total - self.total // RESERVE:
            return ""
        if self.running >= self.total:
            return f"All {self.total} attempts that may run at once do."
        kept = self.total // RESERVE
        return f"{self.running} attempts run; the last {kept} of {self.total} are for senders for whom nothing runs."

    def at_work(self, destination: Destination) -> int:
        """How many run towards this destination."""
        lane = self._lanes.get(destination)
        return lane.running if lane is not None else 0

    def in_line(self, destination: Destination) -> int:
        """How many wait for this destination."""
        return self._turns.waiting(destination)

    def remembered(self) -> int:
        """Destinations of which anything is in memory."""
        return len(self._lanes)

    def standing(self, destination: Destination, now: float) -> Standing | None:
        """How one destination stands; None where nothing is known of it."""
        lane = self._lanes.get(destination)
        return None if lane is None else self._standing(destination, lane, now)

    def standings(self, now: float) -> Iterator[Standing]:
        """All of which something is known."""
        for destination, lane in self._lanes.items():
            yield self._standing(destination, lane, now)

    def _standing(self, destination: Destination, lane: Lane, now: float) -> Standing:
        resting = lane.health.resting_until if lane.health.resting_until > now else 0.0
        return Standing(
            destination=destination,
            running=lane.running,
            waiting=self._turns.waiting(destination),
            limit=0 if resting else lane.limit,
            resting_until=resting,
            probing=lane.health.probing,
            why=" ".join(reasons(lane, now)),
            layers=lane.shape.layers,
        )

    def clear(self) -> list[J]:
        """Send all home that wait."""
        self._alarms.clear()
        for lane in self._lanes.values():
            lane.alarm = False
        return self._turns.clear()
