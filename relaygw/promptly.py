"""Octets written at once: what the kernel takes now need not wait for the reactor's next round.

A TCP transport keeps what is written until the reactor has found its socket writable: two changes of what is watched,
and an event, for every reply. Nearly always the kernel would have taken the octets there and then.

`socket.send` lets go of the interpreter's lock, as if it might wait, and another thread takes it: at every reply the
reactor would queue for it anew. A socket that does not block never waits, so the lock is kept here; other threads have
their turn when the reactor asks for events.
"""

import ctypes
from typing import Any

from twisted.internet.tcp import Client, Server

_PLAIN = frozenset((Client, Server))

_send = ctypes.PyDLL(None).send  # PyDLL: with the lock (send(2), POSIX)
_send.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
_send.restype = ctypes.c_ssize_t


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
