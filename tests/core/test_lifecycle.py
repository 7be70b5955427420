"""The lifecycle: every outcome and order leads to the right next record, the right reports, and nothing else."""

import attrs
import pytest

from relaygw.core.address import Address, parse_address
from relaygw.core.envelope import Envelope, Notify, Recipient
from relaygw.core.events import Completed, Operated, Unreported
from relaygw.core.lifecycle import Kind, Step, begin, fold
from relaygw.core.orders import Order, Verb, operate
from relaygw.core.outcome import Outcome, Status, deferred, failed, from_reply
from relaygw.core.record import Origin, Progress, Record
from relaygw.core.reply import Reply
from relaygw.core.retry import Schedule
from relaygw.core.session import Role, Session

SCHEDULE = Schedule(waits=(300.0, 900.0), expire=10_000.0, expire_reports=5_000.0, delay_warnings=(2_000.0,))
ALICE = parse_address("alice@example.org")


def record_of(
    *names: str, sender: Address | None = ALICE, notify: frozenset[Notify] = frozenset(), arrived: float = 0.0
) -> Record:
    recipients = tuple(Recipient(address=parse_address(f"{name}@example.com"), notify=notify) for name in names)
    return begin(queue_id="q1", envelope=Envelope(sender=sender, recipients=recipients), now=arrived)


def accepted(recipient: Address, *, remote: bool = True, relayed: bool = False) -> Outcome:
    outcome = from_reply(recipient, Reply(250, "2.0.0", "ok"), host="mx.example", address="192.0.2.1")
    return attrs.evolve(outcome, remote=remote, relayed_dsn=relayed)


def after(record: Record, *outcomes: Outcome | None, now: float, random: float = 0.0) -> Step:
    """The step when the recipients, in order, have these outcomes (None: not attempted)."""
    pairs = [(position, outcome) for position, outcome in enumerate(outcomes) if outcome is not None]
    return fold(record, pairs, now=now, schedule=SCHEDULE, random=random)


def busy(recipient: Address) -> Outcome:
    return deferred(recipient, "4.4.1", "connection refused")


def refused(recipient: Address) -> Outcome:
    return failed(recipient, "5.1.1", "no such user")


def address(record: Record, position: int = 0) -> Address:
    return record.recipients[position].address


def test_a_record_begins_with_every_recipient_due_and_what_the_session_knows() -> None:
    session = Session(id="s1", listener="mx", role=Role.MX, client="192.0.2.9", hello="client.example", login="bob")
    envelope = Envelope(sender=ALICE, recipients=(Recipient(address=ALICE),))
    record = begin(queue_id="q1", envelope=envelope, now=7.0, session=session, size=10)
    assert [(state.progress, state.due) for state in record.recipients] == [(Progress.WAITING, 7.0)]
    assert (record.session_id, record.client, record.hello, record.listener, record.login) == (
        "s1", "192.0.2.9", "client.example", "mx", "bob",
    )  # fmt: skip


def test_delivered_ends_a_recipient_and_the_last_completes_the_record() -> None:
    record = record_of("a", "b")
    step = after(record, accepted(address(record)), now=5)
    assert [state.progress for state in step.record.recipients] == [Progress.DELIVERED, Progress.WAITING]
    assert (step.reports, step.events) == ((), ())
    last = after(step.record, None, accepted(address(record, 1)), now=9)
    assert last.record.finished
    assert last.events == (Completed(queue_id="q1", seconds=9.0),)


def test_deferred_waits_longer_each_time_and_recipients_of_one_attempt_stay_together() -> None:
    record = record_of("a", "b")
    step = after(record, busy(address(record)), busy(address(record, 1)), now=10, random=0.5)
    assert [state.due for state in step.record.recipients] == [10 + 300 * 1.05] * 2
    again = after(step.record, busy(address(record)), now=400)
    assert again.record.recipients[0].due == 400 + 900
    assert again.record.recipients[0].attempts == 2


def test_failed_is_reported_once_for_all_recipients_of_the_attempt() -> None:
    record = record_of("a", "b", "c")
    step = after(record, refused(address(record)), busy(address(record, 1)), refused(address(record, 2)), now=5)
    (report,) = step.reports
    assert report.kind is Kind.FAILURE
    assert [str(state.address) for state in report.recipients] == ["a@example.com", "c@example.com"]
    assert all(state.progress is Progress.REPORTED for state in report.recipients)


@pytest.mark.parametrize(
    ("sender", "notify"),
    [
        (None, frozenset()),
        (None, frozenset({Notify.FAILURE, Notify.DELAY, Notify.SUCCESS})),
        (ALICE, frozenset({Notify.NEVER})),
        (ALICE, frozenset({Notify.SUCCESS, Notify.DELAY})),
    ],
)
def test_who_must_not_be_told_is_not_told_but_the_journal_is(sender: Address | None, notify: frozenset[Notify]) -> None:
    record = record_of("a", sender=sender, notify=notify)
    step = after(record, refused(address(record)), now=5)
    assert step.record.recipients[0].progress is Progress.REPORTED
    assert step.reports == ()
    assert [type(event) for event in step.events] == [Unreported, Completed]


