"""TLSA of the MX hosts that are ours, against our certificate (RFC 7672): a wrong one stops mail of those who look."""

import hashlib

from relaygw.core.dns_check.finding import Finding, Published, Subject, failed
from relaygw.core.dns_check.site import Certificate, Chain, Site, our_exchanges
from relaygw.core.question import Answer, Inquiry, Question, Tlsa

_PORT = 25
_TRUST_ANCHOR, _END_ENTITY = 2, 3  # RFC 7672 3.1: the usages that count for SMTP


def check_certificates(site: Site, domain: str) -> Inquiry[tuple[Finding, ...]]:
    findings = []
    for host in (yield from our_exchanges(site, domain)) or (site.hostname,):
        findings.append((yield from _check_host(site, domain, host)))
    return tuple(findings)


def _check_host(site: Site, domain: str, host: str) -> Inquiry[Finding]:
    name = f"_{_PORT}._tcp.{host}"
    chain = site.chain_for(host)
    expected = association(chain[0]) if chain else ""
    subject = Subject(check="tlsa", about=domain, name=name, type="TLSA", expected=expected)
    addresses = yield Question(host, "A")
    answer = yield Question(name, "TLSA")
    records = [record for record in answer.records if isinstance(record, Tlsa)]
    if failed(answer):
        # RFC 7672 2.1.3: senders defer while they cannot tell whether there are records.
        return subject.unknown(answer)
    if not records:
        return _missing(subject, addresses)
    return _compared(chain, subject.seen(records), answer, records)


def association(certificate: Certificate) -> str:
    """The data of a record 3 1 1: the SHA-256 of our public key, which a renewal may keep."""
    return f"3 1 1 {hashlib.sha256(certificate.public_key).hexdigest()}"


def _missing(subject: Subject, addresses: Answer) -> Finding:
    if not subject.expected:
        return subject.note("there is no record, and no certificate is configured")
    publish: tuple[Published, ...] = (subject.record(subject.expected),)
    if not addresses.authentic:
        return subject.note("there is no record; it would need a zone signed by DNSSEC", *publish)
    return subject.warning("there is no record, though the zone is signed", *publish)


def _compared(chain: Chain, subject: Subject, answer: Answer, records: list[Tlsa]) -> Finding:
    usable = [record for record in records if record.usage in (_TRUST_ANCHOR, _END_ENTITY)]
    right = [record for record in usable if _matches(chain, record)]
    publish = (subject.record(subject.expected),) if subject.expected else ()
    if not chain:
        return subject.error("there are records, and no certificate is configured: senders that look will not deliver")
    if not right:
        return subject.error("none is for our certificate: senders that look will not deliver", *publish)
    if not answer.authentic:
        return subject.note("the records are right; that DNSSEC vouches for them cannot be seen from here")
    return subject.ok(f"{len(right)} of {len(records)} are for our certificate")


def _matches(chain: Chain, record: Tlsa) -> bool:
    meant = chain[:1] if record.usage == _END_ENTITY else chain
    return any(certificate.matches(record) for certificate in meant)
