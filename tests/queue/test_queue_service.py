"""The queue service on a Clock: fresh mail goes out at once, deferred mail later, and every end is recorded once."""

from typing import Any

import attrs
import pytest
from queue_kit import CONTENT, START, Kit, busy, make_kit, make_record, refused, run
from twisted.internet.defer import CancelledError, Deferred

from relaygw.config.schema import MatchConfig, QueueConfig, RouteConfig
from relaygw.core.address import Address
from relaygw.core.envelope import Recipient
from relaygw.core.events import Accepted, Attempted, Completed, Reported, TaskFailed, Unreported
from relaygw.core.header_match import NOTHING, Found
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Origin, Progress, Record, Route
from relaygw.core.reply import Reply
from relaygw.core.routing import Routing, compile_routes
from relaygw.interfaces import Attempt, ITransport, Settlement, SpoolError
from relaygw.spool.memory import MemorySpool
from relaygw.testing.transport import ManualTransport, ScriptedTransport, delivered, in_turn


def test_a_fresh_message_is_delivered_at_once_and_leaves_the_spool() -> None:
    transport = ScriptedTransport()
    kit = make_kit(transport)
    record = kit.send("bob@example.com")
    (attempt,) = transport.attempts
    assert b"".join(attempt.content.chunks()) == CONTENT
    assert kit.stored(record) is None
    assert [type(event) for event in kit.events] == [Attempted, Completed]
    assert {event.queue_id for event in kit.events} == {record.queue_id}
    assert kit.queue.counts == {"active": 0, "parked": 0, "attempts": 0}


def test_a_fresh_message_is_not_read_again_from_the_spool() -> None:
    class Unread(MemorySpool):
        async def content(self, queue_id: str) -> None:
            raise AssertionError("read again")

    transport = ScriptedTransport()
    kit = make_kit(transport, spool=Unread())
    kit.send("bob@example.com")
    assert len(transport.attempts) == 1


def test_a_deferred_message_is_tried_again_when_it_is_due_and_not_before() -> None:
    transport = ScriptedTransport(in_turn([busy]))
    kit = make_kit(transport, config=QueueConfig(retry=(300.0,)))
    record = kit.send("bob@example.com")
    stored = kit.stored(record)
    assert stored is not None
    assert stored.due == START + 300
    kit.clock.advance(299.9)
    assert len(transport.attempts) == 1
    kit.clock.advance(0.1)
    assert len(transport.attempts) == 2
    assert kit.stored(record) is None
    first, second = kit.told(Attempted)
    assert (first.attempts, first.next_due) == (1, START + 300)
    assert (second.attempts, second.next_due) == (2, None)


def test_an_idle_queue_asks_nothing_of_clock_and_spool() -> None:
    kit = make_kit(ScriptedTransport())
    kit.send("bob@example.com")
    kit.clock.advance(1000)  # the last claim's renewal finds nothing
    assert kit.clock.getDelayedCalls() == []


def test_recipients_of_one_destination_travel_together_and_the_others_apart() -> None:
    transport = ScriptedTransport()
    kit = make_kit(transport)
    kit.send("a@one.example", "b@two.example", "c@one.example")
    travelled = [sorted(str(state.address) for state in attempt.recipients) for attempt in transport.attempts]
    assert sorted(travelled) == [["a@one.example", "c@one.example"], ["b@two.example"]]


def test_recipients_of_different_routes_travel_apart_with_their_parameters() -> None:
    local, mx = ScriptedTransport(), ScriptedTransport()
    routes = (
        RouteConfig(transport="maildir", name="here", match=MatchConfig(recipient=("here.example",))),
        RouteConfig(transport="mx", parameters={"tls": "encrypt"}),
    )
    kit = make_kit({"maildir": local, "mx": mx}, routes=routes)
    kit.send("a@here.example", "b@there.example")
    assert [attempt.route.name for attempt in local.attempts] == ["here"]
    assert [attempt.route.parameters for attempt in mx.attempts] == [(("tls", "encrypt"),)]


