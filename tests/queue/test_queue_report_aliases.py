"""A report to an address that is an alias of ours goes to whom it leads: no RCPT would expand it."""

from collections.abc import Sequence

import attrs
import pytest

from relaygw.core.address import Address, parse_address
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.lifecycle import begin, fold
from relaygw.core.outcome import failed
from relaygw.core.retry import Schedule
from relaygw.interfaces import NewMessage
from relaygw.queue.reports import reports_of

SCHEDULE = Schedule(waits=(60.0,), expire=600.0, expire_reports=600.0)


def reported(lead: dict[str, Sequence[str]], sender: str = "info@here.test") -> NewMessage:
    to = parse_address("b@far.test")
    envelope = Envelope(sender=parse_address(sender), recipients=(Recipient(address=to),))
    record = begin(queue_id="q", envelope=envelope, now=0.0)
    step = fold(record, [(0, failed(to, "5.1.1", "nobody"))], now=1.0, schedule=SCHEDULE, random=0.0)
    reports = attrs.evolve(
        reports_of("here.test", "", lambda: "report"),
        lead=lambda address: tuple(map(parse_address, lead.get(str(address), (str(address),)))),
    )
    (new,), _ = reports.make(step, BytesContent(b"Subject: x\r\n\r\n"), SCHEDULE, 1.0)
    return new


@pytest.mark.parametrize(
    ("lead", "expected"),
    [
        ({}, ["info@here.test"]),
        ({"info@here.test": ("alice@here.test",)}, ["alice@here.test"]),
        ({"info@here.test": ("alice@here.test", "c@far.test")}, ["alice@here.test", "c@far.test"]),
        ({"info@here.test": ()}, ["info@here.test"]),
    ],
)
def test_whom_a_report_goes_to(lead: dict[str, Sequence[str]], expected: list[str]) -> None:
    record = reported(lead).record
    assert [str(each.address) for each in record.envelope.recipients] == expected
    assert [str(state.address) for state in record.recipients] == expected
    assert record.envelope.sender is None
    assert all(state.due == record.arrived for state in record.waiting)


def test_the_report_itself_is_to_the_address_that_wrote() -> None:
    new = reported({"info@here.test": ("alice@here.test",)})
    assert b"To: <info@here.test>" in new.content
    assert new.record.envelope.recipients[0].orcpt == "rfc822;info@here.test"
    assert new.record.queue_id == "report"


def test_an_address_beyond_ascii_wants_smtputf8() -> None:
    assert reported({"info@here.test": ("grün@here.test",)}).record.envelope.smtputf8
    assert Address("a", "b.test").ascii
