"""`relaygw dns check [DOMAIN]`: what the DNS says of us and our domains, compared with the configuration.

Exit code 0: nothing is wrong (there may be warnings); 1: something is.
"""

import argparse
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from relaygw import keys
from relaygw.bridge import as_deferred
from relaygw.cli.answer import DONE, NO, Answer, CommandError, UsageError, printable
from relaygw.cli.asking import Progress, ask_all, question_document
from relaygw.cli.context import Context
from relaygw.cli.records import DnsRecord, zone_line
from relaygw.cli.verbs import add_verb
from relaygw.config.schema import Config, RouteConfig
from relaygw.core import dkim_record
from relaygw.core.address import AddressError, normalize_domain
from relaygw.core.client import IPAddress, parse_client
from relaygw.core.dns_check import (
    Certificate,
    Finding,
    Key,
    Level,
    Published,
    Site,
    check_served,
    inquiries,
    is_served,
    is_unsigned,
)
from relaygw.core.patterns import is_among
from relaygw.core.session import Role
from relaygw.core.sts import StsPolicy
from relaygw.dns import consult
from relaygw.egress.signatories import NamedKey
from relaygw.interfaces import IResolver
from relaygw.keybook import BookError, in_use

_WIDTH = 90

FETCH_TIMEOUT = 8.0
"""Seconds for all policies, which are fetched together once the DNS has answered."""

Fetch = Callable[[str], Awaitable[StsPolicy | str]]


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="dns_verb", metavar="VERB", required=True)
    check_ = add_verb(verbs, "check", "compare the DNS with the configuration, and say what to publish")
    check_.set_defaults(run=check)
    check_.add_argument("domain", metavar="DOMAIN", nargs="?", help="only this domain (default: all of ours)")
    where = "an address mail leaves from, as others see it (default: those of the hostname); repeatable"
    check_.add_argument("--ip", action="append", default=[], metavar="A", help=where)
    check_.add_argument(
        "--zone", default="", metavar="FILE", help="ask this zone file or YAML mapping, not the network"
    )


def check(options: argparse.Namespace, context: Context) -> Answer:
    config = context.config
    ours = our_domains(config)
    domains = (_domain(options.domain),) if options.domain is not None else ours
    unusable: list[Finding] = []
    site = make_site(config, domains, tuple(map(_address, options.ip)), unusable)
    findings, asked = ask_all(
        config.dns,
        options.zone,
        lambda resolver: ask(resolver, site, domains, None if options.zone else _fetching(resolver)),
        Progress(not options.json),
    )
    unread = {finding.about for finding in unusable if finding.check == "dkim"}
    findings = (*unusable, *(each for each in findings if not (is_unsigned(each) and each.about in unread)))
    bad = any(finding.level is Level.ERROR for finding in findings)
    records = to_publish(findings)
    document = {
        "ok": not bad,
        "hostname": config.hostname,
        "domains": list(domains),
        "findings": [finding_document(finding) for finding in findings],
        "records": records,
        "questions": [question_document(each) for each in asked],
    }
    strange = [domain for domain in domains if domain not in ours]
    notes = f"{strange[0]} is no domain of the configuration" if strange else ""
    return Answer(document=document, text=_text(findings, records), notes=notes, status=NO if bad else DONE)


async def ask(resolver: IResolver, site: Site, domains: Sequence[str], fetch: Fetch | None) -> tuple[Finding, ...]:
    """All inquiries at once; the findings in their order, then those about the policies that are served."""
    running: list[Deferred[tuple[Finding, ...]]] = [
        as_deferred(consult(inquiry, resolver)) for inquiry in inquiries(site, domains)
    ]
    results: list[tuple[Finding, ...]] = await gatherResults(running, consumeErrors=True)
    findings = tuple(dict.fromkeys(finding for found in results for finding in found))
    served = [finding.about for finding in findings if is_served(finding)] if fetch is not None else []
    fetched = await gatherResults([as_deferred(fetch(domain)) for domain in served]) if fetch is not None else []
    for domain, policy in zip(served, fetched, strict=True):
        findings += await consult(check_served(site, domain, policy), resolver)
    return findings


