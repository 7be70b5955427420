"""Trace fields: what we put on top of a message (RFC 5321 4.4, RFC 3848). Times are arguments, POSIX seconds.

Whatever comes from a peer was checked by the grammar before it got here, and is filtered once more on its way into a
field: nothing a client says can start a line of its own or close a comment.
"""

import functools
import re
from datetime import UTC, datetime

from relaygw.core.address import Address
from relaygw.core.envelope import path
from relaygw.core.session import Session

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE = re.compile(r"[^!#-'*+\-./0-9:;<=>?@A-Z\[\]^_`a-z{|}~ ]")
_MAX_FOR = 700
"""Octets of an address in a `for` clause: the line stays within RFC 5322 2.1.1."""


@functools.lru_cache(maxsize=8)
def _date(seconds: int) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day} {_MONTHS[moment.month - 1]} {moment.year:04} "
        f"{moment.hour:02}:{moment.minute:02}:{moment.second:02} +0000"
    )


def mail_date(now: float) -> str:
    """A date as fields want it (RFC 5322 3.3), in UTC and in English."""
    return _date(int(now))


def _safe(text: str) -> str:
    """Text for a comment or a word of a field: no parenthesis, quote, backslash, control or 8-bit character."""
    return _UNSAFE.sub("?", text)


def protocol_name(session: Session, smtputf8: bool = False) -> str:
    """The `with` keyword: SMTP, ESMTP or LMTP with S and A behind (RFC 3848), UTF8SMTP and UTF8LMTP (RFC 6531 4.3)."""
    if not session.esmtp:
        return "SMTP"
    plain, utf8 = ("LMTP", "UTF8LMTP") if session.lmtp else ("ESMTP", "UTF8SMTP")
    return f"{utf8 if smtputf8 else plain}{'S' if session.tls else ''}{'A' if session.login else ''}"


def client_literal(client: str) -> str:
    """An IP address as an address literal (RFC 5321 4.1.3), "[local]" where there is none."""
    if not client:
        return "[local]"
    return f"[IPv6:{client}]" if ":" in client else f"[{client}]"


def received(
    session: Session,
    hostname: str,
    queue_id: str,
    recipients: tuple[Address, ...],
    now: float,
    smtputf8: bool = False,
) -> bytes:
    """Our Received field. The recipient is named only where there is one: nobody learns of others (RFC 5321 7.2)."""
    lines = [f"Received: from {_safe(session.hello) or 'unknown'} ({client_literal(session.client)})"]
    lines.append(f"by {hostname} (relaygw) with {protocol_name(session, smtputf8)} id {queue_id}")
    if session.tls is not None:
        lines.append(f"(using {_safe(session.tls.version)} with cipher {_safe(session.tls.cipher)})")
    if len(recipients) == 1 and recipients[0].ascii and len(forward := path(recipients[0])) <= _MAX_FOR:
        lines.append(f"for {forward}")
    return ("\r\n\t".join(lines) + f"; {mail_date(now)}\r\n").encode("ascii", "replace")


def return_path(sender: Address | None) -> bytes:
    """The field that final delivery puts on top (RFC 5321 4.4)."""
    return f"Return-Path: {path(sender)}\r\n".encode()


def delivered_to(recipient: Address) -> bytes:
    """The field that tells for which address a mailbox got this copy (RFC 9228)."""
    return f"Delivered-To: {recipient}\r\n".encode()


def missing_fields(*, date: bool, message_id: bool, queue_id: str, hostname: str, now: float) -> bytes:
    """What a submission server adds where the author's program did not (RFC 6409 8.1, 8.2, 8.3)."""
    fields = f"Date: {mail_date(now)}\r\n" if date else ""
    return (fields + (f"Message-ID: <{queue_id}@{hostname}>\r\n" if message_id else "")).encode("ascii")