@pytest.mark.parametrize(
    ("now", "ended"), [(9_999.9, False), (10_000.0, True), (10_000.1, True)], ids=["before", "at", "after"]
)
def test_a_deferral_is_final_from_the_expiry_on(now: float, ended: bool) -> None:
    record = record_of("a")
    step = after(record, busy(address(record)), now=now)
    assert step.record.finished is ended
    assert any(report.kind is Kind.FAILURE for report in step.reports) is ended
    if ended:
        last = step.record.recipients[0].last
        assert last is not None
        assert last.status is Status.DEFERRED


def test_one_last_attempt_falls_on_the_expiry() -> None:
    record = record_of("a")
    assert after(record, busy(address(record)), now=9_800).record.due == 10_000


def test_what_nobody_may_be_told_about_expires_sooner() -> None:
    record = record_of("a", sender=None)
    assert not after(record, busy(address(record)), now=4_999).record.finished
    assert after(record, busy(address(record)), now=5_000).record.finished


def test_the_delay_is_told_once_at_its_time() -> None:
    record = record_of("a")
    early = after(record, busy(address(record)), now=1_900)
    assert early.reports == ()
    assert early.record.due == 2_000  # an attempt falls on the moment of the warning
    warned = after(early.record, busy(address(record)), now=2_000)
    assert [report.kind for report in warned.reports] == [Kind.DELAY]
    assert warned.record.recipients[0].warned == 2_000
    again = after(warned.record, busy(address(record)), now=2_000)
    assert again.reports == ()
    assert again.record.recipients[0].warned == 2_000


def test_several_warnings_come_each_at_its_time_and_missed_ones_together() -> None:
    schedule = attrs.evolve(SCHEDULE, waits=(10_000.0,), delay_warnings=(2_000.0, 4_000.0, 6_000.0))
    record = record_of("a")
    seen = []
    for now in (0.0, 2_000.0, 4_000.0, 4_000.0, 7_000.0):
        step = fold(record, [(0, busy(address(record)))], now=now, schedule=schedule, random=0.0)
        record = step.record
        seen.append((len(step.reports), record.due))
    assert seen == [(0, 2_000), (1, 4_000), (1, 6_000), (0, 6_000), (1, 10_000)]
    late = fold(record_of("a"), [(0, busy(ALICE))], now=6_500, schedule=schedule, random=0.0)
    assert [report.kind for report in late.reports] == [Kind.DELAY]


class TestOneReport:
    """What becomes of all recipients of a message is told in one report."""

    def test_what_is_owed_keeps_the_record_until_it_is_told(self) -> None:
        record = record_of("a", "b")
        first = fold(record, [(0, refused(address(record)))], now=5, schedule=SCHEDULE, random=0.0, more=True)
        assert first.reports == ()
        assert [state.owed for state in first.record.recipients] == [True, False]
        second = after(first.record, None, refused(address(record, 1)), now=9)
        (report,) = second.reports
        assert [str(state.address) for state in report.recipients] == ["a@example.com", "b@example.com"]
        assert (second.record.finished, second.record.owing) == (True, False)
        assert [type(event) for event in second.events] == [Completed]

    def test_a_record_that_only_owes_a_report_is_due_at_once_and_not_finished(self) -> None:
        record = record_of("a")
        step = fold(record, [(0, refused(address(record)))], now=5, schedule=SCHEDULE, random=0.0, more=True)
        assert (step.record.finished, step.record.due, step.events) == (False, 5, ())
        told = fold(step.record, [], now=6, schedule=SCHEDULE, random=0.0)
        assert [report.kind for report in told.reports] == [Kind.FAILURE]
        assert [type(event) for event in told.events] == [Completed]

    def test_a_warning_that_is_owed_changes_no_time_of_an_attempt(self) -> None:
        record = record_of("a", "b")
        step = fold(record, [(0, busy(address(record)))], now=2_500, schedule=SCHEDULE, random=0.0, more=True)
        assert (step.record.recipients[0].owed, step.record.recipients[0].due) == (True, 2_800)
        done = after(step.record, accepted(address(record)), None, now=2_800)
        assert done.reports == ()  # delivered meanwhile: nobody need be warned

    def test_kinds_stay_apart(self) -> None:
        record = record_of("a", "b", notify=frozenset({Notify.SUCCESS, Notify.FAILURE}))
        first = fold(record, [(0, accepted(address(record)))], now=5, schedule=SCHEDULE, random=0.0, more=True)
        second = after(first.record, None, refused(address(record, 1)), now=9)
        assert [report.kind for report in second.reports] == [Kind.FAILURE, Kind.SUCCESS]

    def test_removing_who_is_owed_a_warning_leaves_nothing(self) -> None:
        record = record_of("a", "b")
        step = fold(record, [(0, busy(address(record)))], now=2_500, schedule=SCHEDULE, random=0.0, more=True)
        removed = operate(step.record, Order(verb=Verb.REMOVE), now=2_600)
        assert (removed.record.finished, removed.reports) == (True, ())


