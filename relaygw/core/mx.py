"""Where mail for a domain goes (RFC 5321 5.1): an inquiry that asks DNS and answers Targets, or a Refusal.

Randomness and the knowledge of what is ourselves are arguments. Resolvers follow CNAMEs; a name here is the one asked
for. Hosts and addresses are bounded: a zone of somebody else's cannot make us try for hours.
"""

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache

import attrs

from relaygw.core.question import Answer, AnswerStatus, Exchange, Inquiry, Question, both_families

MAX_HOSTS = 10
"""Exchanges looked at, in order of preference."""

MAX_ADDRESSES = 8
"""Addresses of one host."""

Shuffle = Callable[[list[str]], None]


@attrs.frozen(kw_only=True)
class Target:
    """One address to connect to: `host` is its name (for TLS and the journal), `preference` that of its exchange."""

    host: str
    address: str
    preference: int = 0


@attrs.frozen
class Targets:
    """What to try, best first; never empty."""

    targets: tuple[Target, ...]


@attrs.frozen(kw_only=True)
class Refusal:
    """Why there is nothing to try. `permanent`: a decision of the domain's owner, or its absence (RFC 3463 code)."""

    permanent: bool
    enhanced: str
    reason: str


@attrs.frozen(kw_only=True)
class Locality:
    """What we must know of ourselves and of chance. `is_ours`: whether mail sent to an IP address comes back to us."""

    hostname: str
    is_ours: Callable[[str], bool]
    shuffle: Shuffle
    ipv4: bool = True
    ipv6: bool = True


Found = Targets | Refusal


def targets_for_domain(domain: str, here: Locality) -> Inquiry[Found]:
    """The targets for mail to a domain or address literal."""
    if domain.startswith("["):
        return _literal(domain, here)
    answer = yield Question(domain, "MX")
    if answer.status is AnswerStatus.FAILED:
        return _unknown(domain, answer)
    if answer.status is AnswerStatus.NO_NAME:
        return Refusal(permanent=True, enhanced="5.1.2", reason=f"the domain {domain} does not exist")
    exchanges = [record for record in answer.records if isinstance(record, Exchange)]
    if not exchanges:
        return (yield from _from_hosts(domain, [Exchange(0, domain)], here))
    if not any(exchange.host for exchange in exchanges):  # RFC 7505 3
        return Refusal(permanent=True, enhanced="5.1.10", reason=f"the domain {domain} accepts no mail (null MX)")
    # RFC 5321 5.1: an exchange is a name. An address in its place is a mistake we do not follow.
    usable = [exchange for exchange in exchanges if exchange.host and not _as_address(exchange.host)]
    return (yield from _from_hosts(domain, _ordered(usable, here.shuffle)[:MAX_HOSTS], here))


def exchanges_of(domain: str) -> Inquiry[tuple[str, ...] | None]:
    """The names of a domain's mail exchangers, none where it is its own; None where there is no answer."""
    answer = yield Question(domain, "MX")
    if answer.status is AnswerStatus.FAILED:
        return None
    return tuple(sorted({record.host for record in answer.records if isinstance(record, Exchange) and record.host}))


def targets_for_host(host: str, here: Locality, preference: int = 0) -> Inquiry[Found]:
    """The targets of a host named by the operator: its addresses, no MX, and no question whether it is ourselves."""
    literal = _as_address(host)
    if literal:
        return Targets((Target(host=host, address=literal, preference=preference),))
    if host == "localhost":  # RFC 6761 6.3: never a question for DNS
        loopback = _interleaved(["::1"] if here.ipv6 else [], ["127.0.0.1"] if here.ipv4 else [])
        return Targets(_targets(host, loopback, preference))
    answers, addresses = yield from _addresses(host, here)
    if addresses:
        return Targets(_targets(host, addresses, preference))
    if any(answer.status is AnswerStatus.FAILED for answer in answers):
        return _unknown(host, *answers)
    # The operator named this host: that it has no address now is more likely a slip than a decision.
    return Refusal(permanent=False, enhanced="4.4.4", reason=f"the host {host} has no address")


