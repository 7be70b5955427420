"""SASLprep: the examples of RFC 4013, its prohibitions, and any text a value or the named error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.saslprep import NotPreparable, saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("", ""),
    ],
)
def test_examples_of_rfc_4013(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    "text", ["\u0007", "\u06271", "a\x7f", "\ue000", "\u200e", "\ufffd", "\u0627a\u0627", "\U000e0001"]
)
def test_what_is_prohibited(text: str) -> None:
    with pytest.raises(NotPreparable):
        saslprep(text)


def test_what_was_assigned_later_passes_in_a_query_only() -> None:
    assert saslprep("\U0001f511", query=True) == "\U0001f511"
    with pytest.raises(NotPreparable):
        saslprep("\U0001f511")


@given(st.text(max_size=50), st.booleans())
def test_preparing_twice_changes_nothing(text: str, query: bool) -> None:
    try:
        once = saslprep(text, query=query)
    except NotPreparable:
        return
    assert saslprep(once, query=query) == once


def test_what_grows_is_looked_at_once() -> None:
    """The ligature becomes eighteen characters, of which each is looked up once, however often it comes."""
    ligature = "\ufdfa"
    once = saslprep(ligature, query=True)
    assert len(once) == 18
    assert saslprep(ligature * 20_000, query=True) == once * 20_000
