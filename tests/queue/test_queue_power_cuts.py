"""The whole queue under random answers, delays, disk failures, orders and power cuts: every recipient ends once, and
a recipient whose end was recorded is never attempted again.

A power cut drops the running queue as it stands; a new one starts over what the spool kept, as after a reboot.
"""

from collections import Counter
from collections.abc import Set

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from queue_kit import Kit, busy, make_kit, refused, run
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from relaygw.config.schema import QueueConfig
from relaygw.core.content import BytesContent, Content
from relaygw.core.orders import Order, Verb
from relaygw.core.record import Progress, Record
from relaygw.interfaces import Attempt, Found, Mark, Settlement
from relaygw.spool.memory import MemorySpool
from relaygw.testing.transport import ManualTransport, delivered

CONFIG = QueueConfig(
    retry=(60.0, 120.0),
    expire=2000.0,
    expire_reports=500.0,
    delay_warning=(300.0,),
    concurrency=3,
    destination_concurrency=1,
    attempt_timeout=400.0,
)
ANSWERS = {"delivered": delivered, "busy": busy, "refused": refused}


class WatchedSpool(MemorySpool):
    """Remembers every end of a recipient that became durable."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.latency = 0.0
        self.ended: Counter[tuple[str, int]] = Counter()
        self.delivered: set[tuple[str, int]] = set()
        self.reports = 0

    def is_to_end(self, queue_id: str, position: int) -> bool:
        """Whether an operator was told that this recipient ends with the attempt that ran."""
        record = run(self.record(queue_id))
        intents = record.intents if record is not None else ()
        return any(position in each.positions for each in intents if each.verb != "reroute")

    async def _later(self) -> None:
        if self.latency:
            await deferLater(self.clock, self.latency)

    async def claim(self, now: float, lease: float, limit: int, owner: str | None = None) -> tuple[Record, ...]:
        await self._later()
        records = await super().claim(now, lease, limit, owner)
        await self._later()
        return records

    async def look(self, now: float, lease: float, limit: int, mark: Mark, passed: Set[str]) -> Found:
        await self._later()
        found = await super().look(now, lease, limit, mark, passed)
        await self._later()
        return found

    async def content(self, queue_id: str) -> Content | None:
        await self._later()
        return await super().content(queue_id)

    async def release(self, queue_id: str) -> None:
        await self._later()
        await super().release(queue_id)

    async def settle(self, settlement: Settlement) -> None:
        await self._later()
        await self._settle(settlement)
        await self._later()

    async def _settle(self, settlement: Settlement) -> None:
        before = await self.record(settlement.record.queue_id)
        await super().settle(settlement)
        assert before is not None, "settled after it was finished"
        self.reports += len(settlement.added)
        for position, (old, new) in enumerate(zip(before.recipients, settlement.record.recipients, strict=True)):
            if old.progress is Progress.WAITING and new.progress is not Progress.WAITING:
                self.ended[before.queue_id, position] += 1
                if new.progress is Progress.DELIVERED:
                    self.delivered.add((before.queue_id, position))
            else:
                assert old.progress is new.progress, "an end was undone"


class WatchedTransport(ManualTransport):
    """Refuses to see a recipient again whose end is durable, or that is being attempted."""

    def __init__(self, spool: WatchedSpool) -> None:
        super().__init__()
        self._spool = spool

    def deliver(self, attempt: Attempt):  # type: ignore[no-untyped-def]  # as inherited
        for position in positions(attempt):
            key = (attempt.record.queue_id, position)
            assert self._spool.ended[key] == 0, "attempted again after its end was recorded"
            assert not self._spool.is_to_end(*key), "attempted again after its end was ordered"
            others = {(p.attempt.record.queue_id, other) for p in self.pending for other in positions(p.attempt)}
            assert key not in others, "attempted twice at once"
        assert not attempt.record.held
        return super().deliver(attempt)


def positions(attempt: Attempt) -> list[int]:
    addresses = [state.address for state in attempt.record.recipients]
    return [addresses.index(state.address) for state in attempt.recipients]


@attrs.define
class World:
    """The machine: its disk and clock survive a power cut, the queue and its connections do not."""

    clock: Clock
    spool: WatchedSpool
    kit: Kit
    transport: WatchedTransport
    sent: list[tuple[str, int]] = attrs.Factory(list)

    @classmethod
    def make(cls) -> "World":
        clock = Clock()
        clock.advance(1_700_000_000.0)
        spool = WatchedSpool(clock)
        transport = WatchedTransport(spool)
        return cls(clock, spool, make_kit(transport, spool=spool, config=CONFIG, clock=clock), transport)

    def power_cut(self) -> None:
        for call in list(self.clock.getDelayedCalls()):
            call.cancel()
        latency, self.spool.latency = self.spool.latency, 0.0
        for record in self.kit.all_stored():
            run(self.spool.release(record.queue_id))
        self.spool.latency = latency
        self.transport = WatchedTransport(self.spool)
        made, ids = self.kit.made, self.kit.ids
        self.kit = make_kit(self.transport, spool=self.spool, config=CONFIG, clock=self.clock, ids=ids)
        self.kit.made = made


STEP = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 3)),
    st.tuples(st.sampled_from(sorted(ANSWERS)), st.integers(0, 5)),
    st.tuples(st.sampled_from(sorted(ANSWERS)), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.integers(1, 500)),
    st.tuples(st.sampled_from(list(Verb)), st.integers(0, 5)),
    st.tuples(st.just("slow"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["cut", "break", "mend"]), st.just(0)),
)


@given(st.lists(STEP, max_size=40))
@settings(max_examples=250, deadline=None)
def test_every_recipient_ends_once_whatever_happens(steps: list[tuple[object, int]]) -> None:
    world = World.make()
    for step, number in steps:
        take_step(world, step, number)
    world.spool.broken = ""
    settle_down(world)
    assert world.kit.all_stored() == ()
    assert {key: world.spool.ended[key] for key in world.sent} == dict.fromkeys(world.sent, 1)
    assert set(world.spool.ended.values()) <= {1}
    assert world.kit.queue.counts == {"active": 0, "parked": 0, "attempts": 0}


def take_step(world: World, step: object, number: int) -> None:
    if step == "send":
        if not world.spool.broken:  # otherwise no 250 was given
            names = [f"r{count}@d{(world.kit.made + count) % 3}.example" for count in range(number)]
            record = world.kit.send(*names)
            world.sent += [(record.queue_id, position) for position in range(number)]
    elif step in ANSWERS:
        if world.transport.pending:
            world.transport.pending[number % len(world.transport.pending)].finish(ANSWERS[str(step)])
    elif step == "wait":
        for _ in range(number // 50 + 1):
            world.clock.advance(min(number, 50))
    elif step == "cut":
        if not world.spool.broken:
            world.power_cut()
    elif isinstance(step, Verb):
        if not world.spool.broken and (stored := world.kit.all_stored()):
            queue_id = stored[number % len(stored)].queue_id
            Deferred.fromCoroutine(world.kit.queue.operations.order(queue_id, Order(verb=step)))
    elif step == "slow":
        world.spool.latency = number * 0.25
    else:
        world.spool.broken = "disk full" if step == "break" else ""


def settle_down(world: World) -> None:
    """Hands off: what is held is released, next hops are busy for ever, the clock runs until everything has expired."""
    world.clock.pump([1.0] * 120)  # what is under way arrives
    for turn in range(400):
        if turn % 20 == 0:
            release_all(world)
        for pending in list(world.transport.pending):
            if pending in world.transport.pending:
                pending.finish(busy)
        world.clock.advance(15)
        world.clock.advance(15)


def release_all(world: World) -> None:
    """An operator is refused where a claim could not be given back to a failing disk, and tries again until it ends."""
    for record in world.kit.all_stored():
        if record.held:
            Deferred.fromCoroutine(world.kit.queue.operations.order(record.queue_id, Order(verb=Verb.RELEASE)))


def test_the_model_would_see_a_repetition() -> None:
    world = World.make()
    record = world.kit.send("a@d0.example")
    pending = world.transport.pending[0]
    pending.finish()
    assert world.spool.delivered == {(record.queue_id, 0)}
    with pytest.raises(AssertionError, match="after its end was recorded"):
        world.transport.deliver(attrs.evolve(pending.attempt, content=BytesContent(b"")))
