"""Delivery status notifications (RFC 3464 in RFC 6522's multipart/report), as RFC 3461 asks for them.

A DSN is a whole new message from the null reverse-path, in 7-bit but for a returned original that has 8-bit content.
Nothing a peer or a client wrote can leave its place: every text passes `printable` on its way into a field or line.
"""

import quopri
import re
from datetime import UTC, datetime
from email.utils import format_datetime

import attrs

from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.dsn_words import SUBJECTS, explain
from relaygw.core.envelope import Body, Envelope, Recipient
from relaygw.core.lifecycle import Kind, Report, begin
from relaygw.core.outcome import Status
from relaygw.core.record import Origin, RecipientState, Record
from relaygw.core.xtext import encode_utf8_address

RETURN_LIMIT = 100 * 1024
"""Octets up to which RET=FULL gets the whole message back; beyond, its header section."""

HEAD_LIMIT = 32 * 1024
"""Octets of the original's header section that are returned."""

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\Z", re.ASCII)
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,240}>\Z")
_CLASSES = {Status.DELIVERED: "2", Status.DEFERRED: "4", Status.FAILED: "5"}


@attrs.frozen(kw_only=True)
class Reporter:
    """Who reports: our name, and the address (without brackets) of the people to ask."""

    hostname: str
    postmaster: str


def make_report(
    report: Report, record: Record, content: Content, *, queue_id: str, now: float, retry_until: float, by: Reporter
) -> tuple[Record, bytes]:
    """The report as a message of its own, `queue_id` its new id; `retry_until` is when the original is given up.

    Reads the whole content only where the sender asked for it and it is small.
    """
    sender = record.envelope.sender
    if sender is None:
        raise ValueError("a message without a sender is never reported (RFC 3464 2)")
    part, eight_bit = _original(report.kind, record, content)
    boundary = f"=_{queue_id}"
    words = explain(
        report.kind, report.recipients, content.head, by.hostname, by.postmaster, _date(record.arrived), retry_until
    )
    pieces = (
        _head(report.kind, record, sender, queue_id, now, boundary, by),
        _text_part(words),
        _status_part(report, record, now, retry_until, by),
        part,
    )
    separator = f"\r\n--{boundary}\r\n".encode()  # RFC 2046 5.1.1: its first CRLF is not the part's
    data = separator.join(pieces) + f"\r\n--{boundary}--\r\n".encode()
    envelope = Envelope(
        sender=None,
        recipients=(Recipient(address=sender),),
        body=Body.EIGHT_BIT if eight_bit or not sender.ascii else Body.SEVEN_BIT,
        smtputf8=not sender.ascii,
        requiretls=record.envelope.requiretls,  # RFC 8689 5: a report tells what the message was to be protected for
    )
    message_id = f"<{queue_id}@{by.hostname}>"
    return (
        begin(
            queue_id=queue_id,
            envelope=envelope,
            now=now,
            origin=Origin.REPORT,
            size=len(data),
            message_id=message_id,
            header_from=by.hostname.lower(),
        ),
        data,
    )


def printable(text: str, limit: int = 900) -> str:
    """The text as printable ASCII on one line; anything else becomes an escape that people can still read."""
    safe = "".join(c if c.isprintable() else " " for c in text[:limit])
    return safe.encode("ascii", "backslashreplace").decode("ascii")[:limit].strip()


def _date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


