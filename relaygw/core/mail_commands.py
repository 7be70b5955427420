"""MAIL and RCPT as lines for a next hop, with the parameters it offers (RFC 5321 4.1.1.11).

Nothing that could end a line or a path gets into a command, wherever an address came from: that is UnsafePath.
"""

import re

from relaygw.core.address import Address
from relaygw.core.capabilities import Capabilities
from relaygw.core.envelope import Body, Envelope, Recipient, path
from relaygw.core.xtext import encode_utf8_address, encode_xtext

MAX_ORCPT = 500
"""Octets of ORCPT's value (RFC 3461 4.2)."""

_DOMAIN = re.compile(r"[A-Za-z0-9._-]+\Z|\[[A-Za-z0-9.:-]+\]\Z")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


class UnsafePath(ValueError):
    """An address or parameter that must not be sent as part of a command."""


def safe_path(address: Address | None) -> str:
    """The path in angle brackets; raises UnsafePath where it could break out of them."""
    if address is None:
        return "<>"
    if not _DOMAIN.match(address.domain) or _CONTROL.search(address.local):
        raise UnsafePath("the address holds characters that no command can carry")
    return path(address)


def mail_command(
    envelope: Envelope,
    offered: Capabilities,
    *,
    size: int,
    body: Body,
    smtputf8: bool,
    requiretls: bool = False,
    logged_in: bool = False,
) -> bytes:
    """The MAIL line with every parameter that says something and is offered. `size` in octets; raises UnsafePath.

    `logged_in`: we have, and vouch for nobody (RFC 4954 5).
    """
    words = [f"MAIL FROM:{safe_path(envelope.sender)}"]
    if offered.size_declared:
        words.append(f"SIZE={size}")
    if body is Body.BINARY or (body is Body.EIGHT_BIT and offered.eight_bit):
        words.append(f"BODY={body.value}")
    if smtputf8 and offered.smtputf8:
        words.append("SMTPUTF8")
    if requiretls:
        words.append("REQUIRETLS")
    if logged_in:
        words.append("AUTH=<>")
    if offered.dsn:
        words += [f"RET={envelope.ret}"] if envelope.ret in ("FULL", "HDRS") else []
        words += [f"ENVID={encode_xtext(envelope.envid)}"] if envelope.envid else []
    return _line(words)


def rcpt_command(recipient: Recipient, offered: Capabilities) -> bytes:
    """The RCPT line, with the wishes for DSNs where the server takes them over; raises UnsafePath."""
    words = [f"RCPT TO:{safe_path(recipient.address)}"]
    if offered.dsn:
        notify = ",".join(sorted(word.value for word in recipient.notify))
        words += [f"NOTIFY={notify}"] if notify else []
        original = _original(recipient.orcpt)
        words += [f"ORCPT={original}"] if original else []
    return _line(words)


def _original(orcpt: str) -> str:
    """`type;address` in the one form that every server with DSN reads (RFC 3461 4.2, RFC 6533 3); "" where there is
    none, or where it is longer in that form than ORCPT may be."""
    kind, semicolon, address = orcpt.partition(";")
    encode = encode_utf8_address if kind.lower() == "utf-8" else encode_xtext
    encoded = f"{encode_xtext(kind)};{encode(address)}"
    return encoded if semicolon and len(encoded) <= MAX_ORCPT else ""


def _line(words: list[str]) -> bytes:
    return " ".join(words).encode("utf-8", "replace") + b"\r\n"
