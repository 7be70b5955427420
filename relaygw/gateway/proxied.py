"""The hall before a door: a connection from a load balancer, until its PROXY header has said whose it is.

Nothing is sent before the header is whole. Then the session is made for the true client and takes the transport over:
from there on nothing stands between the two. TLS, where a listener begins with it, comes behind the header.
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from relaygw.config.schema import Network
from relaygw.core.proxy import ProxyError, ProxyHeader, ProxyParser

HEADER_TIME = 5.0
"""Seconds for the header: whoever sends it has it ready."""


def may_speak_for_others(addr: IAddress | None, networks: Sequence[Network]) -> bool:
    """Whether a connection from here is taken at all."""
    try:
        address = ipaddress.ip_address(str(getattr(addr, "host", "")).partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)


class Hall(Protocol):
    """One connection. `admit` makes the session's protocol for an address, None to hang up; `left` is called once,
    when the connection is not this protocol's any more."""

    def __init__(
        self,
        clock: IReactorTime,
        peer: IAddress | None,
        admit: Callable[[IAddress | None], Any],
        left: Callable[["Hall"], None],
        refused: Callable[[str], None],
    ) -> None:
        self._parser = ProxyParser()
        self._clock = clock
        self._peer = peer
        self._admit = admit
        self._left: Callable[[Hall], None] | None = left
        self._refused = refused
        self._timer: IDelayedCall | None = None

    @property
    def _transport(self) -> Any:
        """Twisted's transports come in too many interfaces for one type."""
        return self.transport

    def connectionMade(self) -> None:
        self._timer = self._clock.callLater(HEADER_TIME, self._refuse, "no PROXY header in time")

    def dataReceived(self, data: bytes) -> None:
        if self._left is None:
            return
        try:
            header = self._parser.feed(data)
        except ProxyError as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._enter(header)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._leave()

    def cut(self) -> None:
        """The service ends: nothing was promised yet."""
        self._leave()
        self._transport.abortConnection()

    def _enter(self, header: ProxyHeader) -> None:
        self._leave()
        protocol = self._admit(_client(header, self._peer))
        if protocol is None:
            self._transport.abortConnection()
            return
        transport = self._transport
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if self._parser.rest:
            protocol.dataReceived(self._parser.rest)

    def _refuse(self, reason: str) -> None:
        self._refused(reason)
        self.cut()

    def _leave(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        left, self._left = self._left, None
        if left is not None:
            left(self)


def _client(header: ProxyHeader, peer: IAddress | None) -> IAddress | None:
    if header.source is None:
        return peer
    host, port = header.source
    if not host:
        return UNIXAddress(None)
    return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)
