"""Runs the attempts: lets each start when its lane has room, ends it in time, and makes sure that exactly one outcome
per recipient comes back, whatever a transport does. What it raises or forgets is deferred, and journaled.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from relaygw.bridge import as_deferred
from relaygw.core.events import Event, TaskFailed
from relaygw.core.outcome import Outcome, deferred
from relaygw.core.record import Progress, RecipientState
from relaygw.interfaces import Attempt, ITransport
from relaygw.queue.lanes import Lanes
from relaygw.queue.work import Active, Delivery, Group, Result
from relaygw.tasks import describe

GRACE = 10.0
"""Seconds a cancelled attempt may take to end and tell what it knows; then it is given up."""


class Deliveries:
    """`ended` is called with each result (no outcomes: nothing is known, nothing was changed), `unused` with each
    transport that was replaced, when its last attempt has ended."""

    def __init__(
        self,
        *,
        lanes: Lanes[Delivery],
        transports: Mapping[str, ITransport],
        clock: IReactorTime,
        timeout: float,
        write_event: Callable[[Event], None],
        ended: Callable[[Active, Result], None],
        unused: Callable[[ITransport], None],
    ) -> None:
        self.lanes = lanes
        self.transports = transports
        self._unused = unused
        self._retired: list[ITransport] = []
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
        deliveries = [Delivery(active, group) for group in groups]
        active.deliveries += deliveries  # all of them before the first can end
        for delivery in deliveries:
            if self.lanes.enter(delivery.group.destination, delivery):
                self._ready.append(delivery)
        self._pump()

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

    def _start(self, delivery: Delivery) -> None:
        active, group = delivery.active, delivery.group
        states = active.record.recipients
        group.positions = tuple(at for at in group.positions if states[at].progress is Progress.WAITING)
        if self._closing or active.record.held or not group.positions:
            self._end(delivery, ())
            return
        now = delivery.started = self._clock.seconds()
        recipients = tuple(states[at] for at in group.positions)
        attempt = Attempt(
            record=active.record, recipients=recipients, route=group.route, content=active.content, started=now
        )
        self._running.add(delivery)
        try:
            delivery.transport = self.transports[group.route.transport]
            running = as_deferred(delivery.transport.deliver(attempt))
        except Exception:
            self._failed(Failure(), delivery)
            return
        delivery.running = running
        _ = running.addCallbacks(self._answered, self._failed, callbackArgs=(delivery,), errbackArgs=(delivery,))
        if not delivery.over:
            delivery.timer = self._clock.callLater(self.timeout, self._overdue, delivery)

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
            self._end(delivery, self._matched(outcomes, delivery))

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
        seconds = self._clock.seconds() - delivery.started if delivery.started is not None else 0.0
        self._ready.extend(self.lanes.leave(delivery.group.destination))
        self._ended(delivery.active, Result(delivery, delivery.group.route, outcomes, seconds))
        self._pump()
        if self._retired:
            self._part_with_unused()

    def replace(self, transports: Mapping[str, ITransport]) -> None:
        """Use these for what starts from now on."""
        kept = list(transports.values())
        self._retired += [old for old in self.transports.values() if not any(old is new for new in kept)]
        self.transports = transports
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

    def _matched(self, outcomes: Sequence[Outcome], delivery: Delivery) -> tuple[tuple[int, Outcome], ...]:
        """The outcomes by position. The usual answer, one each in order, is recognized first."""
        positions = delivery.group.positions
        states = [delivery.active.record.recipients[at] for at in positions]
        try:
            if [outcome.recipient for outcome in outcomes] == [state.address for state in states]:
                return tuple(zip(positions, outcomes, strict=True))
            by_address = {outcome.recipient: outcome for outcome in outcomes}
        except (TypeError, AttributeError):
            by_address = {}
        self._check(by_address, states, outcomes, delivery)
        lost = "the mail system lost the answer; it tries again"
        return tuple(
            (at, by_address.get(state.address) or deferred(state.address, "4.3.0", lost))
            for at, state in zip(positions, states, strict=True)
        )

    def _check(
        self,
        found: Mapping[Any, Outcome],
        states: Sequence[RecipientState],
        outcomes: Sequence[Outcome],
        delivery: Delivery,
    ) -> None:
        if found.keys() != {state.address for state in states}:
            self._complain(delivery, f"answered {outcomes!r:.300} for {len(states)} recipients")

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
            delivery.over = True
            self._ended(delivery.active, Result(delivery, delivery.group.route, ()))

    def cancel(self) -> None:
        """Cancel what runs: each tells what it knows, or nothing."""
        for delivery in list(self._running):
            if delivery.running is not None:
                delivery.running.cancel()
