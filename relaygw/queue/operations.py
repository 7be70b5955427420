"""What an operator does with messages: list, show, hold, release, retry, remove, bounce.

It works on any spool, with or without a running queue: the queue lends its `Hands` for the records it holds itself,
the command line has none. Every answer is a value in words an operator can read.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import attrs

from relaygw.core.content import BytesContent, Content
from relaygw.core.events import Event
from relaygw.core.lanes import Standing, duration
from relaygw.core.lifecycle import Order, Verb, operate
from relaygw.core.record import Progress, Record
from relaygw.core.retry import Schedules
from relaygw.core.selection import Selection
from relaygw.core.shaping import Destination
from relaygw.interfaces import ISpool, Settlement, SpoolError
from relaygw.queue.reports import Reports
from relaygw.queue.work import Effect, Request

PAGE = 200
"""Records read from the spool at once."""

LEASE = 60.0
"""Seconds an idle record is ours while an order is carried out."""


@attrs.frozen(kw_only=True)
class Done:
    """The answer to an order for one message: whether it was carried out, and what that means now."""

    queue_id: str
    done: bool
    message: str


@attrs.frozen(kw_only=True)
class Listed:
    """One message of a listing. `state` is "held", "active", "in line", "parked" or "waiting"."""

    record: Record
    state: str


@attrs.frozen(kw_only=True)
class Listing:
    """Part of the queue in order of queue id; `after` is where the next part begins, "" when this is the last."""

    messages: tuple[Listed, ...]
    after: str = ""


class Hands(Protocol):
    """The records a running queue holds in its own hands."""

    def state(self, queue_id: str) -> str:
        """As in Listed, "" for a record it does not hold."""

    def waits_for(self, queue_id: str) -> str:
        """What a record it holds waits for, in a sentence; "" for others."""

    def order(self, queue_id: str, order: Order) -> Awaitable[Effect] | None:
        """Carry it out; None for a record it does not hold."""

    def take(self, queue_id: str) -> bool:
        """Hand over the claim on a record that it holds without working on it; False for others."""

    def probe(self, record: Record) -> None:
        """Attempt it now, also where its destinations rest."""

    def changed(self, due: float) -> None:
        """Something outside its hands is due then now."""

    def throttles(self, record: Record) -> str:
        """What holds back the destinations of a record, in sentences; "" for nothing."""

    def destinations(self) -> Sequence[Standing]:
        """The destinations of which something is known."""

    def places(self, domain: str) -> Sequence[Destination]:
        """Where mail for a domain goes, as far as that is known."""


class NoHands:
    """Where no queue runs."""

    def state(self, queue_id: str) -> str:
        return ""

    def waits_for(self, queue_id: str) -> str:
        return ""

    def order(self, queue_id: str, order: Order) -> Awaitable[Effect] | None:
        return None

    def take(self, queue_id: str) -> bool:
        return False

    def probe(self, record: Record) -> None:
        pass

    def changed(self, due: float) -> None:
        return None

    def throttles(self, record: Record) -> str:
        return ""

    def destinations(self) -> Sequence[Standing]:
        return ()

    def places(self, domain: str) -> Sequence[Destination]:
        return ()


class Operations:
    """The operator's side of the queue. Its methods raise SpoolError when the spool cannot be read."""

    def __init__(
        self,
        *,
        spool: ISpool,
        reports: Reports,
        schedule: Schedules,
        now: Callable[[], float],
        write_event: Callable[[Event], None],
        hands: Hands | None = None,
    ) -> None:
        self.schedule = schedule
        self.reports = reports
        self._spool = spool
        self._now = now
        self._write_event = write_event
        self._hands: Hands = hands or NoHands()

    async def listing(self, selection: Selection, *, after: str = "", limit: int = 1000) -> Listing:
        """At most `limit` messages that are meant, from those whose id is greater than `after`."""
        found: list[Listed] = []
        while True:
            page = await self._spool.records(after, PAGE)
            now = self._now()
            for record in page:
                if selection.matches(record, now):
                    found.append(Listed(record=record, state=self.state(record)))
                if len(found) >= limit:
                    return Listing(messages=tuple(found), after=record.queue_id)
            if len(page) < PAGE:
                return Listing(messages=tuple(found))
            after = page[-1].queue_id

    def state(self, record: Record) -> str:
        """As in Listed."""
        return self._hands.state(record.queue_id) or ("held" if record.held else "waiting")

    async def show(self, queue_id: str) -> Listed | None:
        """One message, None when there is none of this id."""
        record = await self._spool.record(queue_id)
        return None if record is None else Listed(record=record, state=self.state(record))

    async def content(self, queue_id: str) -> Content | None:
        """The message itself."""
        return await self._spool.content(queue_id)

    async def why(self, queue_id: str) -> str:
        """In a sentence or two, what the message waits for; "" when there is none of this id."""
        record = await self._spool.record(queue_id)
        if record is None:
            return ""
        in_hand = self._hands.waits_for(queue_id)
        if in_hand or record.held:
            return in_hand or waits_for(record, self._now())
        return " ".join(filter(None, (waits_for(record, self._now()), self._hands.throttles(record))))

    def destinations(self, name: str = "") -> tuple[Standing, ...]:
        """The destinations of which something is known, the busiest first; with a `name` those of this name, with a
        host of it, or where mail for a domain of it goes."""
        found = self._hands.destinations()
        if name:
            places = self._hands.places(name)
            found = [each for each in found if _is_named(each, name) or each.destination in places]
        return tuple(
            sorted(
                found,
                key=lambda each: (-each.waiting, -each.running, not each.why, str(each.destination)),
            )
        )

    async def order_all(self, selection: Selection, order: Order) -> tuple[Done, ...]:
        """Carry an order out for every message that is meant now."""
        answers: list[Done] = []
        after = ""
        while True:
            part = await self.listing(selection, after=after, limit=PAGE)
            answers += [await self.order(listed.record.queue_id, order) for listed in part.messages]
            if not part.after:
                return tuple(answers)
            after = part.after

    async def order(self, queue_id: str, order: Order) -> Done:
        """Carry an order out for one message."""
        try:
            return await self._order(queue_id, order)
        except SpoolError as error:
            return Done(queue_id=queue_id, done=False, message=f"the spool failed: {error}")

    async def _order(self, queue_id: str, order: Order) -> Done:
        in_hand = self._hands.order(queue_id, order)
        effect = await (self._order_idle(queue_id, order) if in_hand is None else in_hand)
        if effect.record is not None:
            return _answer(effect.record, order, effect.reached, effect.busy)
        there = await self._spool.record(queue_id) is not None
        message = "another process works on it: try again later" if there else "there is no such message"
        return Done(queue_id=queue_id, done=False, message=message)

    async def pass_on(self, queue_id: str, request: Request) -> None:
        """Carry out an order that reached the queue when the record had just left its hands."""
        try:
            effect = await self._order_idle(queue_id, request.order)
        except SpoolError as error:
            if request.answer is None:
                raise
            request.answer.errback(error)
        else:
            if request.answer is not None:
                request.answer.callback(effect)

    async def _order_idle(self, queue_id: str, order: Order) -> Effect:
        """Carry it out on a record that nobody works on."""
        now = self._now()
        if self._hands.take(queue_id):
            record = await self._spool.record(queue_id)
        else:
            record = await self._spool.take(queue_id, now, now + LEASE)
        if record is None:
            return Effect(None)
        try:
            return await self._carry_out(record, order, now)
        except SpoolError:
            await self._spool.release(queue_id)
            self._hands.changed(record.due)
            raise

    async def _carry_out(self, record: Record, order: Order, now: float) -> Effect:
        step = operate(record, order, now=now)
        content = await self._spool.content(record.queue_id) if step.reports else None
        added, events = self.reports.make(step, content or BytesContent(b""), self.schedule, now)
        await self._spool.settle(Settlement(record=step.record, added=added, release=True))
        for event in (*events, *step.events):
            self._write_event(event)
        if order.verb is Verb.RETRY:
            self._hands.probe(step.record)
        self._hands.changed(min([step.record.due, *(new.record.due for new in added)]))
        return Effect(step.record, _reached(record, step.record))


