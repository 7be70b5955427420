"""Over random lives with power cuts: nothing is lost, nothing recorded is repeated, each recipient ends exactly once.

The model spool forgets everything that was not settled. Time, outcomes, orders and cuts are chosen by hypothesis.
"""

from collections import Counter

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.core.address import Address
from relaygw.core.envelope import Envelope, Notify, Recipient
from relaygw.core.lifecycle import Kind, Step, begin, fold, tells
from relaygw.core.orders import Order, Verb, operate, ripe_order
from relaygw.core.outcome import Outcome, Status, deferred, failed, from_reply
from relaygw.core.record import Progress, RecipientState, Record
from relaygw.core.reply import Reply
from relaygw.core.retry import Schedule

SCHEDULE = Schedule(waits=(10.0, 30.0, 60.0), expire=500.0, expire_reports=200.0, delay_warnings=(100.0,))
NOTIFY = st.sampled_from(
    [
        frozenset(),
        frozenset({Notify.NEVER}),
        frozenset({Notify.FAILURE}),
        frozenset({Notify.SUCCESS, Notify.DELAY}),
        frozenset({Notify.SUCCESS, Notify.FAILURE, Notify.DELAY}),
    ]
)


def outcome(recipient: Address, status: Status) -> Outcome:
    match status:
        case Status.DELIVERED:
            return from_reply(recipient, Reply(250, "2.0.0", "ok"), host="mx.example", address="192.0.2.1")
        case Status.DEFERRED:
            return deferred(recipient, "4.4.1", "refused")
        case Status.FAILED:
            return failed(recipient, "5.1.1", "unknown")


@attrs.define
class World:
    """The durable record (None: it left the spool), and what the outside has seen."""

    record: Record
    now: float = 0.0
    gone: bool = False
    told: Counter[tuple[int, Kind]] = attrs.Factory(Counter)
    ends: Counter[int] = attrs.Factory(Counter)
    taken: Counter[int] = attrs.Factory(Counter)  # how often a next hop took the message for a recipient
    cuts: Counter[int] = attrs.Factory(Counter)  # how often a taken one was forgotten by a power cut

    def settle(self, step: Step, *, cut: bool, positions: dict[Address, int]) -> None:
        """One settlement, or the power cut that comes just before it is durable."""
        if cut:
            return
        for position, (old, new) in enumerate(zip(self.record.recipients, step.record.recipients, strict=True)):
            if old.progress is not Progress.WAITING:
                assert new == old, "a recipient that has ended was changed"
            elif new.progress is not Progress.WAITING:
                self.ends[position] += 1
        for report in step.reports:
            for state in report.recipients:
                self.told[positions[state.address], report.kind] += 1
        self.record = step.record
        self.gone = step.record.finished


@given(data=st.data())
@settings(max_examples=1500, deadline=None)
def test_every_life_ends_well(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4), label="recipients")
    sender = data.draw(st.sampled_from([None, Address("alice", "example.org")]), label="sender")
    recipients = tuple(
        Recipient(address=Address(f"r{number}", "example.com"), notify=data.draw(NOTIFY)) for number in range(count)
    )
    positions = {recipient.address: number for number, recipient in enumerate(recipients)}
    first = begin(queue_id="q", envelope=Envelope(sender=sender, recipients=recipients), now=0.0)
    world = World(record=first)

    for _ in range(data.draw(st.integers(0, 12), label="steps")):
        if world.gone:
            break
        random_step(data, world, positions)
    finish(data, world, positions)

    check(world, first)


def random_step(data: st.DataObject, world: World, positions: dict[Address, int]) -> None:
    cut = data.draw(st.booleans(), label="power cut")
    kind = data.draw(st.sampled_from(["attempt", "attempt", "attempt", "order", "wait"]), label="step")
    if kind == "wait":
        world.now += data.draw(st.floats(0, 150), label="seconds")
    elif kind == "order":
        verb = data.draw(st.sampled_from(list(Verb)), label="verb")
        busy = data.draw(st.sets(st.sampled_from(sorted(positions.values()))), label="busy")
        world.settle(operate(world.record, Order(verb=verb), now=world.now, busy=busy), cut=cut, positions=positions)
    elif not world.record.held:
        attempt(data, world, positions, cut=cut)


def attempt(data: st.DataObject, world: World, positions: dict[Address, int], *, cut: bool) -> None:
    due = [at for at, state in enumerate(world.record.recipients) if waits(state, world.now)]
    if not due:
        return
    chosen = data.draw(st.lists(st.sampled_from(due), unique=True, min_size=1), label="attempted")
    outcomes = []
    for position in chosen:
        status = data.draw(st.sampled_from(list(Status)), label="status")
        outcomes.append((position, outcome(world.record.recipients[position].address, status)))
        if status is Status.DELIVERED:
            world.taken[position] += 1
            world.cuts[position] += cut
    random = data.draw(st.floats(0, 0.999), label="jitter")
    step = fold(world.record, outcomes, now=world.now, schedule=SCHEDULE, random=random)
    for state in step.record.waiting:
        assert state.due > world.now or not any(positions[state.address] == at for at, _ in outcomes)
    world.settle(step, cut=cut, positions=positions)


def waits(state: RecipientState, now: float) -> bool:
    return state.progress is Progress.WAITING and state.due <= now


def finish(data: st.DataObject, world: World, positions: dict[Address, int]) -> None:
    """From here on the power stays and the next hops are never ready: everything must end by itself."""
    if world.record.held:
        world.settle(operate(world.record, Order(verb=Verb.RELEASE), now=world.now), cut=False, positions=positions)
    carry_out(world, positions)
    rounds = 0
    while not world.gone:
        assert world.record.due < float("inf"), "a recipient waits for ever"
        world.now = max(world.now, world.record.due)
        due = [at for at, state in enumerate(world.record.recipients) if waits(state, world.now)]
        outcomes = [(at, outcome(world.record.recipients[at].address, Status.DEFERRED)) for at in due]
        world.settle(
            fold(world.record, outcomes, now=world.now, schedule=SCHEDULE, random=0.0), cut=False, positions=positions
        )
        rounds += 1
        assert rounds < 200, "it goes on for ever"


def carry_out(world: World, positions: dict[Address, int]) -> None:
    """What was ordered during attempts, now that none runs: it makes the record due at once, and comes first."""
    while not world.gone and (order := ripe_order(world.record, frozenset())) is not None:
        assert world.record.due <= world.now, "what was ordered waits though nobody is attempted"
        world.settle(operate(world.record, order, now=world.now), cut=False, positions=positions)


def check(world: World, first: Record) -> None:
    for position, state in enumerate(world.record.recipients):
        assert world.ends[position] == 1
        failures = world.told[position, Kind.FAILURE]
        wanted = state.progress is Progress.REPORTED and tells(first, state, Kind.FAILURE)
        assert failures == wanted, "a failure is told once where it may be, and never elsewhere"
        assert world.told[position, Kind.DELAY] <= tells(first, state, Kind.DELAY)
        assert world.told[position, Kind.SUCCESS] <= tells(first, state, Kind.SUCCESS)
        recorded = world.taken[position] - world.cuts[position]
        assert recorded == (state.progress is Progress.DELIVERED), "repeated after it was recorded"
        if first.envelope.sender is None:
            assert not any(world.told[position, kind] for kind in Kind)
