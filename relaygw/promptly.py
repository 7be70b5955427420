"""Octets written at once: what the kernel takes now need not wait for the reactor's next round.

A TCP transport keeps what is written until the reactor has found its socket writable: two changes of what is watched,
and an event, for every reply. Nearly always the kernel would have taken the octets there and then.
"""

from typing import Any

from twisted.internet.tcp import Client, Server

_PLAIN = frozenset((Client, Server))


def write(transport: Any, data: bytes) -> None:
    """What `transport.write` does, sooner where it can be. Order is kept: only what follows nothing goes at once.

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
        try:
            sent = transport.socket.send(data)
        except OSError:
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    transport.write(data)
