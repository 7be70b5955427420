"""BINARYMIME content as a mailbox can keep it: parts labelled binary become base64 (RFC 3030 3, RFC 2045 6.8).

For final delivery alone, where there is nobody left to hand the octets on to as they are: IMAP and POP3 give out lines.
Whatever is not labelled binary, or cannot be read as MIME, stays octet for octet. One pass, in bounded memory.
"""

import base64
import re
from collections.abc import Collection, Iterable, Iterator

import attrs

from relaygw.core.headers import fields, first

MAX_DEPTH = 30
"""Levels of multipart and message parts that are looked into."""
MAX_PARTS = 10_000
"""Parts that are looked into; what comes behind them stays as it is."""
_MAX_HEAD = 64 * 1024
_AHEAD = 64 * 1024
_MAX_BOUNDARY = 200
_PADDING = 100
_GROUP = 57 * 200
_DELIMITER = re.compile(rb"\r\n--([^\r\n]{1,%d})(?=\r\n|\Z)" % (_MAX_BOUNDARY + 2 + _PADDING))
"""What may be one (RFC 2046 5.1.1): the line end before it belongs to it. One pattern for all boundaries: each message
has others, and to make one takes longer than to use it."""
_BOUNDARY = re.compile(rb';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]++))', re.IGNORECASE | re.DOTALL)


