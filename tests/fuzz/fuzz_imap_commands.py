"""However a client's octets are cut, they are the same commands, each one request or one BadCommand."""

import contextlib
from io import BytesIO

from relaygw.mailbox.imap.commands import Search
from relaygw.mailbox.imap.lines import Collected, CommandReader, Continue, Offered, Skipped
from relaygw.mailbox.imap.parser import BadCommand, parse_command
from relaygw.mailbox.imap.search import Candidate, compile_search
from relaygw.mailbox.imap.sequence import BadSequence

SEEDS = (
    b"\3a LOGIN alice {5}\r\nsecre x\r\n",
    b"\1a UID FETCH 1:*,3 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (To \"x\")]<0.9>)\r\n",
    b"\7a SEARCH CHARSET UTF-8 OR NOT (SEEN 1:3) TEXT {2+}\r\n\xc3\xbc SINCE 1-Feb-2024 HEADER x \"y\"\r\n",
    b"\2a APPEND Entw&APw-rfe (\\Seen k) \"17-Jul-1996 02:44:25 -0700\" {3+}\r\nabc\r\nb NOOP\r\n",
    b"\5a STORE 2 -FLAGS.SILENT (\\Deleted)\r\na ID (\"x\" NIL)\r\na LIST \"\" %*\r\na STATUS x (UNSEEN)\r\n",
)  # fmt: skip
CANDIDATE = Candidate(number=2, uid=7, flags=frozenset({"\\seen"}), recent=False, size=9, arrived=1e9)


def read(data: bytes, size: int) -> list[object]:
    reader, found = CommandReader(), list[object]()
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
        while (event := reader.next()) is not None:
            if isinstance(event, Offered):
                reader.take(BytesIO())
            elif isinstance(event, Collected):
                found.append((event.texts, tuple(each for each in event.literals if isinstance(each, bytes))))
                attempt(event)
            elif isinstance(event, Skipped):
                found.append(event.fault)
            else:
                assert isinstance(event, Continue)
    return found


def attempt(command: Collected) -> None:
    with contextlib.suppress(BadCommand):
        request = parse_command(command.texts, command.literals)
        if isinstance(request.arguments, Search):
            with contextlib.suppress(BadSequence):
                compile_search(request.arguments.key, 3, (5, 7, 9))(CANDIDATE, None)


def one_input(data: bytes) -> None:
    size, data = (data[0] % 32 + 1, data[1:]) if data else (1, b"")
    assert read(data, size) == read(data, len(data) or 1)
