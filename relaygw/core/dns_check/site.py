"""What the configuration says of our mail, as far as the DNS has to agree; and the addresses that follow from both."""

import hashlib
import ipaddress

import attrs

from relaygw.core.client import IPAddress
from relaygw.core.question import Answer, AnswerStatus, Exchange, Inquiry, Question, Tlsa

_SHA256, _SHA512 = 1, 2


@attrs.frozen(kw_only=True)
class Key:
    """A key that signs for `domain`; `value` is the TXT record that publishes it."""

    domain: str
    selector: str
    value: str


@attrs.frozen(kw_only=True)
class Certificate:
    """One certificate of our chain in DER; `public_key` is its SubjectPublicKeyInfo. `names` are lower case."""

    whole: bytes
    public_key: bytes
    names: tuple[str, ...] = ()

    def matches(self, record: Tlsa) -> bool:
        """Whether the association data of a TLSA record is that of this certificate (RFC 6698 2.1)."""
        chosen = {0: self.whole, 1: self.public_key}.get(record.selector)
        if chosen is None:
            return False
        if record.matching == _SHA256:
            return hashlib.sha256(chosen).digest() == record.data
        if record.matching == _SHA512:
            return hashlib.sha512(chosen).digest() == record.data
        return record.matching == 0 and chosen == record.data


Chain = tuple[Certificate, ...]
"""Certificates in the order they are shown, our own first."""


@attrs.frozen(kw_only=True)
class Site:
    """`addresses` are those mail leaves from, where the operator told them; else the DNS is asked for the hostname's.

    `domains` are those whose mail shall come here. `direct`: some mail leaves by MX; `smarthosts` are the hosts that
    take other mail. `chains`: the first is for every name that no other is for. `now` in POSIX seconds.
    """

    hostname: str
    now: float
    addresses: tuple[IPAddress, ...] = ()
    domains: frozenset[str] = frozenset()
    direct: bool = True
    smarthosts: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    chains: tuple[Chain, ...] = ()

    def receives(self, domain: str) -> bool:
        return domain in self.domains

    def chain_for(self, host: str) -> Chain:
        """What a client reads who asks for the host; empty where there is no certificate."""
        wild = f"*.{host.partition('.')[2]}"
        named = (chain for chain in self.chains if {host, wild} & set(chain[0].names))
        return next(named, self.chains[0] if self.chains else ())


@attrs.frozen(kw_only=True)
class Lookup:
    """The addresses of a host, IPv4 first. `failure` is why there are none, where the DNS failed."""

    addresses: tuple[IPAddress, ...] = ()
    failure: Answer | None = None


def our_addresses(site: Site) -> Inquiry[tuple[IPAddress, ...]]:
    if site.addresses:
        return site.addresses
    return (yield from addresses_of(site.hostname))


def addresses_of(host: str) -> Inquiry[tuple[IPAddress, ...]]:
    """All addresses of a host; none where the DNS has none or fails."""
    return (yield from lookup(host)).addresses


def lookup(host: str) -> Inquiry[Lookup]:
    """The addresses of a host, which may be one itself."""
    literal = as_address(host)
    if literal is not None:
        return Lookup(addresses=(literal,))
    found: list[IPAddress] = []
    failure: Answer | None = None
    for kind in ("A", "AAAA"):
        answer = yield Question(host, kind)
        if answer.status is AnswerStatus.FAILED:
            failure = answer
        found += [ipaddress.ip_address(record) for record in answer.records if isinstance(record, str)]
    return Lookup(addresses=tuple(found), failure=None if found else failure)


def as_address(text: str) -> IPAddress | None:
    """The address where a host is given as one."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def exchanges_of(domain: str) -> Inquiry[tuple[str, ...]]:
    """The hosts of the domain's MX records, best first."""
    answer = yield Question(domain, "MX")
    found = sorted(record for record in answer.records if isinstance(record, Exchange))
    return tuple(dict.fromkeys(exchange.host for exchange in found if exchange.host))


def our_exchanges(site: Site, domain: str) -> Inquiry[tuple[str, ...]]:
    """Those of the domain's MX hosts that are ourselves, by name or by address."""
    hosts = yield from exchanges_of(domain)
    ours = yield from our_addresses(site)
    found: list[str] = []
    for host in hosts:
        if as_address(host) is not None:
            continue
        if host == site.hostname or set((yield from addresses_of(host))) & set(ours):
            found.append(host)
    return tuple(found)
