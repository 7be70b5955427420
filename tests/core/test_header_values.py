"""Looking for fields by their names finds what reading all fields finds, whatever a header section holds, and soon."""

from collections.abc import Callable

import pytest
from effort import costs_less_than
from hypothesis import example, given
from hypothesis import strategies as st

from relaygw.core import arc, author, dkim
from relaygw.core.authres import without_claimed
from relaygw.core.content import MAX_FIELDS
from relaygw.core.facts import read_facts
from relaygw.core.headers import NO_FIELD, fields, named_fields, raw_fields, value_of, values
from relaygw.core.screening import judge_hops

PIECES = st.sampled_from(
    [
        b"From",
        b"from",
        b"FROM ",
        b"From\t",
        b"X-From",
        b"From.",
        b":",
        b" ",
        b"\t",
        b"\r\n",
        b"\n",
        b"\r",
        b"a",
        b"\xff",
        b"\0",
    ]
)
HEADS = st.lists(PIECES, max_size=30).map(b"".join)


@given(HEADS | st.binary(max_size=60), st.sampled_from([b"from", b"From", b"x-from", b"from."]))
@example(b"From: a\r\n b\r\nFrom :c", b"from")
@example(b" From: a\r\n", b"from")
@example(b"\nFrom: a", b"from")
@example(b"From:\r\n \r\nTo: b\r\n", b"from")
def test_the_values_are_those_of_the_fields_of_the_name(head: bytes, name: bytes) -> None:
    assert values(head, name) == [field.value for field in fields(head) if field.name.lower() == name.lower()]


@given(HEADS | st.binary(max_size=60))
@example(b"\tFrom: a\r\n")
@example(b"Fr\tom: a\r\nFrom\t : b")
@example(b"a\n b: c\nd")
def test_nothing_is_lost_between_fields_and_names_are_what_stands_before_the_colon(head: bytes) -> None:
    found = list(fields(head))
    assert b"".join(raw_fields(head)) == head + (b"" if head.endswith(b"\n") or not head else b"\n")
    assert [field.raw for field in found] == raw_fields(head)
    for field in found:
        name, colon, _ = field.raw.partition(b":")
        name = name.rstrip(b" \t") if colon else b""
        assert field.name == (b"" if set(name) & set(b" \t\n") else name)


@given(HEADS | st.binary(max_size=60))
def test_fields_by_name_are_all_fields(head: bytes) -> None:
    named = named_fields(head)
    expected: dict[bytes, list[bytes]] = {}
    for field in fields(head):
        expected.setdefault(field.name.lower() or NO_FIELD, []).append(field.raw)
        if field.name:
            assert value_of(field.raw) == field.value
    assert named == expected


JUDGES: list[Callable[[bytes], object]] = [
    read_facts,
    lambda head: judge_hops(head, 100),
    lambda head: dkim.Check(head, 0.0),
    lambda head: arc.Check(head, 0.0),
    author.read_authors,
    lambda head: without_claimed(head, ("mx.test",)),
]
ORDINARY = b"From: a@one.test\r\nTo: b@two.test\r\nMessage-ID: <a@one.test>\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
MANY = MAX_FIELDS - 4


@pytest.mark.parametrize(
    "hostile",
    [
        b"DKIM-Signature:\r\n" * MANY,
        b"Authentication-Results:\r\n" * MANY,
        b"Authentication-Results: mx.test; none\r\n" * MANY,
        b"Authentication-Results: (x\r\n" * MANY,
        b"Received: x\r\n" * MANY,
        b"ARC-Seal: i=1\r\n" * MANY,
        b"ARC-Message-Signature: i=1\r\n" * MANY,
        b"From: a@b.test\r\n" * MANY,
        b"".join(b"X%d:\r\n" % number for number in range(MANY)),
        b"X: y\r\n" + b" z\r\n" * MANY,
        b"From: a@b.test,\r\n" + b" c@d.test,\r\n" * MANY,
        b"Authentication-Results:\r\n" + b" (x)\r\n" * MANY,
    ],
    ids=lambda head: head[:24].decode(),
)
def test_a_header_section_as_full_as_it_may_be_keeps_others_waiting_for_a_moment_only(hostile: bytes) -> None:
    """All who judge a message, one after the other, as while it is received: about 15 ms on a slow machine."""

    def judged() -> None:
        head = hostile + ORDINARY
        for judge in JUDGES:
            judge(head)

    costs_less_than(0.1, judged)
