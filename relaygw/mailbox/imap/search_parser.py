"""SEARCH programs (RFC 3501 6.4.4) as a tree of keys, bounded in depth and number."""

from collections.abc import Callable

import attrs

from relaygw.mailbox.imap.commands import (
    All,
    And,
    Dated,
    HasFlag,
    HasHeader,
    HasText,
    Not,
    Numbered,
    Or,
    Recent,
    Relation,
    SearchKey,
    Sized,
)
from relaygw.mailbox.imap.dates import parse_date
from relaygw.mailbox.imap.flags import keyword
from relaygw.mailbox.imap.sequence import BadSequence, SequenceSet, parse_sequence
from relaygw.mailbox.imap.tokens import BadSyntax, Cursor

MAX_DEPTH = 50
MAX_KEYS = 1000

_SYSTEM = {
    "ANSWERED": "\\Answered",
    "DELETED": "\\Deleted",
    "DRAFT": "\\Draft",
    "FLAGGED": "\\Flagged",
    "SEEN": "\\Seen",
}
_SIMPLE: dict[str, SearchKey] = {
    "ALL": All(),
    "RECENT": Recent(),
    "OLD": Recent(False),
    "NEW": And((Recent(), HasFlag("\\Seen", False))),
    **{name: HasFlag(flag) for name, flag in _SYSTEM.items()},
    **{f"UN{name}": HasFlag(flag, False) for name, flag in _SYSTEM.items()},
}
_SEQUENCE_STARTS = frozenset((b"*", *(b"%d" % digit for digit in range(10))))


class BadCharset(ValueError):
    """The client names a charset we do not read (NO [BADCHARSET])."""


def parse_search(cursor: Cursor) -> SearchKey:
    """Everything after SEARCH and its space: an optional charset and one or more keys."""
    codec = "ascii"
    if cursor.accept(b"CHARSET "):
        codec = _codec(cursor.astring())
        cursor.space()
    return _Reader(cursor, codec).keys()


def _codec(charset: bytes) -> str:
    codec = {b"us-ascii": "ascii", b"utf-8": "utf-8"}.get(charset.lower())
    if codec is None:
        raise BadCharset("we search in US-ASCII and UTF-8")
    return codec


@attrs.define
class _Reader:
    """Reads keys off the cursor; `count` bounds them all together."""

    cursor: Cursor
    codec: str
    count: int = 0

    def keys(self, depth: int = 0) -> SearchKey:
        """Keys up to the end or the closing parenthesis; all must hold."""
        found = [self.key(depth)]
        while self.cursor.accept(b" "):
            found.append(self.key(depth))
        return found[0] if len(found) == 1 else And(tuple(found))

    def key(self, depth: int) -> SearchKey:
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_KEYS:
            raise BadSyntax("the search is too complex")
        if self.cursor.accept(b"("):
            inner = self.keys(depth + 1)
            self.cursor.expect(b")")
            return inner
        if self.cursor.peek() in _SEQUENCE_STARTS:
            return Numbered(self.sequence())
        return self.named(self.cursor.keyword().decode("ascii"), depth + 1)

    def named(self, name: str, depth: int) -> SearchKey:
        if name in _SIMPLE:
            return _SIMPLE[name]
        if name not in _ARGUMENTS and name not in ("NOT", "OR"):
            raise BadSyntax("unknown search key")
        self.cursor.space()
        if name == "NOT":
            return Not(self.key(depth))
        if name == "OR":
            first = self.key(depth)
            self.cursor.space()
            return Or(first, self.key(depth))
        return _ARGUMENTS[name](self)

    def sequence(self) -> SequenceSet:
        try:
            return parse_sequence(self.cursor.sequence())
        except BadSequence as error:
            raise BadSyntax(str(error)) from None

    def text(self) -> str:
        try:
            return self.cursor.astring().decode(self.codec)
        except UnicodeDecodeError:
            raise BadSyntax("the text is not in the charset of the search") from None

    def header(self) -> SearchKey:
        name = self.text().lower()
        self.cursor.space()
        return HasHeader(name, self.text())

    def date(self, relation: Relation, sent: bool) -> SearchKey:
        return Dated(relation, parse_date(self.cursor.astring()), sent)


def _field(name: str) -> Callable[[_Reader], SearchKey]:
    return lambda reader: HasHeader(name.lower(), reader.text())


def _dated(relation: Relation, sent: bool) -> Callable[[_Reader], SearchKey]:
    return lambda reader: reader.date(relation, sent)


_ARGUMENTS: dict[str, Callable[[_Reader], SearchKey]] = {
    **{name: _field(name) for name in ("BCC", "CC", "FROM", "SUBJECT", "TO")},
    **{relation.name: _dated(relation, False) for relation in Relation},
    **{f"SENT{relation.name}": _dated(relation, True) for relation in Relation},
    "BODY": lambda reader: HasText(reader.text(), headers=False),
    "HEADER": _Reader.header,
    "KEYWORD": lambda reader: HasFlag(keyword(reader.cursor.atom())),
    "LARGER": lambda reader: Sized(reader.cursor.number(), larger=True),
    "SMALLER": lambda reader: Sized(reader.cursor.number(), larger=False),
    "TEXT": lambda reader: HasText(reader.text(), headers=True),
    "UID": lambda reader: Numbered(reader.sequence(), by_uid=True),
    "UNKEYWORD": lambda reader: HasFlag(keyword(reader.cursor.atom()), False),
}
