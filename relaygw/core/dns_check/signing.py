"""DKIM of a domain: each configured key is published under its selector, whole, alone, and not in test mode."""

from collections.abc import Sequence

from relaygw.core import dkim_record
from relaygw.core.dns_check.finding import Finding, Subject, failed, texts_of
from relaygw.core.dns_check.site import Key, Site
from relaygw.core.question import Inquiry, Question
from relaygw.core.tags import TagError, compact, parse_tags, words

_LONGEST = 200
"""Characters of a sentence; it may repeat what stands in the DNS, which anybody wrote."""


def check_signing(site: Site, domain: str) -> Inquiry[tuple[Finding, ...]]:
    keys = [key for key in site.keys if key.domain == domain]
    if not keys:
        subject = Subject(check="dkim", about=domain, name=f"_domainkey.{domain}", type="TXT", expected="a key")
        return (subject.warning(f"no key is configured: mail is not signed (relaygw dkim generate {domain})"),)
    findings = []
    for key in keys:
        findings.append((yield from _check_key(key)))
    return tuple(findings)


def is_unsigned(finding: Finding) -> bool:
    """Whether it is said that a domain has no key."""
    return finding.check == "dkim" and finding.name == f"_domainkey.{finding.about}"


def _check_key(key: Key) -> Inquiry[Finding]:
    name = dkim_record.name(key.selector, key.domain)
    subject = Subject(check="dkim", about=key.domain, name=name, type="TXT", expected=key.value)
    answer = yield Question(name, "TXT")
    if failed(answer):
        return subject.unknown(answer)
    texts = texts_of(answer)
    subject = subject.seen(texts)
    if not texts:
        return subject.error("the key is not published: signatures cannot be verified", subject.record(key.value))
    fault = record_fault(texts, key.value)
    if fault:
        return subject.error(fault, subject.record(key.value))
    if "y" in words(_published(texts[0]).get("t", "")):
        message = "the key is in test mode (t=y): receivers may act as if nothing were signed"
        return subject.warning(message, subject.record(key.value))
    return subject.ok(f"the key {key.selector} is published")


def record_fault(texts: Sequence[bytes], value: str) -> str:
    """What is wrong with the TXT records where one of this value should stand; "" where nothing is."""
    if not texts:
        return "the key is not published"
    if len(texts) > 1:  # RFC 6376 3.6.2.2: the result is undefined
        return "there are several records: keep one"
    try:
        return _fault(_published(texts[0]), parse_tags(value))[:_LONGEST]
    except TagError as error:
        return f"the record cannot be read: {error}"


def revoked(text: bytes) -> bool:
    """Whether the record is that of a key that was revoked (RFC 6376 3.6.1)."""
    try:
        return not compact(_published(text).get("p", "some"))
    except TagError:
        return False


def _published(text: bytes) -> dict[str, str]:
    return parse_tags(text.decode("utf-8", "backslashreplace"))


def _fault(published: dict[str, str], ours: dict[str, str]) -> str:
    """RFC 6376 3.6.1: what makes verifiers not use the record, or fail."""
    if published.get("v", "DKIM1") != "DKIM1":
        return f"v={published['v']} is no version that verifiers know"
    if "v" in published and next(iter(published)) != "v":
        return "v= does not stand first: verifiers do not use the record"
    if "p" not in published:
        return "the record has no key (p=)"
    if not compact(published["p"]):
        return "the key is revoked (p= is empty), and we still sign with it"
    if published.get("k", "rsa").lower() != ours["k"]:
        return f"the published key is of type {published.get('k', 'rsa')}, ours is {ours['k']}"
    if compact(published["p"]).rstrip("=") != ours["p"].rstrip("="):
        return "another key is published: signatures will fail"
    if "h" in published and "sha256" not in words(published["h"].lower()):
        return f"h={published['h']} forbids sha256, with which we sign"
    if "s" in published and not {"*", "email"} & set(words(published["s"].lower())):
        return f"s={published['s']} is not for mail"
    return ""
