"""Octets written at once: in order, whole, and by the transport where the kernel takes no more."""

import select
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Port
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import TestCase

from relaygw.bridge import deferred
from relaygw.promptly import ROOM, PromptEndpoint, PromptServer, part, write


class _Watcher:
    """The part of a reactor that a transport asks to be told when it can write."""

    def __init__(self) -> None:
        self.writers: set[object] = set()

    def addWriter(self, writer: object) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: object) -> None:
        self.writers.discard(writer)

    def addReader(self, reader: object) -> None: ...

    def removeReader(self, reader: object) -> None: ...


class _Listener(Protocol):
    """Keeps what it is told, and answers by `react`."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.react: Callable[[], object] = lambda: None

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)
        self.react()


Pair = tuple[Any, socket.socket, _Watcher]  # the transport's protocol is a _Listener


@pytest.fixture
def pair() -> Iterator[Pair]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        far = socket.create_connection(listener.getsockname())
        near, address = listener.accept()
    near.setblocking(False)
    far.settimeout(60)
    watcher = _Watcher()
    transport = PromptServer(near, _Listener(), address, None, 1, watcher)  # type: ignore[arg-type]  # all it needs
    transport.protocol.makeConnection(transport)
    with near, far:
        yield transport, far, watcher


def test_a_reply_leaves_at_once_and_nothing_is_watched(pair: Pair) -> None:
    transport, far, watcher = pair
    write(transport, b"250 2.0.0 Ok\r\n")
    assert far.recv(100) == b"250 2.0.0 Ok\r\n"
    assert not watcher.writers


def test_what_the_kernel_does_not_take_follows_in_order(pair: Pair) -> None:
    transport, far, watcher = pair
    transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * ROOM)  # some kernels would take all of it
    pieces = [bytes([number]) * 300_000 for number in range(40)]
    for piece in pieces:
        write(transport, piece)
    assert transport in watcher.writers  # the rest is the transport's, in its own time
    expected, got = b"".join(pieces), bytearray()
    while len(got) < len(expected):
        got += far.recv(1 << 20)
        if transport in watcher.writers:
            transport.doWrite()
    assert got == expected


def test_what_waits_already_is_not_overtaken(pair: Pair) -> None:
    transport, far, _ = pair
    transport.write(b"one ")
    write(transport, b"two")
    transport.doWrite()
    assert far.recv(100) == b"one two"


@pytest.mark.parametrize("ending", ["loseConnection", "loseWriteConnection"])
def test_last_words_are_said_before_the_end(pair: Pair, ending: str) -> None:
    transport, far, _ = pair
    write(transport, b"221 2.0.0 Bye\r\n")
    getattr(transport, ending)()
    transport.doWrite()
    assert far.recv(100) == b"221 2.0.0 Bye\r\n"


def test_nothing_is_said_after_the_end(pair: Pair) -> None:
    transport, far, _ = pair
    transport.loseWriteConnection()
    transport.doWrite()
    write(transport, b"too late")
    transport.doWrite()
    assert far.recv(100) == b""


def test_a_peer_that_is_gone_is_found_out_by_the_transport(pair: Pair) -> None:
    transport, _, watcher = pair
    transport.socket.shutdown(socket.SHUT_WR)
    write(transport, b"anybody?")
    assert transport in watcher.writers
    assert transport.doWrite() is not None


def test_other_transports_are_written_to_as_ever() -> None:
    transport = StringTransport()
    write(transport, b"hello")
    assert transport.value() == b"hello"


def readable(transport: Any) -> None:
    """Wait until something came, so that a read finds it."""
    select.select([transport.socket], [], [], 10)


def test_what_came_is_read_in_one_go(pair: Pair) -> None:
    transport, far, _ = pair
    far.sendall(b"NOOP\r\nQUIT\r\n")
    readable(transport)
    assert transport.doRead() is None
    assert transport.protocol.heard == [b"NOOP\r\nQUIT\r\n"]


def test_nothing_that_came_is_not_an_end(pair: Pair) -> None:
    transport, _, _ = pair
    assert transport.doRead() is None
    assert transport.protocol.heard == []


def test_pieces_are_as_large_as_the_room_and_no_larger(pair: Pair) -> None:
    transport, far, _ = pair
    transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * ROOM)
    sender = threading.Thread(target=far.sendall, args=(bytes(range(256)) * (ROOM // 64),))
    sender.start()
    while sum(map(len, transport.protocol.heard)) < 4 * ROOM:
        readable(transport)
        assert transport.doRead() is None
    sender.join()
    assert max(map(len, transport.protocol.heard)) <= ROOM
    assert b"".join(transport.protocol.heard) == bytes(range(256)) * (ROOM // 64)


def test_the_end_of_what_the_peer_says(pair: Pair) -> None:
    transport, far, _ = pair
    far.shutdown(socket.SHUT_WR)
    readable(transport)
    assert isinstance(transport.doRead(), ConnectionDone)
    assert transport.protocol.heard == []


def test_a_peer_that_resets_the_connection(pair: Pair) -> None:
    transport, far, _ = pair
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    readable(transport)
    assert isinstance(transport.doRead(), ConnectionLost)


def test_last_words_and_the_end_are_one_step(pair: Pair) -> None:
    transport, far, watcher = pair
    parted: list[bool] = []
    transport.protocol.react = lambda: parted.append(part(transport, b"221 2.0.0 Bye\r\n"))
    far.sendall(b"QUIT\r\n")
    readable(transport)
    assert isinstance(transport.doRead(), ConnectionDone)
    assert parted == [True]
    assert far.recv(100) == b"221 2.0.0 Bye\r\n"
    assert not watcher.writers


@pytest.mark.parametrize("hindrance", ["waiting", "producer", "later"])
def test_where_it_cannot_be_one_step_words_and_end_are_the_transports(pair: Pair, hindrance: str) -> None:
    """Octets that wait, a producer, or a moment in which something else may happen first."""
    transport, far, watcher = pair
    parted: list[bool] = []
    words = b"first " if hindrance == "waiting" else b""
    if hindrance == "producer":
        transport.producer = object()

    def leave() -> None:
        transport.write(words)
        parted.append(part(transport, b"221 2.0.0 Bye\r\n"))

    if hindrance == "later":
        leave()
    else:
        transport.protocol.react = leave
        far.sendall(b"QUIT\r\n")
        readable(transport)
        assert transport.doRead() is None
    assert parted == [False]
    assert transport in watcher.writers
    transport.producer = None
    assert isinstance(transport.doWrite(), ConnectionDone)
    assert far.recv(100) == words + b"221 2.0.0 Bye\r\n"


def test_an_end_without_words_overtakes_nothing_that_waits(pair: Pair) -> None:
    transport, far, _ = pair

    def leave() -> None:
        transport.write(b"first")
        assert not part(transport, b"")

    transport.protocol.react = leave
    far.sendall(b"x")
    readable(transport)
    assert transport.doRead() is None
    assert isinstance(transport.doWrite(), ConnectionDone)
    assert far.recv(100) == b"first"


def test_where_more_came_than_one_read_takes_the_end_is_not_in_the_same_step(pair: Pair) -> None:
    """A socket that is closed with octets in it resets the connection, and the last words are lost with it."""
    transport, far, _ = pair
    transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * ROOM)
    seen: list[bool] = []
    transport.protocol.react = lambda: seen.append(transport.receiving)
    sender = threading.Thread(target=far.sendall, args=(bytes(2 * ROOM),))
    sender.start()
    while sum(map(len, transport.protocol.heard)) < 2 * ROOM:
        readable(transport)
        transport.doRead()
    sender.join()
    assert seen == [len(piece) < ROOM for piece in transport.protocol.heard]


class Endpoints(TestCase):
    @deferred
    async def test_connections_of_tcp_are_prompt(self) -> None:
        running: Any = reactor
        port: Any = await PromptEndpoint(TCP4ServerEndpoint(running, 0, interface="127.0.0.1")).listen(Factory())
        self.addCleanup(port.stopListening)
        assert type(port) is Port
        assert port.transport is PromptServer

    @deferred
    async def test_those_of_other_kinds_are_what_they_were(self) -> None:
        running: Any = reactor
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        port: Any = await PromptEndpoint(UNIXServerEndpoint(running, f"{folder.name}/socket")).listen(Factory())
        self.addCleanup(port.stopListening)
        assert port.transport is not PromptServer
