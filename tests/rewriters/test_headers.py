"""The rewriter headers: fields go and come by name, all other octets stay, and wrong names are refused at start."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from relaygw.core.envelope import Envelope
from relaygw.core.headers import fields
from relaygw.interfaces import IRewriter
from relaygw.plugins import OptionsError
from relaygw.rewriters.headers import HeaderRewriter

HEAD = b"X-A: 1\r\n folded\r\nFrom: a@b.test\r\nx-a : 2\r\nX-Internal-IP: 10.0.0.1\r\nno field\r\nX-AB: 3\r\n"
ENVELOPE = Envelope(sender=None)


def make(**options: Any) -> HeaderRewriter:
    rewriter = HeaderRewriter(options, None)  # type: ignore[arg-type]  # it needs nothing of them
    assert verifyObject(IRewriter, rewriter)
    return rewriter


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({"remove": ["X-A"]}, b"From: a@b.test\r\nX-Internal-IP: 10.0.0.1\r\nno field\r\nX-AB: 3\r\n"),
        ({"remove": ["x-internal-*"]}, HEAD.replace(b"X-Internal-IP: 10.0.0.1\r\n", b"")),
        ({"remove": ["X-*"]}, b"From: a@b.test\r\nno field\r\n"),
        ({"remove": ["X-None", "Y*"]}, HEAD),
        ({"add": {"X-New": "yes", "X-Other": "no"}}, HEAD + b"X-New: yes\r\nX-Other: no\r\n"),
        (
            {"remove": ["From"], "add": {"From": "c@d.test"}},
            HEAD.replace(b"From: a@b.test\r\n", b"") + b"From: c@d.test\r\n",
        ),
    ],
)
def test_what_becomes_of_a_header_section(options: dict[str, Any], after: bytes) -> None:
    envelope, head = make(**options).rewrite(ENVELOPE, HEAD)
    assert envelope is ENVELOPE
    assert head == after


def test_where_nothing_is_removed_it_is_the_same_object() -> None:
    assert make(remove=["X-None"]).rewrite(ENVELOPE, HEAD)[1] is HEAD
    assert make(remove=["Y-*"]).rewrite(ENVELOPE, HEAD)[1] is HEAD


@given(st.binary(max_size=100))
def test_of_any_octets_only_fields_of_the_name_go(head: bytes) -> None:
    _, left = make(remove=["X-A"]).rewrite(ENVELOPE, head)
    assert all(field.name.lower() != b"x-a" for field in fields(left))
    assert sum(field.name.lower() != b"x-a" for field in fields(head)) == sum(1 for _ in fields(left))


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({}, "remove or add is wanted"),
        ({"remove": ["*"]}, "would remove all"),
        ({"remove": ["X A"]}, "is not the name of a header field"),
        ({"remove": [""]}, "is not the name of a header field"),
        ({"add": {"X-A": "a\r\nBcc: b"}}, "is no header field"),
        ({"add": {"X-A": "grün"}}, "is no header field"),
        ({"add": {"X A": "b"}}, "is no header field"),
        ({"add": {"X-A": "a" * 1000}}, "is no header field"),
        ({"remove": "X-A"}, "list"),
    ],
)
def test_what_is_wrong_is_told_at_start(options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(OptionsError, match=wrong):
        make(**options)
