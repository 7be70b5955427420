"""The rewriter addresses: what tables and masquerading make of senders and recipients, and what is refused at start."""

from types import SimpleNamespace
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from relaygw.config.schema import AliasesConfig
from relaygw.core.address import parse_address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.interfaces import IRewriter
from relaygw.plugins import OptionsError
from relaygw.rewriters.addresses import AddressRewriter
from relaygw.tables.entries import InlineTable

MAP = {
    "bob@in.test": "robert@out.test",
    "@old.test": "@new.test",
    "root": "admin@here.test",
    "carol": "caroline",
    "uml@in.test": "grün@out.test",
}
EVERYTHING = ["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"]
HEAD = b"From: Bob <bob@in.test>\r\nTo: x@old.test, y@far.test\r\nSubject: bob@in.test\r\n"


def make(entries: dict[str, Any] | None = None, known: dict[str, Any] | None = None, **options: Any) -> Any:
    table = InlineTable({"entries": MAP if entries is None else entries}, SimpleNamespace())  # type: ignore[arg-type]
    settings = SimpleNamespace(domains=("here.test",), aliases=AliasesConfig())
    services: Any = SimpleNamespace(settings=settings, tables={"map": table} if known is None else known)
    rewriter = AddressRewriter(options or {"tables": ["map"], "change": EVERYTHING}, services)
    assert verifyObject(IRewriter, rewriter)
    return rewriter


def sender(rewriter: Any, address: str) -> str:
    envelope, _ = rewriter.rewrite(Envelope(sender=parse_address(address)), b"")
    return str(envelope.sender)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("bob@in.test", "robert@out.test"),
        ("BOB@in.test", "robert@out.test"),
        ("bob+list@in.test", "robert+list@out.test"),
        ("anna+x@old.test", "anna+x@new.test"),
        ("root@here.test", "admin@here.test"),
        ("root@far.test", "root@far.test"),
        ("carol+x@here.test", "caroline+x@here.test"),
        ("eve@far.test", "eve@far.test"),
    ],
)
def test_maps(before: str, after: str) -> None:
    assert sender(make(), before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("bob@pc7.in.test", "bob@in.test"),
        ("bob@a.lab.in.test", "bob@lab.in.test"),
        ("bob@in.test", "bob@in.test"),
        ("bob@plugin.test", "bob@plugin.test"),
        ("Root@pc7.in.test", "Root@pc7.in.test"),
    ],
)
def test_masquerading(before: str, after: str) -> None:
    assert sender(make(masquerade=["in.test", "lab.in.test"], masquerade_except=["root"]), before) == after


def test_envelope_and_header_are_changed_as_asked_for() -> None:
    recipients = (Recipient(address=parse_address("x@old.test")), Recipient(address=parse_address("y@far.test")))
    before = Envelope(sender=parse_address("bob@in.test"), recipients=recipients)
    envelope, head = make().rewrite(before, HEAD)
    assert str(envelope.sender) == "robert@out.test"
    assert [(str(each.address), each.orcpt) for each in envelope.recipients] == [
        ("x@new.test", "rfc822;x@old.test"),
        ("y@far.test", ""),
    ]
    assert head == HEAD.replace(b"<bob@in.test>", b"<robert@out.test>").replace(b"old", b"new")


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("envelope_sender", {"sender"}),
        ("envelope_recipient", {"recipients"}),
        ("header_sender", {"from"}),
        ("header_recipient", {"to"}),
    ],
)
def test_each_part_by_itself(part: str, changed: set[str]) -> None:
    before = Envelope(sender=parse_address("bob@in.test"), recipients=(Recipient(address=parse_address("x@old.test")),))
    envelope, head = make(tables=["map"], change=[part]).rewrite(before, HEAD)
    found = {"sender"} if envelope.sender != before.sender else set()
    found |= {"recipients"} if envelope.recipients != before.recipients else set()
    found |= {"from"} if b"robert@out.test" in head else set()
    found |= {"to"} if b"x@new.test" in head else set()
    assert found == changed


def test_what_needs_no_change_is_the_same_object() -> None:
    before = Envelope(sender=None, recipients=(Recipient(address=parse_address("a@far.test")),))
    head = b"From: a@far.test\r\nTo: b@far.test\r\n"
    assert make().rewrite(before, head) == (before, head)
    assert make().rewrite(before, head)[1] is head


def test_an_address_beyond_ascii_wants_smtputf8() -> None:
    envelope, _ = make().rewrite(Envelope(sender=parse_address("uml@in.test")), b"")
    assert envelope.smtputf8


def test_who_stands_for_others_in_a_report_stays() -> None:
    kept = Recipient(address=parse_address("x@old.test"), expanded=True)
    envelope, _ = make().rewrite(Envelope(sender=None, recipients=(kept,)), b"")
    assert envelope.recipients == (kept,)


@pytest.mark.parametrize(
    ("entries", "options", "wrong"),
    [
        ({}, {"change": ["header_sender"]}, "tables or masquerade is wanted"),
        ({}, {"tables": ["mop"]}, "no \\[\\[table\\]\\] is named 'mop'"),
        ({}, {"tables": ["map"], "change": ["subject"]}, "'subject' is not one of"),
        ({}, {"masquerade": ["not a domain"]}, "masquerade"),
        ({"a": ["b", "c"]}, {"tables": ["map"]}, "'a' leads to several addresses"),
        ({"a": "/dev/null"}, {"tables": ["map"]}, "is for aliases, not for maps"),
        ({"a": "\\b"}, {"tables": ["map"]}, "is for aliases, not for maps"),
    ],
)
def test_what_is_wrong_is_told_at_start(entries: dict[str, Any], options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(OptionsError, match=wrong):
        make(entries, **options)


def test_a_table_that_may_answer_late_is_refused() -> None:
    with pytest.raises(OptionsError, match="cannot wait"):
        make(known={"map": SimpleNamespace(lookup=lambda key: ())}, tables=["map"])
