"""Addresses in header fields replaced where they stand: names, comments, folds and every other octet stay as they are.

The fields are hostile. What cannot be read as an address (RFC 5322 3.4) is left alone, and so much is looked at and no
more; what is found is found in one pass.
"""

import re
from collections.abc import Callable, Collection
from itertools import pairwise

import attrs

from relaygw.core.address import Address, AddressError, parse_address
from relaygw.core.headers import Field, fields

SENDERS = frozenset(
    {
        b"from", b"sender", b"reply-to", b"errors-to", b"return-receipt-to", b"disposition-notification-to",
        b"resent-from", b"resent-sender", b"resent-reply-to",
    }
)  # fmt: skip
"""Fields that say who wrote or answers, in lower case."""

RECIPIENTS = frozenset({b"to", b"cc", b"bcc", b"apparently-to", b"resent-to", b"resent-cc", b"resent-bcc"})
"""Fields that say whom it is for."""

MAX_FIELD = 64 * 1024
"""Octets of a field that is looked at."""

MAX_OCTETS = 4 * MAX_FIELD
"""Octets of all such fields of one header section."""

MAX_ADDRESSES = 2000
"""Addresses of one header section that are looked at."""

MAX_TOKENS = 20_000
"""Words, signs and white space of all such fields: what so many addresses with their names have."""

MAX_FOREIGN = 50
"""Addresses that are not all ASCII: their domains take time to read."""

MAX_LINE = 998  # RFC 5322 2.1.1

Change = Callable[[Address], Address]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[<>,;:()]|\s++|\\.|\[[^\[\]\s]*+\]|[^\s"<>,;:()\[\]\\]++|.', re.DOTALL)


def replace_addresses(head: bytes, names: Collection[bytes], change: Change) -> bytes:
    """The header section with each address in fields of these names as `change` wants it; the very same octets where
    nothing changes."""
    parts: list[bytes] = []
    changed, room = False, _Room()
    for field in fields(head):
        raw = field.raw
        if field.name.lower() in names and room.takes(len(raw)):
            raw = _replace(field, change, room)
            changed = changed or raw != field.raw
        parts.append(raw)
    return b"".join(parts) if changed else head


@attrs.define
class _Room:
    """What of one header section is still looked at."""

    octets: int = MAX_OCTETS
    addresses: int = MAX_ADDRESSES
    tokens: int = MAX_TOKENS
    foreign: int = MAX_FOREIGN

    def takes(self, size: int) -> bool:
        """Whether a field of this size is."""
        if size > min(MAX_FIELD, self.octets) or self.addresses <= 0:
            return False
        self.octets -= size
        return True

    def takes_foreign(self) -> bool:
        """Whether one more address that is not all ASCII is."""
        self.foreign -= 1
        return self.foreign >= 0


@attrs.frozen
class _Span:
    """Where an address stands in its field; `opened` is where its bracket is, or itself."""

    start: int
    end: int
    opened: int


def _replace(field: Field, change: Change, room: _Room) -> bytes:
    """The field with its addresses changed."""
    text = field.raw.decode("latin-1")  # one character per octet, whatever they are
    spans = _addresses(text, text.index(":") + 1, room)[: room.addresses]
    room.addresses -= len(spans)
    wanted: list[tuple[_Span, str]] = []
    for span in spans:
        address = _read(text[span.start : span.end], room)
        new = change(address) if address is not None else address
        if new is not None and new != address:
            wanted.append((span, str(new).encode("utf-8", "replace").decode("latin-1")))
    if not wanted:
        return field.raw
    made = _put(text, wanted, "")
    if any(len(line) > MAX_LINE for line in made.split("\n")):
        made = _put(text, wanted, "\r\n ")
    return made.encode("latin-1")


def _put(text: str, wanted: list[tuple[_Span, str]], fold: str) -> str:
    pieces: list[str] = []
    place = 0
    for span, new in wanted:
        pieces += [text[place : span.opened], fold, text[span.opened : span.start], new]
        place = span.end
    return "".join([*pieces, text[place:]])


def _read(text: str, room: _Room) -> Address | None:
    if not text.isascii() and not room.takes_foreign():
        return None
    try:
        return parse_address(text.encode("latin-1").decode("utf-8"))
    except (AddressError, UnicodeDecodeError):
        return None


def _addresses(text: str, start: int, room: _Room) -> list[_Span]:
    """What may be addresses: in angle brackets, or alone between commas; each in one piece, without white space."""
    found: list[_Span] = []
    words: list[tuple[int, int]] = []  # of the mailbox outside of brackets
    angle: tuple[int, list[tuple[int, int]]] | None = None
    closed = False
    depth = 0
    for token in _TOKEN.finditer(text, start):
        room.tokens -= 1
        if room.tokens < 0:
            return []
        sign, span = token[0], token.span()
        if sign == "(" or (depth and sign == ")"):
            depth += 1 if sign == "(" else -1
        elif depth or sign.isspace():
            continue
        elif sign == "<" and angle is None and not closed:
            angle = (span[0], [])
        elif sign == ">" and angle is not None:
            _take(found, angle[1], angle[0])
            angle, closed = None, True
        elif angle is not None:
            angle[1].append(span)
        elif sign in ",;:":
            if not closed and sign != ":":
                _take(found, words, None)
            words, closed = [], False
        else:
            words.append(span)
    if depth or angle is not None:
        return []  # something does not end: what is inside of what is not certain
    if not closed:
        _take(found, words, None)
    return found


def _take(found: list[_Span], words: list[tuple[int, int]], opened: int | None) -> None:
    """The words, where they follow one another without a gap."""
    if words and all(before[1] == after[0] for before, after in pairwise(words)):
        start, end = words[0][0], words[-1][1]
        found.append(_Span(start, end, start if opened is None else opened))
