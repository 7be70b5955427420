"""Address lists of header fields (RFC 5322 3.4) for ENVELOPE: names and addresses as they stand, groups marked.

Forgiving and linear: every octet is looked at once, nothing nests but comments, which are counted.
"""

import re

import attrs

MAX_VALUE = 64 * 1024
MAX_ADDRESSES = 1000

_TOKEN = re.compile(
    rb"""(?P<space>\s+)
    |"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)"?
    |(?P<comment>\()
    |(?P<special>[<>@,;:])
    |(?P<word>\[[^\]]*\]?|[^\s"(<>@,;:]+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_IN_COMMENT = re.compile(rb"[^()\\]+|\\.?|[()]", re.DOTALL)


@attrs.frozen
class ListedAddress:
    """The four members of RFC 3501 7.4.2's address structure. `host` None: a group begins (`mailbox` is its name) or
    ends (`mailbox` None)."""

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


END_OF_GROUP = ListedAddress(None, None, None, None)


def parse_addresses(value: bytes) -> tuple[ListedAddress, ...]:
    """The addresses of an unfolded field value."""
    reader = _Reader()
    for kind, text in _tokens(value[:MAX_VALUE]):
        if len(reader.found) >= MAX_ADDRESSES:
            break
        reader.take(kind, text)
    reader.finish()
    return tuple(reader.found)


def _tokens(value: bytes) -> "list[tuple[str, bytes]]":
    found: list[tuple[str, bytes]] = []
    place = 0
    while (match := _TOKEN.match(value, place)) is not None:
        kind = match.lastgroup or "quoted"
        place = match.end()
        text = match.group(kind)
        if kind == "comment":
            text, place = _comment(value, place)
        elif kind == "quoted":
            text = _ESCAPE.sub(rb"\1", text)
        found.append((kind, text))
    return found


def _comment(value: bytes, place: int) -> tuple[bytes, int]:
    """The text of a comment whose parenthesis was just passed, and the place after it."""
    depth, kept = 1, bytearray()
    while depth and (match := _IN_COMMENT.match(value, place)) is not None:
        piece = match.group()
        place = match.end()
        depth += (piece == b"(") - (piece == b")")
        if depth:
            kept += piece[1:] if piece.startswith(b"\\") else piece
    return bytes(kept), place


@attrs.define
class _Reader:
    """Takes tokens one by one. `words` are those since the last comma, each in its pieces; `local` is set once `@` was
    seen."""

    found: list[ListedAddress] = attrs.Factory(list)
    words: list[list[bytes]] = attrs.Factory(list)
    gap: bool = False
    comment: bytes | None = None
    name: bytes | None = None
    route: list[bytes] = attrs.Factory(list)
    local: bytes | None = None
    angle: bool = False
    closed: bool = False
    grouped: bool = False

    def take(self, kind: str, text: bytes) -> None:
        if kind == "special":
            self.special(text)
        elif kind == "comment":
            self.comment = text
        elif kind == "space":
            self.gap = True
        elif not self.closed:
            self.word(text)

    def word(self, text: bytes) -> None:
        # Words that touch are one: `a."b c"@d` has one local part.
        if self.words and not self.gap:
            self.words[-1].append(text)
        else:
            self.words.append([text])
        self.gap = False

    def special(self, text: bytes) -> None:
        if text == b"<" and not self.angle:
            self.name, self.angle = self.phrase(), True
        elif text == b">" and self.angle:
            self.closed = True
        elif text == b"@" and not self.closed and self.local is None:
            self.local = self.joined()
            self.words = []
        elif text == b":":
            self.colon()
        elif text == b"," and not self.in_route():
            self.finish()
        elif text == b";":
            self.finish()
            self.end_group()

    def in_route(self) -> bool:
        """Between `<@` and `:` commas separate hosts (RFC 5322 4.4 obs-route)."""
        if self.angle and not self.closed and self.local == b"":
            self.route += [b"@", self.joined(), b","]
            self.words, self.local = [], None
            return True
        return False

    def joined(self) -> bytes:
        return b"".join([piece for pieces in self.words for piece in pieces])

    def colon(self) -> None:
        if self.angle and self.local == b"":
            self.route += [b"@", self.joined()]
            self.words, self.local = [], None
        elif not self.angle and self.local is None and not self.grouped:
            self.found.append(ListedAddress(None, None, self.phrase() or b"", None))
            self.grouped = True
            self.reset()

    def phrase(self) -> bytes | None:
        text = b" ".join(map(b"".join, self.words))
        self.words = []
        return text or None

    def finish(self) -> None:
        """An address ends here, if one began."""
        if self.words or self.local is not None:
            text = self.joined()
            mailbox, host = (text, b"") if self.local is None else (self.local, text)
            self.found.append(ListedAddress(self.name or self.comment, b"".join(self.route) or None, mailbox, host))
        elif self.angle or self.name:
            self.found.append(ListedAddress(self.name, None, b"", b""))
        self.reset()

    def end_group(self) -> None:
        if self.grouped:
            self.found.append(END_OF_GROUP)
        self.grouped = False

    def reset(self) -> None:
        self.words, self.gap, self.comment, self.name = [], False, None, None
        self.route, self.local, self.angle, self.closed = [], None, False, False
