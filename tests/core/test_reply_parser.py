"""Replies from a server: a value or one ReplyError, in any pieces, never more memory than the limits allow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.reply import Reply
from relaygw.core.reply_parser import MAX_LINE, MAX_LINES, MAX_REPLY, ReplyError, ReplyParser


def parse(data: bytes) -> list[Reply]:
    return ReplyParser().feed(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"250 ok\r\n", Reply(250, "", "ok")),
        (b"250 2.1.5 ok\r\n", Reply(250, "2.1.5", "ok")),
        (b"250\r\n", Reply(250, "", "")),
        (b"250 \r\n", Reply(250, "", "")),
        (b"550-5.1.1 no\r\n550 5.1.1 such user\r\n", Reply(550, "5.1.1", "no\nsuch user")),
        (b"550-5.1.1 no\r\n550 such user\r\n", Reply(550, "5.1.1", "no\nsuch user")),
        (b"250 5.1.1 of another class\r\n", Reply(250, "", "5.1.1 of another class")),
        (b"550 5.1.1234 too long\r\n", Reply(550, "", "5.1.1234 too long")),
        (b"550 5.1.1\r\n", Reply(550, "5.1.1", "")),
        (b"250 \xff\xc3\xa4\r\n", Reply(250, "", "\ufffd\u00e4")),
    ],
)
def test_a_reply_is_read(data: bytes, expected: Reply) -> None:
    assert parse(data) == [expected]


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"25\r\n",
        b"25 0\r\n",
        b"2500 x\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
        b"250_x\r\n",
        b"hello\r\n",
        b"\xb2\xb5\xb0 ok\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-a\r\n550 b\r\n",
        b"250 a\nb\r\n",
        b"250 a\n",
        b"250 a\rb\r\n",
        b"250 ok\r\r\n",
    ],
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    with pytest.raises(ReplyError):
        parse(data)


def test_several_in_one_piece_and_one_left_over() -> None:
    parser = ReplyParser()
    assert [reply.code for reply in parser.feed(b"250 a\r\n354-b\r\n354 c\r\n22")] == [250, 354]
    assert parser.partial
    assert [reply.code for reply in parser.feed(b"1 bye\r\n")] == [221]
    assert not parser.partial


@pytest.mark.parametrize(("octets", "good"), [(MAX_REPLY, True), (MAX_REPLY + 1, False)])
def test_all_lines_of_a_reply_have_a_size(octets: int, good: bool) -> None:
    lines = [b"550-" + b"x" * 1020] * (octets // 1024 - 1)
    last = b"550 " + b"y" * (octets - 1024 * len(lines) - 4)
    data = b"".join(line + b"\r\n" for line in [*lines, last])
    if not good:
        with pytest.raises(ReplyError, match="octets"):
            parse(data)
        return
    assert len(parse(data * 2)) == 2  # each has it anew


@pytest.mark.parametrize(("length", "good"), [(MAX_LINE, True), (MAX_LINE + 1, False)])
def test_a_line_has_a_longest_length(length: int, good: bool) -> None:
    line = b"250 " + b"x" * (length - 4)
    if good:
        assert len(parse(line + b"\r\n")) == 1
        parser = ReplyParser()
        assert parser.feed(line + b"\r") == []
        assert len(parser.feed(b"\n")) == 1
        return
    for data in (line, line + b"\r\n"):
        with pytest.raises(ReplyError, match="longer"):
            parse(data)


@pytest.mark.parametrize(("lines", "good"), [(MAX_LINES, True), (MAX_LINES + 1, False)])
def test_a_reply_has_a_largest_number_of_lines(lines: int, good: bool) -> None:
    data = b"250-x\r\n" * (lines - 1) + b"250 x\r\n"
    if good:
        assert len(parse(data)) == 1
    else:
        with pytest.raises(ReplyError, match="lines"):
            parse(data)


LINES = st.lists(
    st.sampled_from([b"250 ok", b"250-ok", b"550 5.1.1 no", b"550-no", b"\r\n", b"\r", b"\n", b" ", b"x", b"421"]),
    max_size=12,
).map(b"".join)


def _all(pieces: list[bytes]) -> list[Reply] | None:
    parser = ReplyParser()
    replies = []
    try:
        for piece in pieces:
            replies += parser.feed(piece)
    except ReplyError:
        return None
    return replies


@given(st.one_of(st.binary(max_size=60), LINES))
def test_any_bytes_give_replies_or_one_error_however_they_are_cut(data: bytes) -> None:
    assert _all([data]) == _all([data[number : number + 1] for number in range(len(data))])
