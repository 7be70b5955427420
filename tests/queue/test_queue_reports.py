"""Reports as the queue sends them: one for a message, in bounded time, also after a crash; to whom it concerns."""

from itertools import count
from pathlib import Path

import pytest
from queue_kit import CONTENT, START, Kit, busy, make_kit, make_record, refused, run
from twisted.internet.task import Clock

from relaygw.config.schema import Config, QueueConfig, ReportsConfig
from relaygw.core.dsn_fields import mail_date
from relaygw.core.envelope import Notify
from relaygw.core.events import Reported, Unreported
from relaygw.core.lifecycle import Kind
from relaygw.core.orders import Order, Verb
from relaygw.core.record import Record
from relaygw.queue.reports import Reports, reports_for
from relaygw.spool.files import FileContent
from relaygw.testing.transport import ManualTransport, ScriptedTransport, delivered, in_turn

THREE = ("a@one.example", "b@two.example", "c@three.example")


def reports(**options: object) -> Reports:
    numbers = count()
    chosen = ReportsConfig(**options)  # type: ignore[arg-type]  # as the test says
    config = Config(hostname="mail.example.net", state="/nowhere", reports=chosen)
    return reports_for(config, lambda: f"zzzzzzzzzzzz{next(numbers):04}")


def sent(kit: Kit) -> list[Record]:
    """Reports in the spool."""
    return [record for record in kit.all_stored() if record.envelope.sender is None]


def finish(transport: ManualTransport, domain: str, outcome: object) -> None:
    (pending,) = [each for each in transport.pending if each.attempt.recipients[0].address.domain == domain]
    pending.finish(outcome)  # type: ignore[arg-type]  # of queue_kit


def test_what_fails_at_different_times_is_told_in_one_report() -> None:
    transport = ManualTransport()
    kit = make_kit(transport)
    kit.send(*THREE)
    finish(transport, "one.example", refused)
    finish(transport, "two.example", refused)
    assert kit.told(Reported) == []
    finish(transport, "three.example", delivered)
    (told,) = kit.told(Reported)
    assert (told.kind, told.recipients) == ("failure", ("a@one.example", "b@two.example"))


def test_a_report_waits_no_longer_than_configured_for_the_rest() -> None:
    transport = ManualTransport()
    kit = make_kit(transport, reports=reports(collect=60.0))
    kit.send(*THREE)
    finish(transport, "one.example", refused)
    kit.clock.advance(59.9)
    assert kit.told(Reported) == []
    kit.clock.advance(0.1)
    assert [event.recipients for event in kit.told(Reported)] == [("a@one.example",)]
    finish(transport, "two.example", refused)
    finish(transport, "three.example", refused)
    assert [event.recipients for event in kit.told(Reported)][1:] == [("b@two.example", "c@three.example")]


def test_where_nothing_is_to_be_collected_each_failure_is_told_at_once() -> None:
    transport = ManualTransport()
    kit = make_kit(transport, reports=reports(collect=0.0))
    kit.send(*THREE)
    finish(transport, "one.example", refused)
    assert len(kit.told(Reported)) == 1


def test_a_report_that_is_owed_when_the_process_dies_is_made_by_the_next() -> None:
    transport = ManualTransport()
    kit = make_kit(transport)
    record = kit.send(*THREE)
    finish(transport, "one.example", refused)
    finish(transport, "two.example", delivered)
    stored = kit.stored(record)
    assert stored is not None
    assert [state.owed for state in stored.recipients] == [True, False, False]
    assert sent(kit) == []
    clock = Clock()
    clock.advance(START)
    later = ManualTransport()
    following = make_kit(later, spool=kit.spool, clock=clock, ids=kit.ids)
    clock.advance(following.queue.lease + 1)
    assert [event.recipients for event in following.told(Reported)] == [("a@one.example",)]
    assert sorted(str(each.attempt.recipients[0].address) for each in later.pending) == [
        "alice@example.org", "c@three.example",
    ]  # fmt: skip


def test_a_process_that_stops_makes_its_reports_before() -> None:
    transport = ManualTransport()
    kit = make_kit(transport, config=QueueConfig(drain_timeout=1.0))
    kit.send(*THREE)
    finish(transport, "one.example", refused)
    kit.queue.stopService()
    kit.clock.advance(1)
    assert [event.recipients for event in kit.told(Reported)] == [("a@one.example",)]
    kit.clock.advance(600)
    assert not kit.clock.getDelayedCalls()


BULK = (
    b"Auto-Submitted: auto-generated",
    b"Precedence: bulk",
    b"List-Id: <x.example>",
    b"Auto-Submitted: Auto-Replied; x",
)
CONFIG = QueueConfig(retry=(100.0,), delay_warning=(50.0,))


