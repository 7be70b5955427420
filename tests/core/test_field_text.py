"""Texts from outside cannot leave the line of a field that we write, nor fill it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.field_text import MAX_VALUE, tame


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("bob@example.com", "bob@example.com"),
        ("b\u00fccher", "b\u00fccher"),
        ("a\r\nX-Forged: b\0", "a??X-Forged: b?"),
        ("x" * MAX_VALUE, "x" * MAX_VALUE),
        ("x" * (MAX_VALUE + 1), "x" * MAX_VALUE),
        ("\u00fc" * (MAX_VALUE // 2 + 1), "\u00fc" * (MAX_VALUE // 2)),
    ],
)
def test_what_does_not_print_becomes_a_mark_and_what_is_too_long_is_cut(text: str, expected: str) -> None:
    assert tame(text) == expected


@given(st.text(max_size=2 * MAX_VALUE))
def test_any_text_becomes_one_line_that_is_short_enough(text: str) -> None:
    tamed = tame(text)
    assert tamed.isprintable()
    assert len(tamed.encode()) <= MAX_VALUE
