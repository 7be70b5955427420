"""Message flags (RFC 3501 2.3.2): five system flags, and keywords the client makes up. Case does not matter."""

from relaygw.mailbox.imap.tokens import BadSyntax, Cursor

SYSTEM = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
_CANONICAL = {flag.lower(): flag for flag in SYSTEM}

MAX_FLAGS = 50
MAX_NAMED = 200
"""Flags in one list, each as often as it is named."""
MAX_KEYWORD = 200


def keyword(name: bytes) -> str:
    """The canonical spelling of a keyword: `$Forwarded` as written, for keywords differ in case only by accident."""
    if len(name) > MAX_KEYWORD:
        raise BadSyntax("the keyword is too long")
    return name.decode("ascii")


def parse_flags(cursor: Cursor) -> tuple[str, ...]:
    """A list in parentheses, or flags up to the end (RFC 3501 6.4.6 allows both in STORE).

    \\Recent is the server's to give: clients that copy flags send it along, and it is passed over."""
    if not cursor.accept(b"("):
        return _unique(_flags(cursor))
    if cursor.accept(b")"):
        return ()
    flags = _flags(cursor)
    cursor.expect(b")")
    return _unique(flags)


def _flags(cursor: Cursor) -> list[str]:
    flags = [_flag(cursor)]
    while cursor.accept(b" "):
        if len(flags) == MAX_NAMED:
            raise BadSyntax("too many flags")
        flags.append(_flag(cursor))
    return flags


def _flag(cursor: Cursor) -> str:
    if not cursor.accept(b"\\"):
        return keyword(cursor.atom())
    name = "\\" + cursor.atom().decode("ascii").lower()
    if name == "\\recent":
        return ""
    if name not in _CANONICAL:
        raise BadSyntax("unknown system flag")
    return _CANONICAL[name]


def _unique(flags: list[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(flag for flag in flags if flag))
    if len(found) > MAX_FLAGS:
        raise BadSyntax("too many flags")
    return found