def _from_hosts(domain: str, exchanges: list[Exchange], here: Locality) -> Inquiry[Found]:
    """Ask for the addresses of hosts in order; those we must not try because of ourselves fall out (RFC 5321 5.1)."""
    targets: list[Target] = []
    failures: list[Answer] = []
    ours: int | None = None
    for exchange in exchanges:
        if ours is not None and exchange.preference >= ours:
            break
        if exchange.host == here.hostname.lower():
            ours = exchange.preference
            continue
        answers, addresses = yield from _addresses(exchange.host, here)
        if any(map(here.is_ours, addresses)):
            ours = exchange.preference
            continue
        failures += [answer for answer in answers if answer.status is AnswerStatus.FAILED]
        targets += _targets(exchange.host, addresses, exchange.preference)
    left = tuple(target for target in targets if ours is None or target.preference < ours)
    if left:
        return Targets(left)
    if failures:
        return _unknown(domain, *failures)
    if ours is not None:
        return Refusal(permanent=True, enhanced="5.4.6", reason=f"mail for {domain} loops back to this host")
    return Refusal(permanent=True, enhanced="5.4.4", reason=f"no mail exchanger of {domain} has an address")


def _ordered(exchanges: Iterable[Exchange], shuffle: Shuffle) -> list[Exchange]:
    """By preference; equal ones in random order. A host named twice counts by its best preference."""
    best: dict[str, int] = {}
    for exchange in exchanges:
        best[exchange.host] = min(exchange.preference, best.get(exchange.host, exchange.preference))
    hosts = sorted(best)
    shuffle(hosts)
    return sorted((Exchange(best[host], host) for host in hosts), key=lambda exchange: exchange.preference)


def _addresses(host: str, here: Locality) -> Inquiry[tuple[list[Answer], list[str]]]:
    """The answers for a host, and its addresses: IPv6 and IPv4 in turn, so that one broken family costs one try."""
    answers: list[Answer] = []
    families: dict[str, list[str]] = {"AAAA": [], "A": []}
    # Both are waited for: a host is ourselves by either, and one family alone could refuse what the other takes.
    for question in both_families(host, ipv4=here.ipv4, ipv6=here.ipv6):
        answer = yield question
        answers.append(answer)
        addresses = families[question.type]
        addresses += sorted({record for record in answer.records if isinstance(record, str)})
        here.shuffle(addresses)
    return answers, _interleaved(families["AAAA"], families["A"])[:MAX_ADDRESSES]


def _interleaved(first: list[str], second: list[str]) -> list[str]:
    pairs = zip(first, second, strict=False)
    shorter = min(len(first), len(second))
    return [address for pair in pairs for address in pair] + first[shorter:] + second[shorter:]


def _literal(domain: str, here: Locality) -> Found:
    """RFC 5321 4.1.3: the address itself is the one target."""
    address = _as_address(domain[1:-1])
    if not address:
        return Refusal(permanent=True, enhanced="5.1.2", reason=f"{domain} is not an address literal we know")
    if here.is_ours(address):
        return Refusal(permanent=True, enhanced="5.4.6", reason=f"mail for {domain} loops back to this host")
    return Targets((Target(host=domain, address=address),))


@lru_cache(maxsize=1024)
def _as_address(text: str) -> str:
    """The canonical IP address in the text (with or without `IPv6:`), or ""."""
    bare = text[5:] if text[:5].lower() == "ipv6:" else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return ""


def _targets(host: str, addresses: Iterable[str], preference: int) -> tuple[Target, ...]:
    return tuple(Target(host=host, address=address, preference=preference) for address in addresses)


def _unknown(name: str, *answers: Answer) -> Refusal:
    reason = next((answer.reason for answer in answers if answer.reason), "no answer")
    return Refusal(permanent=False, enhanced="4.4.3", reason=f"DNS does not answer for {name}: {reason}")