def test_outcomes_of_groups_that_end_at_different_times_are_all_kept() -> None:
    transport = ManualTransport()
    kit = make_kit(transport)
    record = kit.send("a@one.example", "b@two.example", "c@three.example")
    one, two, three = list(transport.pending)
    two.finish()
    stored = kit.stored(record)
    assert stored is not None
    assert [state.progress for state in stored.recipients] == [Progress.WAITING, Progress.DELIVERED, Progress.WAITING]
    one.finish(busy)
    three.finish()
    stored = kit.stored(record)
    assert stored is not None
    assert [state.progress for state in stored.recipients] == [
        Progress.WAITING,
        Progress.DELIVERED,
        Progress.DELIVERED,
    ]
    assert stored.recipients[0].attempts == 1


def test_a_refused_recipient_is_reported_in_a_message_that_is_delivered_too() -> None:
    transport = ScriptedTransport(in_turn([refused]))
    kit = make_kit(transport)
    record = kit.send("bob@example.com")
    kit.clock.advance(0)
    report = transport.attempts[1]
    assert report.record.envelope.sender is None
    assert [str(state.address) for state in report.recipients] == ["alice@example.org"]
    assert report.record.origin is Origin.REPORT
    assert kit.all_stored() == ()
    (reported,) = kit.told(Reported)
    assert (reported.queue_id, reported.kind) == (record.queue_id, "failure")
    assert reported.report_id == report.record.queue_id == kit.told(Accepted)[0].queue_id


def test_a_double_bounce_goes_to_the_postmaster_and_ends_there() -> None:
    transport = ScriptedTransport(in_turn([refused, refused, refused]))
    kit = make_kit(transport)
    kit.send("bob@example.com")
    kit.clock.advance(0)
    assert kit.all_stored() == ()
    assert [event.kind for event in kit.told(Reported)] == ["failure", "double"]
    notice = transport.attempts[-1].record
    assert [str(state.address) for state in notice.recipients] == ["postmaster@mail.example.net"]
    assert (notice.envelope.sender, notice.origin) == (None, Origin.LOCAL)
    assert [event.recipients for event in kit.told(Unreported)] == [("postmaster@mail.example.net",)]


def test_a_double_bounce_that_was_on_its_way_to_the_postmaster_is_only_journaled() -> None:
    kit = make_kit(ScriptedTransport(in_turn([refused, refused])))
    kit.send("bob@example.com", sender="postmaster@mail.example.net")
    kit.clock.advance(0)
    assert kit.all_stored() == ()
    assert [event.kind for event in kit.told(Reported)] == ["failure"]
    assert [event.recipients for event in kit.told(Unreported)] == [("postmaster@mail.example.net",)]


class Crash(Exception):
    """What a broken plugin might raise."""


def crash(recipient: Address) -> Outcome:
    raise Crash("deep inside")


def test_a_transport_that_raises_defers_and_is_journaled() -> None:
    kit = make_kit(ScriptedTransport(in_turn([crash])))
    record = kit.send("bob@example.com")
    (attempted,) = kit.told(Attempted)
    assert (attempted.outcome.status, attempted.outcome.reply.enhanced) == (Status.DEFERRED, "4.3.0")
    assert "deep inside" not in str(attempted.outcome.reply)
    (failure,) = kit.told(TaskFailed)
    assert "Crash: deep inside" in failure.error
    assert failure.queue_id == record.queue_id
    assert kit.stored(record) is not None


@pytest.mark.parametrize("where", ["deliver", "destination"])
def test_a_transport_that_raises_before_it_answers_defers_too(where: str) -> None:
    class Broken(ScriptedTransport):
        """Its methods are plain functions."""

    def explode(*_: object) -> object:
        raise Crash("at once")

    setattr(Broken, where, explode)
    kit = make_kit(Broken())
    record = kit.send("bob@example.com")
    assert [event.outcome.status for event in kit.told(Attempted)] == [Status.DEFERRED]
    assert len(kit.told(TaskFailed)) == 1
    stored = kit.stored(record)
    assert stored is not None
    assert stored.due > START


