"""Ports on loopback for programs that must be told theirs before they start: gateways, next hops, name servers.

They lie below the ports a system gives to outgoing connections (Linux: 32768 and above), so that nothing takes one in
the moment between the choice and the start. Within a process none is given twice before all others were, and processes
begin at different ones. Whoever can bind port 0 and keep it does that instead.
"""

import itertools
import os
import socket
from collections.abc import Iterable, Iterator

PORTS = (25, 587, 465, 143, 993, 110, 995, 8080)
"""The standard ports `relaygw init` opens, each plus the offset."""

_OFFSETS = range(10_000, 18_000)
_STEP = 211
"""No multiple of it is the difference of two PORTS: offsets a step apart never meet."""
_SINGLE = range(_OFFSETS.stop + max(PORTS), 32_768)


class NoFreePortError(Exception):
    """All of them are taken."""


def free_offset() -> int:
    """An offset at which all of PORTS are free on 127.0.0.1."""
    for offset in itertools.islice(_offsets, 10 * len(_OFFSETS) // _STEP):
        if all(_is_free("127.0.0.1", port + offset) for port in PORTS):
            return offset
    raise NoFreePortError("no offset has all its ports free")


def free_port(address: str = "127.0.0.1") -> int:
    """A port of the IPv4 address that is free for UDP and TCP."""
    for port in itertools.islice(_ports, len(_SINGLE)):
        if _is_free(address, port):
            return port
    raise NoFreePortError(f"no port between {_SINGLE.start} and {_SINGLE.stop} is free on {address}")


def _is_free(address: str, port: int) -> bool:
    """What only waits for the last packets of ended connections is free: servers bind with SO_REUSEADDR."""
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                if kind is socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
    except OSError:
        return False
    return True


def _from_here_on(numbers: Iterable[int]) -> Iterator[int]:
    """All of them in turn, for ever, from a place that depends on the process."""
    known = tuple(numbers)
    start = os.getpid() * 97 % len(known)
    return itertools.cycle(known[start:] + known[:start])


_ports = _from_here_on(_SINGLE)
_offsets = _from_here_on(range(_OFFSETS.start + os.getpid() % _STEP, _OFFSETS.stop, _STEP))