def _is_named(standing: Standing, name: str) -> bool:
    destination = standing.destination[1]
    return name == destination or name in destination.split(",")


def _answer(record: Record, order: Order, reached: int, busy: int) -> Done:
    if order.verb in (Verb.REMOVE, Verb.BOUNCE, Verb.RETRY) and not reached and not busy:
        return Done(queue_id=record.queue_id, done=False, message="no recipient waits any more")
    return Done(queue_id=record.queue_id, done=True, message=_outcome(record, order, reached, busy))


def _reached(before: Record, after: Record) -> int:
    return sum(old is not new for old, new in zip(before.recipients, after.recipients, strict=True))


def _outcome(record: Record, order: Order, reached: int, busy: int) -> str:
    """What the order came to, in words."""
    attempted = f"{_people(busy)} being attempted now" if busy else ""
    match order.verb:
        case Verb.HOLD:
            return f"held: {record.held}" + (f"; {attempted} all the same" if busy else "")
        case Verb.RELEASE:
            return "released"
        case Verb.RETRY:
            words = f"due now, but held: {record.held}" if record.held else f"due now: {_people(reached)}"
            return words + (f"; {attempted} anyway" if busy else "")
        case Verb.REMOVE | Verb.BOUNCE:
            what = "removed" if order.verb is Verb.REMOVE else "returned to the sender"
            later = f"; {attempted}: {what} when that ends without delivery" if busy else ""
            return f"{what}: {_people(reached)}{later}"


def _people(number: int) -> str:
    return "1 recipient" if number == 1 else f"{number} recipients"


def waits_for(record: Record, now: float) -> str:
    """What a record in nobody's hands waits for."""
    if record.held:
        return f"It is held: {record.held}. Nothing is attempted until it is released."
    waiting = [state for state in record.recipients if state.progress is Progress.WAITING]
    if not waiting:
        return "It waits for nothing: every recipient has reached an end."
    first = min(waiting, key=lambda state: state.due)
    if first.last is None:
        reason = "It has not been attempted yet."
    elif not first.attempts:
        reason = f"It has not been attempted yet, and was put off: {first.last.reply.text}"
    else:
        said = f"{first.last.host or 'the next hop'} said" if first.last.remote else "we found"
        reason = f"Attempt {first.attempts} for <{first.address}> was put off: {said}: {first.last.reply}"
    when = f"in {duration(first.due - now)}" if first.due > now else "as soon as there is room"
    return f"{reason} The next attempt is {when}." if reason.endswith(".") else f"{reason}. The next attempt is {when}."
