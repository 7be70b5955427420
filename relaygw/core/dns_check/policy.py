"""DMARC of a domain (RFC 9989): a record that is its own or covers it, well formed, with somebody who reads reports."""

import re

import attrs

from relaygw.core.dmarc.record import is_record, tags_of
from relaygw.core.dmarc.walk import Found, Walker, WalkFailed
from relaygw.core.dns_check.finding import Finding, Subject, failed, texts_of
from relaygw.core.dns_check.site import Site
from relaygw.core.question import Answer, AnswerStatus, Inquiry, Question
from relaygw.core.tags import TagError, parse_tags

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")  # RFC 3986 3.1
_POLICIES = ("none", "quarantine", "reject")
_CHOICES = {
    "p": _POLICIES,
    "sp": _POLICIES,
    "np": _POLICIES,
    "adkim": ("r", "s"),
    "aspf": ("r", "s"),
    "t": ("y", "n"),
    "psd": ("y", "n", "u"),
}
_GONE = ("pct", "rf", "ri")
"""Tags of RFC 7489 that RFC 9989 took back: receivers ignore them."""


def check_policy(site: Site, domain: str) -> Inquiry[tuple[Finding, ...]]:
    subject = Subject(
        check="dmarc",
        about=domain,
        name=f"_dmarc.{domain}",
        type="TXT",
        expected=f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}",
    )
    answer = yield Question(subject.name, "TXT")
    if failed(answer):
        return (subject.unknown(answer),)
    texts = dmarc_records(answer)
    if not texts:
        return ((yield from _inherited(subject, domain)),)
    subject = subject.seen(texts)
    record = subject.record(subject.expected)
    if len(texts) > 1:
        return (subject.error("there are several records, which count as none (RFC 9989 4.10)", record),)
    text = texts[0].decode("utf-8", "backslashreplace")
    tags = tags_of(text)
    subject = subject.wanting(_mended(tags, domain))
    fault = _fault(tags)
    if fault:
        return (subject.error(fault, subject.record(subject.expected)),)
    reports = yield from _reports(subject, domain, tags)
    return _judged(subject, tags), *_doubtful(subject, text, tags), *reports


def dmarc_records(answer: Answer) -> list[bytes]:
    return [text for text in texts_of(answer) if is_record(text)]


def _inherited(subject: Subject, domain: str) -> Inquiry[Finding]:
    """A name above may speak for the domain (RFC 9989 4.10.1)."""
    try:
        found = yield from Walker().policy(domain)
    except WalkFailed as failure:
        return subject.unanswered(str(failure))
    if found is not None:
        return _covered(attrs.evolve(subject, found=(found.record.text,)), found)
    message = "there is no DMARC record: anybody may use the domain in From, and large receivers want one"
    return subject.error(message, subject.record(subject.expected))


def _covered(subject: Subject, found: Found) -> Finding:
    """What the record of a name above says of mail from here (RFC 9989 4.10.1)."""
    record = found.record
    if record.flaw:
        message = f"the record of _dmarc.{found.domain} would cover it, but {record.flaw}"
        return subject.warning(message, subject.record(subject.expected))
    tag, policy = ("sp", record.subdomains) if record.subdomains is not None else ("p", record.policy)
    word = policy.value if policy is not None else "none"
    message = f"the record of _dmarc.{found.domain} covers it, with {tag}={word}"
    return subject.note(f"{message}: receivers refuse no forgery") if word == "none" else subject.ok(message)


def _fault(tags: dict[str, str]) -> str:
    for name, allowed in _CHOICES.items():
        value = tags.get(name)
        if value is not None and value.lower() not in allowed:
            return f"{name}={value} is none of {', '.join(allowed)}"
    if "p" not in tags and "rua" not in tags:
        return "the record has neither p= nor rua=, and counts as none (RFC 9989 4.10.1)"
    return ""


def _doubtful(subject: Subject, text: str, tags: dict[str, str]) -> list[Finding]:
    """What the record can do without."""
    record = subject.record(subject.expected)
    findings = []
    try:
        parse_tags(text)
    except TagError as error:  # RFC 9989 4.7: what cannot be read is ignored; older programs are stricter
        findings.append(subject.warning(f"{error}: receivers pass over it, and some over the whole record", record))
    if tags.get("psd", "").lower() == "y":
        message = "psd=y says that others own the names below: mail of those is not aligned with this domain"
        findings.append(subject.warning(message, record))
    return findings


