"""What a record keeps of a header section, found in one cheap pass over the bytes.

The header section is hostile: every answer is bounded, and anything that cannot be read is "" rather than an error.
"""

import re

import attrs

from relaygw.core.address import AddressError, normalize_domain
from relaygw.core.headers import unfold

_MAX_VALUE = 2000
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_SKIPPED = re.compile(rb'"(?:[^"\\]|\\.)*+"|\((?:[^()\\]|\\.)*+\)', re.DOTALL)


@attrs.frozen(kw_only=True)
class Facts:
    """`message_id` with its angle brackets or ""; `header_from` the domain of the (first) author or "".

    `has_date` and `has_message_id` tell whether such a field stands there at all, well formed or not.
    """

    message_id: str
    header_from: str
    has_date: bool
    has_message_id: bool


def read_facts(head: bytes) -> Facts:
    """`head` is a header section, its final CRLF included."""
    lowered = b"\n" + head.lower()
    identifier = _value(head, lowered, b"message-id")
    author = _value(head, lowered, b"from")
    return Facts(
        message_id=_message_id(identifier) if identifier is not None else "",
        header_from=_author_domain(author) if author is not None else "",
        has_date=_find(lowered, b"date") >= 0,
        has_message_id=identifier is not None,
    )


def _find(lowered: bytes, name: bytes) -> int:
    """Where the value of the topmost field of this name starts in the header section, or -1."""
    position = lowered.find(b"\n" + name + b":")
    if position >= 0:
        return position + len(name) + 1
    # The obsolete form with white space before the colon (RFC 5322 4.5) is rare: looked for only where needed.
    position = lowered.find(b"\n" + name + b" ")
    if position < 0:
        return -1
    colon = position + len(name) + 1
    while lowered[colon : colon + 1] in (b" ", b"\t"):
        colon += 1
    return colon if lowered[colon : colon + 1] == b":" else -1


def _value(head: bytes, lowered: bytes, name: bytes) -> bytes | None:
    start = _find(lowered, name)
    if start < 0:
        return None
    # `lowered` has one octet more in front, so that its index of the colon is head's index after the colon.
    limit = min(len(head), start + _MAX_VALUE)
    end = head.find(b"\n", start, limit)
    while end >= 0 and head[end + 1 : end + 2] in (b" ", b"\t"):
        end = head.find(b"\n", end + 1, limit)
    return unfold(head[start : end if end >= 0 else limit].rstrip(b"\r"))


def _message_id(value: bytes) -> str:
    found = _MESSAGE_ID.search(value.decode("ascii", "replace"))
    return found[0] if found else ""


def _author_domain(value: bytes) -> str:
    """The domain of the first address in a From field; quoted strings and comments are looked over."""
    text = _SKIPPED.sub(b" ", value) if b'"' in value or b"(" in value else value
    opened = text.find(b"<")
    address = text[opened + 1 : text.find(b">", opened)] if opened >= 0 else text.split(b",", 1)[0]
    domain = address.rpartition(b"@")[2].strip() if b"@" in address else b""
    try:
        return normalize_domain(domain.decode("utf-8")) if domain else ""
    except (AddressError, UnicodeDecodeError):
        return ""
