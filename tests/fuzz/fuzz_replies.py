"""However a server's octets are cut, they are the same replies or one ReplyError; what it offers is bounded, and what
it says can leave no line."""

from relaygw.core.address import Address
from relaygw.core.capabilities import parse_capabilities
from relaygw.core.outcome import MAX_WORDS, from_reply
from relaygw.core.reply import Reply
from relaygw.core.reply_parser import MAX_LINES, MAX_REPLY, ReplyError, ReplyParser

SEEDS = (
    b"\x03220 mx.test ESMTP\r\n250-mx.test\r\n250-SIZE 100\r\n250-AUTH PLAIN LOGIN\r\n250 LIMITS RCPTMAX=9 X=\r\n",
    b"\x01550-5.1.1 no\r\n550 5.1.1 such user\r\n4",
    b"\x02250\r\n250 \xff\r\n250-x\r\n",
)


def read(data: bytes, size: int) -> tuple[list[Reply], bool]:
    parser, found = ReplyParser(), []
    try:
        for at in range(0, len(data), size):
            found += parser.feed(data[at : at + size])
    except ReplyError:
        return found, False
    return found, True


def one_input(data: bytes) -> None:
    size, data = (data[0] % 16 + 1, data[1:]) if data else (1, b"")
    replies, whole = read(data, size)
    at_once, sound = read(data, len(data) or 1)
    assert whole == sound
    assert replies == at_once or not whole
    for reply in replies:
        assert 200 <= reply.code < 600
        assert reply.text.count("\n") < MAX_LINES
        assert len(reply.text) <= MAX_REPLY
        assert str(reply).isprintable()
        assert reply.wire().count(b"\r\n") == reply.text.count("\n") + 1
        offered = parse_capabilities(reply)
        assert all(each.upper() == each for each in offered.mechanisms)
        assert offered.max_recipients < 10**6
        outcome = from_reply(Address("a", "b.test"), reply, host="mx.test", address="192.0.2.1")
        assert len(outcome.reply.text) <= MAX_WORDS
