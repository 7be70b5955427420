"""The envelope: reverse-path, forward-paths and their ESMTP parameters. No content, no state."""

import enum

import attrs

from relaygw.core.address import Address


class Body(enum.Enum):
    """The BODY parameter of MAIL (RFC 6152 2, RFC 3030 3)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"
    BINARY = "BINARYMIME"


class Notify(enum.Enum):
    """One word of the NOTIFY parameter of RCPT (RFC 3461 4.1)."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


@attrs.frozen(kw_only=True)
class Recipient:
    """One forward-path. `notify` empty means the default, FAILURE and DELAY (RFC 3461 4.1); `orcpt` is decoded.

    `expanded`: others of the envelope stand in its place, and it is kept to be reported only (relaygw.core.expansion).
    `listed`: those are members of a list with an owner, and for the sender it has arrived there.
    """

    address: Address
    notify: frozenset[Notify] = frozenset()
    orcpt: str = ""
    expanded: bool = False
    listed: bool = False


@attrs.frozen(kw_only=True)
class Envelope:
    """`sender` is the reverse-path; None is the null reverse-path `<>` (RFC 5321 4.5.5).

    `ret` is "", "FULL" or "HDRS", `envid` decoded (RFC 3461 4.3, 4.4); `size` is the declared SIZE in octets, or 0.
    """

    sender: Address | None
    recipients: tuple[Recipient, ...] = ()
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    requiretls: bool = False
    size: int = 0
    ret: str = ""
    envid: str = ""


def sent_to(envelope: Envelope, recipients: tuple[Recipient, ...]) -> Envelope:
    """The envelope with these recipients; made anew, as that is several times quicker than to evolve it."""
    return Envelope(
        sender=envelope.sender,
        recipients=recipients,
        body=envelope.body,
        smtputf8=envelope.smtputf8,
        requiretls=envelope.requiretls,
        size=envelope.size,
        ret=envelope.ret,
        envid=envelope.envid,
    )


def path(address: Address | None) -> str:
    """The address in angle brackets, `<>` for the null reverse-path."""
    return f"<{address}>" if address is not None else "<>"
