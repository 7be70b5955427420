"""The queue over the embedded spool and the real reactor: what lies there and what comes fresh is all delivered once,
and a stopped queue leaves a spool that the next one carries on with."""

from collections import Counter
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from relaygw.bridge import deferred
from relaygw.config.schema import QueueConfig, RouteConfig
from relaygw.core.address import Address, parse_address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.events import Event, TaskFailed
from relaygw.core.ids import new_id
from relaygw.core.lifecycle import begin
from relaygw.core.outcome import Outcome
from relaygw.core.record import Record
from relaygw.core.routing import compile_routes
from relaygw.interfaces import Attempt
from relaygw.queue.parts import QueueSetup
from relaygw.queue.service import QueueService
from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.transport import ManualTransport, ScriptedTransport, delivered

clock: Any = reactor


class QueueOnDiskTest(TestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        self.events: list[Event] = []
        self.numbers = iter(range(1 << 20))

    def queue_over(self, spool: SqliteSpool, transport: Any, drain_timeout: float = 30.0) -> QueueService:
        return QueueService(
            QueueSetup(
                spool=spool,
                transports={"mx": transport},
                routing=compile_routes((RouteConfig(transport="mx"),)),
                config=QueueConfig(concurrency=10, destination_concurrency=5, drain_timeout=drain_timeout),
                clock=clock,
                write_event=self.events.append,
                hostname="mail.example.net",
                postmaster="",
                random=lambda: 0.0,
                new_id=lambda: new_id(clock.seconds(), next(self.numbers)),
            )
        )

    def opened(self) -> SqliteSpool:
        spool = SqliteSpool(self.path, clock)
        spool.open()
        return spool

    def record(self) -> Record:
        number = next(self.numbers)
        recipient = Recipient(address=parse_address(f"r{number}@d{number % 4}.example"))
        envelope = Envelope(sender=parse_address("alice@example.org"), recipients=(recipient,))
        return begin(queue_id=new_id(clock.seconds(), number), envelope=envelope, now=clock.seconds())

    async def commit(self, spool: SqliteSpool, record: Record, lease: float) -> Any:
        sink = spool.sink()
        sink.write(b"Subject: x\r\n\r\nhello\r\n")
        return await spool.commit(record, sink, b"", lease)

    async def emptied(self, spool: SqliteSpool) -> None:
        for _ in range(6000):
            if await spool.count() == 0:
                return
            await deferLater(clock, 0.01)
        self.fail(f"{await spool.count()} records are left")

    @deferred
    async def test_all_is_delivered_once(self) -> None:
        spool = self.opened()
        for _ in range(150):
            await self.commit(spool, self.record(), 0.0)
        transport = ScriptedTransport()
        queue = self.queue_over(spool, transport)
        queue.startService()
        for _ in range(150):
            record = self.record()
            queue.offer(record, await self.commit(spool, record, clock.seconds() + queue.lease))
        await self.emptied(spool)
        await queue.stopService()
        await spool.close()
        times = Counter(str(state.address) for attempt in transport.attempts for state in attempt.recipients)
        assert len(times) == 300
        assert set(times.values()) == {1}
        assert [event for event in self.events if isinstance(event, TaskFailed)] == []

    @deferred
    async def test_what_a_stopped_queue_leaves_is_carried_on_by_the_next(self) -> None:
        spool = self.opened()
        slow = ManualTransport()
        queue = self.queue_over(spool, slow, drain_timeout=0.05)
        queue.startService()
        for _ in range(40):
            record = self.record()
            queue.offer(record, await self.commit(spool, record, clock.seconds() + queue.lease))
        slow.pending[0].finish()
        await queue.stopService()
        await spool.close()

        again = self.opened()
        seen: list[Address] = []
        done: Deferred[None] = Deferred()

        def answer(attempt: Attempt, recipient: Address) -> Outcome:
            seen.append(recipient)
            if len(seen) == 39:
                done.callback(None)
            return delivered(recipient)

        queue = self.queue_over(again, ScriptedTransport(answer))
        queue.startService()
        await done
        await self.emptied(again)
        await queue.stopService()
        await again.close()
        assert len(set(seen)) == 39
