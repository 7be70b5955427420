"""TLS in memory: a next hop whose STARTTLS is OpenSSL's, and our side of it as Twisted does it, without a socket."""

import contextlib
from typing import Any

from egress_support import CLOSE, MemoryReactor, Server, Wire
from OpenSSL import SSL
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol


class TlsServer:
    """Octets in, octets out. After STARTTLS `inside` talks, in the TLS of the context; without one it is no TLS."""

    def __init__(self, outside: Server, inside: Server, context: SSL.Context | None) -> None:
        self.outside, self.inside = outside, inside
        self._context = context
        self._tls: SSL.Connection | None = None
        self._ready = self._broken = False

    def greet(self) -> bytes:
        return self.outside.greet()

    def receive(self, data: bytes) -> bytes:
        if self._broken:
            return b"500 what?\r\n" + CLOSE
        if self._tls is not None:
            return self._under_tls(self._tls, data)
        reply = self.outside.receive(data)
        if self.outside.commands[-1:] == ["STARTTLS"] and reply.startswith(b"220"):
            self._broken = self._context is None
            if self._context is not None:
                self._tls = SSL.Connection(self._context, None)
                self._tls.set_accept_state()
        return reply

    def _under_tls(self, tls: SSL.Connection, data: bytes) -> bytes:
        tls.bio_write(data)
        close = b""
        try:
            close = self._talk(tls)
        except SSL.WantReadError:
            pass
        except SSL.Error:
            close = CLOSE
        return _drained(tls) + close

    def _talk(self, tls: SSL.Connection) -> bytes:
        if not self._ready:
            tls.do_handshake()
            self._ready = True
        while True:
            text, close, _ = self.inside.receive(tls.recv(65536)).partition(CLOSE)
            if text:
                tls.send(text)
            if close:
                return close


def _drained(tls: SSL.Connection) -> bytes:
    pieces: list[bytes] = []
    with contextlib.suppress(SSL.WantReadError):
        while True:
            pieces.append(tls.bio_read(65536))
    return b"".join(pieces)


class TlsPeer(Protocol):
    """A TlsServer on a socket."""

    transport: Any

    def __init__(self, server: TlsServer) -> None:
        self._server = server

    def connectionMade(self) -> None:
        self._say(self._server.greet())

    def dataReceived(self, data: bytes) -> None:
        self._say(self._server.receive(data))

    def _say(self, reply: bytes) -> None:
        text, close, _ = reply.partition(CLOSE)
        self.transport.write(text)
        if close:
            self.transport.loseConnection()


class TlsWire(Wire):
    """A Wire whose protocol may start TLS."""

    _tls: Any = None

    def startTLS(self, creator: Any) -> None:
        self._tls = TLSMemoryBIOProtocol(TLSMemoryBIOFactory(creator, True, None), self.protocol, False)
        self.protocol = self._tls
        self._tls.makeConnection(_Below(self))

    def getHandle(self) -> Any:
        return self._tls.getHandle()

    def write(self, data: bytes) -> None:
        (self._tls.write if self._tls is not None else super().write)(data)

    def loseConnection(self) -> None:
        (self._tls.loseConnection if self._tls is not None else super().loseConnection)()


class _Below:
    """The same wire, as TLS sees it."""

    def __init__(self, wire: TlsWire) -> None:
        self._wire = wire

    def write(self, data: bytes) -> None:
        Wire.write(self._wire, data)

    def loseConnection(self) -> None:
        Wire.loseConnection(self._wire)

    def abortConnection(self) -> None:
        self._wire.abortConnection()


class TlsReactor(MemoryReactor):
    """Every connection may start TLS; a server of it is a TlsServer."""

    def make_wire(self, server: Any, protocol: Any) -> Wire:
        return TlsWire(server, protocol, False, 0, 0)
