"""One command, in pieces as the line layer collected it → one Request, or BadCommand (RFC 3501 9). Pure."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from relaygw.mailbox.imap.commands import (
    ALLOWED,
    Append,
    Arguments,
    Authenticate,
    Copy,
    Enable,
    Expunge,
    Fetch,
    ListPattern,
    Login,
    Mailbox,
    Mode,
    Nothing,
    Rename,
    Request,
    Search,
    Status,
    Store,
)
from relaygw.mailbox.imap.dates import parse_date_time
from relaygw.mailbox.imap.fetch_parser import parse_fetch_items
from relaygw.mailbox.imap.flags import parse_flags
from relaygw.mailbox.imap.search_parser import BadCharset, parse_search
from relaygw.mailbox.imap.sequence import BadSequence, SequenceSet, parse_sequence
from relaygw.mailbox.imap.tokens import BadSyntax, Cursor, Literal
from relaygw.mailbox.imap.utf7 import BadName, decode_name

MAX_NAME = 1000
"""Octets of a mailbox name or pattern on the wire."""

MAX_IDENTITY = 60
"""Strings of ID: thirty fields with their values (RFC 2971 3.3)."""
MAX_WORDS = 100
"""Items of STATUS, names of ENABLE."""

STATUS_ITEMS = ("MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "SIZE", "APPENDLIMIT")

Word = TypeVar("Word")

_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]{1,256}')
_BY_UID = frozenset({"FETCH", "STORE", "SEARCH", "COPY", "MOVE", "EXPUNGE"})


class BadCommand(Exception):
    """No command. `tag` is b"" where not even that was found; `reason` may be shown; `charset`: only that was bad."""

    def __init__(self, tag: bytes, reason: str, charset: bool = False) -> None:
        super().__init__(reason)
        self.tag = tag
        self.reason = reason
        self.charset = charset


def parse_tag(text: bytes) -> bytes:
    """The tag a command begins with; b"" where it has none."""
    found = _TAG.match(text)
    return found.group() if found and text[found.end() : found.end() + 1] in (b" ", b"") else b""


def parse_command(texts: Sequence[bytes], literals: Sequence[Literal] = ()) -> Request:
    """The request that `texts` and `literals` (see Cursor) spell; BadCommand otherwise."""
    tag = parse_tag(texts[0])
    if not tag:
        raise BadCommand(b"", "a tag expected")
    cursor = Cursor((texts[0][len(tag) :], *texts[1:]), literals)
    try:
        return _request(tag, cursor)
    except (BadSyntax, BadSequence, BadName) as error:
        raise BadCommand(tag, str(error)) from None
    except BadCharset as error:
        raise BadCommand(tag, str(error), charset=True) from None


def _request(tag: bytes, cursor: Cursor) -> Request:
    cursor.space()
    name = cursor.keyword().decode("ascii")
    by_uid = name == "UID"
    if by_uid:
        cursor.space()
        name = cursor.keyword().decode("ascii")
    if name not in ALLOWED or (by_uid and name not in _BY_UID):
        raise BadSyntax("unknown command")
    arguments = _ARGUMENTS.get(name, _nothing)(cursor, by_uid)
    cursor.end()
    return Request(tag, name, arguments, by_uid)


def _nothing(cursor: Cursor, by_uid: bool) -> Arguments:
    return Nothing()


def _login(cursor: Cursor, by_uid: bool) -> Arguments:
    cursor.space()
    user = cursor.astring()
    cursor.space()
    return Login(user, cursor.astring())


def _authenticate(cursor: Cursor, by_uid: bool) -> Arguments:
    cursor.space()
    mechanism = cursor.keyword().decode("ascii")
    if cursor.at_end():
        return Authenticate(mechanism)
    cursor.space()
    return Authenticate(mechanism, cursor.rest())


def _identify(cursor: Cursor, by_uid: bool) -> Arguments:
    """ID (RFC 2971): NIL or a list of strings, which nobody here wants to know."""
    cursor.space()
    if cursor.accept(b"NIL"):
        return Nothing()
    cursor.expect(b"(")
    left = MAX_IDENTITY
    while not cursor.accept(b")"):
        left -= 1
        if left < 0:
            raise BadSyntax("too many fields")
        if not cursor.accept(b"NIL"):
            cursor.string()
        cursor.accept(b" ")
    return Nothing()


def _words(cursor: Cursor, read: Callable[[Cursor], Word]) -> list[Word]:
    """One after the other, each behind a space but the first."""
    found = [read(cursor)]
    while cursor.accept(b" "):
        if len(found) == MAX_WORDS:
            raise BadSyntax("too many arguments")
        found.append(read(cursor))
    return found


def _decoded(wire: bytes) -> str:
    if len(wire) > MAX_NAME:
        raise BadSyntax("the mailbox name is too long")
    name = decode_name(wire)
    return "INBOX" if name.upper() == "INBOX" else name


def _name(cursor: Cursor) -> str:
    cursor.space()
    return _decoded(cursor.astring())


def _mailbox(cursor: Cursor, by_uid: bool) -> Arguments:
    return Mailbox(_name(cursor))


def _rename(cursor: Cursor, by_uid: bool) -> Arguments:
    source = _name(cursor)
    return Rename(source, _name(cursor))


def _list(cursor: Cursor, by_uid: bool) -> Arguments:
    cursor.space()
    reference = cursor.astring()
    cursor.space()
    pattern = cursor.pattern()
    if len(reference) > MAX_NAME or len(pattern) > MAX_NAME:
        raise BadSyntax("the mailbox name is too long")
    return ListPattern(decode_name(reference), decode_name(pattern))


def _status(cursor: Cursor, by_uid: bool) -> Arguments:
    name = _name(cursor)
    cursor.expect(b" (")
    items = _words(cursor, _status_item)
    cursor.expect(b")")
    return Status(name, tuple(dict.fromkeys(items)))


def _status_item(cursor: Cursor) -> str:
    item = cursor.keyword().decode("ascii")
    if item not in STATUS_ITEMS:
        raise BadSyntax("unknown status item")
    return item


def _append(cursor: Cursor, by_uid: bool) -> Arguments:
    name = _name(cursor)
    cursor.space()
    flags: tuple[str, ...] = ()
    arrived = None
    if cursor.peek() == b"(":
        flags = parse_flags(cursor)
        cursor.space()
    if cursor.peek() == b'"':
        arrived = parse_date_time(cursor.string())
        cursor.space()
    message = cursor.message()
    return Append(name, flags, arrived, message)


def _enable(cursor: Cursor, by_uid: bool) -> Arguments:
    cursor.space()
    names = _words(cursor, Cursor.keyword)
    return Enable(tuple(name.decode("ascii") for name in names))


def _messages(cursor: Cursor) -> SequenceSet:
    cursor.space()
    return parse_sequence(cursor.sequence())


def _expunge(cursor: Cursor, by_uid: bool) -> Arguments:
    return Expunge(_messages(cursor)) if by_uid else Expunge()


def _search(cursor: Cursor, by_uid: bool) -> Arguments:
    cursor.space()
    return Search(key=parse_search(cursor), by_uid=by_uid)


def _fetch(cursor: Cursor, by_uid: bool) -> Arguments:
    messages = _messages(cursor)
    cursor.space()
    return Fetch(messages=messages, items=parse_fetch_items(cursor), by_uid=by_uid)


def _store(cursor: Cursor, by_uid: bool) -> Arguments:
    messages = _messages(cursor)
    cursor.space()
    mode = Mode.ADD if cursor.accept(b"+") else Mode.REMOVE if cursor.accept(b"-") else Mode.SET
    cursor.expect(b"FLAGS")
    silent = cursor.accept(b".SILENT")
    cursor.space()
    return Store(messages=messages, mode=mode, flags=parse_flags(cursor), silent=silent, by_uid=by_uid)


def _copy(cursor: Cursor, by_uid: bool) -> Arguments:
    messages = _messages(cursor)
    return Copy(messages=messages, name=_name(cursor), by_uid=by_uid)


_ARGUMENTS: dict[str, Callable[[Cursor, bool], Arguments]] = {
    "APPEND": _append,
    "AUTHENTICATE": _authenticate,
    "COPY": _copy,
    "CREATE": _mailbox,
    "DELETE": _mailbox,
    "ENABLE": _enable,
    "EXAMINE": _mailbox,
    "EXPUNGE": _expunge,
    "FETCH": _fetch,
    "ID": _identify,
    "LIST": _list,
    "LOGIN": _login,
    "LSUB": _list,
    "MOVE": _copy,
    "RENAME": _rename,
    "SEARCH": _search,
    "SELECT": _mailbox,
    "STATUS": _status,
    "STORE": _store,
    "SUBSCRIBE": _mailbox,
    "UNSUBSCRIBE": _mailbox,
}
"""How each command's arguments are read; those not here have none."""
