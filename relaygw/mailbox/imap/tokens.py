"""A cursor over one command: atoms, quoted strings, literals, numbers, in the terms of RFC 3501 9.

A command is a sequence of pieces: text, literal, text, literal … text. Literals may stand wherever a string may.
Every method moves past what it returns or raises BadSyntax; nothing recurses.
"""

import re
from collections.abc import Sequence

import attrs

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_LIST = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
_QUOTED = re.compile(rb'"([^"\\\r\n\x00]*(?:\\["\\][^"\\\r\n\x00]*)*)"')
_NUMBER = re.compile(rb"[0-9]{1,10}")
_SEQUENCE = re.compile(rb"[0-9:,*]+")


class BadSyntax(ValueError):
    """The command does not follow the grammar; the text says where, for the client."""


@attrs.frozen(eq=False)
class StoredLiteral:
    """The message of an APPEND: kept aside by the line layer, of interest only by its size."""

    size: int
    handle: object


Literal = bytes | StoredLiteral


@attrs.define
class Cursor:
    """`texts` has one element more than `literals`; literal i stands between texts i and i + 1."""

    texts: Sequence[bytes]
    literals: Sequence[Literal] = ()
    _piece: int = 0
    _place: int = 0

    @property
    def text(self) -> bytes:
        """The piece of text the cursor is in."""
        return self.texts[self._piece]

    def peek(self) -> bytes:
        """The next octet of text; b"" before a literal and at the end."""
        return self.text[self._place : self._place + 1]

    def at_literal(self) -> bool:
        """Whether a literal is next."""
        return self._place == len(self.text) and self._piece < len(self.literals)

    def at_end(self) -> bool:
        """Whether nothing follows."""
        return self._place == len(self.text) and self._piece == len(self.literals)

    def end(self) -> None:
        """Nothing may follow."""
        if not self.at_end():
            raise BadSyntax("too many arguments")

    def accept(self, expected: bytes) -> bool:
        """Move past `expected` (any case) if it is next."""
        stop = self._place + len(expected)
        if self.text[self._place : stop].upper() != expected:
            return False
        self._place = stop
        return True

    def expect(self, expected: bytes) -> None:
        """`expected` must be next."""
        if not self.accept(expected):
            wanted = "a space" if expected == b" " else expected.decode("ascii")
            raise BadSyntax(f"{wanted} expected")

    def space(self) -> None:
        """One space must be next."""
        self.expect(b" ")

    def _match(self, pattern: re.Pattern[bytes], name: str) -> bytes:
        found = pattern.match(self.text, self._place)
        if found is None:
            raise BadSyntax(f"{name} expected")
        self._place = found.end()
        return found.group()

    def atom(self) -> bytes:
        """An atom as written."""
        return self._match(_ATOM, "an atom")

    def keyword(self) -> bytes:
        """An atom in upper case."""
        return self.atom().upper()

    def number(self) -> int:
        """A number of at most 32 bits."""
        value = int(self._match(_NUMBER, "a number"))
        if value > 2**32 - 1 or self.peek().isdigit():
            raise BadSyntax("the number is too large")
        return value

    def sequence(self) -> bytes:
        """The text of a sequence set."""
        return self._match(_SEQUENCE, "a sequence set")

    def astring(self) -> bytes:
        """An atom (`]` allowed) or a string."""
        if self.peek() == b'"' or self.at_literal():
            return self.string()
        return self._match(_ASTRING, "a string")

    def pattern(self) -> bytes:
        """A list-mailbox: as astring, with `%` and `*`."""
        if self.peek() == b'"' or self.at_literal():
            return self.string()
        return self._match(_LIST, "a mailbox pattern")

    def string(self) -> bytes:
        """A quoted string or a literal."""
        if self.at_literal():
            return self._literal_string()
        found = _QUOTED.match(self.text, self._place)
        if found is None:
            raise BadSyntax("a quoted string or a literal expected")
        self._place = found.end()
        value = found.group(1)
        if b"\\" not in value:
            return value
        return b"\\".join([piece.replace(b"\\", b"") for piece in value.split(b"\\\\")])

    def _literal_string(self) -> bytes:
        literal = self.message()
        if isinstance(literal, StoredLiteral):
            raise BadSyntax("a short string expected")
        if b"\x00" in literal:
            raise BadSyntax("a literal may not hold NUL")
        return literal

    def message(self) -> Literal:
        """A literal, of whatever size."""
        if not self.at_literal():
            raise BadSyntax("a literal expected")
        literal = self.literals[self._piece]
        self._piece += 1
        self._place = 0
        return literal

    def rest(self) -> bytes:
        """What is left of the text, when no literal follows."""
        if self._piece < len(self.literals):
            raise BadSyntax("no literal expected")
        value = self.text[self._place :]
        self._place = len(self.text)
        return value
