"""Quotas count by the hour and the day: at the limit, one beyond it, when windows end, and over restarts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core import quota
from relaygw.core.quota import Amounts, Ledger, Limits

NOW = 1_700_000_000.0
ONE = Amounts(1, 1, 100)


def test_the_last_one_is_within_and_the_next_is_beyond() -> None:
    ledger, limits = Ledger(), Limits(hour=Amounts(messages=3))
    assert [ledger.charge("a", limits, ONE, NOW) for _ in range(3)] == [()] * 3
    (excess,) = ledger.charge("a", limits, ONE, NOW + 3599)
    assert str(excess) == "4 messages in the hour, 3 are allowed"
    assert excess.first
    assert ledger.charge("b", limits, ONE, NOW) == ()


@pytest.mark.parametrize(
    ("limits", "used", "what"),
    [
        (Amounts(recipients=10), Amounts(1, 11, 1), "recipients"),
        (Amounts(octets=1000), Amounts(1, 1, 1001), "octets"),
        (Amounts(messages=1), Amounts(2, 1, 1), "messages"),
    ],
)
def test_each_thing_has_its_limit(limits: Amounts, used: Amounts, what: str) -> None:
    (excess,) = Ledger().charge("a", Limits(day=limits), used, NOW)
    assert (excess.span, excess.what) == ("day", what)


def test_a_window_begins_with_its_first_message_and_ends() -> None:
    ledger, limits = Ledger(), Limits(hour=Amounts(messages=1), day=Amounts(messages=3))
    assert ledger.charge("a", limits, ONE, NOW) == ()
    assert len(ledger.charge("a", limits, ONE, NOW + 3599.9)) == 1
    assert ledger.charge("a", limits, ONE, NOW + 3600) == ()
    assert [excess.span for excess in ledger.charge("a", limits, ONE, NOW + 3601)] == ["hour", "day"]
    assert ledger.charge("a", limits, ONE, NOW + 86_400 + 3601) == ()


def test_a_clock_that_was_set_back_does_not_make_a_window_longer() -> None:
    ledger, limits = Ledger(), Limits(hour=Amounts(messages=1))
    ledger.charge("a", limits, ONE, NOW)
    assert ledger.charge("a", limits, ONE, NOW - 10) == ()


def test_who_was_told_is_told_again_in_the_next_window_only() -> None:
    ledger, limits = Ledger(), Limits(hour=Amounts(messages=1))
    ledger.charge("a", limits, ONE, NOW)
    (excess,) = ledger.charge("a", limits, ONE, NOW)
    ledger.told("a", "hour", excess.since)
    assert not ledger.charge("a", limits, ONE, NOW)[0].first
    ledger.charge("a", limits, ONE, NOW + 4000)
    assert ledger.charge("a", limits, ONE, NOW + 4000)[0].first


def test_it_goes_on_where_it_was_written() -> None:
    ledger, limits = Ledger(), Limits(hour=Amounts(messages=2))
    ledger.charge("a", limits, ONE, NOW)
    ledger.charge("a", limits, ONE, NOW)
    after = Ledger()
    after.load(json.loads(json.dumps(ledger.dump())))
    assert after.dump() == ledger.dump()
    assert len(after.charge("a", limits, ONE, NOW + 1)) == 1


def test_what_is_over_is_swept() -> None:
    ledger = Ledger()
    ledger.charge("a", Limits(), ONE, NOW)
    ledger.sweep(NOW + 86_399)
    assert len(ledger) == 1
    ledger.sweep(NOW + 86_400)
    assert len(ledger) == 0


def test_it_is_bounded_and_forgets_the_longest_unused() -> None:
    ledger = Ledger()
    for number in range(quota.MAX_KEYS):
        ledger.charge(str(number), Limits(), ONE, NOW)
    ledger.charge("0", Limits(), ONE, NOW)
    ledger.charge("new", Limits(), ONE, NOW)
    kept = {row[0] for row in ledger.dump()}
    assert len(ledger) == len(kept) == quota.MAX_KEYS
    assert {"0", "new"} <= kept
    assert "1" not in kept


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(JSON)
def test_any_other_file_changes_nothing(rows: object) -> None:
    ledger = Ledger()
    ledger.charge("a", Limits(), ONE, NOW)
    before = ledger.dump()
    try:
        ledger.load(rows)
    except ValueError:
        assert ledger.dump() == before
    else:
        assert rows == []
