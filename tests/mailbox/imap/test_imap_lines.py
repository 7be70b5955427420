"""The line layer: the same commands however the bytes are cut, bounded whatever they are, no literal ever a command."""

from io import BytesIO
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.mailbox.imap.lines import (
    MAX_LITERAL_COUNT,
    Collected,
    CommandReader,
    Continue,
    Fault,
    Offered,
    Skipped,
    literal_size,
)
from relaygw.mailbox.imap.tokens import StoredLiteral

LIMIT = 1000


def events(reader: CommandReader, *pieces: bytes, wanted: bool = True) -> list[Any]:
    """All events; offered messages are taken into a BytesIO, or skipped. Stored literals become their bytes."""
    found: list[Any] = []
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next()) is not None:
            if isinstance(event, Offered):
                found.append(("offered", event.size, event.waits))
                if wanted:
                    reader.take(BytesIO())
                else:
                    reader.skip()
            elif isinstance(event, Collected):
                found.append((event.texts, tuple(_plain(literal) for literal in event.literals)))
            else:
                found.append(event)
    return found


def _plain(literal: Any) -> bytes:
    return literal.handle.getvalue() if isinstance(literal, StoredLiteral) else literal


def reader() -> CommandReader:
    return CommandReader(max_line=LIMIT, max_literals=LIMIT)


STREAM = (
    b"a NOOP\r\n"
    b"b LOGIN {5+}\r\nal\r\nc {2}\r\nxy\r\n"
    b"c APPEND {5+}\r\nINBOX (\\Seen) {12+}\r\nd LOGOUT\r\n\r\n\r\n"
    b"e SEARCH TEXT {0+}\r\n\r\n"
    b"f NOOP\r\n"
)
EXPECTED = [
    ((b"a NOOP",), ()),
    Continue(),
    ((b"b LOGIN ", b" ", b""), (b"al\r\nc", b"xy")),
    ("offered", 12, False),
    ((b"c APPEND ", b" (\\Seen) ", b""), (b"INBOX", b"d LOGOUT\r\n\r\n")),
    ((b"e SEARCH TEXT ", b""), (b"",)),
    ((b"f NOOP",), ()),
]


def test_whole_and_byte_by_byte_are_the_same() -> None:
    assert events(reader(), STREAM) == EXPECTED
    assert events(reader(), *(STREAM[place : place + 1] for place in range(len(STREAM)))) == EXPECTED


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_split_is_the_same(places: list[int]) -> None:
    cuts = [0, *sorted(places), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(cuts)]
    assert events(reader(), *pieces) == EXPECTED


def test_a_line_of_the_limit_is_read_and_one_more_is_skipped() -> None:
    text = b"a " + b"x" * (LIMIT - 2)
    assert events(reader(), text + b"\r\nb NOOP\r\n") == [((text,), ()), ((b"b NOOP",), ())]
    skipped, after = events(reader(), text + b"y\r\nb NOOP\r\n")
    assert skipped == Skipped(text[:64], Fault.LINE)
    assert after == ((b"b NOOP",), ())


def test_the_limit_is_of_all_the_text_of_a_command() -> None:
    text = b"a " + b"x" * (LIMIT - 10)
    found = events(reader(), text + b"{1+}\r\nz" + b"y" * 20 + b"\r\nb NOOP\r\n")
    assert isinstance(found[0], Skipped)
    assert found[1:] == [((b"b NOOP",), ())]


def test_an_endless_line_takes_no_memory() -> None:
    subject = reader()
    for _ in range(1000):
        subject.feed(b"x" * 1000)
        assert subject.next() is None
        assert subject.buffered < 3 * LIMIT
    assert [type(event) for event in events(subject, b"\r\nb NOOP\r\n")] == [Skipped, tuple]


