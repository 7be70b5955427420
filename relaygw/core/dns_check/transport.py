"""MTA-STS (RFC 8461) and TLS reports (RFC 8460) of a domain: what others may ask of the way to us."""

import hashlib
import re
from collections.abc import Sequence

from relaygw.core.dns_check.finding import Finding, Subject, failed, texts_of
from relaygw.core.dns_check.site import Site, exchanges_of, lookup
from relaygw.core.question import Inquiry, Question
from relaygw.core.tags import TagError, parse_tags

_MAX_AGE = 604_800
_ID = re.compile(r"[A-Za-z0-9]{1,32}\Z")  # RFC 8461 3.1
_TARGET = re.compile(r"(?:mailto:[^\s,!]+@[^\s,!]+|https://[^\s,!]+)\Z", re.IGNORECASE)  # RFC 8460 3


def check_strict_transport(site: Site, domain: str) -> Inquiry[tuple[Finding, ...]]:
    """The TXT record, and the host that has to serve the policy."""
    exchanges = (yield from exchanges_of(domain)) or (site.hostname,)
    policy = policy_text(exchanges)
    subject = Subject(
        check="mta-sts", about=domain, name=f"_mta-sts.{domain}", type="TXT", expected=f"v=STSv1; id={_id(policy)}"
    )
    answer = yield Question(subject.name, "TXT")
    if failed(answer):
        return (subject.unknown(answer),)
    texts = [text for text in texts_of(answer) if text.startswith(b"v=STSv1")]
    subject = subject.seen(texts)
    record = subject.record(subject.expected)
    where = policy_url(domain)
    if not texts:
        wanted = "; ".join(policy.split("\r\n")[:-1])
        return (
            subject.warning(f"there is no MTA-STS record; serve {wanted!r} at {where} before publishing it", record),
        )
    if len(texts) > 1:
        return (subject.error("there are several records, which count as none (RFC 8461 3.1)", record),)
    fault = _sts_fault(texts[0])
    if fault:
        return (subject.error(fault, record),)
    return subject.ok("senders are told of a policy"), (yield from _policy_host(domain, where))


def policy_url(domain: str) -> str:
    """Where the policy has to be (RFC 8461 3.3)."""
    return f"https://mta-sts.{domain}/.well-known/mta-sts.txt"


def policy_text(exchanges: Sequence[str]) -> str:
    """The policy to serve (RFC 8461 3.2); in mode testing, until reports say that all is well."""
    hosts = "".join(f"mx: {host}\r\n" for host in exchanges)
    return f"version: STSv1\r\nmode: testing\r\n{hosts}max_age: {_MAX_AGE}\r\n"


def _id(policy: str) -> str:
    """Another id for another policy, and always the same for the same."""
    return hashlib.sha256(policy.encode()).hexdigest()[:16]


def _sts_fault(text: bytes) -> str:
    try:
        tags = parse_tags(text.decode("ascii", "backslashreplace"))
    except TagError as error:
        return f"the record cannot be read: {error}"
    if tags.get("v") != "STSv1":
        return "the record does not begin with v=STSv1;"
    if not _ID.match(tags.get("id", "")):
        return "id= must be 1 to 32 letters and digits"
    return ""


def _policy_host(domain: str, where: str) -> Inquiry[Finding]:
    name = f"mta-sts.{domain}"
    subject = Subject(check="mta-sts", about=domain, name=name, type="A", expected="a web server")
    found = yield from lookup(name)
    subject = subject.seen(map(str, found.addresses))
    if found.failure is not None:
        return subject.unknown(found.failure)
    if not found.addresses:
        return subject.error(f"{name} has no address: nobody can read {where}")
    return subject.ok(f"{where} can be asked for")


def check_reports(site: Site, domain: str) -> Inquiry[tuple[Finding, ...]]:
    """Where others may report that TLS to us failed."""
    subject = Subject(
        check="tlsrpt",
        about=domain,
        name=f"_smtp._tls.{domain}",
        type="TXT",
        expected=f"v=TLSRPTv1; rua=mailto:postmaster@{domain}",
    )
    answer = yield Question(subject.name, "TXT")
    if failed(answer):
        return (subject.unknown(answer),)
    texts = [text for text in texts_of(answer) if text.startswith(b"v=TLSRPTv1")]
    subject = subject.seen(texts)
    record = subject.record(subject.expected)
    if not texts:
        return (subject.warning("there is no record: nobody can tell you that TLS to you fails", record),)
    if len(texts) > 1:
        return (subject.error("there are several records, which count as none (RFC 8460 3)", record),)
    fault = _report_fault(texts[0])
    return (subject.error(fault, record) if fault else subject.ok("failures of TLS are reported"),)


def _report_fault(text: bytes) -> str:
    try:
        tags = parse_tags(text.decode("ascii", "backslashreplace"))
    except TagError as error:
        return f"the record cannot be read: {error}"
    if tags.get("v") != "TLSRPTv1":
        return "the record does not begin with v=TLSRPTv1;"
    targets = [target.strip() for target in tags.get("rua", "").split(",")]
    wrong = [target for target in targets if not _TARGET.match(target)]
    return f"rua= has {wrong[0]!r}, which is neither mailto: nor https:" if wrong else ""
