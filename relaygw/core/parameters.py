"""What the parameters of MAIL and RCPT mean: one table by keyword, each entry under the extension that brings it.

A parameter whose extension is not offered is as unknown as any other: 555 5.5.4 (RFC 5321 4.1.1.11). A new extension
is one more line in a table and one small function.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs

from relaygw.core.address import Address
from relaygw.core.command import CommandError, Parameters
from relaygw.core.envelope import Body, Envelope, Recipient
from relaygw.core.reply import Reply
from relaygw.core.xtext import XtextError, decode_xtext

Fields = Mapping[str, Any]
"""Attributes of Envelope or Recipient that a parameter sets."""


@attrs.frozen
class _Meaning:
    extension: str
    read: Callable[[str | None], Fields]


def _malformed(keyword: str) -> CommandError:
    return CommandError(Reply(501, "5.5.4", f"The value of {keyword} is not well formed"))


def _size(value: str | None) -> Fields:
    """RFC 1870 3: one to twenty digits."""
    if value is None or not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise _malformed("SIZE")
    return {"size": int(value)}


def _body(value: str | None) -> Fields:
    """RFC 6152 2. BINARYMIME belongs to RFC 3030, which is not offered."""
    body = {"7BIT": Body.SEVEN_BIT, "8BITMIME": Body.EIGHT_BIT}.get((value or "").upper())
    if body is None:
        raise _malformed("BODY")
    return {"body": body}


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
}
RCPT: Mapping[str, _Meaning] = {}


def begin_envelope(sender: Address | None, parameters: Parameters, offered: Collection[str]) -> Envelope:
    """The envelope MAIL begins; `offered` are the extensions of this session. Raises CommandError."""
    if not parameters:
        return Envelope(sender=sender)
    return Envelope(sender=sender, **_read(MAIL, parameters, offered))


def make_recipient(address: Address, parameters: Parameters, offered: Collection[str]) -> Recipient:
    """The recipient RCPT names; raises CommandError."""
    if not parameters:
        return Recipient(address=address)
    return Recipient(address=address, **_read(RCPT, parameters, offered))


def _read(table: Mapping[str, _Meaning], parameters: Parameters, offered: Collection[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for keyword, value in parameters:
        meaning = table.get(keyword)
        if meaning is None or meaning.extension not in offered:
            raise CommandError(Reply(555, "5.5.4", f"The parameter {keyword[:60]} is not known here"))
        fields.update(meaning.read(value))
    return fields
