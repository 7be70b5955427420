"""Which addresses are ourselves, as seen by a message looking for its next hop (RFC 5321 5.1: no loops).

An address is ours when a listener of ours takes mail there on the port we would connect to. Whether the machine has
an address is asked of the machine: a socket can be bound only to its own.
"""

import ipaddress
import socket
from functools import lru_cache

from relaygw.config.schema import Config


def listens_on(config: Config, port: int) -> frozenset[str]:
    """The addresses our SMTP listeners take connections on at this port; "" means every address of the machine."""
    found = set()
    for listener in config.listeners:
        if listener.protocol in ("smtp", "lmtp"):
            found |= _address_and_port(listener.endpoint, port)
    return frozenset(found)


def _address_and_port(endpoint: str, port: int) -> set[str]:
    """From a Twisted endpoint string such as `tcp:25:interface=192.0.2.1`."""
    kind, *arguments = _split(endpoint)
    positional = [argument for argument in arguments if "=" not in argument]
    named = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if not kind.startswith("tcp") or named.get("port", next(iter(positional), "")) != str(port):
        return set()
    return {named.get("interface", "")}


def _split(endpoint: str) -> list[str]:
    """At colons that are not escaped (an IPv6 interface is written with `\\:`)."""
    parts = [""]
    escaped = False
    for character in endpoint:
        if character == ":" and not escaped:
            parts.append("")
        elif character != "\\" or escaped:
            parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts


class OwnAddresses:
    """Answers whether a connection to an address at `port` would reach one of our own listeners."""

    def __init__(self, config: Config | None, port: int) -> None:
        self._ours = listens_on(config, port) if config is not None else frozenset()

    def __contains__(self, address: str) -> bool:
        if not self._ours:
            return False
        found = ipaddress.ip_address(address)
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        found = mapped or found
        if self._ours & {"", "0.0.0.0", "::"}:  # noqa: S104
            return found.is_loopback or found.is_unspecified or _of_this_machine(str(found))
        return str(found) in self._ours or found.is_unspecified


@lru_cache(maxsize=4096)
def _of_this_machine(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