def test_literals_of_the_limit_are_read_and_one_more_octet_is_skipped_whole() -> None:
    """What is skipped looks like commands; none of it is one."""
    fill = b"z LOGOUT\r\n" * (LIMIT // 10)
    accepted = events(reader(), b"a LOGIN {%d+}\r\n%b x\r\n" % (LIMIT, fill))
    assert accepted == [((b"a LOGIN ", b" x"), (fill,))]
    refused = events(reader(), b"a LOGIN {%d+}\r\n%b! {1+}\r\nq \r\nb NOOP\r\n" % (LIMIT + 1, fill))
    assert refused == [Skipped(b"a LOGIN ", Fault.LITERAL), ((b"b NOOP",), ())]


def test_a_literal_the_client_waits_with_is_refused_before_it_is_sent() -> None:
    assert events(reader(), b"a LOGIN {%d}\r\nb NOOP\r\n" % (LIMIT + 1)) == [
        Skipped(b"a LOGIN ", Fault.LITERAL),
        ((b"b NOOP",), ()),
    ]


def test_the_number_of_literals_is_bounded() -> None:
    found = events(CommandReader(), b"a SEARCH" + b" {0+}\r\n" * MAX_LITERAL_COUNT + b"\r\n")
    assert len(found[0][1]) == MAX_LITERAL_COUNT
    found = events(CommandReader(), b"a SEARCH" + b" {0+}\r\n" * (MAX_LITERAL_COUNT + 1) + b"\r\nb NOOP\r\n")
    assert isinstance(found[0], Skipped)
    assert found[1] == ((b"b NOOP",), ())


def test_an_absurd_size_is_a_literal_all_the_same() -> None:
    """Not a line: what follows `{99999999999999999999+}` is never a command."""
    assert literal_size(b"a LOGIN {" + b"9" * 5000 + b"}") == (2**63, True)
    assert literal_size(b"x {0000000000000000000000000005+}") == (5, False)
    assert literal_size(b"x {}") is None
    assert literal_size(b"x {5") is None
    assert literal_size(b"x {-5}") is None
    assert events(reader(), b"a LOGIN {" + b"9" * 50 + b"+}\r\nb NOOP\r\n") == []


def test_a_message_that_is_not_wanted_is_passed_over() -> None:
    """With LITERAL+ its octets come all the same; without, they do not."""
    follows = ((b"b NOOP",), ())
    assert events(reader(), b"a APPEND x {9+}\r\nz LOGOUT\r\r\nb NOOP\r\n", wanted=False) == [
        ("offered", 9, False),
        follows,
    ]
    assert events(reader(), b"a APPEND x {9}\r\nb NOOP\r\n", wanted=False) == [("offered", 9, True), follows]


def test_only_the_message_of_an_append_is_offered() -> None:
    """The mailbox's name as a literal is small; so is a second message."""
    assert events(reader(), b"a APPEND {%d+}\r\n" % (LIMIT + 1))[:1] == []
    found = events(reader(), b"a APPEND x {1+}\r\ny {1+}\r\nz\r\n")
    assert found == [("offered", 1, False), ((b"a APPEND x ", b" ", b""), (b"y", b"z"))]


def test_a_bare_line_is_cut_short() -> None:
    subject = reader()
    subject.feed(b"x" * 5000)
    assert subject.line(100) is None
    assert subject.buffered < 300
    subject.feed(b"yz\r\nb NOOP\r\n")
    assert subject.line(100) == b"x" * 101
    assert events(subject, b"") == [((b"b NOOP",), ())]


def test_only_crlf_ends_a_line() -> None:
    assert events(reader(), b"a NOOP\nb NOOP\rc\r\n") == [((b"a NOOP\nb NOOP\rc",), ())]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"a ", b"APPEND x", b"{3+}", b"{3}", b"{9999+}", b"\r\n", b"\r", b"\n", b"abc", b'"']),
        max_size=40,
    )
)
def test_no_stream_makes_it_hold_more_than_its_limits(pieces: list[bytes]) -> None:
    subject = CommandReader(max_line=50, max_literals=20)
    events(subject, *pieces)
    assert subject.buffered <= 200
