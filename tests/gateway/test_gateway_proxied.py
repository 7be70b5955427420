"""Before a PROXY header is whole nobody is anybody: who may send one, how long it may take, and what comes of it."""

import ipaddress
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from relaygw.gateway.proxied import HEADER_TIME, Hall, may_speak_for_others

PROXY = IPv4Address("TCP", "10.0.0.1", 5000)
HEADER = b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n"


class Session(Protocol):
    def __init__(self) -> None:
        self.received = b""
        self.lost = 0

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"220 hello\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: object = None) -> None:  # type: ignore[override]  # the reason does not matter
        self.lost += 1


class World:
    """One connection from PROXY, in a hall."""

    def __init__(self, admits: bool = True) -> None:
        self.clock = Clock()
        self.session = Session()
        self.clients: list[Any] = []
        self.left: list[Hall] = []
        self.refusals: list[str] = []
        self.hall = Hall(self.clock, PROXY, self._admit if admits else lambda _: None, self.left.append, self._refused)
        self.wire: Any = StringTransportWithDisconnection(peerAddress=PROXY)
        self.wire.abortConnection = self.wire.loseConnection
        self.wire.protocol = self.hall
        self.hall.makeConnection(self.wire)

    def _admit(self, client: Any) -> Session:
        self.clients.append(client)
        return self.session

    def _refused(self, reason: str) -> None:
        self.refusals.append(reason)


def test_the_session_begins_behind_the_header_and_gets_the_rest() -> None:
    world = World()
    for octet in HEADER:
        assert world.wire.value() == b""
        assert not world.clients
        world.wire.protocol.dataReceived(bytes([octet]))
    assert world.clients == [IPv6Address("TCP", "2001:db8::7", 40000)]
    assert world.wire.value() == b"220 hello\r\n"
    world.wire.protocol.dataReceived(b"EHLO x\r\n")
    assert world.session.received == b"EHLO x\r\n"
    assert world.left == [world.hall]
    world.wire.loseConnection()
    assert world.session.lost == 1
    assert not world.clock.getDelayedCalls()


def test_what_comes_with_the_header_is_not_lost() -> None:
    world = World()
    world.hall.dataReceived(HEADER + b"\x16\x03\x01")
    assert world.session.received == b"\x16\x03\x01"


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (b"PROXY UNKNOWN\r\n", PROXY),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 7 25\r\n", IPv4Address("TCP", "203.0.113.9", 7)),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8" + bytes(216), UNIXAddress(None)),
    ],
)
def test_who_the_client_is(header: bytes, client: Any) -> None:
    world = World()
    world.hall.dataReceived(header)
    assert world.clients == [client]


def test_a_header_takes_five_seconds_at_most() -> None:
    world = World()
    world.hall.dataReceived(HEADER[:-1])
    world.clock.advance(HEADER_TIME - 0.001)
    world.hall.dataReceived(HEADER[-1:])
    world.clock.advance(HEADER_TIME)
    assert world.clients
    assert world.wire.connected
    late = World()
    late.hall.dataReceived(HEADER[:-1])
    late.clock.advance(HEADER_TIME)
    late.hall.dataReceived(HEADER[-1:])
    assert not late.clients
    assert not late.wire.connected
    assert late.wire.value() == b""
    assert late.refusals == ["no PROXY header in time"]
    assert late.left == [late.hall]


def test_no_header_ends_it_without_a_word() -> None:
    world = World()
    world.hall.dataReceived(b"EHLO client.test\r\n")
    assert (world.wire.value(), world.wire.connected, len(world.refusals)) == (b"", False, 1)
    world = World(admits=False)
    world.hall.dataReceived(HEADER)
    assert not world.wire.connected


def test_the_end_of_the_service_or_of_the_connection_leaves_nothing() -> None:
    for end in (lambda world: world.hall.cut(), lambda world: world.wire.loseConnection()):
        world = World()
        end(world)
        assert world.left == [world.hall]
        assert not world.wire.connected
        assert not world.clock.getDelayedCalls()
        assert not world.refusals


def test_only_named_networks_may_speak_for_others() -> None:
    networks = (ipaddress.ip_network("10.0.0.0/31"), ipaddress.ip_network("2001:db8::/32"))
    for host, may in (
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("::ffff:10.0.0.1", True),
        ("2001:db8::1%eth0", True),
        ("2001:db9::1", False),
    ):
        kind = IPv6Address if ":" in host else IPv4Address
        assert may_speak_for_others(kind("TCP", host, 1), networks) is may
    assert not may_speak_for_others(UNIXAddress("/socket"), networks)
    assert not may_speak_for_others(None, networks)