@pytest.mark.parametrize("field", [*BULK, b"Auto-Submitted: no", b"X: y"])
def test_delays_of_what_no_person_sent_are_told_to_nobody(field: bytes) -> None:
    kit = make_kit(ScriptedTransport(in_turn([busy, busy, delivered, delivered])), config=CONFIG)
    kit.send("bob@example.com", content=field + b"\r\n" + CONTENT)
    kit.clock.advance(50)
    assert [event.kind for event in kit.told(Reported)] == ([] if field in BULK else ["delay"])


def test_unless_they_ask_for_it_or_the_operator_does() -> None:
    content = BULK[0] + b"\r\n" + CONTENT
    for options, notify in (({"warn_bulk": True}, frozenset()), ({}, frozenset({Notify.DELAY}))):
        made = reports(**options)
        kit = make_kit(ScriptedTransport(in_turn([busy, busy, delivered, delivered])), config=CONFIG, reports=made)
        kit.send("bob@example.com", content=content, notify=notify)
        kit.clock.advance(50)
        assert [event.kind for event in kit.told(Reported)] == ["delay"]


@pytest.mark.parametrize(
    ("told", "expected"), [("postmaster", "postmaster@mail.example.net"), ("ops@example.com", "ops@example.com")]
)
def test_double_bounces_go_where_they_are_to_go(told: str, expected: str) -> None:
    transport = ScriptedTransport(in_turn([refused, refused, delivered]))
    kit = make_kit(transport, reports=reports(double_bounces=told))
    kit.send("bob@example.com")
    kit.clock.advance(0)
    assert [event.kind for event in kit.told(Reported)] == [Kind.FAILURE.value, Kind.DOUBLE.value]
    assert str(transport.attempts[-1].recipients[0].address) == expected
    data = b"".join(transport.attempts[-1].content.chunks())
    assert b"Content-Type: message/rfc822\r\n\r\n" in data  # the report that failed, whole
    assert kit.all_stored() == ()


def test_or_nowhere() -> None:
    kit = make_kit(ScriptedTransport(in_turn([refused, refused])), reports=reports(double_bounces="none"))
    kit.send("bob@example.com")
    kit.clock.advance(0)
    assert [event.recipients for event in kit.told(Unreported)] == [("alice@example.org",)]


def test_the_whole_message_comes_back_where_its_sender_or_the_operator_wants_it() -> None:
    for ret, returned, whole in (
        ("", "headers", False),
        ("", "full", True),
        ("HDRS", "full", False),
        ("FULL", "headers", True),
    ):
        transport = ScriptedTransport(in_turn([refused, delivered]))
        kit = make_kit(transport, reports=reports(returned=returned))
        kit.send("bob@example.com", ret=ret)
        kit.clock.advance(0)
        data = b"".join(transport.attempts[-1].content.chunks())
        assert (b"message/rfc822" in data) is whole


@pytest.mark.parametrize("held", [True, False])
def test_a_failure_is_told_also_where_the_content_is_lost(held: bool, tmp_path: Path) -> None:
    """Its file is damaged or gone; the sender reads what became of it, and nothing is tried for ever."""
    (tmp_path / "content").write_bytes(b"X: y\r\n\r\n" if held else b"")
    lost = FileContent(b"", str(tmp_path / ("content" if held else "gone")), 8, None, 0)
    transport = ManualTransport()
    kit = make_kit(transport, reports=reports())
    record = make_record(kit.clock, "bob@example.com", ret="FULL")
    kit.commit(record)
    kit.queue.offer(record, lost)
    transport.pending[0].finish(refused)
    (report,) = sent(kit)
    assert report.envelope.recipients[0].address == record.envelope.sender
    assert kit.stored(record) is None


def test_a_report_tells_when_the_last_attempt_was_and_not_when_it_was_made() -> None:
    transport = ScriptedTransport(in_turn([busy, delivered]))
    kit = make_kit(transport, reports=reports())
    tried = kit.send("bob@example.com")
    never = kit.send("eve@example.com", held="by hand")
    kit.clock.advance(120.0)
    for record in (tried, never):
        assert run(kit.queue.operations.order(record.queue_id, Order(verb=Verb.BOUNCE))).done
    kit.clock.advance(1.0)
    told = [b"".join(attempt.content.chunks()) for attempt in transport.attempts[1:]]
    dates = [[line for line in data.split(b"\r\n") if line.startswith(b"Last-Attempt-Date")] for data in told]
    assert dates == [[f"Last-Attempt-Date: {mail_date(START)}".encode()], []]
