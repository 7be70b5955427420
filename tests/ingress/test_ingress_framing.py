"""Where lines and data end depends on the bytes alone, never on the segments they came in; against a plain model."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relaygw.ingress.decoding import Decoder
from relaygw.ingress.framing import Fault, Lines

WIRE = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"\0", b"\r\n.", b"\r\n.\r\n", b"bc"]), max_size=30)
CUTS = st.lists(st.integers(1, 5), max_size=40)
LIMIT = 8


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    parts = []
    for cut in cuts:
        parts.append(data[:cut])
        data = data[cut:]
    return [*parts, data]


def model_of_data(data: bytes) -> tuple[bytes, bytes] | None:
    """Content and rest of what follows a DATA command, in the words of RFC 5321 4.5.2; None: not ended."""
    stream = b"\r\n" + data
    end = stream.find(b"\r\n.\r\n")
    if end < 0:
        return None
    lines = stream[: end + 2].split(b"\r\n")[1:-1]
    content = b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines)
    return content, stream[end + 5 :]


def decode(parts: list[bytes]) -> tuple[Decoder, bytes, bytes | None]:
    decoder, content, rest = Decoder(), b"", None
    for part in parts:
        if rest is None:
            piece = decoder.feed(part)
            content += piece.content
            rest = piece.rest
        else:
            rest += part
    return decoder, content, rest


@given(WIRE, CUTS)
@example([b".\r\n", b"after"], [1, 1])
@example([b"a\r\n.", b"\r", b"\n"], [1] * 6)
@settings(max_examples=400)
def test_data_ends_at_crlf_dot_crlf_and_nowhere_else(words: list[bytes], cuts: list[int]) -> None:
    data = b"".join(words)
    decoder, content, rest = decode(pieces(data, cuts))
    expected = model_of_data(data)
    if expected is None:
        assert rest is None
        return
    assert (content, rest) == expected
    raw = (b"\r\n" + data)[: len(data) + 2 - len(expected[1]) - 5].replace(b"\r\n", b"")
    assert decoder.bare == (b"\r" in raw or b"\n" in raw)
    assert decoder.nul == (b"\0" in raw)


@pytest.mark.parametrize(
    "false_end",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r\n.\0\r\n",
        b"\r\n.\r\r\n",
        b"\r\n.\n\r\n",
    ],
)
def test_no_other_end_is_one(false_end: bytes) -> None:
    for cuts in ([], [1] * 30, [2] * 15, [3] * 10):
        decoder, _, rest = decode(pieces(b"body" + false_end + b"MAIL FROM:<evil@x.test>\r\n", cuts))
        assert rest is None
        assert decoder.bare or decoder.nul


def test_what_is_held_back_is_four_octets_at_most() -> None:
    decoder = Decoder()
    for octet in b"a\r\n.\ra\r\n.x" * 20:
        decoder.feed(bytes([octet]))
        assert len(decoder._held) <= 4


def model_of_lines(data: bytes) -> list[bytes | Fault]:
    """Lines and faults of a finished stream: the part after the last CRLF counts only for what is certain of it."""
    *whole, last = data.split(b"\r\n")
    found: list[bytes | Fault] = []
    for number, line in enumerate([*whole, last]):
        finished = number < len(whole)
        seen = (line + b"\r\n" if finished else line)[:LIMIT]
        inside = seen[:-2] if finished and len(line) + 2 <= LIMIT else seen
        certain = inside[:-1] if inside.endswith(b"\r") and len(inside) == len(seen) else inside
        if b"\n" in inside.replace(b"\r\n", b"") or b"\r" in certain:
            found.append(Fault.BARE)
        elif len(seen) == LIMIT and not (finished and len(line) + 2 <= LIMIT):
            found.append(Fault.LONG)
        elif finished:
            found.append(line)
    return found


def read(parts: list[bytes]) -> list[bytes | Fault]:
    lines, found = Lines(), []
    for part in parts:
        lines.receive(part)
        while (line := lines.next(LIMIT)) is not None:
            found.append(line)
        assert lines.left <= LIMIT
    return found


@given(WIRE, CUTS)
@settings(max_examples=400)
def test_lines_do_not_depend_on_segments(words: list[bytes], cuts: list[int]) -> None:
    data = b"".join(words)
    assert read(pieces(data, cuts)) == read([data]) == model_of_lines(data)


def test_a_line_of_the_limit_and_one_octet_more() -> None:
    assert read([b"x" * (LIMIT - 2) + b"\r\nNOOP\r\n"]) == [b"x" * (LIMIT - 2), b"NOOP"]
    assert read([b"x" * (LIMIT - 1) + b"\r\nNOOP\r\n"]) == [Fault.LONG, b"NOOP"]


def test_the_tail_of_a_faulty_line_is_no_command_and_takes_no_memory() -> None:
    lines = Lines()
    lines.receive(b"x" * 100)
    assert lines.next(LIMIT) is Fault.LONG
    for _ in range(100):
        lines.receive(b"MAIL FROM:<a@b.test>\n" * 1000)
        assert lines.next(LIMIT) is None
        assert lines.left <= 1
    lines.receive(b"\r\nNOOP\r\n")
    assert lines.next(LIMIT) == b"NOOP"


def test_a_bare_line_feed_is_told_at_once() -> None:
    """A client that ends its lines with LF alone would otherwise wait for ever."""
    assert read([b"EHLO\n"]) == [Fault.BARE]
    assert read([b"EHLO\r"]) == []
    assert read([b"EH\rLO"]) == [Fault.BARE]
