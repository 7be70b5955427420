"""Orders for many messages at once: wherever each stands, each is answered; a spool that fails keeps nobody's claim."""

import attrs
from queue_kit import DEFAULTS, busy, make_kit, make_record, run

from relaygw.core.orders import Order, Verb
from relaygw.core.record import Detour, Record
from relaygw.core.selection import Selection, patterns
from relaygw.interfaces import Settlement, SpoolError
from relaygw.queue.operations import Amount
from relaygw.spool.memory import MemorySpool
from relaygw.testing.transport import ManualTransport, ScriptedTransport

ALL = Selection()


def test_all_states_at_once() -> None:
    """At work, in line, parked and idle: each is held, and each goes on after the release."""
    stuck = ManualTransport()
    config = attrs.evolve(DEFAULTS, destination_concurrency=1, initial_destination_concurrency=1)
    kit = make_kit(stuck, config=config)
    sent = [kit.send("bob@example.com") for _ in range(8)]
    idle = make_record(kit.clock, "bob@example.com", held="before", random=99)
    kit.commit(idle, claimed=False)
    done = run(kit.queue.operations.order_all(ALL, Order(verb=Verb.HOLD, reason="stop")))
    assert [each.done for each in done] == [True] * 9
    assert {kit.stored(record).held for record in (*sent, idle)} == {"stop"}  # type: ignore[union-attr]  # they are there
    stuck.pending[0].finish(busy)
    kit.clock.advance(1000)
    assert stuck.pending == []
    done = run(kit.queue.operations.order_all(Selection(held=True), Order(verb=Verb.RELEASE)))
    assert len(done) == 9
    for _ in range(9):
        kit.clock.advance(1)
        stuck.pending[0].finish()
    assert kit.all_stored() == ()


def test_a_bounce_of_many_reports_each() -> None:
    kit = make_kit(ScriptedTransport(), start=False)
    for number in range(5):
        kit.commit(make_record(kit.clock, "bob@example.com", random=number), claimed=False)
    done = run(kit.queue.operations.order_all(ALL, Order(verb=Verb.BOUNCE, reason="closed")))
    assert [each.message for each in done[:5]] == ["returned to the sender: 1 recipient"] * 5
    reports = kit.all_stored()
    assert len(reports) == 5
    assert {record.envelope.sender for record in reports} == {None}


def test_what_is_counted_is_what_is_reached() -> None:
    kit = make_kit(ScriptedTransport(), start=False)
    for number in range(5):
        people = ("bob@example.com", "eve@example.net") if number % 2 else ("bob@example.com",)
        kit.commit(make_record(kit.clock, *people, random=number), claimed=False)
    chosen = Selection(recipient=patterns(["example.net"]))
    assert run(kit.queue.operations.count(chosen)) == Amount(messages=2, recipients=2)
    assert run(kit.queue.operations.count(ALL)) == Amount(messages=5, recipients=7)
    done = run(kit.queue.operations.order_all(chosen, Order(verb=Verb.BOUNCE)))
    assert [each.message for each in done] == ["returned to the sender: 1 recipient"] * 2


def test_a_destination_is_a_condition_of_the_running_queue() -> None:
    kit = make_kit(ScriptedTransport(lambda _, recipient: busy(recipient)))
    sent = kit.send("bob@example.com", "eve@example.net")
    chosen = Selection(destinations=frozenset({"example.net"}))
    assert run(kit.queue.operations.count(chosen)) == Amount(messages=1, recipients=1)
    run(kit.queue.operations.order_all(chosen, Order(verb=Verb.REMOVE)))
    assert [str(state.address) for state in kit.stored(sent).waiting] == ["bob@example.com"]  # type: ignore[union-attr]


def test_after_a_start_a_message_waits_for_the_host_that_it_was_tried_at_unless_it_is_rerouted() -> None:
    """Where mail for a domain goes is found out anew then, at the next attempt."""
    kit = make_kit(ScriptedTransport(lambda _, recipient: busy(recipient)))
    kit.send("bob@example.com")
    tried = Selection(destinations=frozenset({"mx.example"}))
    assert run(kit.queue.operations.count(tried)) == Amount(messages=1, recipients=1)
    run(kit.queue.operations.order_all(tried, Order(verb=Verb.REROUTE, to=Detour(hosts=("other.example",)))))
    assert run(kit.queue.operations.count(tried)) == Amount(messages=0, recipients=0)


class Failing(MemorySpool):
    """Cannot settle while told so."""

    fails = False

    async def settle(self, settlement: Settlement) -> None:
        if self.fails:
            raise SpoolError("the disk is full")
        await super().settle(settlement)


def test_a_spool_that_fails_answers_for_each_and_keeps_no_claim() -> None:
    spool = Failing()
    kit = make_kit(ScriptedTransport(), start=False, spool=spool)
    records: list[Record] = [make_record(kit.clock, "bob@example.com", random=number) for number in range(3)]
    for record in records:
        kit.commit(record, claimed=False)
    spool.fails = True
    done = run(kit.queue.operations.order_all(ALL, Order(verb=Verb.REMOVE)))
    assert [(each.done, each.message) for each in done] == [(False, "the spool failed: the disk is full")] * 3
    spool.fails = False
    assert len(run(kit.queue.operations.order_all(ALL, Order(verb=Verb.REMOVE)))) == 3
    assert kit.all_stored() == ()
