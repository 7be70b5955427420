"""A hostile client of lenient listeners: bare LF, a tarpit and a rewriter change none of what is promised."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ingress_rig import Client, Rig, in_pieces, reply_codes

from relaygw.config.schema import LimitsConfig
from relaygw.core.events import TaskFailed
from relaygw.core.from_field import read_authors
from relaygw.ingress.house import RewriterUse
from relaygw.ingress.protocol import LINGER
from relaygw.rewriters.author import AuthorRewriter

WORDS = [
    b"EHLO client.test\r\n", b"HELO x\n", b"MAIL FROM:<a@client.test>\n", b"MAIL FROM:<>\r\n", b"RSET\n", b"QUIT\n",
    b"RCPT TO:<user@here.test>\n", b"RCPT TO:<nobody@here.test>\r\n", b"DATA\n", b"DATA\r\n", b"Subject: x\n", b"\n",
    b"From: <x@y.test>\n", b"From: a@b\r\n", b"From: \"\n", b" folded\n", b".\n", b".\r\n", b"..\n", b"\r",
    b"\r\n.\r\n",
    b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\0", b"x" * 3000, b"NOOP\n", b"BDAT 3\r\n", b"BDAT 2 LAST\r\nxx",
]  # fmt: skip
STREAM = st.lists(st.sampled_from(WORDS), max_size=30).map(b"".join)
BEGINNING = b"HELO x\nMAIL FROM:<a@client.test>\nRCPT TO:<user@here.test>\nDATA\n"
SESSION = STREAM.map(BEGINNING.__add__)
SERVICES: Any = SimpleNamespace(settings=SimpleNamespace(local_domains=("here.test",), relay_domains=()))


def play(data: bytes, sizes: list[int], line_ends: str) -> tuple[Rig, Client]:
    rewriter = AuthorRewriter({"address": "devices@here.test"}, SERVICES)
    rig = Rig(
        limits=LimitsConfig(errors=50, message_size=5000, error_delay=1.0, unknown_recipients=5),
        line_ends=line_ends,
        rewriters=(RewriterUse("ours", rewriter),),
        adds_fields=True,
        greeting_delay=0.0,
    )
    client = rig.connect()
    client.wire.clear()
    turn = itertools.chain(sizes, itertools.repeat(len(data) or 1))
    for piece in in_pieces(data, lambda: next(turn)):
        client.feed(piece)
        while client.open and client.protocol._working is not None:
            rig.clock.advance(1.0)
    return rig, client


def bodies(rig: Rig) -> list[bytes]:
    return [content.partition(b"\r\n\r\n")[2] for content in rig.stored()]


@pytest.mark.parametrize("line_ends", ["normalize", "repair"])
@given(data=st.one_of(STREAM, SESSION), sizes=st.lists(st.integers(1, 40), max_size=40))
@example(data=BEGINNING + b"\0" + b"x" * 6000 + b"\r\n.\r\n", sizes=[])  # two flaws, and one answer
@settings(max_examples=100, deadline=None)
def test_any_stream_in_any_pieces(line_ends: str, data: bytes, sizes: list[int]) -> None:
    rig, client = play(data, sizes, line_ends)
    codes = reply_codes(client.heard())
    assert rig.said(TaskFailed) == []
    for content in rig.stored():
        assert b"\n" not in content.replace(b"\r\n", b"")
        assert b"\r" not in content.replace(b"\r\n", b"")
        head = content.partition(b"\r\n\r\n")[0] + b"\r\n"
        assert [author.address.domain for author in read_authors(head)] == ["here.test"]
    other_rig, other = play(data, [1] * len(data), line_ends)
    if client.open and other.open:
        assert (codes, bodies(rig)) == (reply_codes(other.heard()), bodies(other_rig))
    if not client.open:
        rig.clock.advance(LINGER)
        assert rig.clock.getDelayedCalls() == []
        assert rig.factory.connections == 0


@given(SESSION)
@settings(max_examples=60, deadline=None)
def test_normalize_ends_no_message_but_at_crlf_dot_crlf(data: bytes) -> None:
    """Each message that is stored has an end of its own in what was sent, or a BDAT LAST."""
    rig, _ = play(data, [], "normalize")
    ends = (b"\r\n" + data.replace(b"DATA\n", b"DATA\r\n")).count(b"\r\n.\r\n") + data.count(b"BDAT 2 LAST\r\nxx")
    assert len(rig.stored()) <= ends
