"""How mail to a destination is shaped: entries in layers, default → provider → destination; later values overlay.

An entry without conditions is for every destination. One with `mx` or `domain` is a provider: all domains whose mail
exchangers are below those names, or that are named, are one destination under the entry's name. One with
`destination` is for a destination by its own name (a smart-host's "host:port", or the hosts of an MX set). What we
know of big providers stands in `relaygw.core.providers`, beneath the configured entries.
"""

import hashlib
from collections.abc import Iterable, Sequence, Set
from typing import Protocol

import attrs

from relaygw.core.health import Care
from relaygw.core.patterns import is_among

Destination = tuple[str, str]
"""The transport's name, and what the transport counts concurrency by."""

MAX_NAME = 200
"""Characters of the name of an MX set; a longer one ends in a digest."""


class Entry(Protocol):
    """An entry as the configuration has it; None: this layer does not say."""

    @property
    def name(self) -> str: ...
    @property
    def mx(self) -> tuple[str, ...]: ...
    @property
    def domain(self) -> tuple[str, ...]: ...
    @property
    def destination(self) -> tuple[str, ...]: ...
    @property
    def connections(self) -> int | None: ...
    @property
    def initial_connections(self) -> int | None: ...
    @property
    def messages_per_minute(self) -> int | None: ...
    @property
    def recipients_per_message(self) -> int | None: ...
    @property
    def messages_per_connection(self) -> int | None: ...


@attrs.frozen(kw_only=True)
class Provided:
    """An entry of ours."""

    name: str
    mx: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()
    destination: tuple[str, ...] = ()
    connections: int | None = None
    initial_connections: int | None = None
    messages_per_minute: int | None = None
    recipients_per_message: int | None = None
    messages_per_connection: int | None = None


@attrs.frozen(kw_only=True)
class Shape:
    """The layers of one destination put together; 0 is no limit. `layers` names the entries that speak."""

    care: Care = attrs.Factory(Care)
    messages_per_minute: int = 0
    recipients_per_message: int = 0
    messages_per_connection: int = 0
    layers: tuple[str, ...] = ()


@attrs.frozen
class Providers:
    """The entries that gather domains under one name, the first that fits first."""

    entries: tuple[Entry, ...]

    def of_domain(self, domain: str) -> str:
        """The provider that has the domain by name, "" for none."""
        return next((entry.name for entry in self.entries if is_among(domain, entry.domain)), "")

    def domains_of(self, names: Set[str]) -> Iterable[str]:
        """Those that providers of these names have by name, those below a domain as ".domain"."""
        return (domain for entry in self.entries if entry.name in names for domain in entry.domain)

    def site(self, hosts: Iterable[str]) -> str:
        """The name of the destination these mail exchangers are: their provider's, or their own in order."""
        names = sorted({host.lower().rstrip(".") for host in hosts})
        for entry in self.entries:
            if entry.mx and names and all(is_among(name, entry.mx) for name in names):
                return entry.name
        site = ",".join(names)
        if len(site) <= MAX_NAME:
            return site
        digest = hashlib.sha256(site.encode()).hexdigest()[:16]
        return f"{site[: MAX_NAME - 20]}...{digest}"


@attrs.frozen
class Shaping:
    """All entries in the order of their layers."""

    everywhere: tuple[Entry, ...]
    providers: tuple[Entry, ...]
    destinations: tuple[Entry, ...]
    care: Care

    def shape(self, destination: str) -> Shape:
        """The shape of a destination by its name."""
        layers = [
            *self.everywhere,
            *(entry for entry in self.providers if entry.name == destination),
            *(entry for entry in self.destinations if destination in entry.destination),
        ]
        most = _last(layers, "connections", self.care.most)
        return Shape(
            care=attrs.evolve(
                self.care, most=most, initial=min(_last(layers, "initial_connections", self.care.initial), most)
            ),
            messages_per_minute=_last(layers, "messages_per_minute", 0),
            recipients_per_message=_last(layers, "recipients_per_message", 0),
            messages_per_connection=_last(layers, "messages_per_connection", 0),
            layers=tuple(entry.name for entry in layers),
        )


def compile_shaping(configured: Sequence[Entry], provided: Sequence[Entry], care: Care) -> Shaping:
    """`provided` lie beneath the configured entries of their layer."""
    entries = (*provided, *configured)
    providers = tuple(entry for entry in entries if entry.mx or entry.domain)
    names = {entry.name for entry in providers}
    # An entry that repeats a provider's name without conditions of its own adds to that provider.
    more = tuple(entry for entry in entries if _bare(entry) and entry.name in names)
    return Shaping(
        everywhere=tuple(entry for entry in entries if _bare(entry) and entry.name not in names),
        providers=(*providers, *more),
        destinations=tuple(entry for entry in entries if entry.destination),
        care=care,
    )


def compile_providers(configured: Sequence[Entry], provided: Sequence[Entry]) -> Providers:
    """Those of the configuration come first, so that it can draw its own borders."""
    return Providers(tuple(entry for entry in (*configured, *provided) if entry.mx or entry.domain))


def _bare(entry: Entry) -> bool:
    return not (entry.mx or entry.domain or entry.destination)


def _last(layers: Sequence[Entry], name: str, default: int) -> int:
    said = (getattr(entry, name) for entry in reversed(layers))
    return next((value for value in said if value is not None), default)
