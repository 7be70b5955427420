"""What operators do: on messages that lie idle, on those in the queue's hands, and on a spool without any queue."""

import pytest
from queue_kit import START, Kit, busy, make_kit, make_record, run
from twisted.internet.defer import Deferred

from relaygw.config.schema import QueueConfig
from relaygw.core.events import Accepted, Completed, Operated, Reported
from relaygw.core.orders import Order, Verb
from relaygw.core.record import Origin, Progress, Record
from relaygw.core.selection import Selection, patterns
from relaygw.interfaces import Settlement
from relaygw.queue.operations import Done, Operations
from relaygw.queue.reports import reports_of
from relaygw.queue.traffic import schedule_of
from relaygw.spool.memory import MemorySpool
from relaygw.testing.transport import ManualTransport, ScriptedTransport, in_turn


def order(kit: Kit, record: Record, verb: Verb, reason: str = "") -> Done:
    return run(kit.queue.operations.order(record.queue_id, Order(verb=verb, reason=reason)))


def why(kit: Kit, record: Record) -> str:
    return run(kit.queue.operations.why(record.queue_id))


def state(kit: Kit, record: Record) -> str:
    listed = run(kit.queue.operations.show(record.queue_id))
    return listed.state if listed else ""


@pytest.fixture
def deferred_kit() -> tuple[Kit, Record]:
    """One message that was put off once and lies idle in the spool."""
    kit = make_kit(ScriptedTransport(in_turn([busy])), config=QueueConfig(retry=(300.0,)))
    return kit, kit.send("bob@example.com")


class TestIdle:
    """Messages that nobody works on."""

    def test_hold_keeps_it_and_release_lets_it_go_when_it_is_due(self, deferred_kit: tuple[Kit, Record]) -> None:
        kit, record = deferred_kit
        assert order(kit, record, Verb.HOLD, "odd") == Done(queue_id=record.queue_id, done=True, message="held: odd")
        kit.clock.advance(1000)
        assert kit.stored(record) is not None
        assert state(kit, record) == "held"
        assert why(kit, record) == "It is held: odd. Nothing is attempted until it is released."
        assert order(kit, record, Verb.RELEASE).done
        kit.clock.advance(0)
        assert kit.stored(record) is None
        assert [event.verb for event in kit.told(Operated)] == ["hold", "release"]

    def test_retry_attempts_it_at_once(self, deferred_kit: tuple[Kit, Record]) -> None:
        kit, record = deferred_kit
        assert order(kit, record, Verb.RETRY).message == "due now: 1 recipient"
        kit.clock.advance(0)
        assert kit.stored(record) is None

    def test_remove_ends_it_without_a_report(self, deferred_kit: tuple[Kit, Record]) -> None:
        kit, record = deferred_kit
        assert order(kit, record, Verb.REMOVE).message == "removed: 1 recipient"
        assert kit.all_stored() == ()
        assert kit.told(Reported) == []
        assert len(kit.told(Completed)) == 1

    def test_bounce_tells_the_sender(self, deferred_kit: tuple[Kit, Record]) -> None:
        kit, record = deferred_kit
        assert order(kit, record, Verb.BOUNCE, "wrong list").message == "returned to the sender: 1 recipient"
        (report,) = kit.all_stored()
        assert [str(state.address) for state in report.recipients] == ["alice@example.org"]
        assert b"wrong list" in b"".join(run(kit.spool.content(report.queue_id)).chunks())  # type: ignore[union-attr]  # it is there
        assert [event.queue_id for event in kit.told(Accepted)] == [report.queue_id]
        kit.clock.advance(0)
        assert kit.all_stored() == ()

    def test_it_says_what_it_waits_for(self, deferred_kit: tuple[Kit, Record]) -> None:
        kit, record = deferred_kit
        assert state(kit, record) == "waiting"
        assert why(kit, record) == (
            "Attempt 1 for <bob@example.com> was put off: mx.example said: 451 4.3.0 come back later. "
            "The next attempt is in 5 minutes."
        )

    def test_unknown_ids_are_told(self, deferred_kit: tuple[Kit, Record]) -> None:
        kit, _ = deferred_kit
        answer = run(kit.queue.operations.order("nonsense", Order(verb=Verb.RETRY)))
        assert (answer.done, answer.message) == (False, "there is no such message")
        assert run(kit.queue.operations.why("nonsense")) == ""
        assert run(kit.queue.operations.show("nonsense")) is None

    def test_what_another_process_holds_is_told(self, deferred_kit: tuple[Kit, Record]) -> None:
        kit, record = deferred_kit
        run(kit.spool.take(record.queue_id, kit.clock.seconds(), kit.clock.seconds() + 60))
        answer = order(kit, record, Verb.REMOVE)
        assert (answer.done, answer.message) == (False, "another process works on it: try again later")

    def test_a_failing_spool_is_told(self) -> None:
        spool = MemorySpool()
        kit = make_kit(ScriptedTransport(), spool=spool)
        record = kit.send("bob@example.com", held="odd")
        spool.broken = "I/O error"
        answer = order(kit, record, Verb.REMOVE)
        assert (answer.done, answer.message) == (False, "the spool failed: I/O error")


