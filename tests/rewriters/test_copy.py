"""The rewriter copy: whose messages get one recipient more, that nobody is told of it, and that no octet changes."""

from types import SimpleNamespace
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from relaygw.core.address import parse_address
from relaygw.core.envelope import Envelope, Notify, Recipient
from relaygw.interfaces import IRewriter
from relaygw.plugins import OptionsError
from relaygw.rewriters.copy import CopyRewriter

ARCHIVE = "journal@archive.test"
HEAD = b"From: a@here.test\r\nX-Archive:  Yes\r\nSubject: folded\r\n more\r\n"


def copied(origin: str = "a@here.test", goal: str = "b@there.test", head: bytes = HEAD, **options: Any) -> bool:
    """Whether the message got the archive as a recipient."""
    settings = SimpleNamespace(local_domains=("here.test",), relay_domains=())
    services: Any = SimpleNamespace(settings=settings)
    rewriter = CopyRewriter({"to": ARCHIVE} | options, services)
    assert verifyObject(IRewriter, rewriter)
    one = Recipient(address=parse_address(goal))
    envelope = Envelope(sender=parse_address(origin) if origin else None, recipients=(one,))
    found, same = rewriter.rewrite(envelope, head)
    assert same is head
    assert found.recipients[0] == one
    if len(found.recipients) == 1:
        return False
    archive = Recipient(address=parse_address(ARCHIVE), notify=frozenset({Notify.NEVER}))
    assert found.recipients[1:] == (archive,)
    return True


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"sender": ["local"]}, True),
        ({"sender": ["other.test", "<>"]}, False),
        ({"recipient": [".test"]}, True),
        ({"recipient": ["local"]}, False),
        ({"sender": ["local"], "recipient": ["local"]}, False),
        ({"header": "x-archive"}, True),
        ({"header": "X-Archive: yes"}, True),
        ({"header": "X-Archive: no"}, False),
        ({"header": "X-Other"}, False),
        ({"header": "Subject: folded more"}, True),
    ],
)
def test_who_is_copied(options: dict[str, Any], expected: bool) -> None:
    assert copied(**options) is expected


def test_messages_without_a_sender_are_copied_where_they_are_meant() -> None:
    assert copied(origin="")


def test_the_archive_gets_one_copy() -> None:
    assert not copied(goal=ARCHIVE)


@pytest.mark.parametrize(
    "options", [{"to": "nobody"}, {"header": "no field"}, {"header": "\u00fc: x"}, {"sender": ["a b"]}, {"too": "x"}]
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises((OptionsError, ValueError)):
        copied(**options)
