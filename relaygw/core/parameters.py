"""What the parameters of MAIL and RCPT mean: one table by keyword, each entry under the extension that brings it.

A parameter whose extension is not offered is as unknown as any other: 555 5.5.4 (RFC 5321 4.1.1.11). A new extension
is one more line in a table and one small function.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs

from relaygw.core.address import Address
from relaygw.core.command import CommandError, Parameters
from relaygw.core.envelope import Body, Envelope, Notify, Recipient
from relaygw.core.mail_commands import MAX_ORCPT
from relaygw.core.reply import Reply
from relaygw.core.xtext import XtextError, decode_utf8_address, decode_xtext

MAX_ENVID = 100
"""Octets of ENVID's value as sent (RFC 3461 4.4)."""

Fields = Mapping[str, Any]
"""Attributes of Envelope or Recipient that a parameter sets."""


@attrs.frozen
class _Meaning:
    """`refused` is the answer where the extension is not offered, None for that to an unknown parameter."""

    extension: str
    read: Callable[[str | None], Fields]
    refused: Reply | None = None


_WANTS_TLS = Reply(530, "5.7.10", "REQUIRETLS needs TLS on this connection")
_ATOM = re.compile(r"[A-Za-z0-9-]{1,40}\Z")


def _malformed(keyword: str) -> CommandError:
    return CommandError(Reply(501, "5.5.4", f"The value of {keyword} is not well formed"))


def _size(value: str | None) -> Fields:
    """RFC 1870 3: one to twenty digits."""
    if value is None or not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise _malformed("SIZE")
    return {"size": int(value)}


def _body(value: str | None) -> Fields:
    """RFC 6152 2, RFC 3030 3."""
    try:
        return {"body": Body((value or "").upper())}
    except ValueError:
        raise _malformed("BODY") from None


def _flag(keyword: str, field: str) -> Callable[[str | None], Fields]:
    """A parameter that takes no value."""

    def read(value: str | None) -> Fields:
        if value is not None:
            raise CommandError(Reply(501, "5.5.4", f"{keyword} takes no value"))
        return {field: True}

    return read


def _ret(value: str | None) -> Fields:
    """RFC 3461 4.3."""
    ret = (value or "").upper()
    if ret not in ("FULL", "HDRS"):
        raise _malformed("RET")
    return {"ret": ret}


def _envid(value: str | None) -> Fields:
    """RFC 3461 4.4: printable ASCII behind xtext."""
    if not value or len(value) > MAX_ENVID:
        raise _malformed("ENVID")
    try:
        text = decode_xtext(value).decode("ascii")
    except (XtextError, UnicodeDecodeError):
        raise _malformed("ENVID") from None
    if not text.isprintable():
        raise _malformed("ENVID")
    return {"envid": text}


def _notify(value: str | None) -> Fields:
    """RFC 3461 4.1: NEVER stands alone."""
    words = (value or "").upper().split(",")
    try:
        notify = frozenset(Notify(word) for word in words)
    except ValueError:
        raise _malformed("NOTIFY") from None
    if len(notify) != len(words) or (Notify.NEVER in notify and len(notify) > 1):
        raise _malformed("NOTIFY")
    return {"notify": notify}


def _orcpt(value: str | None) -> Fields:
    """RFC 3461 4.2, and RFC 6533 3 for addresses of type utf-8."""
    kind, semicolon, address = (value or "").partition(";")
    if not semicolon or not address or not _ATOM.match(kind) or len((value or "").encode()) > MAX_ORCPT:
        raise _malformed("ORCPT")
    original = _original(kind, address)
    # Servers in use write rfc822 before addresses that are not ASCII; a report must not (RFC 6533 3).
    return {"orcpt": f"{kind if original.isascii() else 'utf-8'};{original}"}


def _original(kind: str, address: str) -> str:
    try:
        utf8 = kind.lower() == "utf-8" or not address.isascii()
        decoded = decode_utf8_address(address) if utf8 else decode_xtext(address).decode("utf-8")
    except (XtextError, UnicodeDecodeError):
        raise _malformed("ORCPT") from None
    if not decoded.isprintable():
        raise _malformed("ORCPT")
    return decoded


def _auth(value: str | None) -> Fields:
    """RFC 4954 5: checked for form; nobody's word on who logged in elsewhere is believed."""
    try:
        if not value or not decode_xtext(value):
            raise _malformed("AUTH")
    except XtextError:
        raise _malformed("AUTH") from None
    return {}


MAIL: Mapping[str, _Meaning] = {
    "SIZE": _Meaning("SIZE", _size),
    "BODY": _Meaning("8BITMIME", _body),
    "AUTH": _Meaning("AUTH", _auth),
    "SMTPUTF8": _Meaning("SMTPUTF8", _flag("SMTPUTF8", "smtputf8")),
    "RET": _Meaning("DSN", _ret),
    "ENVID": _Meaning("DSN", _envid),
    "REQUIRETLS": _Meaning("REQUIRETLS", _flag("REQUIRETLS", "requiretls"), _WANTS_TLS),
}
RCPT: Mapping[str, _Meaning] = {
    "NOTIFY": _Meaning("DSN", _notify),
    "ORCPT": _Meaning("DSN", _orcpt),
}


def begin_envelope(sender: Address | None, parameters: Parameters, offered: Collection[str]) -> Envelope:
    """The envelope MAIL begins; `offered` are the extensions of this session. Raises CommandError."""
    if not parameters:
        return Envelope(sender=sender)
    envelope = Envelope(sender=sender, **_read(MAIL, parameters, offered))
    if envelope.body is Body.BINARY and "BINARYMIME" not in offered:
        raise CommandError(Reply(555, "5.5.4", "BODY=BINARYMIME is not offered here"))
    return envelope


def make_recipient(
    address: Address, parameters: Parameters, offered: Collection[str], *, utf8: bool = False
) -> Recipient:
    """The recipient RCPT names; `utf8` where MAIL said SMTPUTF8. Raises CommandError."""
    if not parameters:
        return Recipient(address=address)
    if not utf8 and not all((value or "").isascii() for _, value in parameters):
        raise CommandError(Reply(501, "5.5.4", "A parameter holds what only SMTPUTF8 could carry"))
    return Recipient(address=address, **_read(RCPT, parameters, offered))


def _read(table: Mapping[str, _Meaning], parameters: Parameters, offered: Collection[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for keyword, value in parameters:
        meaning = table.get(keyword)
        if meaning is None or meaning.extension not in offered:
            known = meaning.refused if meaning is not None and offered else None
            raise CommandError(known or Reply(555, "5.5.4", f"The parameter {keyword[:60]} is not known here"))
        fields.update(meaning.read(value))
    return fields
