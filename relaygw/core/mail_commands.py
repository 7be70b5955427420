"""MAIL and RCPT as lines for a next hop, with the parameters it offers (RFC 5321 4.1.1.11).

Nothing that could end a line or a path gets into a command, wherever an address came from: that is UnsafePath.
"""

import re

from relaygw.core.address import Address
from relaygw.core.capabilities import Capabilities
from relaygw.core.envelope import Envelope, Recipient, path

_DOMAIN = re.compile(r"[A-Za-z0-9._-]+\Z|\[[A-Za-z0-9.:-]+\]\Z")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_XTEXT = re.compile(rb"[^!-*,-<>-~]")  # all but the printable ones; "+" and "=" are quoted too


class UnsafePath(ValueError):
    """An address or parameter that must not be sent as part of a command."""


def xtext(text: str) -> str:
    """RFC 3461 4: printable ASCII without `+` and `=`; every other octet as `+HH`."""
    return _XTEXT.sub(lambda found: b"+%02X" % found[0][0], text.encode("utf-8")).decode("ascii")


def safe_path(address: Address | None) -> str:
    """The path in angle brackets; raises UnsafePath where it could break out of them."""
    if address is None:
        return "<>"
    if not _DOMAIN.match(address.domain) or _CONTROL.search(address.local):
        raise UnsafePath("the address holds characters that no command can carry")
    return path(address)


def mail_command(
    envelope: Envelope, offered: Capabilities, *, size: int, eight_bit: bool, smtputf8: bool, requiretls: bool = False
) -> bytes:
    """The MAIL line with every parameter that says something and is offered. `size` in octets; raises UnsafePath."""
    words = [f"MAIL FROM:{safe_path(envelope.sender)}"]
    if offered.size_declared:
        words.append(f"SIZE={size}")
    if eight_bit and offered.eight_bit:
        words.append("BODY=8BITMIME")
    if smtputf8 and offered.smtputf8:
        words.append("SMTPUTF8")
    if requiretls:
        words.append("REQUIRETLS")
    if offered.dsn:
        words += [f"RET={envelope.ret}"] if envelope.ret in ("FULL", "HDRS") else []
        words += [f"ENVID={xtext(envelope.envid)}"] if envelope.envid else []
    return _line(words)


def rcpt_command(recipient: Recipient, offered: Capabilities) -> bytes:
    """The RCPT line, with the wishes for DSNs where the server takes them over; raises UnsafePath."""
    words = [f"RCPT TO:{safe_path(recipient.address)}"]
    if offered.dsn:
        notify = ",".join(sorted(word.value for word in recipient.notify))
        kind, semicolon, original = recipient.orcpt.partition(";")
        words += [f"NOTIFY={notify}"] if notify else []
        words += [f"ORCPT={xtext(kind)};{xtext(original)}"] if semicolon and original else []
    return _line(words)


def _line(words: list[str]) -> bytes:
    return " ".join(words).encode("utf-8", "replace") + b"\r\n"
