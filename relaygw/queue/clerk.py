"""Carries out operators' orders on records that nobody works on: one by one, or many in one step of the spool."""

from collections.abc import Callable, Mapping, Sequence

from relaygw.core.content import BytesContent
from relaygw.core.events import Event
from relaygw.core.lifecycle import Step
from relaygw.core.orders import Order, Verb, operate
from relaygw.core.record import Record
from relaygw.core.retry import Schedules
from relaygw.interfaces import ISpool, Settlement, SpoolError
from relaygw.queue.hand_tools import Hands
from relaygw.queue.reports import Reports
from relaygw.queue.work import Effect

LEASE = 60.0
"""Seconds an idle record is ours while an order is carried out."""


class Clerk:
    """`schedule` and `reports` are those of the configuration in use."""

    def __init__(
        self,
        *,
        spool: ISpool,
        reports: Reports,
        schedule: Schedules,
        now: Callable[[], float],
        write_event: Callable[[Event], None],
        hands: Hands,
    ) -> None:
        self.schedule = schedule
        self.reports = reports
        self._spool = spool
        self._now = now
        self._write_event = write_event
        self._hands = hands

    async def order(self, queue_id: str, order: Order) -> Effect:
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
            await self._give_back((), [record])
            raise

    async def _carry_out(self, record: Record, order: Order, now: float) -> Effect:
        step = operate(record, order, now=now)
        content = await self._spool.content(record.queue_id) if step.reports else None
        added, events = self.reports.make(step, content or BytesContent(b""), self.schedule, now)
        await self._spool.settle(Settlement(record=step.record, added=added, release=True, aside=step.aside))
        for event in (*events, *step.events):
            self._write_event(event)
        if order.verb is Verb.RETRY:
            self._hands.probe(step.record)
        self._hands.changed(min([step.record.due, *(new.record.due for new in added)]))
        return Effect(step.record, reached(record, step.record))

    async def order_all(self, queue_ids: Sequence[str], order: Order) -> Mapping[str, Effect]:
        """Carry it out on all of these that nobody works on; those that are missing in the answer are to be asked for
        one by one."""
        now = self._now()
        parked = [queue_id for queue_id in queue_ids if self._hands.take(queue_id)]
        wanted = set(queue_ids).difference(parked)
        records: list[Record] = []
        try:
            for queue_id in parked:
                record = await self._spool.record(queue_id)
                records += [record] if record is not None else []
            records += await self._spool.take_all(sorted(wanted), now, now + LEASE)
            return await self._settle([(record, operate(record, order, now=now)) for record in records], order, now)
        except SpoolError:
            await self._give_back(parked, records)
            raise

    async def _give_back(self, parked: Sequence[str], records: Sequence[Record]) -> None:
        """Nothing came of the order: who works on them finds them where they were."""
        queue_ids = {*parked, *(record.queue_id for record in records)}
        if queue_ids:
            await self._spool.renew(sorted(queue_ids), 0.0)
            self._hands.changed(self._now() if parked else min(record.due for record in records))

    async def _settle(self, steps: Sequence[tuple[Record, Step]], order: Order, now: float) -> Mapping[str, Effect]:
        """What reports nothing goes together; a report may be as large as its message."""
        alone = [(record, step) for record, step in steps if step.reports]
        together = [(record, step) for record, step in steps if not step.reports]
        await self._spool.settle_all(
            [Settlement(record=step.record, release=True, aside=step.aside) for _, step in together]
        )
        effects = {record.queue_id: Effect(step.record, reached(record, step.record)) for record, step in together}
        for _, step in together:
            for event in step.events:
                self._write_event(event)
            if order.verb is Verb.RETRY:
                self._hands.probe(step.record)
        self._hands.changed(min((step.record.due for _, step in together), default=float("inf")))
        for record, _ in alone:
            effects[record.queue_id] = await self._carry_out(record, order, now)
        return effects


def reached(before: Record, after: Record) -> int:
    """How many recipients a step changed."""
    return sum(old is not new for old, new in zip(before.recipients, after.recipients, strict=True))
