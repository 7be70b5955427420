"""SPF of a domain: one record, well formed, affordable, that passes where our mail leaves and not for anyone else.

What it costs at worst, and what it says of everyone else, is found by evaluating it for an address nobody has.
"""

import ipaddress

from relaygw.core.address import Address
from relaygw.core.client import IPAddress, is_inside
from relaygw.core.dns_check.finding import Finding, Published, Subject, failed, texts_of
from relaygw.core.dns_check.site import Site, addresses_of, our_addresses
from relaygw.core.question import Answer, Inquiry, Question
from relaygw.core.spf import Finding as SpfFinding
from relaygw.core.spf import Result, check_mail_from
from relaygw.core.spf.check import MAX_LOOKUPS
from relaygw.core.spf.record import select

_ALONE = "the record to publish is for mail from here alone"

NOBODY = ipaddress.ip_address("0.0.0.0")  # noqa: S104 — nobody sends from it (RFC 1122 3.2.1.3), so only `all` matches
_NOBODY6 = ipaddress.ip_address("::")


def check_sender(site: Site, domain: str) -> Inquiry[tuple[Finding, ...]]:
    answer = yield Question(domain, "TXT")
    subject = Subject(check="spf", about=domain, name=domain, type="TXT", expected=_record(site))
    if failed(answer):
        return (subject.unknown(answer),)
    texts = spf_records(answer)
    subject = subject.seen(texts)
    if not texts:
        return (subject.error("there is no SPF record", subject.record(subject.expected)),)
    if len(texts) > 1:
        message = f"several SPF records are an error: make them one (RFC 7208 4.5); {_ALONE}"
        return (subject.error(message, subject.record(subject.expected)),)
    stranger = yield from _stranger(site, domain)
    if stranger.result in (Result.PERMERROR, Result.TEMPERROR):
        return (_unusable(subject, stranger),)
    ours = (yield from our_addresses(site)) if site.direct else ()
    found = []
    for address in ours:
        found.append((yield from evaluate(site, address, domain)))
    lacking = ours and (stranger.result is Result.PASS or any(each.result is not Result.PASS for each in found))
    bounded = _bounded(subject.found[0], stranger)
    subject = subject.wanting(_with(bounded, f"a:{site.hostname}") if lacking else bounded)
    findings = [_strangers(subject, stranger), *(_own(subject, *each) for each in zip(ours, found, strict=True))]
    for host in site.smarthosts:
        findings += yield from _smarthost(site, subject, domain, host)
    return tuple(findings)


def _stranger(site: Site, domain: str) -> Inquiry[SpfFinding]:
    """What is found for somebody else; of the two families the one that is let in, where one is."""
    found = yield from evaluate(site, NOBODY, domain)
    if found.result in (Result.PASS, Result.PERMERROR, Result.TEMPERROR):
        return found
    other = yield from evaluate(site, _NOBODY6, domain)
    return other if other.result is Result.PASS else found


def spf_records(answer: Answer) -> list[bytes]:
    return select(texts_of(answer))


def evaluate(site: Site, client: IPAddress, domain: str) -> Inquiry[SpfFinding]:
    """What a receiver would find for mail from postmaster at the domain, sent by us from this address."""
    sender = Address("postmaster", domain)
    return (
        yield from check_mail_from(
            client=client, sender=sender, hello=site.hostname, receiver=site.hostname, now=site.now
        )
    )


def _record(site: Site) -> str:
    """What `relaygw init` proposes; a smart-host's operator says what to add for it."""
    if site.direct:
        return f"v=spf1 a:{site.hostname} mx -all"
    return " ".join(["v=spf1", *(f"a:{host}" for host in site.smarthosts), "mx", "-all"])


def _unusable(subject: Subject, found: SpfFinding) -> Finding:
    if found.result is Result.TEMPERROR:
        return subject.error(f"temperror: {found.reason}")
    return subject.error(f"permerror: {found.reason}; {_ALONE}", subject.record(subject.expected))


def _strangers(subject: Subject, found: SpfFinding) -> Finding:
    cost = f"{found.lookups} of {MAX_LOOKUPS} lookups"
    publish = subject.missing(subject.expected)
    if found.result is Result.PASS:
        return subject.error(f"it passes for the whole world ({found.mechanism})", *publish)
    if found.result is Result.NEUTRAL:
        return subject.warning(f"it says nothing of other hosts: end it with -all or ~all ({cost})", *publish)
    return subject.ok(f"other hosts: {found.result.value}; {cost}")


def _own(subject: Subject, address: IPAddress, found: SpfFinding) -> Finding:
    why = found.reason or found.mechanism
    message = f"mail from {address}: {found.result.value}" + (f" ({why})" if why else "")
    if found.result is Result.PASS:
        return subject.ok(message)
    return subject.error(message, *better(subject, found))


def better(subject: Subject, found: SpfFinding) -> tuple[Published, ...]:
    """The record to publish where ours does not pass; none where the DNS failed, as ours may be right."""
    return () if found.result is Result.TEMPERROR else subject.missing(subject.expected)


def _smarthost(site: Site, subject: Subject, domain: str, host: str) -> Inquiry[list[Finding]]:
    """Mail may leave a smart-host from other addresses than those we reach it by: no more than a hint."""
    findings = []
    for address in (yield from addresses_of(host)):
        if is_inside(address):
            continue
        found = yield from evaluate(site, address, domain)
        if found.result is not Result.PASS:
            message = f"mail by the smart-host {host} from {address}: {found.result.value}"
            findings.append(subject.warning(f"{message}; ask its operator which include: belongs here"))
    return findings


def _with(record: str, term: str) -> str:
    """The record with one more term, in front of all others, unless it has the term."""
    if term in record.lower().split():
        return record
    version, _, rest = record.partition(" ")
    return f"{version} {term} {rest}".rstrip()


def _bounded(record: str, stranger: SpfFinding) -> str:
    """The record without what passes for a stranger, and with an end; as it is where that is no matter of its own."""
    version, *terms = record.split()
    ends = [term for term in terms if term.lower().lstrip("+?") == "all"]
    elsewhere = any(term.lower().startswith("redirect=") for term in terms)
    if stranger.result is Result.PASS and stranger.mechanism in terms:
        kept, end = [term for term in terms if term not in (*ends, stranger.mechanism)], "-all"
    elif stranger.result is Result.NEUTRAL and not elsewhere:
        kept, end = [term for term in terms if term not in ends], "~all"
    else:
        return record
    return " ".join([version, *kept, *([] if end in kept else [end])])
