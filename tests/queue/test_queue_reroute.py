"""Recipients are sent another way than the table says, wherever their message stands, and back; restarts keep it."""

from pathlib import Path

import attrs
import pytest
from queue_kit import DEFAULTS, Kit, busy, make_kit, make_record, run

from relaygw.config.schema import MatchConfig, RouteConfig
from relaygw.core.events import Operated
from relaygw.core.orders import Order, Verb
from relaygw.core.record import Detour, Record
from relaygw.core.selection import Selection, patterns
from relaygw.queue.operations import Done
from relaygw.spool.memory import MemorySpool
from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.transport import ManualTransport, ScriptedTransport

BACKUP = Detour(route="backup")
HOSTS = Detour(hosts=("relay.example:25", "192.0.2.1"))
ROUTES = (
    RouteConfig(transport="mx", name="backup", match=MatchConfig(listener=("never",)), parameters={"by": "backup"}),
    RouteConfig(transport="mx"),
)


def reroute(kit: Kit, selection: Selection, to: Detour | None) -> list[Done]:
    return list(run(kit.queue.operations.order_all(selection, Order(verb=Verb.REROUTE, to=to))))


def only(record: Record) -> Selection:
    return Selection(ids=frozenset({record.queue_id}))


@pytest.fixture
def idle() -> tuple[Kit, ScriptedTransport, ScriptedTransport, Record]:
    """Two recipients were put off; hosts of a reroute are another transport's."""
    table, hosts = ScriptedTransport(lambda _, recipient: busy(recipient)), ScriptedTransport()
    kit = make_kit({"mx": table, "smarthost": hosts}, routes=ROUTES)
    return kit, table, hosts, kit.send("bob@example.com", "eve@example.net")


def test_only_those_that_are_meant_go_the_other_way_and_at_once(idle) -> None:  # type: ignore[no-untyped-def]
    kit, _, hosts, sent = idle
    (done,) = reroute(kit, Selection(recipient=patterns(["example.net"])), HOSTS)
    assert done.message == "rerouted to relay.example:25, 192.0.2.1: 1 recipient"
    kit.clock.advance(0)
    (attempt,) = hosts.attempts
    assert [str(state.address) for state in attempt.recipients] == ["eve@example.net"]
    assert dict(attempt.route.parameters) == {"hosts": ("relay.example:25", "192.0.2.1")}
    assert [str(state.address) for state in kit.stored(sent).waiting] == ["bob@example.com"]
    (event,) = kit.told(Operated)
    assert (event.verb, event.to, event.recipients) == ("reroute", str(HOSTS), ("eve@example.net",))


def test_a_named_route_is_that_of_the_table(idle) -> None:  # type: ignore[no-untyped-def]
    kit, table, _, sent = idle
    before = len(table.attempts)
    reroute(kit, only(sent), BACKUP)
    kit.clock.advance(0)
    assert {attempt.route.name for attempt in table.attempts[before:]} == {"backup"}
    assert {state.detour for state in kit.stored(sent).recipients} == {BACKUP}, "a deferral forgot it"
    assert "It is rerouted to route backup." in run(kit.queue.operations.why(sent.queue_id))


def test_the_way_back(idle) -> None:  # type: ignore[no-untyped-def]
    kit, table, _, sent = idle
    reroute(kit, only(sent), BACKUP)
    kit.clock.advance(0)
    (done,) = reroute(kit, only(sent), None)
    assert done.message == "routed by the table again: 2 recipients"
    kit.clock.advance(0)
    assert table.attempts[-1].route.name == "route 2"
    assert {state.detour for state in kit.stored(sent).recipients} == {None}


def test_a_route_that_is_no_more_puts_mail_off_and_says_so(idle) -> None:  # type: ignore[no-untyped-def]
    kit, table, _, sent = idle
    before = len(table.attempts)
    reroute(kit, only(sent), Detour(route="gone"))
    kit.clock.advance(0)
    assert len(table.attempts) == before
    why = run(kit.queue.operations.why(sent.queue_id))
    assert "no route" in why
    assert "rerouted to route gone" in why


def test_who_stands_in_line_for_a_stuck_destination_goes_the_other_way_at_once() -> None:
    stuck, hosts = ManualTransport(), ScriptedTransport()
    config = attrs.evolve(DEFAULTS, destination_concurrency=1, initial_destination_concurrency=1)
    kit = make_kit({"mx": stuck, "smarthost": hosts}, routes=ROUTES, config=config)
    sent = [kit.send("bob@example.com") for _ in range(8)]  # one at work, some in line, some parked
    states = {run(kit.queue.operations.show(record.queue_id)).state for record in sent}  # type: ignore[union-attr]
    assert states == {"active", "in line", "parked"}
    done = reroute(kit, Selection(), HOSTS)
    assert [each.done for each in done] == [True] * 8
    kit.clock.advance(0)
    assert len(hosts.attempts) == 7
    assert [kit.stored(record) is None for record in sent] == [False] + [True] * 7
    assert "being attempted now" in done[0].message
    stuck.pending[0].finish(busy)
    kit.clock.advance(1)
    assert kit.stored(sent[0]) is None, "when its attempt had failed it was to go the other way"
    assert len(stuck.pending) == 0
    follower = kit.send("bob@example.com")
    assert len(stuck.pending) == 1, "places of those who left the line are still taken"
    stuck.pending[0].finish()
    assert kit.stored(follower) is None


def test_a_reroute_survives_a_restart(tmp_path: Path) -> None:
    def opened() -> SqliteSpool:
        spool = SqliteSpool(str(tmp_path), None)
        spool.open()
        return spool

    kit = make_kit(ScriptedTransport(), spool=opened(), start=False, routes=ROUTES)
    record = make_record(kit.clock, "bob@example.com")
    kit.commit(record, claimed=False)
    reroute(kit, only(record), HOSTS)
    run(kit.spool.close())
    hosts = ScriptedTransport()
    again = make_kit({"mx": ScriptedTransport(), "smarthost": hosts}, spool=opened(), routes=ROUTES, clock=kit.clock)
    kit.clock.advance(1)
    assert len(hosts.attempts) == 1
    run(again.spool.close())


def test_a_held_message_is_rerouted_and_stays_held() -> None:
    kit = make_kit({"mx": ScriptedTransport(), "smarthost": ScriptedTransport()}, spool=MemorySpool())
    record = make_record(kit.clock, "bob@example.com", held="a look")
    kit.commit(record, claimed=False)
    (done,) = reroute(kit, Selection(held=True), HOSTS)
    assert done.message.endswith("; held: a look")
    assert kit.stored(record).held == "a look"  # type: ignore[union-attr]
