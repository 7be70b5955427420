"""Where an operator sends recipients instead of where the routing table would: a route by its name, or hosts.

Only names are kept, so that parameters, passwords and policies stay those of the configuration. Pure.
"""

import ipaddress
from collections.abc import Callable, Collection, Sequence

from relaygw.core.address import AddressError, normalize_domain
from relaygw.core.record import Detour, Route

SMARTHOST = "smarthost"
"""The transport that hosts are handed to."""

MAX_HOSTS = 20


class DetourError(ValueError):
    """The words name no next hop; the message says why."""


def parse_detour(words: Sequence[str], routes: Collection[str]) -> Detour:
    """One name among `routes`, or hosts: "host", "host:port", "[address]:port" or an address. Raises DetourError."""
    if not words:
        raise DetourError("a route or a host is wanted")
    if len(words) == 1 and words[0] in routes:
        return Detour(route=words[0])
    if len(words) > MAX_HOSTS:
        raise DetourError(f"at most {MAX_HOSTS} hosts are wanted")
    for word in words:
        if word in routes and len(words) > 1:
            raise DetourError(f"{word!r} is a route: it goes alone, without hosts")
    return Detour(hosts=tuple(map(_host, words)))


def _host(text: str) -> str:
    """As the transport reads it."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise DetourError(f"{text!r} is not a host: such as mx.example.net:25 or [2001:db8::1]:25")
        return f"[{_address(host, text)}]{_port(rest[1:], text) if rest else ''}"
    if text.count(":") > 1:
        return f"[{_address(text, text)}]"
    host, colon, port = text.partition(":")
    try:
        name = normalize_domain(host.removesuffix("."))
    except AddressError:
        name = ""
    if not name or name.startswith("["):
        raise DetourError(f"{text!r} is neither a route of the configuration nor a host")
    if "." not in name and name != "localhost":
        raise DetourError(f"{text!r} is no route of the configuration, and a host has a dot in its name")
    return name + (_port(port, text) if colon else "")


def _address(host: str, text: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise DetourError(f"{text!r} is not an address") from None


def _port(text: str, whole: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise DetourError(f"{whole!r}: a port from 1 to 65535 is wanted")
    return f":{int(text)}"


def route_of(detour: Detour, named: Callable[[str], Route | None]) -> Route | None:
    """The route that a detour stands for; `named` finds one of the configuration. None: there is none of its name any
    more."""
    if detour.route:
        return named(detour.route)
    return Route(transport=SMARTHOST, parameters=(("hosts", detour.hosts),), name=f"rerouted to {detour}")
