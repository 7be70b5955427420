"""No octets that one client sends as one message become two at any next hop, however it reads line ends, and however
both streams are cut."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.core.stuffing import Stuffer
from relaygw.ingress.decoding import Chunks
from relaygw.ingress.reception import Reception
from relaygw.ingress.repairing import make_decoder
from relaygw.spool.memory import MemorySpool

END = b"\r\n.\r\n"
LIMIT = 1_000_000
PIECES = (
    *(b"\r", b"\n", b".", b"\r\n", b"..", b"\0", b"a", b" ", b": ", b"\x0b", b"\x85", b"MAIL FROM:<a@b.test>\r\n"),
    *(END, b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n\0.\r\n", b"a" * 1500),
)
STREAMS = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(0, 60), max_size=5)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    borders = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(borders) if end > start]


def strict(wire: bytes) -> bytes:
    """What is left for the next command at a hop where only CRLF.CRLF ends the data."""
    return (b"\r\n" + wire).partition(END)[2]


def any_line_end(wire: bytes) -> bytes:
    """The same where CR and LF each end a line."""
    return (b"\n" + wire.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).partition(b"\n.\n")[2]


def only_line_feeds(wire: bytes) -> bytes:
    """The same where CR and NUL are dropped before anything is looked at."""
    return (b"\n" + wire.replace(b"\0", b"").replace(b"\r", b"")).partition(b"\n.\n")[2]


def received_by_data(line_ends: str, pieces: list[bytes]) -> bytes | None:
    """The content of the message that these octets begin with; None where it is refused."""
    reception = Reception(MemorySpool().sink(), LIMIT, make_decoder(line_ends))
    for piece in (*pieces, END, END):
        if reception.feed(piece) is not None:
            break
    return None if reception.flaw() is not None else b"".join(reception.sink.content().chunks())


def received_by_chunks(pieces: list[bytes]) -> bytes | None:
    chunks = Chunks()
    reception = Reception(MemorySpool().sink(), LIMIT, chunks)
    for piece in pieces:
        chunks.left = len(piece)
        reception.feed(piece)
    return None if reception.flaw() is not None else b"".join(reception.sink.content().chunks())


def sent(content: bytes, places: Sequence[int]) -> bytes:
    stuffer = Stuffer()
    return b"".join([stuffer.feed(piece) for piece in cut(content, places)]) + stuffer.finish()


@pytest.mark.parametrize("listener", ["reject", "normalize", "repair", "chunks"])
@pytest.mark.parametrize("next_hop", [strict, any_line_end, only_line_feeds])
@settings(max_examples=150, deadline=None)
@given(stream=STREAMS, arriving=CUTS, leaving=CUTS)
def test_one_message_stays_one(
    listener: str, next_hop: Callable[[bytes], bytes], stream: bytes, arriving: list[int], leaving: list[int]
) -> None:
    pieces = cut(stream, arriving)
    content = received_by_chunks(pieces) if listener == "chunks" else received_by_data(listener, pieces)
    if content is not None:
        wire = sent(b"Received: from a by b\r\n" + content, leaving)
        assert wire.endswith(END)
        assert next_hop(wire) == b""
