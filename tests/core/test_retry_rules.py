"""Rules for retries: which holds for a recipient, what it says itself and what it leaves to [queue], greylists."""

import attrs
import pytest

from relaygw.config.schema import RetryConfig
from relaygw.core.address import Address, parse_address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.lifecycle import begin
from relaygw.core.outcome import Outcome, from_reply
from relaygw.core.record import Record
from relaygw.core.reply import Reply
from relaygw.core.retry import FULL_WAITS, GREY_ATTEMPTS, Schedule, compile_retries

HOUR = 3600.0
BASE = Schedule(waits=(60.0, 120.0), expire=1000.0, expire_reports=500.0, delay_warnings=(300.0,))
BOB = Address("bob", "example.com")


def mail(sender: str = "a@x.example", recipient: str = "bob@example.com", login: str = "") -> Record:
    envelope = Envelope(sender=parse_address(sender), recipients=(Recipient(address=parse_address(recipient)),))
    return attrs.evolve(begin(queue_id="q", envelope=envelope, now=0.0), login=login)


def said(code: int, enhanced: str, text: str, host: str = "mx.example") -> Outcome:
    return from_reply(BOB, Reply(code, enhanced, text), host=host, address="192.0.2.1")


LATER = said(451, "4.3.0", "later")


@pytest.mark.parametrize(
    ("rule", "record", "outcome", "holds"),
    [
        ({}, mail(), LATER, True),
        ({"recipient": ("example.com",)}, mail(), LATER, True),
        ({"recipient": ("example.com",)}, mail(recipient="bob@other.example"), LATER, False),
        ({"recipient": ("local",)}, mail(recipient="bob@here.example"), LATER, True),
        ({"recipient": ("local",)}, mail(), LATER, False),
        ({"sender": ("local",)}, mail("a@here.example"), LATER, True),
        ({"sender": ("x.example",)}, mail(), LATER, True),
        ({"sender": ("x.example",)}, mail("a@other.example"), LATER, False),
        ({"login": ("shop",)}, mail(login="shop"), LATER, True),
        ({"login": ("shop",)}, mail(login="bob"), LATER, False),
        ({"login": ("shop",)}, mail(), LATER, False),
        ({"host": ("mx.example",)}, mail(), said(451, "4.3.0", "x", "MX.Example"), True),
        ({"host": ("mx.example",)}, mail(), said(451, "4.3.0", "x", "mx2.example"), False),
        ({"host": ("mx.example",)}, mail(), said(451, "4.3.0", "x", "a.mx.example"), False),
        ({"host": (".example",)}, mail(), said(451, "4.3.0", "x", "a.mx.example"), True),
        ({"host": (".example",)}, mail(), said(451, "4.3.0", "x", "a.mxexample"), False),
        ({"trouble": ("busy", "temporary")}, mail(), LATER, True),
        ({"trouble": ("busy",)}, mail(), LATER, False),
        ({"sender": ("x.example",), "login": ("shop",)}, mail(), LATER, False),
        ({"sender": ("x.example",), "login": ("shop",)}, mail(login="shop"), LATER, True),
    ],
)
def test_all_conditions_that_a_rule_has_must_hold(
    rule: dict[str, tuple[str, ...]], record: Record, outcome: Outcome, holds: bool
) -> None:
    retries = compile_retries(BASE, [RetryConfig(name="r", **rule)], ["here.example"])  # type: ignore[arg-type]  # so
    found = retries.rule(record, record.recipients[0], outcome)
    assert (found.name if found is not None else "") == ("r" if holds else "")


@pytest.mark.parametrize(
    ("rule", "schedule"),
    [
        ({}, BASE),
        ({"waits": (7.0,)}, attrs.evolve(BASE, waits=(7.0,))),
        ({"expire": 0.5}, attrs.evolve(BASE, expire=0.5)),
        ({"delay_warning": (5.0, 6.0)}, attrs.evolve(BASE, delay_warnings=(5.0, 6.0))),
        ({"delay_warning": ()}, attrs.evolve(BASE, delay_warnings=())),
    ],
)
def test_what_a_rule_does_not_say_is_as_for_all(rule: dict[str, object], schedule: Schedule) -> None:
    retries = compile_retries(BASE, [RetryConfig(name="r", **rule)])  # type: ignore[arg-type]  # fields of the rule
    record = mail()
    assert retries.chosen(record, record.recipients[0], LATER) == schedule


def test_a_full_mailbox_is_given_time_beneath_what_the_operator_says_of_it() -> None:
    record, full = mail(), said(452, "4.2.2", "mailbox full")
    ours = compile_retries(BASE, [])
    found = ours.rule(record, record.recipients[0], full)
    assert found is not None
    assert found.name == "a full mailbox"
    assert ours.chosen(record, record.recipients[0], full) == attrs.evolve(BASE, waits=FULL_WAITS)
    assert [wait / HOUR for wait in FULL_WAITS] == [1, 2, 4, 8]
    assert ours.chosen(record, record.recipients[0], LATER) == BASE
    theirs = compile_retries(BASE, [RetryConfig(name="r", trouble=("full",), waits=(7.0,))])
    assert theirs.chosen(record, record.recipients[0], full).waits == (7.0,)


def test_a_greylist_is_believed_a_few_times_and_then_the_rule_goes_on() -> None:
    record, grey = mail(), said(450, "4.7.1", "Greylisted for 90 seconds")
    retries = compile_retries(BASE, [RetryConfig(name="r", waits=(7.0,))])
    chosen = retries.chosen(record, record.recipients[0], grey)
    assert [chosen.wait(attempts, 0.0) for attempts in range(1, GREY_ATTEMPTS + 2)] == [95.0, 95.0, 95.0, 7.0]
    assert attrs.evolve(chosen, waits=BASE.waits) == BASE
