"""Telling systemd how we are (sd_notify): one datagram to the socket it named, nothing where it named none."""

import contextlib
import os
import socket


def notify(state: str) -> None:
    """`state` such as "READY=1"; never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.connect("\0" + address[1:] if address.startswith("@") else address)
        link.sendall(state.encode())