@pytest.mark.parametrize(
    "answer",
    [
        (),
        (delivered(Address("x", "example.org")),),
        (delivered(Address("a", "example.com")), delivered(Address("x", "example.org"))),
        None,
        ("nonsense",),
    ],
)
def test_wrong_answers_of_a_transport_defer_whom_they_forget(answer: object) -> None:
    class Wrong(ScriptedTransport):
        async def deliver(self, attempt: Attempt) -> object:
            return answer

    kit = make_kit(Wrong())
    kit.send("a@example.com", "b@example.com")
    statuses = {str(event.outcome.recipient): event.outcome.status for event in kit.told(Attempted)}
    known = isinstance(answer, tuple) and len(answer) == 2
    assert statuses == {
        "a@example.com": Status.DELIVERED if known else Status.DEFERRED,
        "b@example.com": Status.DEFERRED,
    }
    assert len(kit.told(TaskFailed)) == 1


def test_outcomes_in_another_order_reach_their_recipients() -> None:
    class Backwards(ScriptedTransport):
        async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
            a, b = (state.address for state in attempt.recipients)
            return (busy(b), delivered(a))

    kit = make_kit(Backwards())
    record = kit.send("a@example.com", "b@example.com")
    stored = kit.stored(record)
    assert stored is not None
    assert [state.progress for state in stored.recipients] == [Progress.DELIVERED, Progress.WAITING]
    assert kit.told(TaskFailed) == []


def test_a_message_without_a_route_waits_and_the_journal_says_why() -> None:
    kit = make_kit(ScriptedTransport(), routes=(RouteConfig(transport="missing"),))
    record = kit.send("bob@example.com")
    (attempted,) = kit.told(Attempted)
    assert attempted.outcome.reply.enhanced == "4.3.5"
    assert "missing" in kit.told(TaskFailed)[0].error
    assert kit.stored(record) is not None


def test_an_attempt_that_takes_too_long_is_cancelled_and_deferred() -> None:
    transport = ManualTransport()
    kit = make_kit(transport, config=QueueConfig(attempt_timeout=60.0))
    record = kit.send("bob@example.com")
    kit.clock.advance(59)
    assert len(transport.pending) == 1
    kit.clock.advance(1)
    assert transport.pending == []
    stored = kit.stored(record)
    assert stored is not None
    assert stored.recipients[0].attempts == 1
    assert kit.queue.counts["attempts"] == 0


def test_a_transport_that_ignores_its_cancellation_is_given_up_a_little_later() -> None:
    transport = ManualTransport(deaf=True)
    kit = make_kit(transport, config=QueueConfig(attempt_timeout=60.0))
    record = kit.send("bob@example.com")
    kit.clock.advance(60)
    assert kit.told(Attempted) == []
    kit.clock.advance(10)
    assert [event.outcome.status for event in kit.told(Attempted)] == [Status.DEFERRED]
    stored = kit.stored(record)
    assert stored is not None
    assert stored.recipients[0].attempts == 1


def test_claims_of_long_attempts_are_lengthened_so_that_nobody_else_gets_them() -> None:
    transport = ManualTransport()
    kit = make_kit(transport, config=QueueConfig(attempt_timeout=3600.0))
    kit.send("bob@example.com")
    for _ in range(30):
        kit.clock.advance(100)
        assert run(kit.spool.claim(kit.clock.seconds(), kit.clock.seconds() + 1, 10)) == ()
    assert transport.started == 1
    transport.pending[0].finish()
    assert kit.all_stored() == ()


def test_what_a_given_up_attempt_says_later_is_not_believed() -> None:
    class Late(ScriptedTransport):
        """Goes on after its cancellation."""

        answers: list[Deferred[tuple[Outcome, ...]]] = []

        async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
            try:
                return await Deferred()
            except CancelledError:
                late: Deferred[tuple[Outcome, ...]] = Deferred()
                self.answers.append(late)
                return await late

    kit = make_kit(Late(), config=QueueConfig(attempt_timeout=60.0, retry=(1000.0,)))
    records = [kit.send("a@example.com"), kit.send("b@example.com")]
    kit.clock.pump([60.0, 10.0])
    Late.answers[0].callback((delivered(records[0].recipients[0].address),))
    Late.answers[1].errback(Crash("late"))
    assert len(kit.told(Attempted)) == 2
    assert len(kit.told(TaskFailed)) == 4  # both: too long, and did not end when cancelled
    assert [state.attempts for record in kit.all_stored() for state in record.recipients] == [1, 1]