def _mended(tags: dict[str, str], domain: str) -> str:
    """The record with all that is right in it, and a reader."""
    tags = {name: value for name, value in tags.items() if (name, value.lower()) != ("psd", "y")}
    kept = {name: tags[name] for name, allowed in _CHOICES.items() if tags.get(name, "").lower() in allowed}
    # RFC 9989 C.4: no sizes any more.
    readers = [uri.partition("!")[0] for uri in _uris(tags) if _reader(uri) or _is_elsewhere(uri)]
    if not any(map(_reader, readers)):
        readers.append(f"mailto:postmaster@{domain}")
    told: dict[str, str] = {
        "v": "DMARC1",
        "p": kept.pop("p", "none"),
        **kept,
        "rua": ",".join(readers),
        **{name: tags[name] for name in ("ruf", "fo") if name in tags},
    }
    return "; ".join(f"{name}={value}" for name, value in told.items())


def _uris(tags: dict[str, str]) -> list[str]:
    return [uri.strip() for uri in tags.get("rua", "").split(",") if uri.strip()]


def _reader(uri: str) -> str:
    """The host of the address that a URI of rua= names, "" where it names none."""
    scheme, _, address = uri.partition(":")
    local, at, host = address.partition("!")[0].rpartition("@")
    return host.lower() if scheme.lower() == "mailto" and at and local else ""


def _is_elsewhere(uri: str) -> bool:
    """Whether reports are wanted by another way than mail: any URI may stand there (RFC 9989 4.7)."""
    scheme, _, rest = uri.partition(":")
    return scheme.lower() != "mailto" and _SCHEME.match(scheme) is not None and rest.strip("/") != ""


def _judged(subject: Subject, tags: dict[str, str]) -> Finding:
    policy = tags.get("p", "none").lower()
    gone = [f"{name}=" for name in _GONE if name in tags]
    if gone:
        return subject.note(f"p={policy}; receivers ignore {', '.join(gone)} now (RFC 9989)")
    if tags.get("t", "n").lower() == "y" and policy != "none":
        return subject.note(f"p={policy} in test mode (t=y): receivers act one step more mildly")
    if policy == "none":
        return subject.note("p=none: receivers watch, and refuse no forgery")
    return subject.ok(f"p={policy}")


def _reports(subject: Subject, domain: str, tags: dict[str, str]) -> Inquiry[list[Finding]]:
    """Reports have a reader, who agreed to read them where the address is not of the domain (RFC 9990 4)."""
    record = subject.record(subject.expected)
    if not _uris(tags):
        return [subject.warning("there is no rua=: nobody can tell you who uses the domain", record)]
    findings = []
    for uri in _uris(tags):
        host = _reader(uri)
        if not host and _is_elsewhere(uri):
            message = f"rua= has {uri!r}: receivers have to support nothing but mailto: (RFC 9989 4.7)"
            read = any(map(_reader, _uris(tags)))
            findings.append(subject.note(message) if read else subject.warning(message, record))
        elif not host:
            findings.append(
                subject.error(f"rua= has {uri!r}, which is neither mailto: with an address nor a URI", record)
            )
        else:
            try:
                if not (yield from _related(host, domain)):
                    findings += yield from _agreed(domain, host)
            except WalkFailed as failure:
                findings.append(attrs.evolve(subject.unanswered(str(failure)), found=()))
    return findings


def _agreed(domain: str, host: str) -> Inquiry[list[Finding]]:
    subject = Subject(
        check="dmarc", about=domain, name=f"{domain}._report._dmarc.{host}", type="TXT", expected="v=DMARC1"
    )
    answer = yield Question(subject.name, "TXT")
    if failed(answer):
        return [subject.unknown(answer)]
    if answer.status is AnswerStatus.FOUND and dmarc_records(answer):
        return []
    message = f"{host} does not say that it takes reports for {domain}: none will be sent there"
    return [subject.warning(message, subject.record(subject.expected))]


def _related(host: str, domain: str) -> Inquiry[bool]:
    """Whether both have one owner: the same organizational domain (RFC 9990 4)."""
    walker = Walker()
    return host == domain or (yield from walker.organizational(host)) == (yield from walker.organizational(domain))
