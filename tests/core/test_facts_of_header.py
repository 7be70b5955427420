"""What a record keeps of a header section, and xtext: right on honest input, bounded and quiet on any other."""

import contextlib

import pytest
from effort import costs_less_than
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.facts import Facts, read_facts
from relaygw.core.xtext import XtextError, decode_xtext

HONEST = b"Received: x\r\nFrom: A Person <a@Client.TEST>\r\nDate: today\r\nMessage-ID: <1@client.test>\r\n"


def test_an_honest_header_section() -> None:
    assert read_facts(HONEST) == Facts(
        message_id="<1@client.test>", header_from="client.test", has_date=True, has_message_id=True
    )


def test_an_empty_one() -> None:
    assert read_facts(b"") == Facts(message_id="", header_from="", has_date=False, has_message_id=False)


@pytest.mark.parametrize(
    ("field", "domain"),
    [
        (b"From: a@b.test", "b.test"),
        (b"FROM:a@b.test", "b.test"),
        (b"From : a@b.test", "b.test"),
        (b"From:\r\n\t<a@b.test>", "b.test"),
        (b'From: "x <evil@other.test>" <a@b.test>', "b.test"),
        (b"From: (evil@other.test) a@b.test", "b.test"),
        (b"From: (<evil@other.test>) <a@b.test>", "b.test"),
        (b'From: "a \\" <x@other.test>" <a@b.test>', "b.test"),
        (b"From: a@b.test, c@d.test", "b.test"),
        (b"From: =?utf-8?q?x?= <a@b.test>", "b.test"),
        ("From: <a@bücher.test>".encode(), "xn--bcher-kva.test"),
        (b"From: nobody", ""),
        (b"From: <a@>", ""),
        (b"From: <a@b\xff>", ""),
        (b"X-From: a@b.test", ""),
        (b"Subject: x\r\n From: a@b.test", ""),
        (b"From: undisclosed:;", ""),
    ],
)
def test_the_domain_of_the_author(field: bytes, domain: str) -> None:
    assert read_facts(b"X: y\r\n" + field + b"\r\n").header_from == domain


@pytest.mark.parametrize(
    ("value", "message_id"),
    [(b" <a@b>", "<a@b>"), (b"\r\n <a@b>", "<a@b>"), (b" a@b", ""), (b" <a b>", ""), (b"<\xff>", ""), (b"", "")],
)
def test_message_ids(value: bytes, message_id: str) -> None:
    facts = read_facts(b"Message-Id:" + value + b"\r\n")
    assert facts.message_id == message_id
    assert facts.has_message_id


@given(st.binary(max_size=300), st.sampled_from([b"From:", b"Message-ID:", b"from :", b""]))
def test_no_header_section_raises(junk: bytes, name: bytes) -> None:
    facts = read_facts(name + junk)
    assert facts.message_id.isprintable()
    assert facts.header_from.isascii()


@pytest.mark.parametrize("unit", [b'"\\', b'\\"', b"(", b'"', b"<", b"@", b"From: ", b"\n", b"\r\n ", b"from "])
def test_hostile_header_sections_cost_little(unit: bytes) -> None:
    head = b"From: " + unit * (1_000_000 // len(unit))
    costs_less_than(0.5, lambda: read_facts(head))


def test_xtext() -> None:
    assert decode_xtext("a+2Bb+3Dc") == b"a+b=c"
    assert decode_xtext("+C3+BC") == "ü".encode()
    assert decode_xtext("<>") == b"<>"
    for text in ("+", "+2", "+2b", "+GG", "a b", "a=b", "ü", "a\n"):
        with pytest.raises(XtextError):
            decode_xtext(text)


@given(st.text(max_size=40))
def test_any_text_is_xtext_or_an_xtext_error(text: str) -> None:
    with contextlib.suppress(XtextError):
        assert isinstance(decode_xtext(text), bytes)