def test_a_claim_that_ran_out_under_a_failing_spool_does_not_start_the_record_twice() -> None:
    class NoRenewal(MemorySpool):
        async def renew(self, queue_ids: object, lease: float) -> None:
            raise SpoolError("I/O error")

    transport = ManualTransport()
    kit = make_kit(transport, spool=NoRenewal(), config=QueueConfig(attempt_timeout=3600.0, retry=(500.0,)))
    bob, eve = kit.send("bob@example.com"), kit.send("eve@example.com")
    transport.pending[1].finish(busy)
    kit.clock.pump([100.0] * 5)  # eve falls due; the claim on bob has run out
    assert [pending.attempt.record.queue_id for pending in transport.pending] == [bob.queue_id, eve.queue_id]
    transport.pending[0].finish()
    transport.pending[0].finish()
    assert kit.all_stored() == ()


def test_the_spool_failing_at_settlement_keeps_the_outcome_and_never_delivers_again_meanwhile() -> None:
    spool = MemorySpool()
    transport = ManualTransport()
    kit = make_kit(transport, spool=spool)
    record = kit.send("bob@example.com")
    spool.broken = "disk full"
    transport.pending[0].finish()
    for _ in range(10):
        kit.clock.advance(60)
    assert transport.started == 1
    assert "disk full" in kit.told(TaskFailed)[0].error
    spool.broken = ""
    assert kit.stored(record) is not None
    kit.clock.advance(60)
    assert kit.stored(record) is None
    assert transport.started == 1
    assert len(kit.told(Completed)) == 1


class LosesAnswers(MemorySpool):
    """Stores a settlement with a report and says that it failed, once."""

    lost = False

    async def settle(self, settlement: Settlement) -> None:
        await super().settle(settlement)
        if settlement.added and not self.lost:
            self.lost = True
            raise SpoolError("the answer is lost")


def test_a_report_is_made_once_also_where_its_settlement_is_stored_and_said_to_have_failed() -> None:
    spool, transport = LosesAnswers(), ManualTransport()
    kit = make_kit(transport, spool=spool)
    kit.send("bob@example.com", "carol@elsewhere.example")
    transport.pending[0].finish(refused)
    transport.pending[0].finish(busy)
    kit.clock.advance(60)
    assert spool.lost
    assert len(kit.told(Reported)) == 1
    assert len([record for record in kit.all_stored() if record.origin is Origin.REPORT]) == 1


def test_a_failing_spool_is_asked_again_for_due_records() -> None:
    spool = MemorySpool()
    transport = ScriptedTransport()
    kit = make_kit(transport, spool=spool, start=False)
    kit.commit(make_record(kit.clock, "bob@example.com"), claimed=False)
    spool.broken = "I/O error"
    kit.queue.startService()
    kit.clock.advance(100)
    spool.broken = ""
    kit.clock.pump([1] * 130)
    assert len(transport.attempts) == 1


def test_what_lay_in_the_spool_is_delivered_after_a_start() -> None:
    transport = ScriptedTransport()
    kit = make_kit(transport, start=False)
    for number in range(250):
        kit.commit(make_record(kit.clock, "bob@example.com", random=number), claimed=False)
    kit.queue.startService()
    kit.clock.advance(0)
    assert len(transport.attempts) == 250
    assert kit.all_stored() == ()


def test_held_messages_are_not_attempted() -> None:
    transport = ScriptedTransport()
    kit = make_kit(transport)
    record = kit.send("bob@example.com", held="suspicious")
    kit.clock.advance(10_000_000)
    assert transport.attempts == []
    assert kit.stored(record) is not None


