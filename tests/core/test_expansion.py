"""What the recipients behind an alias inherit of its DSN parameters (RFC 3461 5.2.7), and how a list is reported."""

import pytest

from relaygw.core.address import parse_address
from relaygw.core.content import BytesContent
from relaygw.core.dsn import Reporter, make_report
from relaygw.core.envelope import Envelope, Notify, Recipient
from relaygw.core.expansion import expand
from relaygw.core.lifecycle import Kind, begin, fold
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Progress
from relaygw.core.reply import Reply
from relaygw.core.retry import Schedule

TEAM = parse_address("team@example.net")
ONE, TWO = parse_address("one@example.com"), parse_address("two@example.com")
ALL = frozenset({Notify.SUCCESS, Notify.FAILURE, Notify.DELAY})
SCHEDULE = Schedule(waits=(300.0,), expire=10_000.0, expire_reports=5_000.0)


def test_an_alias_for_one_address_hands_everything_on() -> None:
    (only,) = expand(Recipient(address=TEAM, notify=ALL), [ONE])
    assert only == Recipient(address=ONE, notify=ALL, orcpt="rfc822;team@example.net")
    (only,) = expand(Recipient(address=TEAM, orcpt="rfc822;first@example.org"), [ONE])
    assert (only.notify, only.orcpt) == (frozenset(), "rfc822;first@example.org")


@pytest.mark.parametrize(
    ("notify", "members"),
    [
        (frozenset(), frozenset()),
        (frozenset({Notify.NEVER}), frozenset({Notify.NEVER})),
        (frozenset({Notify.FAILURE}), frozenset({Notify.FAILURE})),
    ],
)
def test_without_a_wish_for_success_a_list_is_not_reported(
    notify: frozenset[Notify], members: frozenset[Notify]
) -> None:
    found = expand(Recipient(address=TEAM, notify=notify), [ONE, TWO])
    assert [each.address for each in found] == [ONE, TWO]
    assert {each.notify for each in found} == {members}


@pytest.mark.parametrize(
    ("notify", "members"),
    [(ALL, frozenset({Notify.FAILURE, Notify.DELAY})), (frozenset({Notify.SUCCESS}), frozenset({Notify.NEVER}))],
)
def test_success_is_told_for_the_list_and_of_no_member(notify: frozenset[Notify], members: frozenset[Notify]) -> None:
    kept, *found = expand(Recipient(address=TEAM, notify=notify), [ONE, TWO])
    assert (kept.address, kept.expanded) == (TEAM, True)
    assert {each.notify for each in found} == {members}


def test_the_report_of_the_expansion_comes_with_the_first_outcome_and_once() -> None:
    recipients = expand(Recipient(address=TEAM, notify=ALL), [ONE, TWO])
    record = begin(queue_id="q1", envelope=Envelope(sender=ONE, recipients=recipients), now=0.0)
    assert [state.progress for state in record.recipients] == [Progress.EXPANDED, Progress.WAITING, Progress.WAITING]
    taken = Outcome(recipient=ONE, status=Status.DELIVERED, reply=Reply(250, "2.0.0", "ok"), remote=True)
    step = fold(record, [(1, taken)], now=1.0, schedule=SCHEDULE, random=0.0)
    (report,) = step.reports
    assert (report.kind, [state.address for state in report.recipients]) == (Kind.EXPANSION, [TEAM])
    last = fold(step.record, [(2, taken)], now=2.0, schedule=SCHEDULE, random=0.0)
    assert (last.reports, last.record.finished) == ((), True)


def test_what_a_list_with_an_owner_takes_is_told_as_delivered() -> None:
    """RFC 3461 5.2.7.1: final delivery of the sender's message, whatever becomes of its members' copies."""
    kept = Recipient(address=TEAM, notify=ALL, expanded=True, listed=True)
    record = begin(queue_id="q1", envelope=Envelope(sender=ONE, recipients=(kept,)), now=0.0)
    assert not record.finished
    (report,) = fold(record, [], now=1.0, schedule=SCHEDULE, random=0.0).reports
    assert report.kind is Kind.SUCCESS
    by = Reporter(hostname="mail.here.test", postmaster="postmaster@here.test")
    _, data = make_report(report, record, BytesContent(b"\r\n"), queue_id="r1", now=1.0, retry_until=9.0, by=by)
    assert b"\r\nAction: delivered\r\nStatus: 2.0.0\r\n" in data