class Gated(MemorySpool):
    """The next settlement waits until the test opens its gate."""

    gate: Deferred[None] | None = None

    async def settle(self, settlement: Settlement) -> None:
        if self.gate is not None:
            gate, self.gate = self.gate, None
            await gate
        await super().settle(settlement)


class TestInHand:
    """Messages the queue works on: an order takes effect in its turn, and never disturbs an attempt."""

    def test_a_hold_applies_when_the_attempt_has_ended(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(retry=(300.0,)))
        record = kit.send("bob@example.com")
        assert state(kit, record) == "active"
        assert order(kit, record, Verb.HOLD, "odd").message == (
            "held: odd; 1 recipient being attempted now all the same"
        )
        transport.pending[0].finish(busy)
        kit.clock.advance(10_000)
        stored = kit.stored(record)
        assert stored is not None
        assert (stored.held, stored.recipients[0].attempts, transport.started) == ("odd", 1, 1)

    @pytest.mark.parametrize(("verb", "reports"), [(Verb.REMOVE, 0), (Verb.BOUNCE, 1)])
    def test_an_end_reaches_the_attempted_recipient_when_it_was_put_off(self, verb: Verb, reports: int) -> None:
        transport = ManualTransport()
        kit = make_kit(transport)
        record = kit.send("bob@example.com")
        answer = order(kit, record, verb)
        assert answer.done
        assert "when that ends without delivery" in answer.message
        assert kit.stored(record) is not None
        transport.pending[0].finish(busy)
        assert kit.stored(record) is None
        assert len(kit.told(Reported)) == reports

    def test_an_end_comes_too_late_for_a_delivery(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport)
        record = kit.send("bob@example.com")
        order(kit, record, Verb.BOUNCE)
        transport.pending[0].finish()
        assert kit.stored(record) is None
        assert kit.told(Reported) == []

    def test_remove_takes_the_others_out_at_once(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(concurrency=1))
        record = kit.send("a@one.example", "b@two.example")
        assert order(kit, record, Verb.REMOVE).message.startswith("removed: 1 recipient; 1 recipient being attempted")
        stored = kit.stored(record)
        assert stored is not None
        assert [state.progress for state in stored.recipients] == [Progress.WAITING, Progress.REMOVED]
        transport.pending[0].finish(busy)
        assert kit.stored(record) is None
        assert transport.started == 1

    def test_what_stands_in_line_can_be_held_before_its_turn(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(destination_concurrency=1))
        kit.send("a@example.com")
        record = kit.send("b@example.com")
        assert state(kit, record) == "in line"
        assert why(kit, record) == (
            "1 recipient in line: 1 attempts run by mx to example.com, 1 wait for it. "
            "Its configured limit of 1 at once is reached."
        )
        assert order(kit, record, Verb.HOLD).done
        transport.pending[0].finish()
        assert transport.started == 1
        assert order(kit, record, Verb.RELEASE).done
        kit.clock.advance(0)
        assert transport.started == 2

    def test_parked_messages_are_reached_too(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(destination_concurrency=1))
        records = [kit.send("a@example.com") for _ in range(5)]
        parked = [record for record in records if state(kit, record) == "parked"]
        assert len(parked) == 2
        assert why(kit, parked[0]).startswith("It waits behind others: 1 attempts run")
        assert order(kit, parked[0], Verb.REMOVE).done
        while transport.pending:
            transport.pending[0].finish()
        assert transport.started == 4
        assert kit.all_stored() == ()

    def test_the_running_attempt_is_told(self) -> None:
        kit = make_kit(ManualTransport())
        record = kit.send("bob@example.com")
        kit.clock.advance(12)
        assert why(kit, record) == "1 recipient being attempted by mx to example.com for 12 seconds."

    def test_a_late_settlement_is_told(self) -> None:
        class Full(MemorySpool):
            async def settle(self, settlement: object) -> None:
                raise OSError("disk full")

        transport = ManualTransport()
        kit = make_kit(transport, spool=Full())
        record = kit.send("bob@example.com")
        transport.pending[0].finish()
        assert "disk full" in why(kit, record)

    def test_an_order_that_arrives_while_the_record_leaves_is_carried_out_in_the_spool(self) -> None:
        spool = Gated()
        transport = ManualTransport()
        kit = make_kit(transport, spool=spool, config=QueueConfig(retry=(300.0,)))
        record = kit.send("bob@example.com")
        gate: Deferred[None] = Deferred()
        spool.gate = gate
        transport.pending[0].finish(busy)
        answers: list[Done] = []
        ordered = Deferred.fromCoroutine(kit.queue.operations.order(record.queue_id, Order(verb=Verb.REMOVE)))
        ordered.addCallback(answers.append)
        assert answers == []
        gate.callback(None)
        assert [answer.done for answer in answers] == [True]
        assert kit.stored(record) is None

    def test_nobody_is_attempted_whose_removal_is_being_stored(self) -> None:
        spool = Gated()
        transport = ManualTransport()
        kit = make_kit(transport, spool=spool, config=QueueConfig(concurrency=1))
        record = kit.send("a@one.example", "b@two.example")
        spool.gate = gate = Deferred()
        Deferred.fromCoroutine(kit.queue.operations.order(record.queue_id, Order(verb=Verb.BOUNCE)))
        transport.pending[0].finish()
        gate.callback(None)
        assert kit.stored(record) is None
        assert [pending.attempt.record.origin for pending in transport.pending] == [Origin.REPORT]
        assert transport.started == 2
        assert [event.recipients for event in kit.told(Reported)] == [("b@two.example",)]

    def test_an_order_makes_the_queue_try_to_store_at_once_what_it_could_not(self) -> None:
        spool = MemorySpool()
        transport = ManualTransport()
        kit = make_kit(transport, spool=spool)
        record = kit.send("bob@example.com")
        spool.broken = "disk full"
        transport.pending[0].finish(busy)
        spool.broken = ""
        assert order(kit, record, Verb.HOLD).done

    def test_an_order_that_cannot_be_stored_is_answered_when_the_queue_stops(self) -> None:
        spool = MemorySpool()
        kit = make_kit(ManualTransport(), spool=spool)
        record = kit.send("bob@example.com")
        spool.broken = "disk full"
        ordered = Deferred.fromCoroutine(kit.queue.operations.order(record.queue_id, Order(verb=Verb.HOLD)))
        answers: list[Done] = []
        ordered.addCallback(answers.append)
        kit.queue.stopService()
        assert [(answer.done, "disk full" in answer.message) for answer in answers] == [(False, True)]

    def test_retry_during_an_attempt_says_that_it_runs(self) -> None:
        kit = make_kit(ManualTransport())
        record = kit.send("bob@example.com")
        assert order(kit, record, Verb.RETRY).message == "due now: 0 recipients; 1 recipient being attempted now anyway"