def _fetching(resolver: IResolver) -> Fetch:
    """As a sender fetches policies; what fails becomes the words that say why."""
    from twisted.internet import reactor

    from relaygw.core.sts import StsError, parse_policy
    from relaygw.egress.https import Https, HttpsError
    from relaygw.egress.sts import fetch_by

    get = fetch_by(Https(reactor, resolver), timeout=FETCH_TIMEOUT)

    async def fetch(domain: str) -> StsPolicy | str:
        try:
            return parse_policy(await get(domain))
        except (HttpsError, StsError) as error:
            return str(error)

    return fetch


def our_domains(config: Config) -> tuple[str, ...]:
    """Those mail is taken for, and those it is signed for; each once."""
    relayed = (domain for domain in config.relay_domains if not domain.startswith("."))
    return tuple(dict.fromkeys((*config.local_domains, *relayed, *(key.domain for key in _in_use(config)))))


def make_site(
    config: Config, domains: Iterable[str], addresses: tuple[IPAddress, ...], unusable: list[Finding]
) -> Site:
    """What the configuration says; files that cannot be read are told to `unusable`."""
    listens = any(each.protocol == "smtp" and each.role is Role.MX for each in config.listeners)
    return Site(
        hostname=config.hostname,
        now=time.time(),
        addresses=addresses,
        domains=frozenset(domain for domain in domains if listens and _taken(config, domain)),
        direct=any(route.transport == "mx" for route in config.routes),
        smarthosts=tuple(dict.fromkeys(host for route in config.routes for host in _hosts(route))),
        keys=tuple(key for each in _in_use(config) for key in _key(each, unusable)),
        chains=tuple(_chains(config, unusable)),
    )


def _taken(config: Config, domain: str) -> bool:
    """Whether mail for the domain is taken from anyone."""
    return is_among(domain, (*config.local_domains, *config.relay_domains))


def _hosts(route: RouteConfig) -> Iterable[str]:
    """The hosts a route hands mail to, for the world: what it hands on for domains of its own is no matter of SPF."""
    if route.transport != "smarthost" or route.match.recipient:
        return
    from relaygw.egress.smarthost import split_host

    host, hosts = route.parameters.get("host"), route.parameters.get("hosts")
    for text in (host, *(hosts if isinstance(hosts, tuple) else ())):
        if isinstance(text, str):
            yield split_host(text, 25)[0].lower().removesuffix(".")


def _in_use(config: Config) -> tuple[NamedKey, ...]:
    """The keys that sign; raises CommandError."""
    try:
        return in_use(config)
    except BookError as error:
        raise CommandError(str(error)) from None


def _key(key: NamedKey, unusable: list[Finding]) -> Iterable[Key]:
    try:
        value = keys.record(Path(key.private_key).read_bytes())
    except (OSError, keys.UnusableKey) as error:
        name = dkim_record.name(key.selector, key.domain)
        unusable.append(_unusable("dkim", key.domain, name, "TXT", f"{key.private_key}: {_why(error)}"))
        return
    yield Key(domain=key.domain, selector=key.selector, value=value)


def _chains(config: Config, unusable: list[Finding]) -> Iterable[tuple[Certificate, ...]]:
    from cryptography.x509 import load_pem_x509_certificates

    for path in (config.tls.certificate, *(each.certificate for each in config.tls.certificates)):
        if path is None:
            continue
        try:
            yield tuple(map(_certificate, load_pem_x509_certificates(Path(path).read_bytes())))
        except (OSError, ValueError) as error:
            message = f"{path}: {_why(error)}"
            unusable.append(_unusable("tlsa", config.hostname, f"_25._tcp.{config.hostname}", "TLSA", message))


