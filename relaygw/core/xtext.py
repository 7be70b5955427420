"""xtext, the quoting of parameter values (RFC 3461 4): decoding. Linear; anything malformed is one XtextError."""

import re

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*+\Z")
_QUOTED = re.compile(rb"\+([0-9A-F]{2})")


class XtextError(ValueError):
    """The text is not xtext."""


def decode_xtext(text: str) -> bytes:
    """The octets behind the text; raises XtextError."""
    if not _XTEXT.match(text):
        raise XtextError("not xtext")
    data = text.encode("ascii")
    return _QUOTED.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), data) if b"+" in data else data