def test_a_report_that_fails_is_told_as_a_double_bounce_and_no_other_message_without_sender() -> None:
    record = attrs.evolve(record_of("a", sender=None), origin=Origin.REPORT)
    step = after(record, refused(address(record)), now=5)
    assert [report.kind for report in step.reports] == [Kind.DOUBLE]
    for origin in (Origin.RECEIVED, Origin.LOCAL):
        step = after(attrs.evolve(record, origin=origin), refused(address(record)), now=5)
        assert (step.reports, [type(event) for event in step.events]) == ((), [Unreported, Completed])


@pytest.mark.parametrize("notify", [frozenset({Notify.NEVER}), frozenset({Notify.FAILURE})])
def test_no_delay_is_told_against_notify(notify: frozenset[Notify]) -> None:
    record = record_of("a", notify=notify)
    step = after(record, busy(address(record)), now=3_000)
    assert step.reports == ()
    assert step.record.recipients[0].warned is None


def test_no_delay_is_told_where_the_warning_is_switched_off() -> None:
    record = record_of("a")
    schedule = attrs.evolve(SCHEDULE, delay_warnings=())
    step = fold(record, [(0, busy(address(record)))], now=9_000, schedule=schedule, random=0.0)
    assert step.reports == ()


@pytest.mark.parametrize(("relayed", "told"), [(False, [Kind.SUCCESS]), (True, [])])
def test_success_is_told_where_asked_for_and_the_next_hop_does_not(relayed: bool, told: list[Kind]) -> None:
    record = record_of("a", notify=frozenset({Notify.SUCCESS}))
    step = after(record, accepted(address(record), relayed=relayed), now=5)
    assert [report.kind for report in step.reports] == told


def test_an_outcome_for_a_recipient_that_has_ended_changes_nothing() -> None:
    record = record_of("a", "b")
    ended = after(record, accepted(address(record)), now=5).record
    step = after(ended, refused(address(record)), now=6)
    assert step.record == ended
    assert (step.reports, step.events) == ((), ())


class TestOrders:
    """What operators ask for."""

    def test_hold_stops_everything_and_release_resumes_it(self) -> None:
        record = record_of("a")
        held = operate(record, Order(verb=Verb.HOLD, reason="odd"), now=5)
        assert held.record.held == "odd"
        assert held.record.due == float("inf")
        assert isinstance(held.events[0], Operated)
        free = operate(held.record, Order(verb=Verb.RELEASE), now=9)
        assert free.record == attrs.evolve(record, released=True)

    def test_hold_without_a_reason_says_who_held_it(self) -> None:
        assert operate(record_of("a"), Order(verb=Verb.HOLD), now=5).record.held == "held by an operator"

    def test_release_ends_a_quarantine(self) -> None:
        record = attrs.evolve(record_of("a"), held="virus?", quarantined=True)
        assert not operate(record, Order(verb=Verb.RELEASE), now=5).record.quarantined

    def test_retry_makes_all_that_wait_due_now_without_spending_an_attempt(self) -> None:
        record = record_of("a", "b")
        waiting = after(record, accepted(address(record)), busy(address(record, 1)), now=5).record
        step = operate(waiting, Order(verb=Verb.RETRY), now=7)
        assert [state.due for state in step.record.waiting] == [7]
        assert [state.attempts for state in step.record.waiting] == [1]
        assert step.events[0].recipients == ("b@example.com",)  # type: ignore[attr-defined]  # an Operated

    def test_remove_ends_without_a_report(self) -> None:
        step = operate(record_of("a"), Order(verb=Verb.REMOVE), now=5)
        assert step.record.recipients[0].progress is Progress.REMOVED
        assert step.reports == ()
        assert [type(event) for event in step.events] == [Operated, Completed]

    def test_bounce_tells_the_sender_the_reason(self) -> None:
        step = operate(record_of("a", "b"), Order(verb=Verb.BOUNCE, reason="wrong list"), now=5)
        (report,) = step.reports
        assert report.kind is Kind.FAILURE
        assert len(report.recipients) == 2
        assert "wrong list" in str(report.recipients[0].last)

    @pytest.mark.parametrize("verb", [Verb.RETRY, Verb.REMOVE, Verb.BOUNCE])
    def test_recipients_being_attempted_are_left_alone(self, verb: Verb) -> None:
        record = record_of("a", "b")
        step = operate(record, Order(verb=verb), now=5, busy={0})
        assert step.record.recipients[0] is record.recipients[0]
        assert step.record.recipients[1] is not record.recipients[1]
