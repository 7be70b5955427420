"""Ports: each endpoint can be listened on, or is in use by ourselves."""

import errno
import ipaddress
import socket
from collections.abc import Iterator

import attrs

from relaygw.cli.checks.finding import Finding, error
from relaygw.config.schema import Config


@attrs.frozen
class Place:
    """A TCP endpoint taken apart; `interface` "" stands for all addresses."""

    family: socket.AddressFamily
    interface: str
    port: int


def read_endpoint(endpoint: str) -> Place | None:
    """The place of a tcp:, tcp4:, tcp6: or ssl: endpoint; None for another kind."""
    parts = [part.replace("\0", ":") for part in endpoint.replace("\\:", "\0").split(":")]
    kind, options = parts[0], dict(part.split("=", 1) for part in parts[1:] if "=" in part)
    plain = [part for part in parts[1:] if "=" not in part]
    port = options.get("port") or (plain[0] if plain else "")
    if kind not in ("tcp", "tcp4", "tcp6", "ssl") or not port.isascii() or not port.isdigit():
        return None
    interface = options.get("interface", "")
    v6 = kind == "tcp6" or ":" in interface
    return Place(socket.AF_INET6 if v6 else socket.AF_INET, "" if interface == "::" else interface, int(port))


def is_local(endpoint: str) -> bool:
    """Whether only this machine can connect to it."""
    place = read_endpoint(endpoint)
    if place is None:
        return endpoint.startswith("unix:")
    try:
        return ipaddress.ip_address(place.interface).is_loopback
    except ValueError:
        return place.interface == "localhost"


def check(config: Config) -> Iterator[Finding]:
    """Only while the service does not run: then nobody else may have its ports."""
    for number, listener in enumerate(config.listeners, 1):
        yield from _bindable(f"listener[{number}].endpoint", listener.endpoint)
    if config.control.console:
        yield from _bindable("control.console", config.control.console)


def _bindable(path: str, endpoint: str) -> Iterator[Finding]:
    place = read_endpoint(endpoint)
    if place is None:
        return
    try:
        with socket.socket(place.family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((place.interface, place.port))
            probe.listen()
    except OSError as failure:
        yield error(path, f"{endpoint}: {failure.strerror or failure}", _advice(failure, place))


def _advice(failure: OSError, place: Place) -> str:
    if failure.errno == errno.EADDRINUSE:
        return f"another program has port {place.port}: stop it (ss -ltnp shows which) or choose another port"
    if failure.errno == errno.EACCES:
        return "ports below 1024 need CAP_NET_BIND_SERVICE, as in etc/relaygw.service"
    if failure.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {place.interface}"
    return ""
