"""Mail that the gateway writes to people about itself (RFC 3834): from the null reverse-path, never answered.

Texts from clients are escaped on their way in: nothing they say begins a line of its own.
"""

import textwrap

from relaygw.core.address import Address
from relaygw.core.dsn_fields import printable
from relaygw.core.envelope import Envelope, Notify, Recipient
from relaygw.core.lifecycle import begin
from relaygw.core.record import Origin, Record
from relaygw.core.trace import mail_date


def make_alert(
    *, queue_id: str, hostname: str, to: tuple[Address, ...], subject: str, paragraphs: tuple[str, ...], now: float
) -> tuple[Record, bytes]:
    """The message and its record; nobody is told where it cannot be delivered."""
    message_id = f"<{queue_id}@{hostname}>"
    lines = [
        f"Date: {mail_date(now)}",
        f"From: Mail Gateway <MAILER-DAEMON@{hostname}>",
        "To: " + ",\r\n ".join(f"<{address}>" for address in to),
        f"Subject: {printable(subject, 200)}",
        f"Message-ID: {message_id}",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        *_lines(paragraphs),
        "",
    ]
    data = "\r\n".join(lines).encode("utf-8")
    envelope = Envelope(
        sender=None,
        recipients=tuple(Recipient(address=address, notify=frozenset({Notify.NEVER})) for address in to),
        smtputf8=not all(address.ascii for address in to),
    )
    record = begin(
        queue_id=queue_id,
        envelope=envelope,
        now=now,
        origin=Origin.LOCAL,
        size=len(data),
        message_id=message_id,
        header_from=hostname.lower(),
    )
    return record, data


def _lines(paragraphs: tuple[str, ...]) -> list[str]:
    """Paragraphs as short lines; what begins with two spaces stays one line."""
    lines: list[str] = []
    for paragraph in paragraphs:
        text = printable(paragraph, 2000)
        if paragraph.startswith("  "):
            lines.append(f"  {text}")
        else:
            lines += ["", *textwrap.wrap(text, 76)] if lines else textwrap.wrap(text, 76)
    return lines