def as_text(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content with its binary parts in base64."""
    source = _Source(iter(pieces))
    yield from _entity(source, ())
    yield from source.rest()


@attrs.define
class _Source:
    """What is left of the content: `buffer` from `at` on, and the pieces. `parts` how many may still be looked into."""

    pieces: Iterator[bytes]
    buffer: bytes = b""
    at: int = 0
    ended: bool = False
    parts: int = MAX_PARTS

    def reach(self, size: int) -> None:
        """Have so many octets in the buffer, or all there are."""
        if self.ended or len(self.buffer) - self.at >= size:
            return
        waiting = [self.buffer[self.at :]]
        length = len(waiting[0])
        while length < size + _AHEAD and not self.ended:
            piece = next(self.pieces, None)
            self.ended = piece is None
            waiting.append(piece or b"")
            length += len(waiting[-1])
        self.buffer, self.at = b"".join(waiting), 0

    def find(self, octets: bytes, within: int) -> int:
        """How far away they are, or -1."""
        place = self.buffer.find(octets, self.at, self.at + within)
        return place - self.at if place >= 0 else -1

    def take(self, size: int) -> bytes:
        taken = self.buffer[self.at : self.at + size]
        self.at += len(taken)
        return taken

    @property
    def left(self) -> int:
        """Octets in the buffer."""
        return len(self.buffer) - self.at

    def rest(self) -> Iterator[bytes]:
        yield self.take(self.left)
        yield from self.pieces


def _entity(source: _Source, boundaries: tuple[bytes, ...]) -> Iterator[bytes]:
    """Header section and body, up to the CRLF of the delimiter of one of the `boundaries`, or the end."""
    head = _take_head(source, boundaries)
    kind = first(head, b"content-type").lower()
    binary = first(head, b"content-transfer-encoding").lower() == b"binary"
    boundary = _boundary(head) if kind.startswith(b"multipart/") else b""
    nested = bool(boundary) or kind.startswith((b"message/rfc822", b"message/global"))
    nested = nested and len(boundaries) < MAX_DEPTH and source.parts > 0
    source.parts -= 1
    if binary:
        head = _relabelled(head, b"8bit" if nested or kind.startswith((b"multipart/", b"message/")) else b"base64")
    yield head
    if boundary and nested:
        yield from _parts(source, boundaries, boundary)
    elif nested:
        source.reach(2)
        yield source.take(2)
        yield from _entity(source, (*boundaries, b""))
    elif binary and not kind.startswith((b"multipart/", b"message/")):
        yield from _encoded(_body(source, boundaries))
    else:
        yield from _body(source, boundaries)


def _take_head(source: _Source, boundaries: tuple[bytes, ...]) -> bytes:
    """The fields; the empty line that ends them is left, as the first line end of the body."""
    source.reach(_MAX_HEAD)
    if source.buffer.startswith(b"\r\n", source.at):
        return b""
    delimiter = _next_delimiter(source, boundaries, _MAX_HEAD)
    # Where the part ends first: what stands behind it was looked through for each of ten thousand parts.
    end = source.find(b"\r\n\r\n", delimiter.place - source.at if delimiter is not None else _MAX_HEAD)
    if end >= 0:
        return source.take(end + 2)
    return source.take(delimiter.place - source.at) if delimiter is not None else b""


def _boundary(head: bytes) -> bytes:
    found = _BOUNDARY.search(first(head, b"content-type"))
    if found is None:
        return b""
    boundary = re.sub(rb"\\(.)", rb"\1", found[1]).rstrip(b" \t") if found[1] is not None else found[2]
    return boundary if len(boundary) <= _MAX_BOUNDARY and b"\r" not in boundary and b"\n" not in boundary else b""


def _relabelled(head: bytes, encoding: bytes) -> bytes:
    label = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    name = b"content-transfer-encoding"
    return b"".join(label if field.name.lower() == name else field.raw for field in fields(head))


@attrs.frozen
class _Delimiter:
    """Where its line end stands, and where it ends; `closes` the multipart with this boundary."""

    place: int
    end: int
    boundary: bytes
    closes: bool


def _next_delimiter(source: _Source, boundaries: tuple[bytes, ...], within: int) -> _Delimiter | None:
    """The first in the next octets of the buffer."""
    known = frozenset(filter(None, boundaries))
    if not known:
        return None
    for found in _DELIMITER.finditer(source.buffer, source.at, source.at + within):
        if delimiter := _read(found, known):
            return delimiter
    return None


def _read(found: re.Match[bytes], known: Collection[bytes]) -> _Delimiter | None:
    text = found[1].rstrip(b" \t")
    if len(found[1]) - len(text) > _PADDING:
        return None
    if text in known:
        return _Delimiter(found.start(), found.end(), text, False)
    if text.endswith(b"--") and text[:-2] in known:
        return _Delimiter(found.start(), found.end(), text[:-2], True)
    return None


def _body(source: _Source, boundaries: tuple[bytes, ...]) -> Iterator[bytes]:
    """The octets up to the next delimiter or the end, the empty line of the header section in front."""
    margin = _MAX_BOUNDARY + _PADDING + 16
    while True:
        source.reach(_MAX_HEAD)
        found = _next_delimiter(source, boundaries, source.left)
        # What ends with the buffer and not with the content may be another line.
        if found is not None and (source.ended or found.end + 2 <= len(source.buffer)):
            yield source.take(found.place - source.at)
            return
        if source.ended:
            yield source.take(source.left)
            return
        yield source.take(source.left - margin)


def _parts(source: _Source, boundaries: tuple[bytes, ...], boundary: bytes) -> Iterator[bytes]:
    """Preamble, parts with their delimiters, and the epilogue."""
    inside = (*boundaries, boundary)
    yield from _body(source, inside)
    while True:
        source.reach(_MAX_BOUNDARY + _PADDING + 16)
        match = _DELIMITER.match(source.buffer, source.at)
        found = _read(match, (boundary,)) if match is not None else None
        if found is None or source.parts <= 0:
            return
        size = found.end - source.at
        if found.closes:
            yield source.take(size)
            yield from _body(source, boundaries)
            return
        yield source.take(size + 2)
        yield from _entity(source, inside)


def _encoded(body: Iterator[bytes]) -> Iterator[bytes]:
    """In lines of 76; the first two octets are the empty line before the body."""
    waiting, begun = b"", False
    for piece in body:
        waiting += piece
        if not begun and len(waiting) >= 2:
            yield waiting[:2]
            waiting, begun = waiting[2:], True
        if begun and len(waiting) >= _GROUP:
            whole = len(waiting) - len(waiting) % 57
            yield _lines(waiting[:whole])
            waiting = waiting[whole:]
    yield _lines(waiting) if begun else waiting


def _lines(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")
