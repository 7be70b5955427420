"""What is ordered for a recipient who is being attempted is kept with the message, and outlives the queue that knew."""

import attrs
import pytest
from queue_kit import Kit, busy, make_kit, run
from twisted.internet.defer import Deferred

from relaygw.config.schema import QueueConfig, RouteConfig
from relaygw.core.events import Operated, Reported
from relaygw.core.orders import Order, Verb, operate, ripe_order
from relaygw.core.record import Detour, Intent, Progress, Record
from relaygw.core.selection import Selection, patterns
from relaygw.interfaces import Settlement
from relaygw.queue.answers import waits_for
from relaygw.spool.memory import MemorySpool
from relaygw.testing.transport import ManualTransport, ScriptedTransport

HOSTS = Detour(hosts=("relay.example:25",))
OTHERS = Detour(hosts=("other.example:25",))
ROUTES = (RouteConfig(transport="mx"),)
SLOW = QueueConfig(retry=(300.0,))


def order(kit: Kit, record: Record, verb: Verb, **more: object) -> str:
    done = run(kit.queue.operations.order(record.queue_id, Order(verb=verb, **more)))  # type: ignore[arg-type]  # as given
    assert done.done, done.message
    return done.message


def killed(kit: Kit, *transports: ManualTransport | ScriptedTransport) -> Kit:
    """Another queue over the spool as it stands, as after `kill -9`."""
    for call in kit.clock.getDelayedCalls():
        call.cancel()
    for record in kit.all_stored():
        run(kit.spool.release(record.queue_id))
    named = dict(zip(("mx", "smarthost"), transports, strict=False))
    return make_kit(named, spool=kit.spool, clock=kit.clock, ids=kit.ids, routes=ROUTES, config=SLOW)


class Interrupted(MemorySpool):
    """A spool that the power leaves after so many steps: what would come next is not stored, and nobody is told."""

    steps = 100

    async def settle(self, settlement: Settlement) -> None:
        if not self.steps:
            await Deferred()
        self.steps -= 1
        await super().settle(settlement)


def attempted(*recipients: str) -> tuple[Kit, ManualTransport, Record]:
    transport = ManualTransport()
    kit = make_kit({"mx": transport, "smarthost": ScriptedTransport()}, routes=ROUTES, config=SLOW)
    return kit, transport, kit.send(*recipients or ("bob@example.com",))


def intents(kit: Kit, record: Record) -> tuple[Intent, ...]:
    stored = kit.stored(record)
    assert stored is not None
    return stored.intents


@pytest.mark.parametrize(("verb", "reports"), [(Verb.REMOVE, 0), (Verb.BOUNCE, 1)])
def test_an_end_that_was_ordered_during_an_attempt_outlives_a_kill(verb: Verb, reports: int) -> None:
    kit, _, record = attempted()
    order(kit, record, verb, reason="a mistake")
    after = ManualTransport()
    again = killed(kit, after)
    assert again.stored(record) is None
    assert len(again.told(Reported)) == reports
    assert [event.recipients for event in again.told(Operated)] == [("bob@example.com",)]
    assert [pending.attempt.record.envelope.sender for pending in after.pending] == [None] * reports


def test_another_way_that_was_ordered_during_an_attempt_outlives_a_kill() -> None:
    kit, _, record = attempted("bob@example.com", "eve@example.com")
    order(kit, record, Verb.REROUTE, to=HOSTS, only=Selection(recipient=patterns(["bob@example.com"])))
    table, hosts = ManualTransport(), ScriptedTransport()
    again = killed(kit, table, hosts)
    again.clock.advance(1)
    assert [[str(state.address) for state in each.recipients] for each in hosts.attempts] == [["bob@example.com"]]
    (pending,) = table.pending
    assert [str(state.address) for state in pending.attempt.recipients] == ["eve@example.com"]


def test_the_answer_tells_of_those_whom_the_order_means() -> None:
    kit, _, record = attempted("a@one.example", "b@two.example")
    said = order(kit, record, Verb.REMOVE, only=Selection(recipient=patterns(["a@one.example"])))
    assert said == "removed: 0 recipients; 1 recipient being attempted now: removed when that ends without delivery"
    none = Order(verb=Verb.BOUNCE, only=Selection(recipient=patterns(["c@one.example"])))
    done = run(kit.queue.operations.order(record.queue_id, none))
    assert (done.done, done.message) == (False, "no recipient waits any more")
    assert [each.positions for each in intents(kit, record)] == [(0,)]
    assert "2 recipients being attempted now" in order(kit, record, Verb.HOLD)


def test_two_operators_who_want_two_ends_are_both_told_the_truth() -> None:
    kit, transport, record = attempted("a@one.example", "b@two.example")
    order(kit, record, Verb.REMOVE)
    order(kit, record, Verb.BOUNCE, only=Selection(recipient=patterns(["a@one.example"])))
    assert [(each.verb, each.positions) for each in intents(kit, record)] == [("remove", (1,)), ("bounce", (0,))]
    for pending in list(transport.pending):
        pending.finish(busy)
    (report,) = kit.told(Reported)
    assert report.recipients == ("a@one.example",)


def test_what_a_killed_message_waits_for_is_told() -> None:
    kit, _, record = attempted()
    order(kit, record, Verb.REROUTE, to=HOSTS)
    order(kit, record, Verb.REMOVE)
    stored = kit.stored(record)
    assert stored is not None
    told = waits_for(stored, 0.0, runs=False)
    assert told.endswith("ordered during it: reroute to relay.example:25 (1 recipient), then remove (1 recipient).")
    held = waits_for(attrs.evolve(stored, held="looked at"), 0.0)
    assert held.startswith("It is held: looked at. Nothing is attempted until it is released. What was ordered during")


