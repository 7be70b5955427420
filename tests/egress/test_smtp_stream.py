"""Large contents: streamed in bounded pieces at the server's pace, byte for byte, and never ended when not whole."""

from collections.abc import Iterator

import attrs
import pytest
from egress_support import (
    CLEAR,
    CLOSE,
    MANNERS,
    SILENCE,
    MemoryReactor,
    Server,
    converse,
    make_record,
    outcomes_with,
    pending,
    result,
    run,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.core.content import BytesContent, split_head
from relaygw.core.outcome import Status
from relaygw.core.stuffing import BareLineEnd
from relaygw.egress.message import PIECE, SMALL, in_thread, prepare, wire_pieces
from relaygw.egress.transaction import Interrupted

LINE = b"x" * 62 + b"\r\n"
LARGE = b"Subject: x\r\n\r\n" + LINE * 20_000


@attrs.frozen(eq=False)
class FileLike:
    """Content that comes in pieces of a given size, as from a file; `reads` counts how often it was opened."""

    data: bytes
    piece: int = 64 * 1024
    broken_at: int = 0
    opened: list[int] = attrs.field(factory=list)

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def head(self) -> bytes:
        return split_head(self.data)

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        self.opened.append(start)
        for place in range(start, len(self.data), self.piece):
            if self.broken_at and len(self.opened) > 1 and place >= self.broken_at:
                raise OSError("the disk is gone")
            yield self.data[place : place + self.piece]


@pytest.mark.parametrize("size", [SMALL - 1, SMALL, SMALL + 1, 4 * SMALL])
@pytest.mark.parametrize("offers", [("PIPELINING",), ()])
def test_small_and_large_arrive_byte_for_byte(size: int, offers: tuple[str, ...]) -> None:
    data = (LARGE[: size - 3] + b"\r\n.")[:size]
    server = Server(offers)
    [outcome] = outcomes_with(server, content=FileLike(data))
    assert outcome.status is Status.DELIVERED
    assert server.messages == [data + b"\r\n"]


@pytest.mark.parametrize("piece", [1024, 4096, 16 * 1024, 64 * 1024])
def test_a_lone_dot_at_the_border_of_a_piece_does_not_end_the_message(piece: int) -> None:
    data = (
        LINE * (SMALL // 64)
        + b".\r\nMAIL FROM:<smuggled@example.net>\r\nRCPT TO:<v@example.org>\r\nDATA\r\n"
        + LINE * 10
    )
    server = Server()
    outcomes_with(server, content=FileLike(data, piece))
    assert server.messages == [data]
    assert len(server.commands) == 4


PARTS = st.lists(
    st.sampled_from([b".", b"\r\n", b"\r\n.\r\n", b"x" * 1000, b"\r\n.", b"QUIT\r\n", b"\r\n..\r\n", b"\xe9"]),
    max_size=30,
).map(b"".join)


@settings(max_examples=40, deadline=None)
@given(PARTS, st.integers(1, 70_000), st.booleans())
def test_any_large_content_in_any_pieces_is_one_message(parts: bytes, piece: int, with_pipelining: bool) -> None:
    data = parts + b"\r\n" + LINE * (SMALL // 64) + parts
    server = Server(("PIPELINING",) if with_pipelining else ())
    [outcome] = outcomes_with(server, content=FileLike(data, piece))
    assert outcome.status is Status.DELIVERED
    assert server.messages == [data if data.endswith(b"\r\n") else data + b"\r\n"]


@pytest.mark.parametrize("bad", [b"a\nb", b"a\rb", b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r\n.\n"])
@pytest.mark.parametrize("size", [0, SMALL + 1])
def test_bare_line_ends_are_never_sent(bad: bytes, size: int) -> None:
    server = Server()
    reactor = MemoryReactor(lambda address, port: server)
    data = LINE * (size // 64) + bad + (b"\r\n" if bad[-1:] not in b"\r" else b"")
    with pytest.raises(BareLineEnd):
        result(run(reactor, prepare(make_record().envelope, b"", FileLike(data), in_thread(reactor))))


def test_what_is_waiting_to_be_sent_stays_bounded() -> None:
    server = Server()
    reactor = MemoryReactor(lambda address, port: server)
    made = reactor.wires
    conversation = run_with_limit(reactor, FileLike(LARGE * 4), limit=64 * 1024)
    assert result(conversation)[1][0].status is Status.DELIVERED
    assert server.messages == [LARGE * 4]
    assert made[0].most <= PIECE + 128 * 1024


def run_with_limit(reactor: MemoryReactor, content: FileLike, limit: int) -> object:
    """A conversation over a wire that asks for a pause above `limit` octets."""
    reactor.limit = limit
    return run(reactor, converse(reactor, make_record(), content=content))


def test_a_server_that_does_not_read_is_given_up_and_nothing_is_ended() -> None:
    server = Server()
    reactor = MemoryReactor(lambda address, port: server)
    reactor.limit = 64 * 1024
    reactor.stall_after = 100_000
    conversation = run(reactor, converse(reactor, make_record(), content=FileLike(LARGE * 4)))
    assert pending(conversation)
    reactor.pass_time(MANNERS.command_timeout)
    _, [outcome] = result(conversation)
    assert (outcome.status, outcome.uncertain) == (Status.DEFERRED, False)
    assert server.messages == []
    assert reactor.wires[0].aborted


@pytest.mark.parametrize(
    ("early", "status"),
    [
        (b"552 5.3.4 too big\r\n", Status.FAILED),
        (b"452 4.3.1 disk full\r\n", Status.DEFERRED),
        (b"421 4.3.2 shutting down\r\n", Status.DEFERRED),
        (b"250 2.0.0 queued\r\n", Status.DEFERRED),
    ],
)
def test_an_answer_before_the_end_stops_the_content_without_ending_it(early: bytes, status: Status) -> None:
    server = Server(early=(100_000, early))
    reactor = MemoryReactor(lambda address, port: server)
    reactor.limit = 64 * 1024
    _, [outcome] = result(run(reactor, converse(reactor, make_record(), content=FileLike(LARGE * 4))))
    assert (outcome.status, outcome.uncertain) == (status, False)
    assert server.messages == []
    assert reactor.wires[0].aborted
    assert reactor.getDelayedCalls() == []


def test_a_connection_lost_amid_the_content_is_certain() -> None:
    server = Server(early=(100_000, CLOSE))
    reactor = MemoryReactor(lambda address, port: server)
    reactor.limit = 64 * 1024
    _, [outcome] = result(run(reactor, converse(reactor, make_record(), content=FileLike(LARGE * 4))))
    assert (outcome.status, outcome.uncertain) == (Status.DEFERRED, False)


def test_an_answer_that_comes_at_once_after_the_final_dot_is_no_early_one() -> None:
    """However slowly the content is read: nothing is read any more once the last of it is written."""
    server = Server()
    reactor = MemoryReactor(lambda address, port: server)
    reactor.slow_threads = True
    _, [outcome] = result(run(reactor, converse(reactor, make_record(), content=FileLike(LARGE))))
    assert outcome.status is Status.DELIVERED
    assert server.messages == [LARGE]


def test_a_large_message_whose_final_answer_is_lost_is_uncertain() -> None:
    for end in (CLOSE, SILENCE):
        reactor = MemoryReactor(lambda address, port, end=end: Server(end=end))
        conversation = run(reactor, converse(reactor, make_record(), content=FileLike(LARGE)))
        reactor.pass_time(MANNERS.data_timeout)
        _, [outcome] = result(conversation)
        assert (outcome.status, outcome.uncertain) == (Status.DEFERRED, True)


def test_a_file_that_cannot_be_read_to_its_end_ends_the_connection_not_the_message() -> None:
    server = Server()
    reactor = MemoryReactor(lambda address, port: server)
    content = FileLike(LARGE, broken_at=200_000)
    with pytest.raises(Interrupted, match="OSError: the disk is gone") as caught:
        result(run(reactor, converse(reactor, make_record(), content=content, hop=CLEAR)))
    assert [(outcome.status, outcome.uncertain) for outcome in caught.value.outcomes] == [(Status.DEFERRED, False)]
    reactor.settle()
    assert server.messages == []
    assert reactor.wires[0].aborted
    assert reactor.getDelayedCalls() == []


def test_pieces_are_large_whatever_the_file_gives() -> None:
    reactor = MemoryReactor(lambda address, port: None)
    content = FileLike(LARGE, piece=100)
    message = result(run(reactor, prepare(make_record().envelope, b"", content, in_thread(reactor))))
    sizes = [len(piece) for piece in wire_pieces(message)]
    assert all(PIECE <= size < PIECE + 200 for size in sizes[:-1])


def test_signatures_stand_on_top() -> None:
    reactor = MemoryReactor(lambda address, port: None)
    content = BytesContent(b"Subject: x\r\n\r\nbody\r\n")
    message = result(
        run(reactor, prepare(make_record().envelope, b"DKIM-Signature: v=1\r\n", content, in_thread(reactor)))
    )
    assert message.wire == b"DKIM-Signature: v=1\r\nSubject: x\r\n\r\nbody\r\n.\r\n"
    assert message.size == 41
