"""TCP connections to an address: one Deferred per attempt, with the reasons of failure in the log's words."""

import errno
import os
from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from relaygw.egress.broken import Broken, Phase, broken
from relaygw.egress.connection import SmtpConnection
from relaygw.rounds import at_once

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRINUSE})
"""Of file descriptors, memory, or free ports of an address of ours."""


class _Factory(ClientFactory):
    """Builds one connection and tells when it is made, or why not."""

    noisy = False

    def __init__(self, clock: Any, at_round_end: Callable[[Callable[[], None]], None]) -> None:
        self.made: Deferred[SmtpConnection] = Deferred(self._cancelled)
        self._clock = clock
        self._at_round_end = at_round_end
        self._connector: Any = None
        self._given_up = False

    def startedConnecting(self, connector: Any) -> None:
        self._connector = connector

    def buildProtocol(self, addr: IAddress | None) -> SmtpConnection:
        connection = SmtpConnection(self._clock, self._at_round_end)
        connection.made = self._connected
        return connection

    def _connected(self, connection: SmtpConnection) -> None:
        self.made.callback(connection)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        if not self._given_up:
            self.made.errback(_failure(reason.value))

    def _cancelled(self, _: object) -> None:
        """A cancelled attempt must end as cancelled: as a failed connection it would be followed by the next host."""
        self._given_up = True
        if self._connector is not None:
            self._connector.stopConnecting()


def connect(
    reactor: Any,
    address: str,
    port: int,
    timeout: float,
    source: str = "",
    at_round_end: Callable[[Callable[[], None]], None] = at_once,
) -> Deferred[SmtpConnection]:
    """A new connection to an IP address, from the address `source`, or to the path of a UNIX socket; fails with
    Broken."""
    factory = _Factory(reactor, at_round_end)
    if address.startswith("/"):
        reactor.connectUNIX(address, factory, timeout=timeout)
    elif source:
        reactor.connectTCP(address, port, factory, timeout=timeout, bindAddress=(source, 0))
    else:
        reactor.connectTCP(address, port, factory, timeout=timeout)
    return factory.made


def _failure(reason: BaseException | None) -> Broken:
    """What we have no sockets for says nothing about the host: it is neither passed over nor rests for that."""
    if isinstance(reason, error.ConnectBindError) and reason.osError in _SHORT:
        return broken(Phase.CONNECT, "4.3.0", f"no socket is left here ({os.strerror(reason.osError)})", ours=True)
    return broken(Phase.CONNECT, "4.4.1", _words(reason))


def _words(reason: BaseException | None) -> str:
    if isinstance(reason, error.ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(reason, error.TimeoutError):
        return "no answer"
    if isinstance(reason, error.ConnectBindError):
        return "the source address is not one of this host"
    if isinstance(reason, error.BadFileError | FileNotFoundError):
        return "there is no such socket"
    if isinstance(reason, error.NoRouteError):
        return "there is no route"
    return f"no connection ({reason})"
