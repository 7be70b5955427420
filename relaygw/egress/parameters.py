"""Route parameters of the transports that talk SMTP: read once per route, every mistake told in one sentence."""

import ipaddress
import os
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TypeVar

import attrs

from relaygw.config.schema import EgressConfig
from relaygw.core.address import AddressError, normalize_domain
from relaygw.core.certificates import fingerprint
from relaygw.core.record import Route
from relaygw.egress.hop import EightBit, Hop, Manners, TlsMode
from relaygw.tls import Pair

E = TypeVar("E", bound=Enum)


class ParameterError(ValueError):
    """A route's parameters cannot be used; `problems` are sentences for the operator."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def problems(read: Callable[[Route], object], route: Route) -> tuple[str, ...]:
    """What is wrong with the parameters of a route, in the eyes of the function that reads them."""
    try:
        read(route)
    except ParameterError as error:
        return error.problems
    return ()


class Reader:
    """Takes parameters one by one and remembers what is wrong with them, and which nobody asked for.

    Relative paths are taken from `folder`, where the configuration is.
    """

    def __init__(self, route: Route, folder: str = "") -> None:
        self._folder = folder
        self.problems: list[str] = []
        self._left: dict[str, object] = dict(route.parameters)

    def has(self, name: str) -> bool:
        """Whether the route says something of it."""
        return name in self._left

    def text(self, name: str) -> str:
        found = self._left.pop(name, "")
        if not isinstance(found, str):
            self.problems.append(f"{name} must be a text, not {found!r}")
            return ""
        return found

    def path(self, name: str) -> str:
        """An absolute path, or ""."""
        found = self.text(name)
        return os.path.join(self._folder, found) if found else ""

    def table(self, name: str) -> "Reader | None":
        """A table of its own, None where there is none; what is wrong in it is told by `close`."""
        found = self._left.pop(name, None)
        if found is None:
            return None
        if not _is_table(found):
            self.problems.append(f"{name} must be a table")
            return None
        return self._inner(found)

    def close(self, name: str, inner: "Reader") -> None:
        """Take over what is wrong in a table."""
        self.problems += [f"{name}: {problem}" for problem in inner.problems]
        self.problems += [f"{name}: unknown parameter {left!r}" for left in inner._left]

    def flag(self, name: str) -> bool:
        found = self._left.pop(name, False)
        if not isinstance(found, bool):
            self.problems.append(f"{name} must be true or false, not {found!r}")
            return False
        return found

    def number(self, name: str, default: int, greatest: int) -> int:
        found = self._left.pop(name, default)
        if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= greatest:
            self.problems.append(f"{name} must be a number from 1 to {greatest}, not {found!r}")
            return default
        return found

    def word(self, name: str, kind: type[E], default: E) -> E:
        found = self._left.pop(name, default.value)
        for member in kind:
            if member.value == found:
                return member
        allowed = ", ".join(repr(member.value) for member in kind)
        self.problems.append(f"{name} must be one of {allowed}, not {found!r}")
        return default

    def texts(self, name: str) -> tuple[str, ...]:
        found = self._left.pop(name, ())
        if isinstance(found, str):
            return (found,)
        if not isinstance(found, list | tuple) or not all(isinstance(item, str) for item in found):
            self.problems.append(f"{name} must be a list of texts, not {found!r}")
            return ()
        return tuple(found)

    def entries(self, name: str) -> "tuple[str | Reader, ...]":
        """A list of texts and of tables of their own; what is wrong in a table is told by `close`."""
        found = self._left.pop(name, ())
        found = (found,) if isinstance(found, str) else found
        if not isinstance(found, list | tuple) or not all(isinstance(each, str) or _is_table(each) for each in found):
            self.problems.append(f"{name} must be a list of texts, not {found!r}")
            return ()
        return tuple(each if isinstance(each, str) else self._inner(each) for each in found)

    def _inner(self, table: object) -> "Reader":
        pairs = table.items() if isinstance(table, Mapping) else table
        return Reader(Route(transport="", parameters=tuple(pairs)), self._folder)  # type: ignore[arg-type]  # asked before

    def finish(self) -> None:
        """Raises ParameterError when anything was wrong or is left over."""
        self.problems += [f"unknown parameter {name!r}" for name in self._left]
        if self.problems:
            raise ParameterError(self.problems)


def _is_table(value: object) -> bool:
    """A table as the configuration gives it, or as routes have it: pairs, to be hashable."""
    if isinstance(value, Mapping):
        return True
    return isinstance(value, tuple) and all(
        isinstance(each, tuple) and len(each) == 2 and isinstance(each[0], str) for each in value
    )


def read_hop(reader: Reader, egress: EgressConfig, tls: TlsMode) -> Hop:
    """The parameters every SMTP transport knows; `tls` is what holds where the route says nothing."""
    by_route = reader.has("tls")
    hop = Hop(
        port=reader.number("port", egress.port, 65535),
        tls=reader.word("tls", TlsMode, tls),
        authorities=reader.path("ca_file"),
        eight_bit=reader.word("eight_bit", EightBit, EightBit.PASS),
        by_route=by_route,
        fingerprints=_fingerprints(reader),
        own=_own(reader),
        sources=_sources(reader),
        hello=_hello(reader),
    )
    if bool(hop.fingerprints) != (hop.tls is TlsMode.FINGERPRINT):
        reader.problems.append('fingerprints and tls = "fingerprint" belong together')
    return hop


def _fingerprints(reader: Reader) -> tuple[str, ...]:
    found = []
    for text in reader.texts("fingerprints"):
        try:
            found.append(fingerprint(text))
        except ValueError as error:
            reader.problems.append(f"fingerprints: {text!r} is {error}")
    return tuple(found)


def _own(reader: Reader) -> Pair | None:
    """Our certificate, for servers that ask for one."""
    certificate, private_key = reader.path("certificate"), reader.path("private_key")
    if bool(certificate) != bool(private_key):
        reader.problems.append("certificate and private_key belong together: one of them is missing")
    return Pair(certificate, private_key) if certificate and private_key else None


def _sources(reader: Reader) -> tuple[str, ...]:
    """At most one address of each family."""
    found: list[str] = []
    for text in reader.texts("source"):
        try:
            found.append(str(ipaddress.ip_address(text)))
        except ValueError:
            reader.problems.append(f"source: {text!r} is not an IP address")
    if len({":" in each for each in found}) != len(found):
        reader.problems.append("source holds more than one address of a family")
    return tuple(found)


def _hello(reader: Reader) -> str:
    text = reader.text("hello")
    try:
        return normalize_domain(text) if text else ""
    except AddressError as error:
        reader.problems.append(f"hello: {text!r} is {error}")
        return ""


def families(hop: Hop, egress: EgressConfig) -> EgressConfig:
    """With addresses of our own to connect from, only what they can reach is looked for."""
    if not hop.sources:
        return egress
    six = any(":" in each for each in hop.sources)
    four = any(":" not in each for each in hop.sources)
    return attrs.evolve(egress, ipv6=egress.ipv6 and six, ipv4=egress.ipv4 and four)


def manners(hostname: str, egress: EgressConfig) -> Manners:
    return Manners(
        hostname=hostname,
        connect_timeout=egress.connect_timeout,
        greeting_timeout=egress.greeting_timeout,
        hello_timeout=egress.hello_timeout,
        command_timeout=egress.command_timeout,
        data_start_timeout=egress.data_start_timeout,
        data_block_timeout=egress.data_block_timeout,
        data_timeout=egress.data_timeout,
        idle_timeout=egress.idle_timeout,
        messages_per_connection=egress.messages_per_connection,
    )


def with_implicit_tls(hop: Hop, implicit: bool) -> Hop:
    """TLS from the first octet leaves nothing to be opportunistic about."""
    if not implicit:
        return hop
    return attrs.evolve(hop, implicit=True, tls=TlsMode.ENCRYPT if hop.tls is TlsMode.MAY else hop.tls)
