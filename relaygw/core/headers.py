"""The header section as bytes: fields found, read and unfolded without parsing the message (RFC 5322 2.2).

Fast enough for every message: no email.parser on the way of a message. Nothing here changes a byte.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import attrs


@attrs.frozen
class Field:
    """One header field: `name` as written, `raw` the whole field with its folds and final line end."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """What follows the colon, unfolded, without white space around it."""
        return unfold(self.raw[self.raw.find(b":") + 1 :])


def unfold(value: bytes) -> bytes:
    """Line ends that are followed by white space disappear (RFC 5322 2.2.3)."""
    return value.replace(b"\r\n", b"").replace(b"\n", b"").strip(b" \t")


_FIELD = re.compile(rb"[^\n]*\n(?:[ \t][^\n]*\n)*")


def fields(head: bytes) -> Iterator[Field]:
    """The fields of a header section in order. A line that is no field and no fold becomes a Field named b""."""
    for raw in _FIELD.findall(head if head.endswith(b"\n") or not head else head + b"\n"):
        name, colon, _ = raw.partition(b":")
        name = name.rstrip(b" \t")
        yield Field(name if colon and b" " not in name and b"\n" not in name else b"", raw)


@lru_cache(maxsize=4)
def named_fields(head: bytes) -> Mapping[bytes, Sequence[Field]]:
    """The fields by their names in lower case, each name's from the top; what is no field is left out.

    Remembered for a few header sections, as everybody who judges a message looks at its own, one after the other.
    """
    named: dict[bytes, list[Field]] = {}
    for field in fields(head):
        if field.name:
            named.setdefault(field.name.lower(), []).append(field)
    return named


def values(head: bytes, name: bytes) -> list[bytes]:
    """The values of all fields of this name (any case), unfolded, from the top."""
    # Most fields are not the one that is asked for: to look for it is cheaper than to make values of all.
    return [unfold(found + b"\n") for found in _pattern(name).findall(head)]


@lru_cache(maxsize=256)
def _pattern(name: bytes) -> re.Pattern[bytes]:
    """A field of this name with its folds; white space before the colon is obsolete, and allowed (RFC 5322 4.5.3)."""
    return re.compile(rb"^" + re.escape(name) + rb"[ \t]*:(.*(?:\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)


def first(head: bytes, name: bytes) -> bytes:
    """The value of the topmost field of this name, b"" where there is none."""
    found = values(head, name)
    return found[0] if found else b""


def count(head: bytes, name: bytes) -> int:
    """How many fields of this name there are."""
    return len(values(head, name))
