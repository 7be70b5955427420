"""The quoting of parameter values: xtext (RFC 3461 4) and what UTF-8 addresses look like in it (RFC 6533 3).

Both directions, linear; anything malformed is one XtextError.
"""

import re

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*+\Z")
_QUOTED = re.compile(rb"\+([0-9A-F]{2})")
_UNQUOTABLE = re.compile(rb"[^!-*,-<>-~]")  # all but the printable ones; "+" and "=" are quoted too
_UTF8_ADDRESS = re.compile(r"(?:[!-*,-<>-\[\]-~\u0080-\U0010ffff]|\\x\{[0-9A-F]{2,6}\})++\Z")
_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_EMBEDDABLE = re.compile(r"[^!-*,-<>-\[\]-~]")


class XtextError(ValueError):
    """The text is not xtext."""


def decode_xtext(text: str) -> bytes:
    """The octets behind the text; raises XtextError."""
    if not _XTEXT.match(text):
        raise XtextError("not xtext")
    data = text.encode("ascii")
    return _QUOTED.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), data) if b"+" in data else data


def encode_xtext(text: str) -> str:
    """RFC 3461 4: printable ASCII without `+` and `=`; every other octet as `+HH`."""
    quoted = _UNQUOTABLE.sub(lambda found: b"+%02X" % found[0][0], text.encode("utf-8", "replace"))
    return quoted.decode("ascii")


def decode_utf8_address(text: str) -> str:
    """An address of type utf-8: utf-8-addr-xtext, or utf-8-addr-unitext as it is (RFC 6533 3); raises XtextError."""
    if not _UTF8_ADDRESS.match(text):
        raise XtextError("not an address of type utf-8")
    try:
        decoded = _EMBEDDED.sub(lambda found: chr(int(found[1], 16)), text)
        decoded.encode("utf-8")  # no surrogates
    except (ValueError, OverflowError):
        raise XtextError("not a character of Unicode") from None
    return decoded


def encode_utf8_address(address: str) -> str:
    """utf-8-addr-xtext, which travels without SMTPUTF8 too."""
    return _EMBEDDABLE.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", address)
