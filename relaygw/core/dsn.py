"""Delivery status notifications (RFC 3464 in RFC 6522's multipart/report), as RFC 3461 and RFC 6533 ask for them.

A DSN is a whole new message from the null reverse-path. It is in 7 bits but for a returned original with an 8-bit body,
and but for people whose own address needs SMTPUTF8: theirs is in UTF-8 all through. Nothing a peer, a client or a
template wrote can leave its place: every text passes `printable` or is encoded on its way in.
"""

import quopri
import re
from collections.abc import Callable
from email.header import Header

import attrs

from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.dsn_fields import mail_date, status_part
from relaygw.core.dsn_original import original_part
from relaygw.core.dsn_words import SUBJECTS, explain
from relaygw.core.envelope import Body, Envelope, Recipient
from relaygw.core.lifecycle import Kind, Report, begin
from relaygw.core.record import Origin, Record

RETURN_LIMIT = 100 * 1024
"""Octets up to which a message comes back whole; beyond, its header section."""

MAX_TEXT = 64 * 1024
"""Characters of the part for people."""

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,240}>\Z")
_UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LONGEST = 78


@attrs.frozen(kw_only=True)
class Reporter:
    """Who reports: our name, and the address (without brackets) of the people to ask. `returns_full`: what comes back
    where the sender does not say, if no more than `return_limit` octets."""

    hostname: str
    postmaster: str
    return_limit: int = RETURN_LIMIT
    returns_full: bool = False


@attrs.frozen(kw_only=True)
class Words:
    """What people read: lines ended by "\\n". `author` is the name beside MAILER-DAEMON, `language` a tag or ""."""

    subject: str
    text: str
    author: str = "Mail Delivery System"
    language: str = ""


@attrs.frozen(kw_only=True)
class Facts:
    """What a text may tell: the report, whom it goes to, and when the original is given up."""

    report: Report
    record: Record
    head: bytes
    to: Address
    retry_until: float
    by: Reporter


def our_words(facts: Facts) -> Words:
    """The text where the operator has none of his own."""
    kind = facts.report.kind
    text = explain(
        kind,
        facts.report.recipients,
        facts.head,
        facts.by.hostname,
        facts.by.postmaster,
        mail_date(facts.record.arrived),
        facts.retry_until,
    )
    return Words(subject=SUBJECTS[kind], text=text, language="en")


def make_report(
    report: Report,
    record: Record,
    content: Content,
    *,
    queue_id: str,
    now: float,
    retry_until: float,
    by: Reporter,
    to: Address | None = None,
    words: Callable[[Facts], Words] = our_words,
) -> tuple[Record, bytes]:
    """The report as a message of its own, `queue_id` its new id; `retry_until` is when the original is given up.

    It goes to the sender; a double bounce has none, and goes `to` the postmaster. Reads the whole content only where
    it is to come back and small.
    """
    receiver = record.envelope.sender or to
    if receiver is None:
        raise ValueError("a message without a sender is never reported (RFC 3464 2)")
    utf8 = not receiver.ascii
    boundary = f"=_{queue_id}"
    said = words(Facts(report=report, record=record, head=content.head, to=receiver, retry_until=retry_until, by=by))
    original, eight_bit = original_part(record, content, limit=_limit(report.kind, record, by), utf8=utf8)
    pieces = (
        _head(said, record, receiver, queue_id, now, boundary, by),
        _text_part(said, boundary),
        status_part(report, record, retry_until=retry_until, hostname=by.hostname, utf8=utf8),
        original,
    )
    separator = f"\r\n--{boundary}\r\n".encode()  # RFC 2046 5.1.1: its first CRLF is not the part's
    data = separator.join(pieces) + f"\r\n--{boundary}--\r\n".encode()
    envelope = Envelope(
        sender=None,
        recipients=(Recipient(address=receiver),),
        body=Body.EIGHT_BIT if eight_bit or utf8 else Body.SEVEN_BIT,
        smtputf8=utf8,
        requiretls=record.envelope.requiretls,  # RFC 8689 5: a report tells what the message was to be protected for
    )
    made = begin(
        queue_id=queue_id,
        envelope=envelope,
        now=now,
        # Nobody is ever told about a double bounce: it is no report any more, whose failure would be one.
        origin=Origin.LOCAL if report.kind is Kind.DOUBLE else Origin.REPORT,
        size=len(data),
        message_id=f"<{queue_id}@{by.hostname}>",
        header_from=by.hostname.lower(),
    )
    return made, data


def _limit(kind: Kind, record: Record, by: Reporter) -> int:
    """The largest content that comes back whole (RFC 3461 4.3: only for a failure); -1: none does."""
    if kind is Kind.DOUBLE:
        return by.return_limit
    wanted = record.envelope.ret == "FULL" if record.envelope.ret else by.returns_full
    return by.return_limit if kind is Kind.FAILURE and wanted else -1


def _head(
    words: Words, record: Record, receiver: Address, queue_id: str, now: float, boundary: str, by: Reporter
) -> bytes:
    lines = [
        f"Date: {mail_date(now)}",
        f"From: {_name(words.author)} <MAILER-DAEMON@{by.hostname}>",
        f"To: <{receiver}>",
        f"Subject: {_encoded(words.subject, 'Subject')}",
        f"Message-ID: <{queue_id}@{by.hostname}>",
    ]
    if _MESSAGE_ID.match(record.message_id):  # RFC 3834 3.1.5
        lines += [f"In-Reply-To: {record.message_id}", f"References: {record.message_id}"]
    lines += [
        "Auto-Submitted: auto-replied",  # RFC 3834 5
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
        "",
        "This is a delivery report in MIME format (RFC 3464).",
    ]
    return "\r\n".join(lines).encode()


def _encoded(text: str, field: str) -> str:
    """Unstructured text for a field: one line, folded, and in encoded words where it is not plain (RFC 2047)."""
    clean = " ".join(_UNSAFE.sub(" ", text[:900]).split()) or "Delivery report"
    # What looks like an encoded word already would be decoded by whoever reads it.
    charset = "us-ascii" if clean.isascii() and "=?" not in clean else "utf-8"
    return Header(clean, charset, maxlinelen=_LONGEST, header_name=field).encode(linesep="\r\n")


def _name(text: str) -> str:
    """A display name (RFC 5322 3.4)."""
    clean = " ".join(_UNSAFE.sub(" ", text[:100]).split()) or "Mail Delivery System"
    if all(word.isascii() and word.replace("-", "").isalnum() for word in clean.split(" ")):
        return clean
    return _encoded(clean, "From") if not clean.isascii() or "=?" in clean else _quoted_name(clean)


def _quoted_name(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text_part(words: Words, boundary: str) -> bytes:
    text = _UNSAFE.sub("", words.text.replace("\r\n", "\n").replace("\t", "    "))[:MAX_TEXT]
    language = f"\r\nContent-Language: {words.language}" if words.language else ""
    long = any(len(line) > 998 for line in text.split("\n"))  # RFC 5322 2.1.1
    if text.isascii() and not long and boundary not in text:
        head = f"Content-Type: text/plain; charset=us-ascii{language}\r\n\r\n"
        return head.encode() + text.replace("\n", "\r\n").encode()
    head = f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable{language}\r\n\r\n"
    return head.encode() + quopri.encodestring(text.encode()).replace(b"\n", b"\r\n")
