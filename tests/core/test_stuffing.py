"""Content on the wire: the receiver's decoder sees exactly one message with identical bytes, whatever they are."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.stuffing import BareLineEnd, Stuffer, Survey, stuff, survey

PARTS = st.lists(
    st.sampled_from([b".", b"\r\n", b"\r", b"\n", b"x", b"..", b"MAIL FROM:<e@x>", b" ", b"\0", b"\xff"]), max_size=30
)
CONTENTS = PARTS.map(b"".join)


def sound(data: bytes) -> bool:
    rest = data.replace(b"\r\n", b"")
    return b"\r" not in rest and b"\n" not in rest


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(borders)]


def decode(wire: bytes) -> tuple[bytes, bytes]:
    """A receiver by the letter of RFC 5321 4.5.2: the content, and what it would take for the next command."""
    lines = []
    while True:
        line, found, wire = wire.partition(b"\r\n")
        assert found, "the content does not end"
        if line == b".":
            return b"".join(lines), wire
        lines.append(line.removeprefix(b".") + b"\r\n")


def sent(pieces: list[bytes]) -> bytes:
    stuffer = Stuffer()
    return b"".join([*map(stuffer.feed, pieces), stuffer.finish()])


@given(CONTENTS, st.lists(st.integers(0, 200), max_size=8))
def test_one_message_with_identical_bytes_or_nothing(content: bytes, places: list[int]) -> None:
    pieces = cut(content, places)
    if not sound(content):
        with pytest.raises(BareLineEnd):
            sent(pieces)
        assert not survey(pieces).sound
        return
    ended = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
    assert decode(sent(pieces)) == (ended, b"")
    assert sent(pieces) == stuff(content)
    assert survey(pieces) == Survey(
        sound=True, eight_bit=not content.isascii(), nul=b"\0" in content, ended=content == ended
    )


@given(CONTENTS)
def test_no_piece_ever_sends_what_was_not_checked(content: bytes) -> None:
    # Even where the fault comes late, what was sent before it holds no bare CR or LF and no lone dot.
    stuffer = Stuffer()
    out = b""
    try:
        for number in range(len(content)):
            out += stuffer.feed(content[number : number + 1])
    except BareLineEnd:
        pass
    assert sound(out)
    assert b"\r\n.\r\n" not in b"\r\n" + out


@pytest.mark.parametrize("size", [1024, 16 * 1024, 64 * 1024, 256 * 1024])
def test_a_dot_at_the_border_of_a_piece_is_doubled(size: int) -> None:
    content = (b"x" * 62 + b"\r\n") * (size // 64) + b".\r\nMAIL FROM:<smuggled@example.net>\r\n"
    pieces = [content[:size], content[size:]]
    assert decode(sent(pieces)) == (content, b"")


def test_the_first_line_is_stuffed_too() -> None:
    assert stuff(b".\r\nQUIT\r\n") == b"..\r\nQUIT\r\n.\r\n"


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"\r\n", b"\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
    ],
)
def test_the_end(content: bytes, wire: bytes) -> None:
    assert stuff(content) == wire