def _head(kind: Kind, record: Record, sender: Address, queue_id: str, now: float, boundary: str, by: Reporter) -> bytes:
    lines = [
        f"Date: {_date(now)}",
        f"From: Mail Delivery System <MAILER-DAEMON@{by.hostname}>",
        f"To: <{sender}>",
        f"Subject: {SUBJECTS[kind]}",
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


def _text_part(words: str) -> bytes:
    if words.isascii():
        head = "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
        return head.encode() + words.replace("\n", "\r\n").encode()
    head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head.encode() + _quoted(words.encode())


def _quoted(data: bytes) -> bytes:
    """Quoted-printable with CRLF line ends (RFC 2045 6.7)."""
    return quopri.encodestring(data.replace(b"\r\n", b"\n")).replace(b"\r", b"=0D").replace(b"\n", b"\r\n")


def _status_part(report: Report, record: Record, now: float, retry_until: float, by: Reporter) -> bytes:
    """message/delivery-status: a group of fields about the message, then one per recipient (RFC 3464 2.1)."""
    groups = [_message_fields(record, by)]
    groups += [_recipient_fields(report.kind, state, now, retry_until) for state in report.recipients]
    text = "\r\n\r\n".join("\r\n".join(f"{name}: {value}" for name, value in group) for group in groups)
    return b"Content-Type: message/delivery-status\r\n\r\n" + text.encode("ascii") + b"\r\n"


def _message_fields(record: Record, by: Reporter) -> list[tuple[str, str]]:
    fields = []
    if record.envelope.envid:  # RFC 3464 2.2.1
        fields.append(("Original-Envelope-Id", printable(record.envelope.envid)))
    fields += [
        ("Reporting-MTA", f"dns; {by.hostname}"),
        ("Arrival-Date", _date(record.arrived)),
        ("X-Relaygw-Queue-Id", printable(record.queue_id)),
    ]
    return fields


def _recipient_fields(kind: Kind, state: RecipientState, now: float, retry_until: float) -> list[tuple[str, str]]:
    fields = []
    if state.recipient.orcpt:
        fields.append(("Original-Recipient", _original_recipient(state.recipient.orcpt)))
    fields += [
        ("Final-Recipient", _typed(state.address)),
        ("Action", _action(kind, state)),
        ("Status", status_code(state)),
    ]
    last = state.last
    if last is not None and last.host:
        fields.append(("Remote-MTA", f"dns; {printable(last.host)}"))
    if last is not None:
        fields.append(("Diagnostic-Code", _diagnostic(last.remote, str(last.reply))))
    if state.attempts:
        fields.append(("Last-Attempt-Date", _date(now)))
    if kind is Kind.DELAY:
        fields.append(("Will-Retry-Until", _date(retry_until)))
    return fields


def _diagnostic(remote: bool, reply: str) -> str:
    """RFC 3464 2.3.6: `smtp` is kept for what a server really said. Folded, so that no line is long."""
    words = [f"{'smtp' if remote else 'x-relaygw'};", *printable(reply).split(" ")]
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > 74:
            lines.append("")
        lines[-1] += word if not lines[-1] else f" {word}"
    return "\r\n ".join(line for line in lines if line)


def _action(kind: Kind, state: RecipientState) -> str:
    """RFC 3464 2.3.3: a next hop that took the message without the DSN duty makes it `relayed`."""
    if kind is Kind.SUCCESS:
        return "relayed" if state.last is not None and state.last.remote else "delivered"
    return "failed" if kind is Kind.FAILURE else "delayed"


def status_code(state: RecipientState) -> str:
    """The RFC 3463 code of the last outcome: the one in the reply where it fits, a general one otherwise."""
    if state.last is None:
        return "4.4.7"
    enhanced, kind = state.last.reply.enhanced, _CLASSES[state.last.status]
    return enhanced if _ENHANCED.match(enhanced) and enhanced[0] == kind else f"{kind}.0.0"


def _typed(address: Address) -> str:
    """The address with its type; in 7-bit fields non-ASCII is written as RFC 6533 3 says."""
    if address.ascii:
        return f"rfc822; {address}"
    return f"utf-8; {encode_utf8_address(str(address))}"


def _original_recipient(orcpt: str) -> str:
    kind, semicolon, address = orcpt.partition(";")
    if not semicolon:
        kind, address = "rfc822", orcpt
    if kind.lower() == "utf-8":
        return f"utf-8; {encode_utf8_address(address)[:900]}"
    return f"{printable(kind, 40)}; {printable(address.strip())}"


def _original(kind: Kind, record: Record, content: Content) -> tuple[bytes, bool]:
    """What comes back of the message (RFC 3461 4.3: the whole only for a failure), and whether it has 8-bit content."""
    if kind is Kind.FAILURE and record.envelope.ret == "FULL" and content.size <= RETURN_LIMIT:
        data = b"".join(content.chunks())
        if record.envelope.body is not Body.BINARY and _fits_mime(data):
            return _whole(data, content.head)
    head = content.head
    if len(head) > HEAD_LIMIT:
        head = head[: head.rfind(b"\r\n", 0, HEAD_LIMIT) + 2]
    if head.isascii() and _fits_mime(head):
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + head, False
    prefix = b"Content-Type: text/rfc822-headers; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return prefix + _quoted(head), False


def _fits_mime(data: bytes) -> bool:
    """Whether it can stand in a MIME part without an encoding (RFC 2045 2.7, 2.8)."""
    if b"\0" in data:
        return False
    lines = data.split(b"\r\n")
    return all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in lines)


def _whole(data: bytes, head: bytes) -> tuple[bytes, bool]:
    if data.isascii():
        return b"Content-Type: message/rfc822\r\n\r\n" + data, False
    kind = b"message/rfc822" if head.isascii() else b"message/global"  # RFC 6532 3.7
    return b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + data, True
