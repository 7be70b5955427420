"""Octets written at once: in order, whole, and by the transport where the kernel takes no more."""

import socket
from collections.abc import Iterator

import pytest
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport

from relaygw.promptly import write


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


@pytest.fixture
def pair() -> Iterator[tuple[Server, socket.socket, _Watcher]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        far = socket.create_connection(listener.getsockname())
        near, address = listener.accept()
    near.setblocking(False)
    far.settimeout(10)
    watcher = _Watcher()
    transport = Server(near, Protocol(), address, None, 1, watcher)  # type: ignore[arg-type]  # all it needs of both
    transport.protocol.makeConnection(transport)
    with near, far:
        yield transport, far, watcher


def test_a_reply_leaves_at_once_and_nothing_is_watched(pair: tuple[Server, socket.socket, _Watcher]) -> None:
    transport, far, watcher = pair
    write(transport, b"250 2.0.0 Ok\r\n")
    assert far.recv(100) == b"250 2.0.0 Ok\r\n"
    assert not watcher.writers


def test_what_the_kernel_does_not_take_follows_in_order(pair: tuple[Server, socket.socket, _Watcher]) -> None:
    transport, far, watcher = pair
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


def test_what_waits_already_is_not_overtaken(pair: tuple[Server, socket.socket, _Watcher]) -> None:
    transport, far, _ = pair
    transport.write(b"one ")
    write(transport, b"two")
    transport.doWrite()
    assert far.recv(100) == b"one two"


@pytest.mark.parametrize("ending", ["loseConnection", "loseWriteConnection"])
def test_last_words_are_said_before_the_end(pair: tuple[Server, socket.socket, _Watcher], ending: str) -> None:
    transport, far, _ = pair
    write(transport, b"221 2.0.0 Bye\r\n")
    getattr(transport, ending)()
    transport.doWrite()
    assert far.recv(100) == b"221 2.0.0 Bye\r\n"


def test_nothing_is_said_after_the_end(pair: tuple[Server, socket.socket, _Watcher]) -> None:
    transport, far, _ = pair
    transport.loseWriteConnection()
    transport.doWrite()
    write(transport, b"too late")
    transport.doWrite()
    assert far.recv(100) == b""


def test_a_peer_that_is_gone_is_found_out_by_the_transport(pair: tuple[Server, socket.socket, _Watcher]) -> None:
    transport, _, watcher = pair
    transport.socket.shutdown(socket.SHUT_WR)
    write(transport, b"anybody?")
    assert transport in watcher.writers
    assert transport.doWrite() is not None


def test_other_transports_are_written_to_as_ever() -> None:
    transport = StringTransport()
    write(transport, b"hello")
    assert transport.value() == b"hello"
