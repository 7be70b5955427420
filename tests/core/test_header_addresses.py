"""Addresses in header fields: what is found and replaced, that no other octet changes, what hostile fields cost."""

from collections.abc import Callable

import pytest
from effort import costs_less_than
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.address import Address, parse_address
from relaygw.core.header_addresses import (
    MAX_ADDRESSES,
    MAX_FIELD,
    MAX_FOREIGN,
    MAX_LINE,
    MAX_OCTETS,
    MAX_TOKENS,
    RECIPIENTS,
    SENDERS,
    replace_addresses,
)

ALL = SENDERS | RECIPIENTS


def hidden(address: Address) -> Address:
    """pcN.in.test becomes out.test."""
    return Address(address.local, "out.test") if address.domain.endswith(".in.test") else address


def replaced(text: str, change: Callable[[Address], Address] = hidden) -> str:
    return replace_addresses(text.encode(), ALL, change).decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("From: a@x.in.test\r\n", "From: a@out.test\r\n"),
        ("from :  Al B <a@x.in.test> (at home)\r\n", "from :  Al B <a@out.test> (at home)\r\n"),
        (
            'To: "Last, First" <a@x.in.test>, b@y.in.test,\r\n\tc@far.test\r\n',
            'To: "Last, First" <a@out.test>, b@out.test,\r\n\tc@far.test\r\n',
        ),
        (
            "Cc: team: a@x.in.test, B <b@x.in.test>;, c@x.in.test\r\n",
            "Cc: team: a@out.test, B <b@out.test>;, c@out.test\r\n",
        ),
        ('To: "a@x.in.test" <b@far.test> (c@x.in.test)\r\n', 'To: "a@x.in.test" <b@far.test> (c@x.in.test)\r\n'),
        ('To: <"a b"@x.in.test>\r\n', 'To: <"a b"@out.test>\r\n'),
        ("To: grün <grün@x.in.test>\r\n", "To: grün <grün@out.test>\r\n"),
        ("Subject: a@x.in.test\r\n", "Subject: a@x.in.test\r\n"),
        ("Reply-To: a@x.in.test\r\nX: y\r\n", "Reply-To: a@out.test\r\nX: y\r\n"),
        ("To: a @ x.in.test\r\n", "To: a @ x.in.test\r\n"),
        ("To: undisclosed-recipients:;\r\n", "To: undisclosed-recipients:;\r\n"),
        ("To: <a@x.in.test\r\n", "To: <a@x.in.test\r\n"),
        ("To: (a@x.in.test\r\n", "To: (a@x.in.test\r\n"),
        ('To: "a@x.in.test\r\n', 'To: "a@x.in.test\r\n'),
        ("To: <a@x.in.test> <b@x.in.test>\r\n", "To: <a@out.test> <b@x.in.test>\r\n"),
        ("To: =?utf-8?q?a=40x=2Ein=2Etest?= <a@x.in.test>\r\n", "To: =?utf-8?q?a=40x=2Ein=2Etest?= <a@out.test>\r\n"),
        ("To: <@route.test:a@x.in.test>\r\n", "To: <@route.test:a@x.in.test>\r\n"),
        ("To:\r\n", "To:\r\n"),
        ("", ""),
    ],
)
def test_what_is_replaced(before: str, after: str) -> None:
    assert replaced(before) == after


def test_octets_of_any_kind_stay() -> None:
    head = b"To: \xff\xfe <a@x.in.test>\r\nX-Odd\x00: \xe9\r\n"
    assert replace_addresses(head, ALL, hidden) == head.replace(b"x.in.test", b"out.test")
    same = b"To: \xff <a@far.test>\r\n"
    assert replace_addresses(same, ALL, hidden) is same


def test_a_line_that_would_be_too_long_is_folded() -> None:
    names = ", ".join(f"u{number}@x.in.test" for number in range(60))
    longer = replaced(f"To: {names}\r\n", lambda address: Address(address.local, "a-much-longer-domain.test"))
    assert max(map(len, longer.split("\r\n"))) <= MAX_LINE
    assert "".join(longer.split("\r\n ")).count("a-much-longer-domain.test") == 60


def test_so_many_addresses_and_no_more() -> None:
    fields = "To: a@x.in.test\r\n" * (MAX_ADDRESSES + 1)
    assert replaced(fields).count("out.test") == MAX_ADDRESSES
    assert replaced(fields).endswith("To: a@x.in.test\r\n")


@pytest.mark.parametrize(("size", "changed"), [(MAX_FIELD, True), (MAX_FIELD + 1, False)])
def test_a_field_of_such_a_size_and_no_larger(size: int, changed: bool) -> None:
    rest = "a@x.in.test\r\n"
    field = "To: " + " " * (size - 4 - len(rest)) + rest
    assert ("out.test" in replaced(field)) is changed


@pytest.mark.parametrize(("size", "changed"), [(MAX_FIELD, True), (MAX_FIELD + 1, False)])
def test_so_many_octets_of_all_fields_and_no_more(size: int, changed: bool) -> None:
    rest = "a@x.in.test\r\n"
    before = "Cc: b@far.test" + " " * (MAX_FIELD - 16) + "\r\n"
    first = "Cc: b@far.test" + " " * (size - 16 - 4 - len(rest)) + "\r\n"
    head = before * (MAX_OCTETS // MAX_FIELD - 1) + first + "To: " + rest
    assert ("out.test" in replaced(head)) is changed


@pytest.mark.parametrize("piece", ["<", "(", '"', "\\", "a@x.in.test,", "((", "<>", "[", ":;", " \r\n "])
def test_a_hostile_field_costs_little(piece: str) -> None:
    field = "To: " + piece * ((MAX_FIELD - 10) // len(piece)) + "\r\n"
    costs_less_than(1.0, lambda: replaced(field))


@given(st.text(st.sampled_from('ab@.<>(),;:"\\ \t[]=\xe9'), max_size=80))
def test_nothing_but_addresses_changes(text: str) -> None:
    """With a change that marks what it finds, the marks taken away leave the field as it was."""
    head = f"To: {text}\r\n"
    marked = replaced(head, lambda address: Address(address.local, f"{address.domain}.marked.test"))
    assert marked.replace(".marked.test", "").lower() == head.lower() or marked != head
    if ".marked.test" not in marked:
        assert marked == head


@given(st.binary(max_size=100))
def test_any_octets_are_a_header_section(head: bytes) -> None:
    assert replace_addresses(head, ALL, lambda address: address) is head
    replace_addresses(head, ALL, lambda _: parse_address("x@y.test"))


def test_so_many_words_and_signs_are_read_and_not_one_more() -> None:
    first = "To: " + ";" * (MAX_TOKENS - 5) + "\r\n"  # and the white space at both ends
    assert replaced(first + "Cc: a@x.in.test\r\n").endswith("Cc: a@out.test\r\n")
    first = first.replace(";", ";;", 1)
    assert replaced(first + "Cc: a@x.in.test\r\n").endswith("Cc: a@x.in.test\r\n")


def test_so_many_addresses_that_are_not_ascii_are_read_and_not_one_more() -> None:
    made = replaced("To: " + "\u00fc@x.in.test," * (MAX_FOREIGN + 1) + "a@x.in.test\r\n")
    assert made.count("out.test") == MAX_FOREIGN + 1
    assert made.endswith("\u00fc@x.in.test,a@out.test\r\n")
