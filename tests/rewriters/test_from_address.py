"""The rewriter from-address: what From and the reverse-path become, and that all else stays to the octet."""

from types import SimpleNamespace
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from relaygw.core.address import Address, parse_address
from relaygw.core.envelope import Envelope
from relaygw.core.from_field import Author, parse_authors, read_authors
from relaygw.interfaces import IRewriter
from relaygw.plugins import OptionsError
from relaygw.rewriters.author import AuthorRewriter, display


def make(**options: Any) -> AuthorRewriter:
    services: Any = SimpleNamespace(
        settings=SimpleNamespace(local_domains=("here.test",), relay_domains=(".relayed.test",))
    )
    rewriter = AuthorRewriter(options, services)
    verifyObject(IRewriter, rewriter)
    return rewriter


def rewritten(rewriter: AuthorRewriter, head: bytes, sender: str | None = "scan@localhost.local") -> tuple[Any, bytes]:
    envelope, new = rewriter.rewrite(Envelope(sender=parse_address(sender) if sender else None), head)
    return envelope.sender, new


DEVICES = Address("devices", "here.test")


def test_from_and_reverse_path_become_ours_and_the_name_stays() -> None:
    head = b"To: a@b.test\r\nfrom : Floor 2 <scan@printer.local>\r\nSubject: =?x?=\r\n\tfolded\r\nX: 8bit \xe9\r\n"
    sender, new = rewritten(make(address="devices@here.test"), head)
    assert sender == DEVICES
    assert new == head.replace(b"from : Floor 2 <scan@printer.local>\r\n", b"From: Floor 2\r\n <devices@here.test>\r\n")


def test_without_a_name_the_old_address_becomes_it() -> None:
    _, new = rewritten(make(address="devices@here.test"), b"From: scan@printer.local\r\n")
    assert new == b'From: "scan@printer.local"\r\n <devices@here.test>\r\n'
    assert str(read_authors(new)[0].address) == "devices@here.test"


def test_only_the_domain_where_that_is_asked() -> None:
    sender, new = rewritten(make(domain="here.test"), b"From: <floor2@printer.local>\r\n", "x@printer.local")
    assert sender == Address("x", "here.test")
    assert b"<floor2@here.test>" in new


@pytest.mark.parametrize("address", ["user@here.test", "user@a.relayed.test"])
def test_what_is_ours_already_stays(address: str) -> None:
    head = f"From: <{address}>\r\n".encode()
    assert rewritten(make(address="devices@here.test"), head, address) == (parse_address(address), head)
    sender, new = rewritten(make(address="devices@here.test", ours=True), head, address)
    assert sender == DEVICES
    assert b"<devices@here.test>" in new


def test_one_author_that_is_not_ours_is_enough() -> None:
    _, new = rewritten(make(address="devices@here.test"), b"From: <user@here.test>, <x@other.test>\r\n")
    assert b"<devices@here.test>" in new
    assert b"other.test" not in new


def test_the_null_reverse_path_stays_and_the_envelope_where_that_is_asked() -> None:
    assert rewritten(make(address="devices@here.test"), b"From: <a@b.local>\r\n", None)[0] is None
    kept = make(address="devices@here.test", envelope=False)
    assert rewritten(kept, b"From: <a@b.local>\r\n", "a@b.local")[0] == Address("a", "b.local")


@pytest.mark.parametrize(
    "head", [b"", b"Subject: x\r\n", b"From: who knows\r\nSubject: x\r\n", b"From: <a@b.c>\r\nFrom: <d@e.f>\r\n"]
)
def test_there_is_exactly_one_from_afterwards(head: bytes) -> None:
    _, new = rewritten(make(address="devices@here.test"), head)
    (author,) = read_authors(new)
    assert (author.address, author.name) == (DEVICES, '"scan@localhost.local"')
    assert new.replace(b"Subject: x\r\n", b"").count(b"\r\n") == new.replace(b"Subject: x\r\n", b"").count(b"\n")


@pytest.mark.parametrize(
    "name", ['"quoted, name"', "=?utf-8?q?J=C3=BCrgen?=", "Plain Words", "Dr. No", "Jürgen", 'a " b', "x\\", "\x01y"]
)
def test_any_name_can_stand_before_the_address(name: str) -> None:
    shown = display(Author(Address("a", "b.test"), name))
    (author,) = parse_authors(f"{shown} <devices@here.test>".encode())
    assert author.address == DEVICES


@pytest.mark.parametrize(
    "options", [{}, {"address": "a@b.test", "domain": "b.test"}, {"address": "nobody"}, {"domain": "[1.2.3.4]"}]
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionsError):
        make(**options)