class TestConcurrency:
    """How much runs at once, and how much is kept in memory."""

    def test_one_destination_gets_no_more_than_its_share_and_the_next_starts_when_one_ends(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(destination_concurrency=2))
        for _ in range(3):
            kit.send("bob@example.com")
        assert len(transport.pending) == 2
        transport.pending[0].finish()
        assert len(transport.pending) == 2
        assert transport.started == 3

    def test_the_total_is_kept_and_destinations_take_turns(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(concurrency=3, destination_concurrency=3))
        for name in ("a", "b", "c"):
            kit.send(f"{name}@busy.example")
        for _ in range(2):
            kit.send("d@busy.example")
        kit.send("e@calm.example")
        transport.pending[0].finish()
        transport.pending[0].finish()
        domains = [pending.attempt.recipients[0].address.domain for pending in transport.pending]
        assert domains == ["busy.example", "calm.example", "busy.example"]

    def test_memory_is_bounded_and_what_does_not_fit_is_delivered_later(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(concurrency=4, destination_concurrency=2))
        for number in range(100):
            kit.send(f"u{number}@d{number % 9}.example")
            counts = kit.queue.counts
            assert counts["active"] <= 8
            assert counts["attempts"] <= 4
        assert kit.queue.counts["parked"] == 92
        seen = 0
        while transport.pending:
            transport.pending[0].finish()
            kit.clock.advance(0)
            seen += 1
            assert kit.queue.counts["active"] <= 8
        assert seen == 100
        assert kit.all_stored() == ()

    def test_a_slow_destination_does_not_keep_the_others_waiting(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(concurrency=20, destination_concurrency=2), start=False)
        for number in range(60):
            kit.commit(make_record(kit.clock, "bob@slow.example", random=number), claimed=False)
        kit.commit(make_record(kit.clock, "bob@fast.example", random=1000), claimed=False)
        kit.queue.startService()
        domains = [pending.attempt.recipients[0].address.domain for pending in transport.pending]
        assert domains == ["slow.example", "slow.example", "fast.example"]


class TestStop:
    """stopService drains in bounded time and leaves the spool exact."""

    def test_it_waits_for_running_attempts_and_records_them(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport)
        kit.send("bob@example.com")
        stopped = kit.queue.stopService()
        assert not stopped.called
        transport.pending[0].finish()
        run(stopped)
        assert kit.all_stored() == ()
        assert transport.stopped

    def test_after_the_time_to_drain_it_cancels_and_gives_the_claims_back_unchanged(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(drain_timeout=30.0, destination_concurrency=1))
        records = [kit.send("bob@example.com") for _ in range(6)]
        stopped = kit.queue.stopService()
        kit.clock.advance(29)
        assert not stopped.called
        kit.clock.advance(1)
        run(stopped)
        assert transport.pending == []
        assert set(kit.all_stored()) == set(records)
        assert len(run(kit.spool.claim(kit.clock.seconds(), kit.clock.seconds() + 1, 10))) == 6
        assert kit.clock.getDelayedCalls() == []

    def test_a_transport_that_never_ends_cannot_hold_the_stop(self) -> None:
        transport = ManualTransport(deaf=True)
        kit = make_kit(transport, config=QueueConfig(drain_timeout=30.0))
        sent = kit.send("bob@example.com")
        stopped = kit.queue.stopService()
        kit.clock.pump([30.0, 4.9])
        assert not stopped.called
        kit.clock.advance(0.1)
        run(stopped)
        assert kit.stored(sent) is not None

    def test_a_spool_that_fails_cannot_hold_the_stop_and_the_journal_tells(self) -> None:
        spool = MemorySpool()
        transport = ManualTransport()
        kit = make_kit(transport, spool=spool)
        kit.send("bob@example.com")
        spool.broken = "disk full"
        transport.pending[0].finish()
        run(kit.queue.stopService())
        assert "disk full" in kit.told(TaskFailed)[-1].error

    def test_offers_after_the_stop_are_given_back(self) -> None:
        transport = ScriptedTransport()
        kit = make_kit(transport)
        run(kit.queue.stopService())
        record = kit.send("bob@example.com")
        assert transport.attempts == []
        assert run(kit.spool.claim(kit.clock.seconds(), kit.clock.seconds() + 1, 10)) == (record,)


def reconfigure(kit: Kit, transport: ITransport) -> None:
    """Give the queue another transport under the same name."""
    kit.queue.reconfigure(
        transports={"mx": transport},
        routing=compile_routes((RouteConfig(transport="mx"),)),
        config=QueueConfig(retry=(300.0,)),
    )


def test_new_settings_apply_to_what_comes_after_and_the_old_transport_is_stopped() -> None:
    old, new = ScriptedTransport(in_turn([busy])), ScriptedTransport()
    kit = make_kit(old, config=QueueConfig(retry=(300.0,)))
    kit.send("bob@example.com")
    reconfigure(kit, new)
    assert old.stopped
    kit.clock.advance(300)
    assert len(new.attempts) == 1
    run(kit.queue.stopService())
    assert new.stopped


