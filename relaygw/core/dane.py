"""DANE for SMTP (RFC 7672): which TLSA records speak for a host, and which certificates they mean. Pure.

An answer counts only with the AD bit of a validating resolver. A denial that is signed, or a zone that is not, means
that there is nothing to hold the host to; a question that fails means that nobody knows, and then no mail goes there:
whoever can suppress answers must not be able to switch the protection off (RFC 7672 2.1).
"""

import hashlib
import ipaddress
from collections.abc import Iterable

import attrs

from relaygw.core.question import Answer, AnswerStatus, Inquiry, Question, Tlsa, both_families

TRUST_ANCHOR, END_ENTITY = 2, 3
_WHOLE, _KEY = 0, 1
_EXACT, _SHA256, _SHA512 = 0, 1, 2
_LENGTHS = {_SHA256: 32, _SHA512: 64}


@attrs.frozen(kw_only=True)
class Dane:
    """What a host has published at `_port._tcp.base`. `usable` may be empty: then TLS is a must, and proves nothing.

    `ttl` is for how many seconds this holds; the same records found later are the same, so that sessions are kept.
    """

    base: str
    records: tuple[Tlsa, ...]
    usable: tuple[Tlsa, ...]
    ttl: int = attrs.field(eq=False)


@attrs.frozen(kw_only=True)
class NoDane:
    """There is nothing to hold the host to, and why."""

    why: str
    ttl: int = 0


@attrs.frozen
class DaneUnknown:
    """The DNS does not answer: the host must not be used now."""

    why: str


DaneFound = Dane | NoDane | DaneUnknown


@attrs.frozen
class Presented:
    """One certificate of a server's chain: all of it, and its public key (SubjectPublicKeyInfo), both in DER."""

    certificate: bytes
    key: bytes


def dane_for_host(host: str, port: int, *, ipv4: bool = True, ipv6: bool = True) -> Inquiry[DaneFound]:
    """The TLSA records of a host (RFC 7672 2.2); its addresses are asked for again, as their AD bit decides."""
    if _is_address(host) or host in ("", "localhost"):
        return NoDane(why="an address has no TLSA records", ttl=3600)
    bases = yield from _bases(host, ipv4=ipv4, ipv6=ipv6)
    if not isinstance(bases, tuple):
        return bases
    lowest = 0
    for base in bases:
        answer = yield Question(f"_{port}._tcp.{base}", "TLSA")
        if answer.status is AnswerStatus.FAILED:
            return DaneUnknown(f"the TLSA records of {base} cannot be found out: {answer.reason or 'no answer'}")
        records = tuple(sorted((record for record in answer.records if isinstance(record, Tlsa)), key=text))
        if records and answer.authentic:
            return Dane(base=base, records=records, usable=usable(records), ttl=answer.ttl)
        lowest = answer.ttl
    return NoDane(why="there are no signed TLSA records", ttl=lowest)


def signed_names(domain: str) -> Inquiry[tuple[str, ...]]:
    """The names of a domain whose list of mail exchangers is signed: its own, and what that is an alias of; none where
    it is not. Certificates below a named authority may be for any of them (RFC 7672 3.2.2)."""
    answer = yield Question(domain, "MX")
    if not answer.authentic or answer.status is AnswerStatus.FAILED:
        return ()
    return (domain, answer.canonical) if answer.canonical else (domain,)


def _bases(host: str, *, ipv4: bool, ipv6: bool) -> Inquiry[tuple[str, ...] | NoDane | DaneUnknown]:
    """The names under which TLSA records may stand, the best first (RFC 7672 2.2.2, 2.2.3)."""
    found: list[Answer] = []
    for question in both_families(host, ipv4=ipv4, ipv6=ipv6):
        answer = yield question
        if answer.status is AnswerStatus.FOUND:
            found.append(answer)
    lowest = min((answer.ttl for answer in found), default=0)
    aliased = next((answer.canonical for answer in found if answer.canonical not in ("", host)), "")
    if found and all(answer.authentic for answer in found):
        return (aliased, host) if aliased else (host,)
    if aliased:  # an alias that is signed may lead to where nothing is
        alias = yield Question(host, "CNAME")
        if alias.status is AnswerStatus.FAILED:
            return DaneUnknown(f"whether {host} is signed cannot be found out: {alias.reason or 'no answer'}")
        if alias.status is AnswerStatus.FOUND and alias.authentic:
            return (host,)
    return NoDane(why="its addresses are not signed", ttl=lowest)


def usable(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """Those that we can hold a server to. Of several hashes of one kind only the strongest counts (RFC 7671 9)."""
    sound = [record for record in records if _sound(record)]
    strongest: dict[tuple[int, int], int] = {}
    for record in sound:
        kind = record.usage, record.selector
        strongest[kind] = max(record.matching, strongest.get(kind, _EXACT))
    return tuple(
        record
        for record in sound
        if record.matching in (_EXACT, strongest[record.usage, record.selector])
    )  # fmt: skip


def _sound(record: Tlsa) -> bool:
    """RFC 7672 3.1.3: usages 0 and 1 need authorities that nobody agrees on, and count as not usable."""
    known = record.usage in (TRUST_ANCHOR, END_ENTITY) and record.selector in (_WHOLE, _KEY)
    if record.matching == _EXACT:
        return known and bool(record.data)
    return known and len(record.data) == _LENGTHS.get(record.matching, -1)


def means(record: Tlsa, presented: Presented) -> bool:
    """Whether it is this certificate (RFC 6698 2.1)."""
    selected = presented.certificate if record.selector == _WHOLE else presented.key
    if record.matching == _SHA256:
        return hashlib.sha256(selected).digest() == record.data
    if record.matching == _SHA512:
        return hashlib.sha512(selected).digest() == record.data
    return selected == record.data


def names_server(records: Iterable[Tlsa], server: Presented) -> bool:
    """Whether the server's own certificate is named: nothing else of it is looked at then (RFC 7672 3.1.1)."""
    return any(record.usage == END_ENTITY and means(record, server) for record in records)


def anchors(records: Iterable[Tlsa], chain: Iterable[Presented]) -> tuple[Presented, ...]:
    """The certificates of the chain that are named as trust anchors."""
    named = [record for record in records if record.usage == TRUST_ANCHOR]
    return tuple(presented for presented in chain if any(means(record, presented) for record in named))


def anchor_certificates(records: Iterable[Tlsa]) -> tuple[bytes, ...]:
    """Trust anchors that stand in the DNS as a whole, and need not be in the chain (RFC 7671 5.2.2)."""
    return _given(records, _WHOLE)


def anchor_keys(records: Iterable[Tlsa]) -> tuple[bytes, ...]:
    """The same for those of which only the key stands there (RFC 7671 5.2.3)."""
    return _given(records, _KEY)


def _given(records: Iterable[Tlsa], selector: int) -> tuple[bytes, ...]:
    wanted = (TRUST_ANCHOR, selector, _EXACT)
    return tuple(
        record.data for record in records if (record.usage, record.selector, record.matching) == wanted
    )  # fmt: skip


def text(record: Tlsa) -> str:
    """As a zone file has it."""
    return f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"


def _is_address(host: str) -> bool:
    if host.startswith(("[", "/")):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
