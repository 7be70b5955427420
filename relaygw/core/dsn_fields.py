"""The part of a delivery report that programs read: message/delivery-status (RFC 3464 2), or in UTF-8
message/global-delivery-status (RFC 6533 6).

One group of fields about the message, then one about each recipient. All text of others is on one line, and in 7 bits
unless the whole report is not.
"""

import re
from datetime import UTC, datetime
from email.utils import format_datetime

from relaygw.core.address import Address
from relaygw.core.lifecycle import Kind, Report
from relaygw.core.outcome import Status
from relaygw.core.record import Progress, RecipientState, Record
from relaygw.core.xtext import encode_utf8_address

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\Z", re.ASCII)
_CLASSES = {Status.DELIVERED: "2", Status.DEFERRED: "4", Status.FAILED: "5"}
_FIELD_TEXT = 900
_ACTIONS = {Kind.FAILURE: "failed", Kind.DOUBLE: "failed", Kind.DELAY: "delayed", Kind.EXPANSION: "expanded"}

Field = tuple[str, str]


def mail_date(seconds: float) -> str:
    """A date as RFC 5322 writes it."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


def printable(text: str, limit: int = _FIELD_TEXT, *, utf8: bool = False) -> str:
    """The text on one line, in ASCII unless `utf8`; anything else becomes an escape that people can still read."""
    safe = text[:limit]
    if not safe.isprintable():
        safe = "".join(c if c.isprintable() else " " for c in safe)
    escaped = safe if utf8 else safe.encode("ascii", "backslashreplace").decode("ascii")
    return escaped[:limit].strip()


def status_part(report: Report, record: Record, *, retry_until: float, hostname: str, utf8: bool) -> bytes:
    """The whole part with its own header."""
    groups = [_message_fields(record, hostname, utf8)]
    groups += [_recipient_fields(report.kind, state, retry_until, utf8) for state in report.recipients]
    text = "\r\n\r\n".join("\r\n".join(f"{name}: {value}" for name, value in group) for group in groups)
    if text.isascii():
        return b"Content-Type: message/delivery-status\r\n\r\n" + text.encode("ascii") + b"\r\n"
    head = b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return head + text.encode("utf-8") + b"\r\n"


def _message_fields(record: Record, hostname: str, utf8: bool) -> list[Field]:
    fields = []
    if record.envelope.envid:  # RFC 3464 2.2.1
        fields.append(("Original-Envelope-Id", printable(record.envelope.envid)))
    fields.append(("Reporting-MTA", f"dns; {hostname}"))
    if record.hello:  # RFC 3464 2.2.4
        fields.append(("Received-From-MTA", f"dns; {printable(record.hello, 255, utf8=utf8)}"))
    fields += [
        ("Arrival-Date", mail_date(record.arrived)),
        ("X-Relaygw-Queue-Id", printable(record.queue_id)),
    ]
    return fields


def _recipient_fields(kind: Kind, state: RecipientState, retry_until: float, utf8: bool) -> list[Field]:
    fields = []
    if state.recipient.orcpt:
        fields.append(("Original-Recipient", _original_recipient(state.recipient.orcpt, utf8)))
    fields += [
        ("Final-Recipient", _typed(state.address, utf8)),
        ("Action", _action(kind, state)),
        ("Status", status_code(state)),
    ]
    last = state.last
    if last is not None and last.host:
        fields.append(("Remote-MTA", f"dns; {printable(last.host, utf8=utf8)}"))
    if last is not None:
        fields.append(("Diagnostic-Code", _diagnostic(last.remote, str(last.reply), utf8)))
    if state.tried is not None:
        fields.append(("Last-Attempt-Date", mail_date(state.tried)))
    if kind is Kind.DELAY:
        fields.append(("Will-Retry-Until", mail_date(retry_until)))
    return fields


def _diagnostic(remote: bool, reply: str, utf8: bool) -> str:
    """RFC 3464 2.3.6: `smtp` is kept for what a server really said. Folded, so that no line is long."""
    lines: list[str] = []
    line = f"{'smtp' if remote else 'x-relaygw'};"
    for word in printable(reply, utf8=utf8).split(" "):
        if line and len(line) + len(word) > 74:
            lines.append(line)
            line = word
        else:
            line += f" {word}" if line else word
    return "\r\n ".join(filter(None, (*lines, line)))


def _action(kind: Kind, state: RecipientState) -> str:
    """RFC 3464 2.3.3: a next hop that took the message without the DSN duty makes it `relayed`; one that keeps
    mailboxes has nothing to relay it to."""
    if kind is Kind.SUCCESS:
        return "relayed" if state.last is not None and state.last.remote and not state.last.final else "delivered"
    return _ACTIONS[kind]


def status_code(state: RecipientState) -> str:
    """The RFC 3463 code of the last outcome: the one in the reply where it fits, a general one otherwise."""
    if state.last is None:
        return "2.0.0" if state.progress is Progress.EXPANDED else "4.4.7"
    enhanced, kind = state.last.reply.enhanced, _CLASSES[state.last.status]
    return enhanced if _ENHANCED.match(enhanced) and enhanced[0] == kind else f"{kind}.0.0"


def _typed(address: Address, utf8: bool) -> str:
    """The address with its type; in 7-bit fields non-ASCII is written as RFC 6533 3 says."""
    if address.ascii:
        return f"rfc822; {address}"
    return f"utf-8; {_unfolded(str(address)) if utf8 else encode_utf8_address(str(address))}"


def _original_recipient(orcpt: str, utf8: bool) -> str:
    kind, semicolon, address = orcpt.partition(";")
    if not semicolon:
        kind, address = "rfc822", orcpt
    if kind.lower() == "utf-8":
        return f"utf-8; {_unfolded(address) if utf8 else encode_utf8_address(address)[:_FIELD_TEXT]}"
    return f"{printable(kind, 40)}; {printable(address.strip(), utf8=utf8)}"


def _unfolded(address: str) -> str:
    return printable(address, utf8=True)
