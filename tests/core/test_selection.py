"""Selecting records: each condition alone, and all that are given together."""

from ipaddress import ip_network

import attrs
import pytest

from relaygw.core.address import parse_address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.lifecycle import begin
from relaygw.core.outcome import deferred
from relaygw.core.patterns import PatternError
from relaygw.core.record import Origin, Progress
from relaygw.core.selection import Selection, patterns

BOB, EVE = parse_address("bob@example.com"), parse_address("eve@example.net")
ENVELOPE = Envelope(
    sender=parse_address("alice@example.org"), recipients=(Recipient(address=BOB), Recipient(address=EVE))
)
FRESH = begin(queue_id="q1", envelope=ENVELOPE, now=100.0)
_LAST = deferred(BOB, "4.4.1", "Connection refused")
RECORD = attrs.evolve(
    FRESH,
    held="odd",
    login="alice",
    client="192.0.2.7",
    recipients=(
        attrs.evolve(FRESH.recipients[0], attempts=3, last=_LAST),
        attrs.evolve(FRESH.recipients[1], progress=Progress.DELIVERED, attempts=9),
    ),
)


@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        (Selection(), True),
        (Selection(ids=frozenset({"q1", "q2"})), True),
        (Selection(ids=frozenset({"q2"})), False),
        (Selection(sender=patterns(["example.org"])), True),
        (Selection(sender=patterns(["@example.org"])), True),
        (Selection(sender=patterns(["<>"])), False),
        (Selection(recipient=patterns(["bob@example.com"])), True),
        (Selection(recipient=patterns(["@example.com"])), True),
        (Selection(recipient=patterns(["@example.org"])), False),
        (Selection(recipient=patterns(["eve@example.net"])), False),  # eve has it already
        (Selection(held=True), True),
        (Selection(held=False), False),
        (Selection(quarantined=True), False),
        (Selection(origin=Origin.RECEIVED), True),
        (Selection(origin=Origin.REPORT), False),
        (Selection(older_than=50.0), True),
        (Selection(older_than=50.1), False),
        (Selection(younger_than=50.0), False),
        (Selection(younger_than=50.1), True),
        (Selection(min_attempts=3), True),
        (Selection(min_attempts=4), False),
        (Selection(reply="connection REFUSED"), True),
        (Selection(reply="greylisted"), False),
        (Selection(held=True, reply="greylisted"), False),
        (Selection(logins=frozenset({"alice", "bob"})), True),
        (Selection(logins=frozenset({"Alice"})), False),
        (Selection(clients=(ip_network("192.0.2.0/24"),)), True),
        (Selection(clients=(ip_network("192.0.2.7"), ip_network("2001:db8::/32"))), True),
        (Selection(clients=(ip_network("192.0.3.0/24"),)), False),
    ],
)
def test_conditions(selection: Selection, meant: bool) -> None:
    assert selection.matches(RECORD, 150.0) is meant


def test_a_message_without_a_client_is_in_no_network() -> None:
    assert not Selection(clients=(ip_network("0.0.0.0/0"), ip_network("::/0"))).matches(FRESH, 150.0)


def test_no_pattern_is_no_condition_and_a_wrong_one_is_an_error() -> None:
    assert patterns([]) is None
    with pytest.raises(PatternError):
        patterns(["*"])


def test_an_address_copied_with_its_angle_brackets_is_told_so() -> None:
    with pytest.raises(PatternError, match="without angle brackets"):
        patterns(["<bob@example.com>"])
