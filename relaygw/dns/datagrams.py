"""A connected UDP socket, read by the reactor: the kernel drops what does not come from the server asked.

Twisted's own ports write a line to the log as they open, and another as they close. Each question has a socket of its
own, and a message may cause dozens.
"""

import errno
import os
import socket
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from relaygw.dns.inbox import Inbox

_MAX_DATAGRAM = 8192
"""Octets read of one datagram; we announce 1232, and a server that sends more is cut short."""


@implementer(IReadDescriptor)
class Datagrams:
    """`source` and `destination` are addresses as the socket module has them; raises OSError.

    Without a source the kernel picks a port nobody can foresee, a new one for each question (RFC 5452 9.2).
    """

    def __init__(self, reactor: IReactorFDSet, family: int, source: Any, destination: Any) -> None:
        self.inbox = Inbox()
        self._reactor = reactor
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if source is not None:
                self._socket.bind(source)
            self._socket.connect(destination)
        except OSError:
            self._socket.close()
            raise
        reactor.addReader(self)

    def send(self, what: bytes) -> None:
        """Raises OSError; the kernel has room for a question, or the question is lost as any datagram may be."""
        self._socket.send(what)

    def address(self) -> Any:
        """Ours, as the socket module has it."""
        return self._socket.getsockname()

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "dns"

    def doRead(self) -> None:
        """Called by the reactor: one datagram, or the word of the server's host that nobody listens there."""
        try:
            datagram = self._socket.recv(_MAX_DATAGRAM)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.inbox.end(_words(error.errno))
        else:
            self.inbox.put(datagram)

    def connectionLost(self, reason: Failure) -> None:
        """Called by the reactor where it reads no more: some find out about an error before they read."""
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.close()
        self.inbox.end(_words(error))

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()


def _words(number: int | None) -> OSError:
    if number == errno.ECONNREFUSED:
        return ConnectionRefusedError("the server's port is closed")
    return OSError(os.strerror(number) if number else "the socket was closed")
