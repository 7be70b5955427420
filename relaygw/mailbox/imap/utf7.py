"""Mailbox names on the wire: modified UTF-7 (RFC 3501 5.1.3). Strict: one name has one spelling."""

import base64
import binascii
import re

_SHIFTED = re.compile(rb"&([^&-]*)-")
_ENCODE = re.compile("([^\x20-\x7e]+)|&")


class BadName(ValueError):
    """Not a mailbox name in modified UTF-7."""


def decode_name(wire: bytes) -> str:
    """The name as text; BadName for 8-bit octets, controls and any spelling but the one `encode_name` makes."""
    try:
        pieces = _SHIFTED.split(wire)
        texts = [_decode_shifted(piece) if index % 2 else piece.decode("ascii") for index, piece in enumerate(pieces)]
    except (ValueError, binascii.Error):
        raise BadName("the mailbox name is not in modified UTF-7") from None
    name = "".join(texts)
    if encode_name(name) != wire:
        raise BadName("the mailbox name is not in modified UTF-7")
    return name


def _decode_shifted(piece: bytes) -> str:
    if not piece:
        return "&"
    padded = piece.replace(b",", b"/") + b"=" * (-len(piece) % 4)
    return base64.b64decode(padded, validate=True).decode("utf-16-be")


def encode_name(name: str) -> bytes:
    """The name as the wire spells it. Lone surrogates cannot be spelled: they become U+FFFD."""
    return _ENCODE.sub(_encode_shifted, name).encode("ascii")


def _encode_shifted(found: "re.Match[str]") -> str:
    if found.group() == "&":
        return "&-"
    octets = found.group().encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace").encode("utf-16-be")
    return "&" + base64.b64encode(octets).rstrip(b"=").replace(b"/", b",").decode("ascii") + "-"
