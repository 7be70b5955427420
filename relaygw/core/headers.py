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
        return value_of(self.raw)


def value_of(raw: bytes) -> bytes:
    """What follows the colon of a whole field, unfolded, without white space around it."""
    return unfold(raw[raw.find(b":") + 1 :])


def unfold(value: bytes) -> bytes:
    """Line ends that are followed by white space disappear (RFC 5322 2.2.3)."""
    return value.replace(b"\r\n", b"").replace(b"\n", b"").strip(b" \t")


_FIELD = re.compile(rb"((?:([^: \t\n]*+)[ \t]*+:)?[^\n]*+\n(?:[ \t][^\n]*+\n)*+)")
"""A whole field, and in it its name. White space before the colon is obsolete, and allowed (RFC 5322 4.5)."""


def _split(head: bytes) -> list[tuple[bytes, bytes]]:
    """Each field whole, with its name, in order; the name of a line that is no field and no fold is b""."""
    return _FIELD.findall(head if head.endswith(b"\n") or not head else head + b"\n")


def fields(head: bytes) -> Iterator[Field]:
    """The fields of a header section in order. A line that is no field and no fold becomes a Field named b""."""
    for raw, name in _split(head):
        yield Field(name, raw)


def raw_fields(head: bytes) -> list[bytes]:
    """The same as octets alone, which is much cheaper."""
    return [raw for raw, _ in _split(head)]


NO_FIELD = b":"
"""What nobody can ask for as the name of a field."""


@lru_cache(maxsize=4)
def named_fields(head: bytes) -> Mapping[bytes, Sequence[bytes]]:
    """Whole fields by their names in lower case, each name's from the top; NO_FIELD names what is none.

    Remembered for a few header sections, as everybody who judges a message looks at its own, one after the other.
    Octets and no Field: of ten thousand fields nobody looks at more than a few.
    """
    named: dict[bytes, list[bytes]] = {}
    for raw, name in _split(head):
        name = name.lower() or NO_FIELD
        same = named.get(name)
        if same is None:
            named[name] = [raw]
        else:
            same.append(raw)
    return named


_ODDLY_NAMED = re.compile(rb"[ \t]*+([^: \t\r\n]++)[ \t\r\n]*+:")


@lru_cache(maxsize=4)
def odd_fields(head: bytes) -> Mapping[bytes, Sequence[bytes]]:
    """What is no field, and what some programs show as one of this name (in lower case) all the same: with white space
    before the name in the first line, or with a line end between the name and the colon."""
    named: dict[bytes, list[bytes]] = {}
    for raw in named_fields(head).get(NO_FIELD, ()):
        found = _ODDLY_NAMED.match(raw)
        if found is not None:
            named.setdefault(found[1].lower(), []).append(raw)
    return named


def values(head: bytes, name: bytes) -> list[bytes]:
    """The values of all fields of this name (any case), unfolded, from the top."""
    # Most fields are not the one that is asked for: to look for it is cheaper than to make values of all.
    return [unfold(found + b"\n") for found in _pattern(name).findall(head)]


@lru_cache(maxsize=256)
def _pattern(name: bytes) -> re.Pattern[bytes]:
    """A field of this name with its folds; white space before the colon is obsolete, and allowed (RFC 5322 4.5.3)."""
    return re.compile(rb"^" + re.escape(name) + rb"[ \t]*+:(.*+(?:\n[ \t].*+)*+)", re.IGNORECASE | re.MULTILINE)


def first(head: bytes, name: bytes) -> bytes:
    """The value of the topmost field of this name, b"" where there is none."""
    found = values(head, name)
    return found[0] if found else b""


def count(head: bytes, name: bytes) -> int:
    """How many fields of this name there are."""
    return len(values(head, name))
