"""A hostile client: whatever it sends, in whatever pieces, there is one reply per command, in order, no traceback,
little memory, and no message that was not ended by CRLF.CRLF or BDAT LAST."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingress_rig import HELLO, MAIL, RCPT, Client, Rig, in_pieces, reply_codes, was_ended

from relaygw.config.schema import LimitsConfig
from relaygw.core.content import MAX_FIELDS
from relaygw.core.events import Disconnected, Refused, TaskFailed
from relaygw.ingress.conversation import MAX_LINE
from relaygw.ingress.protocol import MAX_WAITING, TURN

WORDS = [
    b"EHLO client.test\r\n", b"HELO x\r\n", b"MAIL FROM:<a@client.test>\r\n", b"MAIL FROM:<> SIZE=9 BODY=8BITMIME\r\n",
    b"RCPT TO:<user@here.test>\r\n", b"RCPT TO:<victim@elsewhere.test>\r\n", b"RCPT TO:<@a:b@c>\r\n", b"DATA\r\n",
    b"Subject: x\r\n", b"\r\n", b".\r\n", b"..\r\n", b"RSET\r\n", b"NOOP\r\n", b"VRFY x\r\n", b"AUTH LOGIN\r\n",
    b"AUTH PLAIN AHVzZXIAY29ycmVjdCBob3JzZQ==\r\n", b"*\r\n", b"dXNlcg==\r\n", b"STARTTLS\r\n", b"\n", b"\r", b"\n.\n",
    b"\r\n.\n", b"\n.\r\n", b"\0", b"\xff", b"x" * 3000, b"\r\n.\r\n", b"MAIL FROM:<evil@client.test>\n", b"QUIT",
    b"BDAT 4\r\na\r\n", b"BDAT 9 LAST\r\nQUIT\r\n", b"BDAT 0 LAST\r\n", b"BDAT 2\r\n\r\n", b"BDAT x\r\n",
    b"BDAT 6000\r\n", b"MAIL FROM:<a@client.test> BODY=BINARYMIME\r\n", b"LHLO x\r\n",
]  # fmt: skip
STREAM = st.lists(st.sampled_from(WORDS), max_size=40).map(b"".join)


def rig() -> Rig:
    return Rig(auth="always", limits=LimitsConfig(errors=1000, message_size=5000))


def play(data: bytes, sizes: list[int]) -> tuple[Rig, Client, str]:
    """All that is said when the data comes in pieces of these sizes (then whole)."""
    server = rig()
    client = server.connect()
    client.wire.clear()
    turn = iter(sizes)
    for piece in in_pieces(data, lambda: next(turn, len(data))):
        if not client.open:
            break
        client.feed(piece)
        protocol: Any = client.protocol
        assert protocol._lines.left <= MAX_WAITING + len(piece)
        server.clock.pump([2.0] * 3)  # a refused login is answered late
    return server, client, client.heard()


def messages(server: Rig) -> list[bytes]:
    return [content.split(b"+0000\r\n", 1)[1] for content in server.stored()]


@given(STREAM, st.lists(st.integers(1, 40), max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_stream(data: bytes, sizes: list[int]) -> None:
    server, client, said = play(data, sizes)
    reply_codes(said)  # well formed replies and nothing else
    assert server.said(TaskFailed) == []
    waiting = client.protocol._lines.left
    assert waiting < MAX_LINE or not client.open
    for content in messages(server):
        assert was_ended(content, data)
        assert b"\n" not in content.replace(b"\r\n", b"") or b"BINARYMIME" in data


@given(STREAM)
@settings(max_examples=60, deadline=None)
def test_the_number_of_replies_is_that_of_the_commands(data: bytes) -> None:
    """Octet by octet everything is answered before the next octet comes; so it must be when all comes at once, but
    for what may not be sent without waiting (behind STARTTLS, behind a refused DATA)."""
    whole_rig, whole, said_whole = play(data, [])
    single_rig, single, said_single = play(data, [1] * len(data))
    if whole.open and single.open:
        assert said_whole == said_single
        assert messages(whole_rig) == messages(single_rig)
    else:
        shorter, longer = sorted((reply_codes(said_whole), reply_codes(said_single)), key=len)
        assert longer[: len(shorter) - 1] == shorter[:-1]


def test_pipelined_lines_are_all_answered() -> None:
    server = rig()
    client = server.connect()
    client.wire.clear()
    client.feed(b"NOOP\r\n" * 30_000)
    client.rest(server.clock)
    assert reply_codes(client.heard()) == [250] * 30_000
    client.wire.clear()
    client.feed(b"FOO\r\n\xff\r\n" * 100)
    client.rest(server.clock)
    assert reply_codes(client.heard()) == [500] * 200


def test_so_many_commands_are_answered_before_others_have_their_turn() -> None:
    server = rig()
    client, other = server.connect(), server.connect()
    assert client.codes(b"NOOP\r\n" * TURN) == [250] * TURN
    assert client.codes(b"NOOP\r\n" * (TURN + 1)) == [250] * TURN
    assert client.codes(b"HELP\r\n") == []
    assert other.codes(b"NOOP\r\n") == [250]
    client.rest(server.clock)
    assert reply_codes(client.heard()) == [250, 214]


def test_who_leaves_while_others_have_their_turn_is_gone() -> None:
    server = rig()
    client = server.connect()
    client.feed(b"NOOP\r\n" * (2 * TURN))
    client.wire.loseConnection()
    client.rest(server.clock)
    assert server.said(Disconnected)[0].commands == TURN
    assert not server.clock.getDelayedCalls()


def test_endless_lines_take_no_memory() -> None:
    client = rig().connect()
    client.send(b"EHLO client.test\r\n")
    for _ in range(100):
        client.feed(b"x" * 65_536)
        assert client.protocol._lines.left <= 1
    assert client.codes(b"\r\nNOOP\r\n") == [250]


@pytest.mark.parametrize(("fields", "code"), [(MAX_FIELDS, 250), (MAX_FIELDS + 1, 552)])
def test_a_header_section_has_so_many_fields_at_most(fields: int, code: int) -> None:
    """Whoever reads all fields would keep others waiting; folds and lines of the body do not count."""
    rig = Rig()
    content = "X: y\r\n z\r\n\tz\r\n" * fields + "\r\n" + "a\r\n" * 20_000
    replies = rig.connect().codes(HELLO + MAIL + RCPT + f"DATA\r\n{content}.\r\n")
    assert replies[-1] == code
    assert len(rig.records()) == (1 if code == 250 else 0)


def test_an_endless_message_takes_no_memory() -> None:
    server = rig()
    client = server.connect()
    client.send(b"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<user@here.test>\r\nDATA\r\n")
    reception = client.protocol.conversation._mailing.reception
    for _ in range(100):
        client.feed(b"\r\n..x" * 20_000)
        assert client.protocol._lines.left == 0
    assert reception.sink._buffer.getbuffer().nbytes == 0
    assert client.codes(b"\r\n.\r\nNOOP\r\n") == [552, 250]


def test_what_is_no_command_is_in_no_log() -> None:
    rig = Rig(auth="tls")
    client = rig.connect()
    password = b64encode(b"swordfish").decode()
    codes = client.codes(f"{HELLO}AUTH LOGIN\r\n{password}\r\nswordfish\r\nAUTH PLAIN {password}\r\nGET / HTTP/1.0\r\n")
    assert codes == [250, 530, 500, 500, 530, 500]
    assert [event.command for event in rig.said(Refused)] == ["AUTH", "unknown", "unknown", "AUTH", "GET"]
    assert not any(word in repr(rig.events).lower() for word in ("swordfish", password.lower()))