def test_of_a_message_that_is_held_since_it_is_carried_out_at_the_start_too() -> None:
    """As an order for a held message is that nobody works on; what is sent another way stays held."""
    kit, _, record = attempted("a@one.example", "b@two.example")
    order(kit, record, Verb.REROUTE, to=HOSTS)
    order(kit, record, Verb.REMOVE, only=Selection(recipient=patterns(["a@one.example"])))
    order(kit, record, Verb.HOLD)
    after, hosts = ManualTransport(), ScriptedTransport()
    again = killed(kit, after, hosts)
    stored = again.stored(record)
    assert stored is not None
    assert [(each.progress, each.detour) for each in stored.recipients] == [
        (Progress.REMOVED, HOSTS),
        (Progress.WAITING, HOSTS),
    ]
    assert (stored.intents, stored.held != "", after.started, len(hosts.attempts)) == ((), True, 0, 0)


@pytest.mark.parametrize("verb", [Verb.REMOVE, Verb.BOUNCE, Verb.REROUTE])
def test_a_kill_between_an_outcome_and_what_was_ordered_delays_it_no_longer_than_the_next_start(verb: Verb) -> None:
    """The recipient is not due for five minutes; what waited for the attempt alone is carried out at once."""
    transport, spool = ManualTransport(), Interrupted()
    kit = make_kit({"mx": transport, "smarthost": ManualTransport()}, routes=ROUTES, config=SLOW, spool=spool)
    record = kit.send("bob@example.com")
    order(kit, record, verb, to=HOSTS)
    spool.steps = 1
    transport.pending[0].finish(busy)
    (left,) = kit.all_stored()
    assert (len(left.intents), left.recipients[0].due - kit.clock.seconds()) == (1, 300.0)
    spool.steps = 100
    again = killed(kit, ManualTransport(), ScriptedTransport())
    again.clock.advance(1)
    assert again.stored(record) is None


def test_what_was_ordered_for_nobody_who_waits_is_never_due() -> None:
    kit, transport, record = attempted()
    transport.pending[0].finish(busy)
    stored = kit.stored(record)
    assert stored is not None
    for positions in ((1,), (-1,), ()):
        odd = attrs.evolve(stored, intents=(Intent(verb="remove", positions=positions),))
        assert odd.due == stored.due
        assert attrs.evolve(odd, held="looked at").due == float("inf")


def test_nothing_is_kept_of_it_when_the_attempt_has_delivered() -> None:
    kit, transport, record = attempted("a@one.example", "b@two.example")
    order(kit, record, Verb.BOUNCE)
    assert [each.positions for each in intents(kit, record)] == [(0, 1)]
    transport.pending[0].finish()
    assert [each.positions for each in intents(kit, record)] == [(1,)]
    transport.pending[0].finish(busy)
    assert kit.stored(record) is None
    (report,) = kit.told(Reported)
    assert [event.recipients for event in kit.told(Operated)] == [(), ("b@two.example",)]
    assert report.kind == "failure"


def test_what_is_ordered_again_and_again_is_kept_once_and_of_two_ways_the_later_one() -> None:
    kit, transport, record = attempted()
    for to in (HOSTS, OTHERS, HOSTS, OTHERS):
        order(kit, record, Verb.REROUTE, to=to)
    assert [each.to for each in intents(kit, record)] == [OTHERS]
    for _ in range(3):
        order(kit, record, Verb.BOUNCE, reason="first")
        order(kit, record, Verb.REMOVE, reason="second")
    assert [(each.verb, each.reason) for each in intents(kit, record)] == [("reroute", ""), ("remove", "second")]
    transport.pending[0].finish(busy)
    assert kit.stored(record) is None
    assert kit.told(Reported) == []


def test_an_order_for_the_stopped_queue_replaces_another_way_that_waited() -> None:
    kit, _, record = attempted()
    order(kit, record, Verb.REROUTE, to=HOSTS)
    stored = kit.stored(record)
    assert stored is not None
    step = operate(stored, Order(verb=Verb.REROUTE, to=OTHERS), now=1.0)
    assert step.record.intents == ()
    assert step.record.recipients[0].detour == OTHERS


def test_what_was_removed_so_goes_into_the_trash_and_comes_back_without_the_order() -> None:
    kit, _, record = attempted()
    order(kit, record, Verb.REMOVE, keep=True)
    stored = kit.stored(record)
    assert stored is not None
    ripe = ripe_order(stored, frozenset())
    assert ripe is not None
    aside = operate(stored, ripe, now=1.0).aside
    assert aside is not None
    assert aside.put is not None
    kept = aside.put.record
    assert (kept.intents, kept.recipients[0].progress) == ((), Progress.WAITING)


@pytest.mark.parametrize("positions", [(1,), (-1,), (0,)])
def test_what_can_reach_nobody_is_never_ripe(positions: tuple[int, ...]) -> None:
    """A record may come from elsewhere; position 0 is being attempted."""
    kit, _, record = attempted()
    stored = kit.stored(record)
    assert stored is not None
    odd = Record(
        queue_id="q",
        envelope=stored.envelope,
        arrived=0.0,
        recipients=stored.recipients,
        intents=(Intent(verb="remove", positions=positions),),
    )
    assert ripe_order(odd, {0}) is None
