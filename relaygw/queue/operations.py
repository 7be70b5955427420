"""What an operator does with messages: list, show, count, hold, release, retry, reroute, remove, bounce.

It works on any spool, with or without a running queue: the queue lends its `Hands` for the records it holds itself,
the command line has none. Every answer is a value in words an operator can read.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

import attrs
from twisted.internet.defer import gatherResults

from relaygw.bridge import as_deferred
from relaygw.core.content import Content
from relaygw.core.events import Event
from relaygw.core.lane import Standing
from relaygw.core.orders import Order, Verb
from relaygw.core.record import RecipientState, Record
from relaygw.core.retry import Schedules
from relaygw.core.selection import Selection
from relaygw.interfaces import ISpool, SpoolError
from relaygw.queue.answers import Done, answer, waits_for
from relaygw.queue.clerk import Clerk
from relaygw.queue.hand_tools import Hands, NoHands
from relaygw.queue.reports import Reports
from relaygw.queue.work import Effect, Request

PAGE = 200
"""Records read from the spool, or changed in it, at once."""


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


@attrs.frozen(kw_only=True)
class Amount:
    """How much is meant."""

    messages: int
    recipients: int


@attrs.frozen(kw_only=True)
class Ordered:
    """What orders for part of the queue came to; `after` is where the next part begins, "" when this was the last."""

    answers: tuple[Done, ...]
    after: str = ""


class Operations:
    """The operator's side of the queue. Its methods raise SpoolError when the spool cannot be read.

    `keeps`: whether what is removed goes into the trash; `kept` is called when something did."""

    def __init__(
        self,
        *,
        spool: ISpool,
        reports: Reports,
        schedule: Schedules,
        now: Callable[[], float],
        write_event: Callable[[Event], None],
        hands: Hands | None = None,
        keeps: bool = True,
    ) -> None:
        self.keeps = keeps
        self.kept: Callable[[], None] = lambda: None
        self.runs = hands is not None
        self.spool = spool
        self._now = now
        self._hands: Hands = hands or NoHands()
        self._clerk = Clerk(
            spool=spool, reports=reports, schedule=schedule, now=now, write_event=write_event, hands=self._hands
        )

    @property
    def schedule(self) -> Schedules:
        """As the configuration in use has it; so are the reports."""
        return self._clerk.schedule

    @schedule.setter
    def schedule(self, schedule: Schedules) -> None:
        self._clerk.schedule = schedule

    @property
    def reports(self) -> Reports:
        """See `schedule`."""
        return self._clerk.reports

    @reports.setter
    def reports(self, reports: Reports) -> None:
        self._clerk.reports = reports

    async def listing(self, selection: Selection, *, after: str = "", limit: int = 1000) -> Listing:
        """At most `limit` messages that are meant, from those whose id is greater than `after`."""
        found: list[Listed] = []
        async for records in self._meant(self._placed(selection), after):
            for record in records:
                found.append(Listed(record=record, state=self.state(record)))
                if len(found) >= limit:
                    return Listing(messages=tuple(found), after=record.queue_id)
        return Listing(messages=tuple(found))

    async def count(self, selection: Selection) -> Amount:
        """How many messages and recipients are meant now."""
        selection = self._placed(selection)
        messages = recipients = 0
        async for records in self._meant(selection):
            messages += len(records)
            recipients += sum(selection.reaches(record, state) for record in records for state in record.recipients)
        return Amount(messages=messages, recipients=recipients)

    async def _meant(self, selection: Selection, after: str = "") -> AsyncIterator[list[Record]]:
        """The records that are meant, as many of them as one page of the spool holds at a time."""
        more = True
        while more:
            now = self._now()
            page, after = await self.spool.search(selection, after, PAGE, now)
            more = bool(after)
            yield [record for record in page if selection.matches(record, now)]

    def _placed(self, selection: Selection) -> Selection:
        """With the running queue's knowledge of destinations, where that is asked for."""
        if not selection.destinations:
            return selection
        return attrs.evolve(selection, places=self._hands.names, sources=self._hands.sources(selection.destinations))

    def state(self, record: Record) -> str:
        """As in Listed."""
        return self._hands.state(record.queue_id) or ("held" if record.held else "waiting")

    async def show(self, queue_id: str) -> Listed | None:
        """One message, None when there is none of this id."""
        record = await self.spool.record(queue_id)
        return None if record is None else Listed(record=record, state=self.state(record))

    async def content(self, queue_id: str) -> Content | None:
        """The message itself."""
        return await self.spool.content(queue_id)

    async def why(self, queue_id: str) -> str:
        """In a sentence or two, what the message waits for; "" when there is none of this id."""
        record = await self.spool.record(queue_id)
        return "" if record is None else self.reason(record)

    def reason(self, record: Record) -> str:
        """In a sentence or two, what a record waits for."""
        in_hand = self._hands.waits_for(record.queue_id)
        if in_hand or record.held:
            return in_hand or waits_for(record, self._now(), runs=self.runs)
        return " ".join(filter(None, (waits_for(record, self._now(), runs=self.runs), self._hands.throttles(record))))

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

    # Orders

    async def order_all(self, selection: Selection, order: Order) -> tuple[Done, ...]:
        """Carry an order out for every message that is meant now."""
        answers: list[Done] = []
        after = ""
        while True:
            part = await self.order_some(selection, order, after=after, limit=PAGE)
            answers += part.answers
            if not part.after:
                return tuple(answers)
            after = part.after

    async def order_some(self, selection: Selection, order: Order, *, after: str, limit: int) -> Ordered:
        """Carry an order out for at most `limit` messages that are meant, from those whose id is greater than `after`.

        Where the selection chooses recipients, the order is for those."""
        selection = self._placed(selection)
        if selection.chooses_recipients:
            order = attrs.evolve(order, only=selection)
        answers: list[Done] = []
        while len(answers) < limit:
            part = await self.listing(selection, after=after, limit=min(PAGE, limit - len(answers)))
            answers += await self._order_page([listed.record.queue_id for listed in part.messages], self._whole(order))
            after = part.after
            if not after:
                break
        return Ordered(answers=tuple(answers), after=after)

    def names(self, record: Record, state: RecipientState) -> Collection[str]:
        """The names of a recipient's destination, as far as they are known: its own, and those of its hosts."""
        return self._hands.names(record, state)

    def fell_due(self, due: float) -> None:
        """Something in the spool is due then, which nobody here has ordered."""
        self._hands.changed(due)

    async def order(self, queue_id: str, order: Order) -> Done:
        """Carry an order out for one message."""
        (done,) = await self._order_page([queue_id], self._whole(order))
        return done

    def _whole(self, order: Order) -> Order:
        return attrs.evolve(order, keep=order.keep and self.keeps) if order.verb is Verb.REMOVE else order

    async def _order_page(self, queue_ids: Sequence[str], order: Order) -> list[Done]:
        """Those in the queue's hands each in its turn, all others in one step of the spool."""
        in_hand = {queue_id: self._hands.order(queue_id, order) for queue_id in queue_ids}
        singly = {
            queue_id: as_deferred(self._in_hand(queue_id, order, effect))
            for queue_id, effect in in_hand.items()
            if effect is not None
        }
        idle = [queue_id for queue_id in in_hand if queue_id not in singly]
        effects: Mapping[str, Effect] = {}
        if len(idle) > 1:
            with contextlib.suppress(SpoolError):  # what cannot be done together is told of each by itself
                effects = await self._clerk.order_all(idle, order)
        for queue_id in idle:
            effect = effects.get(queue_id)
            if effect is None or effect.record is None:
                singly[queue_id] = as_deferred(self._idle(queue_id, order, effect))
        found = dict(zip(singly, await gatherResults(list(singly.values())), strict=True))
        if order.keep:
            self.kept()
        return [found.get(queue_id) or answer(queue_id, order, effects[queue_id]) for queue_id in in_hand]

    async def _in_hand(self, queue_id: str, order: Order, asked: Awaitable[Effect]) -> Done:
        try:
            return await self._answer(queue_id, order, await asked)
        except SpoolError as error:
            return _failed(queue_id, error)

    async def _idle(self, queue_id: str, order: Order, effect: Effect | None) -> Done:
        """One that was not reached with the others may be in the queue's hands by now."""
        try:
            if effect is None:
                in_hand = self._hands.order(queue_id, order)
                effect = await (self._clerk.order(queue_id, order) if in_hand is None else in_hand)
            if effect.record is None:
                claimed = self._hands.order(queue_id, order)  # the queue's own claim was on its way
                effect = effect if claimed is None else await claimed
            return await self._answer(queue_id, order, effect)
        except SpoolError as error:
            return _failed(queue_id, error)

    async def _answer(self, queue_id: str, order: Order, effect: Effect) -> Done:
        there = effect.record is None and await self.spool.record(queue_id) is not None
        return answer(queue_id, order, effect, there)

    async def pass_on(self, queue_id: str, request: Request) -> None:
        """Carry out an order that reached the queue when the record had just left its hands."""
        try:
            effect = await self._clerk.order(queue_id, request.order)
        except SpoolError as error:
            request.answer.errback(error)
        else:
            request.answer.callback(effect)


def _failed(queue_id: str, error: SpoolError) -> Done:
    return Done(queue_id=queue_id, done=False, message=f"the spool failed: {error}")


def _is_named(standing: Standing, name: str) -> bool:
    destination = standing.destination[1]
    return name == destination or name in destination.split(",")
