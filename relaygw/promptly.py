"""Octets written and read, and connections ended, at once: what the kernel can do now need not wait for the reactor.

A TCP transport keeps what is written until the reactor has found its socket writable: two changes of what is watched,
and an event, for every reply, and once more for every end. Nearly always the kernel would have taken the octets there
and then.

`socket.send` and `socket.recv` let go of the interpreter's lock, as if they might wait, and another thread takes it, or
is woken in vain: at every command the reactor would queue for it anew. A socket that does not block never waits, so the
lock is kept here; other threads have their turn when the reactor asks for events.
"""

import ctypes
import errno
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Client, Port, Server
from zope.interface import implementer

ROOM = 64 * 1024
"""Octets that are read at a time at most."""

_LATER = (errno.EWOULDBLOCK, errno.EINTR)

_library = ctypes.PyDLL(None, use_errno=True)  # PyDLL: with the lock
_send = _library.send  # send(2), POSIX
_send.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
_send.restype = ctypes.c_ssize_t
_recv = _library.recv  # recv(2), POSIX
_recv.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_recv.restype = ctypes.c_ssize_t

_room = ctypes.create_string_buffer(ROOM)
_start = ctypes.addressof(_room)
_octets = memoryview(_room)


class PromptServer(Server):
    """An accepted connection. `receiving`: its protocol is being told what came, and nothing more has come yet."""

    receiving = False
    _parting = False

    def doRead(self) -> ConnectionDone | ConnectionLost | None:  # type: ignore[override]  # untyped there
        number = _recv(self.socket.fileno(), _start, ROOM, 0)
        if number < 0:
            return None if ctypes.get_errno() in _LATER else CONNECTION_LOST
        self.receiving = number < ROOM
        try:
            ended = self._dataReceived(_octets[:number].tobytes())
        finally:
            self.receiving = False
        return CONNECTION_DONE if self._parting else ended

    def part(self) -> None:
        """Lose the connection with what is being received, where all has been sent."""
        self._parting = True


_PLAIN = frozenset((Client, Server, PromptServer))


@implementer(IStreamServerEndpoint)
@attrs.frozen
class PromptEndpoint:
    """Another endpoint, whose connections are PromptServers where they are TCP's."""

    endpoint: Any

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        listening: Deferred[IListeningPort] = self.endpoint.listen(protocolFactory)
        return listening.addCallback(prompt)


def prompt(port: IListeningPort) -> Any:
    """The port, whose connections are PromptServers from now on where they are TCP's."""
    if type(port) is Port:
        port.transport = PromptServer
    return port


def write(transport: Any, data: bytes) -> None:
    """What `transport.write` does, sooner where it can be."""
    rest = send(transport, data)
    if rest:
        transport.write(rest)


def send(transport: Any, data: bytes) -> bytes:
    """Send what can be sent at once; the rest is for `transport.write`. Order is kept: only what follows nothing goes.

    What the kernel does not take, and every error, is left to the transport, which knows what to do about it.
    """
    if type(transport) in _PLAIN and not (
        transport.dataBuffer
        or transport._tempDataBuffer
        or transport.TLS
        or transport.disconnecting
        or transport._writeDisconnecting
        or not transport.connected
    ):
        sent: int = _send(transport.socket.fileno(), data, len(data), 0)
        if sent > 0:
            return data[sent:]
    return data


def part(transport: Any, data: bytes) -> bool:
    """Say last words and lose the connection, in one step; whether that could be done at once. Otherwise words and end
    are both left to the transport, for a step of their own.

    Whoever hears the words and comes again must not find this connection still there: they are said only when nothing
    else can happen before its end.
    """
    if data and type(transport) is PromptServer and transport.receiving and transport.producer is None:
        data = send(transport, data)
        if not data:
            transport.part()
            return True
    if data:
        transport.write(data)
    transport.loseConnection()
    return False