def test_a_replaced_transport_ends_its_attempts_before_it_is_stopped() -> None:
    old = ManualTransport()
    kit = make_kit(old)
    kit.send("bob@example.com")
    reconfigure(kit, ScriptedTransport())
    assert not old.stopped
    old.pending[0].finish()
    assert old.stopped
    assert kit.all_stored() == ()


def test_a_transport_that_stays_is_not_stopped() -> None:
    transport = ScriptedTransport()
    kit = make_kit(transport)
    reconfigure(kit, transport)
    assert not transport.stopped


def test_an_unreadable_record_is_left_for_later() -> None:
    class Unreadable(MemorySpool):
        fail = True

        async def content(self, queue_id: str):  # type: ignore[no-untyped-def]  # as inherited
            if self.fail:
                raise SpoolError("bad sector")
            return await super().content(queue_id)

    spool = Unreadable()
    transport = ScriptedTransport()
    kit = make_kit(transport, spool=spool, start=False)
    kit.commit(make_record(kit.clock, "bob@example.com"), claimed=False)
    kit.queue.startService()
    kit.clock.advance(0)
    assert transport.attempts == []
    spool.fail = False
    kit.clock.pump([1.0] * 60)
    assert len(transport.attempts) == 1


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("reply", ["ok", None, Reply(550, None, "no"), Reply(550, "", b"no")])  # type: ignore[arg-type]
def test_outcomes_of_wrong_types_hold_up_nothing(status: Status, reply: Any) -> None:
    def answer(address: Address) -> Outcome:
        return Outcome(recipient=address, status=status, reply=reply)

    transport = ScriptedTransport(in_turn([answer]))
    kit = make_kit(transport, config=QueueConfig(retry=(300.0,)))
    record = kit.send("bob@example.com")
    assert kit.queue.counts == {"active": 0, "parked": 0, "attempts": 0}
    assert kit.told(TaskFailed)
    kit.clock.advance(300)
    assert len(transport.attempts) == (1 if status is Status.DELIVERED else 2)
    assert kit.stored(record) is None


@attrs.frozen
class Breaking(Routing):
    """Breaks in a way nobody foresees for recipients called "poison", as long as `broken` says so."""

    broken: list[bool] = attrs.field(factory=lambda: [True])

    def choose(self, record: Record, recipient: Recipient, found: Found = NOTHING) -> Route | None:
        if self.broken[0] and recipient.address.local == "poison":
            raise RuntimeError("poisoned")
        return super().choose(record, recipient, found)


def breaking_kit(transport: ITransport) -> tuple[Kit, Breaking]:
    kit = make_kit(transport)
    routing = Breaking(compile_routes((RouteConfig(transport="mx", match=MatchConfig()),)).rules)
    kit.queue.reconfigure(transports={"mx": transport}, routing=routing, config=QueueConfig())
    return kit, routing


def test_a_message_whose_offer_fails_is_found_when_its_claim_has_ended() -> None:
    transport = ScriptedTransport()
    kit, routing = breaking_kit(transport)
    with pytest.raises(RuntimeError):
        kit.send("poison@example.com")
    routing.broken[0] = False
    kit.clock.advance(kit.queue.lease - 1)
    assert transport.attempts == []
    kit.clock.advance(2)
    assert len(transport.attempts) == 1
    assert kit.all_stored() == ()


def test_a_record_that_breaks_the_plan_holds_up_no_other_and_comes_again() -> None:
    transport = ScriptedTransport()
    kit, routing = breaking_kit(transport)
    kit.commit(make_record(kit.clock, "poison@example.com", random=1), claimed=False)
    kit.commit(make_record(kit.clock, "bob@example.com", random=2), claimed=False)
    kit.queue._claims.look()
    assert len(transport.attempts) == 1
    assert [event.error for event in kit.told(TaskFailed) if "poisoned" in event.error]
    routing.broken[0] = False
    kit.clock.advance(kit.queue.lease + 1)
    assert len(transport.attempts) == 2
    assert kit.all_stored() == ()