def _certificate(certificate: Any) -> Certificate:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from relaygw.tls import certificate_names

    public_key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Certificate(
        whole=certificate.public_bytes(Encoding.DER), public_key=public_key, names=certificate_names(certificate)
    )


def _unusable(check: str, about: str, name: str, kind: str, message: str) -> Finding:
    return Finding(level=Level.ERROR, check=check, about=about, name=name, type=kind, message=message)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def finding_document(finding: Finding) -> dict[str, Any]:
    return {
        "level": finding.level.value,
        "check": finding.check,
        "about": finding.about,
        "name": finding.name,
        "type": finding.type,
        "found": list(finding.found),
        "expected": finding.expected,
        "message": finding.message,
        "answered": finding.answered,
        "publish": [_record(record) for record in finding.publish],
    }


def to_publish(findings: Iterable[Finding]) -> list[DnsRecord]:
    """The records that make right what is wrong or missing, each once."""
    wanted = (finding for finding in findings if finding.level in (Level.WARNING, Level.ERROR))
    records = dict.fromkeys(record for finding in wanted for record in finding.publish)
    return [_record(record) for record in records]


def _record(record: Published) -> DnsRecord:
    return DnsRecord(name=record.name, type=record.type, value=record.value)


def _text(findings: Sequence[Finding], records: Sequence[DnsRecord]) -> str:
    lines: list[str] = []
    for number, finding in enumerate(findings):
        if not number or _place(finding) != _place(findings[number - 1]):
            lines += ["", printable(_place(finding))]
        lines += _finding_lines(finding)
    late = to_publish(filter(_waits_for_policy, findings))
    now = [record for record in records if record not in late]
    lines += _records_block("Publish, as zone file lines, each in place of what is there for the same purpose:", now)
    lines += _records_block("Only once a web server gives out the policies that are told above:", late)
    noted = dict.fromkeys(record for each in findings if each.level is Level.NOTE for record in each.publish)
    signed = [_record(record) for record in noted]
    lines += _records_block("Only where DNSSEC signs the zone:", signed)
    errors = sum(finding.level is Level.ERROR for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    return "\n".join([*lines[1:], "", f"{_number(errors, 'error')}, {_number(warnings, 'warning')}"])


def _waits_for_policy(finding: Finding) -> bool:
    """Whether what it wants published announces an MTA-STS policy where there is none yet."""
    return finding.check == "mta-sts" and finding.type == "TXT" and not finding.found


def _records_block(title: str, records: Sequence[DnsRecord]) -> list[str]:
    return ["", title, "", *map(zone_line, records)] if records else []


def _place(finding: Finding) -> str:
    """What a paragraph is about: an address is told with its host's name."""
    return "this host" if finding.check in ("address", "ptr") else finding.about


def _finding_lines(finding: Finding) -> list[str]:
    lines = [f"  {finding.level.value:<8}{finding.check:<8} {printable(finding.message)}"]
    if not finding.answered:
        lines.append(f"{'':19}at {printable(finding.name)} {finding.type}")
    elif finding.level in (Level.WARNING, Level.ERROR):
        found = " | ".join(map(_short, finding.found)) or "nothing"
        lines.append(f"{'':19}at {printable(finding.name)} {finding.type}: {found}")
        if finding.expected:
            lines.append(f"{'':19}expected: {_short(finding.expected)}")
    return lines


def _short(text: str) -> str:
    """Keys are long; whole they stand among the records to publish, and in --json."""
    return printable(text if len(text) <= _WIDTH else f"{text[:_WIDTH]}...")


def _number(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def _domain(text: str) -> str:
    try:
        domain = normalize_domain(text.removesuffix("."))
    except AddressError as error:
        raise UsageError(f"{text!r}: {error}") from None
    if domain.startswith("["):
        raise UsageError(f"{text!r} is an address, not a domain")
    return domain


def _address(text: str) -> IPAddress:
    try:
        address = parse_client(text)
    except ValueError:
        address = None
    if address is None:
        raise UsageError(f"{text!r} is not an IP address")
    return address
