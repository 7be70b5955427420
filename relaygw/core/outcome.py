"""What one attempt did for one recipient: exactly one Outcome each, always fully set."""

import enum

import attrs

from relaygw.core.address import Address
from relaygw.core.reply import Reply

MAX_WORDS = 2000
"""Characters of a next hop's words that are kept: with each recipient, through all attempts, in journal and reports."""


class Status(enum.Enum):
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class Outcome:
    """`reply` is the next hop's own words, or ours where there was no conversation (`remote` False).

    `host` is the next hop's name, `address` its IP; "" where none was reached. `tls` such as "TLSv1.3", "" in clear.
    `uncertain` marks a lost answer after the end of data: the next hop may have taken the message (RFC 1047).
    `relayed_dsn` tells that the next hop took over the DSN duty (RFC 3461 5.2.2). `holds` (deferred): the message is
    held for this reason until an operator releases it, and with `quarantines` put into quarantine. `final`: who took it
    keeps mailboxes (LMTP, RFC 2033 1).
    """

    recipient: Address
    status: Status
    reply: Reply
    remote: bool = False
    host: str = ""
    address: str = ""
    tls: str = ""
    uncertain: bool = False
    relayed_dsn: bool = False
    holds: bool = False
    final: bool = False
    quarantines: bool = False


def deferred(recipient: Address, enhanced: str, text: str) -> Outcome:
    """A temporary failure found by ourselves, e.g. ("4.4.1", "connection refused")."""
    return Outcome(recipient=recipient, status=Status.DEFERRED, reply=Reply(451, enhanced, text))


def failed(recipient: Address, enhanced: str, text: str) -> Outcome:
    """A permanent failure decided by ourselves, e.g. ("5.1.10", "the domain accepts no mail")."""
    return Outcome(recipient=recipient, status=Status.FAILED, reply=Reply(550, enhanced, text))


def from_reply(
    recipient: Address,
    reply: Reply,
    *,
    host: str,
    address: str,
    tls: str = "",
    dsn: bool = False,
    final: bool = False,
) -> Outcome:
    """The outcome a next hop's reply stands for: 2xx delivered, 5xx failed, anything else deferred (RFC 5321 4.2.1).

    `dsn`: the next hop knows DSN, and takes that duty over with the message; `final`: it keeps mailboxes.
    """
    status = (
        Status.DELIVERED if reply.code // 100 == 2 else Status.FAILED if reply.code // 100 == 5 else Status.DEFERRED
    )
    return Outcome(
        recipient=recipient,
        status=status,
        reply=reply if len(reply.text) <= MAX_WORDS else Reply(reply.code, reply.enhanced, reply.text[:MAX_WORDS]),
        remote=True,
        host=host,
        address=address,
        tls=tls,
        relayed_dsn=dsn and status is Status.DELIVERED,
        final=final and status is Status.DELIVERED,
    )
