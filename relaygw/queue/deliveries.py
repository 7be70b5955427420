"""Runs the attempts: lets each start when its lane has room, ends it in time, and makes sure that exactly one outcome
per recipient comes back, whatever a transport does. What it raises or forgets is deferred, and journaled. What came
back is told to the lanes, which learn from it.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from relaygw.bridge import as_deferred
from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.events import Event, TaskFailed, Throttled
from relaygw.core.holds import HoldRule
from relaygw.core.judgement import Advice, Judgement, judge
from relaygw.core.lanes import Lanes
from relaygw.core.outcome import Outcome, deferred
from relaygw.core.record import Progress, Record
from relaygw.core.remote_rules import Action, RemoteRules
from relaygw.core.shaping import Destination
from relaygw.interfaces import Attempt, ILocator, IPreparer, ITransport
from relaygw.queue.matching import matched
from relaygw.queue.plan import split
from relaygw.queue.work import Active, Delivery, Group, Result
from relaygw.tasks import describe

JudgeDestination = Callable[[Record, Content, Address, str], HoldRule | None]
"""The rule that holds a message because it goes there, as it turns out at an attempt for the recipient."""

GRACE = 10.0
"""Seconds a cancelled attempt may take to end and tell what it knows; then it is given up."""

SOON = 30.0
"""Seconds of waiting in line for which it is worth while to do beforehand what does not need the next hop."""


class Deliveries:
    """`ended` is called with each result (no outcomes: nothing is known, nothing was changed), `rests` with each
    destination that is given a rest, `unused` with each transport that was replaced, when its last attempt has
    ended."""

    def __init__(
        self,
        *,
        lanes: Lanes[Delivery],
        transports: Mapping[str, ITransport],
        clock: IReactorTime,
        timeout: float,
        rules: RemoteRules,
        write_event: Callable[[Event], None],
        ended: Callable[[Active, Result], None],
        rests: Callable[[Destination], None],
        unused: Callable[[ITransport], None],
    ) -> None:
        self.lanes = lanes
        self.transports = transports
        self.locators = providing(ILocator, transports)
        self._preparers = providing(IPreparer, transports)
        self.rules = rules
        self._rests = rests
        self._unused = unused
        self._timer: IDelayedCall | None = None
        self._retired: list[ITransport] = []
        self.judge_destination: JudgeDestination = lambda record, content, recipient, destination: None
        self.timeout = timeout
        self._clock = clock
        self._write_event = write_event
        self._ended = ended
        self._running: set[Delivery] = set()
        self._ready: deque[Delivery] = deque()
        self._pumping = False
        self._closing = False

    def begin(self, active: Active, groups: Iterable[Group]) -> None:
        """Start the groups, or put them in line."""
        deliveries = [Delivery(active, group, group.destination, active.owner) for group in groups]
        active.deliveries += deliveries  # all of them before the first can end
        now = self._clock.seconds()
        for delivery in deliveries:
            self._enter(delivery, now)
        self._pump()

    def _enter(self, delivery: Delivery, now: float) -> None:
        """Start it, or let it get in line."""
        if self.lanes.enter(delivery.lane, delivery.owner, delivery, now):
            self._ready.append(delivery)
        elif delivery.group.route.transport in self._preparers:
            self._prepare(delivery)

    def _prepare(self, delivery: Delivery) -> None:
        """Its turn will come soon: what can be done without the next hop is done by then."""
        if self.lanes.in_line(delivery.lane) <= SOON * self.lanes.throughput(delivery.lane):
            transport = self.transports[delivery.group.route.transport]
            with contextlib.suppress(Exception):  # the attempt meets it again, and tells it
                active = delivery.active
                delivery.prepared = transport, IPreparer(transport).prepare(active.record, active.content)

    def wake(self) -> None:
        """Time, or a change of limits, may let something start."""
        self._ready.extend(self.lanes.wake(self._clock.seconds()))
        self._pump()

    def put_back(self, seconds: float) -> None:
        """The clock was, by so much."""
        for delivery in self._running:
            if delivery.started is not None:
                delivery.started -= seconds
        self.lanes.put_back(seconds)
        self.wake()

    def _pump(self) -> None:
        """Start what is ready, in a loop of one depth: a transport may answer at once."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._ready:
                self._start(self._ready.popleft())
        finally:
            self._pumping = False
        self._set_timer()

    def _set_timer(self) -> None:
        """Wake up when time alone lets something start."""
        moment = self.lanes.next_wake()
        if self._timer is not None:
            if self._timer.active() and self._timer.getTime() == moment:
                return
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        if moment < float("inf") and not self._closing:
            self._timer = self._clock.callLater(max(moment - self._clock.seconds(), 0.0), self.wake)

    def _start(self, delivery: Delivery) -> None:
        active, group = delivery.active, delivery.group
        if delivery.over:  # it was withdrawn while it stood in line
            self._ready.extend(self.lanes.leave(delivery.lane, delivery.owner, self._clock.seconds()))
            return
        states = active.record.recipients
        group.positions = tuple(at for at in group.positions if states[at].progress is Progress.WAITING)
        if self._closing or active.record.held or not group.positions:
            self._end(delivery, ())
            return
        try:
            delivery.transport = self.transports[group.route.transport]
            if group.route.transport in self.locators and self._finds_another_way(delivery, delivery.transport):
                return
            self._attempt(delivery, delivery.transport)
        except Exception:
            self._running.add(delivery)
            self._failed(Failure(), delivery)

    def _attempt(self, delivery: Delivery, transport: ITransport) -> None:
        active, group = delivery.active, delivery.group
        now = delivery.started = self._clock.seconds()
        attempt = Attempt(
            record=active.record,
            recipients=tuple(active.record.recipients[at] for at in group.positions),
            route=group.route,
            content=active.content,
            started=now,
            messages_per_connection=self.lanes.shape(delivery.lane).messages_per_connection,
            prepared=_prepared(delivery, transport),
        )
        self._running.add(delivery)
        running = as_deferred(transport.deliver(attempt))
        delivery.running = running
        _ = running.addCallbacks(self._answered, self._failed, callbackArgs=(delivery,), errbackArgs=(delivery,))
        if not delivery.over:
            delivery.timer = self._clock.callLater(self.timeout, self._overdue, delivery)

    def _finds_another_way(self, delivery: Delivery, transport: ITransport) -> bool:
        """Whether the start waits: it is found out where mail for this domain goes, or that is another lane."""
        if delivery.asked:
            return False
        delivery.asked = True
        group = delivery.group
        address = delivery.active.record.recipients[group.positions[0]].address
        located = ILocator(transport).locate(group.route, address)
        if located is not None:
            self._running.add(delivery)
            delivery.running = as_deferred(located)
            _ = delivery.running.addBoth(self._located, delivery)
            return True
        return self._moves(delivery, (group.route.transport, transport.destination(group.route, address)))

    def _located(self, _: object, delivery: Delivery) -> None:
        """Where it goes is known, or will not be; its failure is that of the attempt, which asks again."""
        self._running.discard(delivery)
        delivery.running = None
        group = delivery.group
        address = delivery.active.record.recipients[group.positions[0]].address
        try:
            place = (group.route.transport, self.transports[group.route.transport].destination(group.route, address))
        except Exception:
            place = delivery.lane
        if not self._moves(delivery, place):
            self._ready.append(delivery)
        self._pump()

    def _moves(self, delivery: Delivery, place: Destination) -> bool:
        """Go over to the lane of the destination that is now known; True where it waits there, or must not start."""
        if place == delivery.lane:
            return False
        if self._is_held_there(delivery, place):
            return True
        now = self._clock.seconds()
        self._ready.extend(self.lanes.leave(delivery.lane, delivery.owner, now))
        self.lanes.forget(delivery.lane)
        delivery.lane = delivery.group.destination = place
        if self._closing or self.lanes.resting(place, now)[0] > now:
            self._send_home(delivery)
            return True
        delivery.group, *others = split(delivery.group, self.lanes.outlook(place, now)[2])
        if others:
            self.begin(delivery.active, others)
        self._enter(delivery, now)
        return True

    def _is_held_there(self, delivery: Delivery, place: Destination) -> bool:
        """Whether a rule holds what goes to the destination that is now known: then it ends here."""
        active, positions = delivery.active, delivery.group.positions
        record = active.record
        rule = self.judge_destination(record, active.content, record.recipients[positions[0]].address, place[1])
        if rule is None or self._closing:
            return False
        self._write_event(rule.event(record))
        self._end(delivery, tuple((at, rule.outcome(record.recipients[at].address)) for at in positions))
        return True

    def _overdue(self, delivery: Delivery) -> None:
        """The attempt took too long: it is cancelled, and may still tell what it knows."""
        delivery.timer = self._clock.callLater(GRACE, self._give_up, delivery)
        self._complain(delivery, f"took longer than {self.timeout:.0f} seconds")
        if delivery.running is not None:
            delivery.running.cancel()

    def _give_up(self, delivery: Delivery) -> None:
        delivery.timer = None
        self._complain(delivery, "did not end after it was cancelled")
        self._end(delivery, self._temporary(delivery, "the attempt took too long"))

    def _answered(self, outcomes: Sequence[Outcome], delivery: Delivery) -> None:
        if not delivery.over:
            record, positions = delivery.active.record, delivery.group.positions
            self._end(delivery, matched(outcomes, record, positions, lambda error: self._complain(delivery, error)))

    def _failed(self, failure: Failure, delivery: Delivery) -> None:
        if delivery.over:
            return
        if failure.check(CancelledError):
            outcomes = () if self._closing else self._temporary(delivery, "the attempt took too long")
        else:
            self._complain(delivery, describe(failure.value or CancelledError()))
            outcomes = self._temporary(delivery, "the mail system failed; it tries again")
        self._end(delivery, outcomes)

    def _end(self, delivery: Delivery, outcomes: tuple[tuple[int, Outcome], ...]) -> None:
        delivery.over = True
        self._running.discard(delivery)
        if delivery.timer is not None:
            delivery.timer.cancel()
            delivery.timer = None
        now = self._clock.seconds()
        seconds = now - delivery.started if delivery.started is not None else 0.0
        proof = delivery.active.record.envelope.requiretls
        judgement = judge(delivery.lane[1], outcomes, self.rules, wants_proof=proof)
        rests = self._teach(delivery.lane, judgement, now, seconds)
        self._ready.extend(self.lanes.leave(delivery.lane, delivery.owner, now))
        self._ended(
            delivery.active,
            Result(delivery, delivery.group.route, judgement.outcomes, seconds, waits=judgement.waits),
        )
        if rests:
            self._send_all_home(delivery.lane)
        self._pump()
        if self._retired:
            self._part_with_unused()

    def _teach(self, lane: Destination, judgement: Judgement, now: float, seconds: float) -> bool:
        """Tell the lanes how it went; answers whether the destination rests from now on."""
        rests = False
        if judgement.unreachable:
            pause = self.lanes.unreachable(lane, now, judgement.unreachable)
            rests = pause > 0
            if rests:
                self._tell(lane, Advice(action=Action.REST, seconds=pause, reason=judgement.unreachable))
        elif judgement.answered:
            self.lanes.answered(lane, now, seconds)
        if judgement.advice is not None and self.lanes.follow(lane, now, judgement.advice):
            self._tell(lane, judgement.advice)
            rests = rests or judgement.advice.action is Action.REST
        return rests

    def _tell(self, lane: Destination, advice: Advice) -> None:
        self._write_event(
            Throttled(
                transport=lane[0],
                destination=lane[1],
                action=advice.action.value,
                seconds=advice.seconds,
                reason=advice.reason,
            )
        )

    def _send_all_home(self, lane: Destination) -> None:
        """What waits for a destination that rests goes back to the spool until then."""
        for delivery in self.lanes.send_home(lane):
            if not delivery.over:
                self._send_home(delivery)
        self._rests(lane)

    def withdraw(self, delivery: Delivery) -> None:
        """It is not to go there any more: it is planned anew. Its place in line is passed over when its turn comes."""
        self._send_home(delivery)

    def _send_home(self, delivery: Delivery) -> None:
        delivery.over = True
        self._ended(delivery.active, Result(delivery, delivery.group.route, ()))

    def replace(self, transports: Mapping[str, ITransport]) -> None:
        """Use these for what starts from now on."""
        kept = list(transports.values())
        self._retired += [old for old in self.transports.values() if not any(old is new for new in kept)]
        self.transports = transports
        self.locators = providing(ILocator, transports)
        self._preparers = providing(IPreparer, transports)
        self._part_with_unused()

    def _part_with_unused(self) -> None:
        used = [delivery.transport for delivery in self._running]
        unused = [old for old in self._retired if not any(old is one for one in used)]
        self._retired = [old for old in self._retired if not any(old is one for one in unused)]
        for transport in unused:
            self._unused(transport)

    def all_transports(self) -> list[ITransport]:
        """Those in use and those that are still to be parted with, each once."""
        return list({id(transport): transport for transport in (*self.transports.values(), *self._retired)}.values())

    def _temporary(self, delivery: Delivery, text: str) -> tuple[tuple[int, Outcome], ...]:
        states = delivery.active.record.recipients
        return tuple((at, deferred(states[at].address, "4.3.0", text)) for at in delivery.group.positions)

    def _complain(self, delivery: Delivery, error: str) -> None:
        record = delivery.active.record
        task = f"transport {delivery.group.route.transport} to {delivery.group.destination[1]}"
        self._write_event(TaskFailed(queue_id=record.queue_id, session=record.session_id, task=task, error=error))

    def close(self) -> None:
        """Start nothing more; what stands in line goes back."""
        self._closing = True
        for delivery in self.lanes.clear():
            if not delivery.over:
                self._send_home(delivery)
        self._set_timer()

    def cancel(self) -> None:
        """Cancel what runs: each tells what it knows, or nothing."""
        for delivery in list(self._running):
            if delivery.running is not None:
                delivery.running.cancel()


def _prepared(delivery: Delivery, transport: ITransport) -> object:
    """What this transport has done for it. Another one may stand under its name by now."""
    by, prepared = delivery.prepared or (None, None)
    return prepared if by is transport else None


def providing(interface: Any, transports: Mapping[str, ITransport]) -> frozenset[str]:
    """The names of those that provide this besides."""
    return frozenset(name for name, transport in transports.items() if interface.providedBy(transport))
