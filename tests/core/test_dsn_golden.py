"""Golden reports: each `tests/data/dsn/NAME.yaml` says what became of a message, `NAME.eml` beside it is the report.

A new pair is a new test. `parsed` in the YAML is what programs made by others read out of the report.
"""

from email import message_from_bytes
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from flufl.bounce import all_failures

from relaygw.core.address import Address, parse_address
from relaygw.core.content import BytesContent
from relaygw.core.dsn import Reporter, make_report
from relaygw.core.envelope import Body, Envelope, Notify, Recipient
from relaygw.core.lifecycle import Kind, Report, begin
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Origin, Progress, RecipientState
from relaygw.core.reply import Reply

FOLDER = Path(__file__).parents[1] / "data" / "dsn"
CASES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
ARRIVED = 1_700_000_000.0


def address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain) if not text.isascii() else parse_address(text)


def state(told: dict[str, Any]) -> RecipientState:
    recipient = Recipient(
        address=address(told["address"]),
        orcpt=told.get("orcpt", ""),
        notify=frozenset(map(Notify, told.get("notify", ()))),
    )
    if "status" not in told:
        return RecipientState(recipient=recipient, progress=Progress.EXPANDED)
    code, enhanced, text = told["reply"]
    last = Outcome(
        recipient=recipient.address,
        status=Status(told["status"]),
        reply=Reply(code, enhanced, text),
        remote="host" in told,
        host=told.get("host", ""),
        address=told.get("ip", ""),
        relayed_dsn=False,
        final=told.get("final", False),
    )
    attempts = told.get("attempts", 1)
    return RecipientState(recipient=recipient, attempts=attempts, last=last, tried=ARRIVED + 60 if attempts else None)


def report(case: dict[str, Any]) -> bytes:
    states = tuple(map(state, case["recipients"]))
    kind = Kind(case["kind"])
    sender = case.get("sender", "alice@example.org")
    envelope = Envelope(
        sender=address(sender) if sender else None,
        recipients=tuple(each.recipient for each in states),
        body=Body(case.get("body", "7BIT")),
        ret=case.get("ret", ""),
        envid=case.get("envid", ""),
    )
    content = case["content"].replace("\n", "\r\n").encode()
    record = begin(
        queue_id="1hf7yat000000001",
        envelope=envelope,
        now=ARRIVED,
        origin=Origin.REPORT if not sender else Origin.RECEIVED,
        message_id=case.get("message_id", "<one@example.org>"),
    )
    _, data = make_report(
        Report(kind=kind, recipients=states),
        attrs.evolve(record, hello=case.get("hello", ""), size=len(content)),
        BytesContent(content),
        queue_id="1hf7yat000000002",
        now=ARRIVED + 60,
        retry_until=ARRIVED + 432_000,
        by=Reporter(hostname="mail.example.net", postmaster="postmaster@example.net"),
        to=parse_address("postmaster@example.net"),
    )
    return data


@pytest.mark.parametrize("name", CASES)
def test_the_report_is_the_one_beside_the_case(name: str) -> None:
    case = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    data = report(case)
    assert data.replace(b"\r\n", b"\n").decode("utf-8") == (FOLDER / f"{name}.eml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_programs_made_by_others_read_it(name: str) -> None:
    case = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    message = message_from_bytes(report(case))
    assert (message.get_content_type(), message.get_param("report-type")) == ("multipart/report", "delivery-status")
    assert not message.defects
    temporary, permanent = all_failures(message)
    expected = case["parsed"]
    assert sorted(each.decode() for each in permanent) == sorted(expected.get("failed", ()))
    assert sorted(each.decode() for each in temporary) == sorted(expected.get("delayed", ()))


def test_every_kind_of_report_has_a_case() -> None:
    kinds = {yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))["kind"] for name in CASES}
    assert kinds == {kind.value for kind in Kind}
