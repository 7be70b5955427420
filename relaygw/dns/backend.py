"""dnspython's asynchronous sockets on Twisted: connected UDP, and TCP. Public names of dnspython only.

dnspython's resolver goes on to the next server after any Exception, and Twisted's CancelledError is one; so that a
question nobody waits for any more ends at once, its cancellation travels as a BaseException, Abandoned.

An answer is handed on whole, and only where it does not take long to read (`effort`).
"""

import socket
from collections.abc import Awaitable
from typing import Any, TypeVar

import dns.asyncbackend
import dns.exception
import dns.inet
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IReactorFDSet, IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from relaygw.bridge import as_deferred
from relaygw.dns.datagrams import Datagrams
from relaygw.dns.effort import check_effort
from relaygw.dns.inbox import Inbox

T = TypeVar("T")

_ID = 2
"""Octets of a message's id, and of the length of one that comes over TCP."""
_MAX_BUFFERED = 128 * 1024
"""Octets of a TCP answer held before reading pauses; an answer has 65537 at most (RFC 1035 4.2.2)."""


class IDnsReactor(IReactorTime, IReactorFDSet, IReactorTCP):
    """What DNS needs of a reactor; every reactor has it."""


class Abandoned(BaseException):
    """Nobody waits for this question any more."""


async def _within(clock: IReactorTime, awaited: Deferred[T], timeout: float | None) -> T:
    """The result within `timeout` seconds; raises dnspython's Timeout, or Abandoned where we are cancelled."""
    expired: list[bool] = []

    def expire() -> None:
        expired.append(True)
        awaited.cancel()

    timer = clock.callLater(max(timeout, 0.0), expire) if timeout is not None else None
    try:
        return await awaited
    except (CancelledError, ConnectingCancelledError):
        if expired:
            raise dns.exception.Timeout(timeout=timeout) from None
        raise Abandoned from None
    finally:
        if timer is not None and timer.active():
            timer.cancel()


class _DatagramSocket(dns.asyncbackend.DatagramSocket):
    def __init__(self, family: int, clock: IReactorTime, datagrams: Datagrams, destination: Any) -> None:
        super().__init__(family, socket.SOCK_DGRAM)
        self._clock = clock
        self._datagrams = datagrams
        self._destination = destination
        self._asked = b""

    async def sendto(self, what: bytes, destination: Any, timeout: float | None) -> int:
        self._asked = what[:_ID]
        self._datagrams.send(what)
        return len(what)

    async def recvfrom(self, size: int, timeout: float | None) -> tuple[bytes, Any]:
        datagram: bytes = await _within(self._clock, self._datagrams.inbox.get(), timeout)
        if datagram[:_ID] == self._asked:  # what has another id answers nothing, and is no reason to give up
            check_effort(datagram)
        else:
            datagram = datagram[:_ID]
        return datagram, self._destination

    async def close(self) -> None:
        self._datagrams.close()

    async def getpeername(self) -> Any:
        return self._destination

    async def getsockname(self) -> Any:
        return self._datagrams.address()

    async def getpeercert(self, timeout: float | None) -> Any:
        raise NotImplementedError