class TestMany:
    """Listing and ordering by selection."""

    def fill(self, number: int) -> Kit:
        kit = make_kit(ScriptedTransport())
        for count in range(number):
            kit.send(f"u{count}@d{count % 3}.example", held="odd")
        return kit

    def test_a_listing_comes_in_parts_that_miss_nothing(self) -> None:
        kit = self.fill(450)
        seen: list[str] = []
        after = ""
        while True:
            part = run(kit.queue.operations.listing(Selection(), after=after, limit=101))
            assert len(part.messages) <= 101
            seen += [listed.record.queue_id for listed in part.messages]
            if not part.after:
                break
            after = part.after
        assert seen == [record.queue_id for record in kit.all_stored()]

    def test_an_order_reaches_exactly_what_the_listing_shows(self) -> None:
        kit = self.fill(450)
        selection = Selection(recipient=patterns(["d1.example"]))
        shown = [listed.record.queue_id for listed in run(kit.queue.operations.listing(selection)).messages]
        assert len(shown) == 150
        answers = run(kit.queue.operations.order_all(selection, Order(verb=Verb.REMOVE)))
        assert [answer.queue_id for answer in answers] == shown
        assert all(answer.done for answer in answers)
        assert len(kit.all_stored()) == 300


def test_without_a_running_queue_the_same_verbs_work_on_the_spool_alone() -> None:
    kit = make_kit(ScriptedTransport(), start=False)
    record = make_record(kit.clock, "bob@example.com")
    kit.commit(record, claimed=False)
    operations = Operations(
        spool=kit.spool,
        reports=reports_of("mail.example.net", "", lambda: "r1"),
        schedule=schedule_of(QueueConfig()),
        now=kit.clock.seconds,
        write_event=kit.events.append,
    )
    assert run(operations.why(record.queue_id)) == (
        "It has not been attempted yet. The next attempt is as soon as the service runs."
    )
    assert run(operations.order(record.queue_id, Order(verb=Verb.HOLD))).done
    held = kit.stored(record)
    assert held is not None
    assert held.held == "held by an operator"
    assert run(operations.order(record.queue_id, Order(verb=Verb.BOUNCE))).done
    assert [left.queue_id for left in kit.all_stored()] == ["r1"]
    assert kit.all_stored()[0].arrived == START