class _Stream(Protocol):
    """A TCP connection read in pieces; reading pauses while too much waits."""

    transport: Any

    def __init__(self) -> None:
        self._inbox = Inbox()
        self._waiting = 0
        self._rest = b""

    def dataReceived(self, data: bytes) -> None:
        self._waiting += len(data)
        if self._waiting > _MAX_BUFFERED:
            self.transport.pauseProducing()
        self._inbox.put(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._inbox.end(EOFError("the server closed the connection"))

    async def read(self, size: int, clock: IReactorTime, timeout: float | None) -> bytes:
        """At most `size` octets, at least one; b"" at the end."""
        if not self._rest:
            try:
                self._rest = await _within(clock, self._inbox.get(), timeout)
            except EOFError:
                return b""
        piece, self._rest = self._rest[:size], self._rest[size:]
        paused = self._waiting > _MAX_BUFFERED
        self._waiting -= len(piece)
        if paused and self._waiting <= _MAX_BUFFERED:
            self.transport.resumeProducing()
        return piece


class _StreamSocket(dns.asyncbackend.StreamSocket):
    def __init__(self, family: int, clock: IReactorTime, stream: _Stream) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._clock = clock
        self._stream = stream

    async def sendall(self, what: bytes, timeout: float | None) -> None:
        self._stream.transport.write(what)

    async def recv(self, size: int, timeout: float | None) -> bytes:
        """All of them unless the connection ends before: the length of an answer, or the answer."""
        pieces: list[bytes] = []
        left = size
        deadline = None if timeout is None else self._clock.seconds() + timeout
        while left:
            within = None if deadline is None else deadline - self._clock.seconds()
            piece = await self._stream.read(left, self._clock, within)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        data = b"".join(pieces)
        if size > _ID:
            check_effort(data)
        return data

    async def close(self) -> None:
        self._stream.transport.abortConnection()

    async def getpeername(self) -> Any:
        return self._pair(self._stream.transport.getPeer())

    async def getsockname(self) -> Any:
        return self._pair(self._stream.transport.getHost())

    def _pair(self, address: Any) -> Any:
        return dns.inet.low_level_address_tuple((address.host, address.port), self.family)

    async def getpeercert(self, timeout: float | None) -> Any:
        raise NotImplementedError


class TwistedBackend(dns.asyncbackend.Backend):
    """Hand this to dnspython as `backend`; its own search for one knows nothing of Twisted."""

    def __init__(self, reactor: IDnsReactor) -> None:
        self._reactor = reactor

    def name(self) -> str:
        return "twisted"

    def datagram_connection_required(self) -> bool:
        return True

    async def make_socket(
        self,
        af: int,
        socktype: int,
        proto: int = 0,
        source: Any = None,
        destination: Any = None,
        timeout: float | None = None,
        ssl_context: Any = None,
        server_hostname: str | None = None,
    ) -> dns.asyncbackend.Socket:
        if destination is None or ssl_context is not None:
            raise NotImplementedError("only plain sockets with a destination")
        if socktype == socket.SOCK_DGRAM:
            return self._datagram_socket(af, source, destination)
        if socktype == socket.SOCK_STREAM:
            return await self._stream_socket(af, destination, timeout)
        raise NotImplementedError(f"unknown kind of socket {socktype}")

    def _datagram_socket(self, af: int, source: Any, destination: Any) -> _DatagramSocket:
        server = dns.inet.low_level_address_tuple(tuple(destination[:2]), af)
        return _DatagramSocket(af, self._reactor, Datagrams(self._reactor, af, source, server), server)

    async def _stream_socket(self, af: int, destination: Any, timeout: float | None) -> _StreamSocket:
        make = TCP6ClientEndpoint if af == socket.AF_INET6 else TCP4ClientEndpoint
        host, port = destination[:2]
        # The endpoint's own timer is never the first to fire; ours tells a timeout from being abandoned.
        endpoint = make(self._reactor, host, port, 3600)
        try:
            stream = await _within(self._reactor, endpoint.connect(Factory.forProtocol(_Stream)), timeout)
        except ConnectError as error:
            raise ConnectionError(f"cannot connect: {error}") from None
        assert isinstance(stream, _Stream)
        return _StreamSocket(af, self._reactor, stream)

    async def sleep(self, interval: float) -> None:
        done: Deferred[None] = Deferred()
        timer = self._reactor.callLater(interval, done.callback, None)
        try:
            await _within(self._reactor, done, None)
        finally:
            if timer.active():
                timer.cancel()

    async def wait_for(self, awaitable: Awaitable[T], timeout: float | None) -> T:
        return await _within(self._reactor, as_deferred(awaitable), timeout)
