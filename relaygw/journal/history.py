"""The searchable history: the journal's lines in SQLite, one file a day, found by id, Message-ID or address.

A day's file goes as a whole when it is older than the history is kept, so that nothing is ever deleted row by row.
`lookup` only reads and needs no running service. A file that turns out damaged is set aside under another name: history
is for people, mail does not depend on it, and it is synced only now and then.
"""

import calendar
import contextlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from relaygw.journal.line import Line, search_key

Told = dict[str, Any]
"""One line of the journal as JSON gave it; relaygw.journal.line describes the shape."""

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.sqlite\Z")
_FORMAT = 1
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY, line TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS found (key TEXT NOT NULL, event INTEGER NOT NULL, PRIMARY KEY (key, event)) WITHOUT ROWID;
PRAGMA user_version = {_FORMAT};
"""
# One statement for any number of rows: the interpreter's lock is let go and taken once, not once a row.
_ADD_EVENTS = "INSERT INTO event (id, line) SELECT ? + key, value FROM json_each(?)"
_ADD_KEYS = (
    "INSERT OR IGNORE INTO found (key, event) SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') "
    "FROM json_each(?)"
)


def _day(now: float) -> str:
    return _name_of(int(now // 86400))


@lru_cache(maxsize=8)
def _name_of(day: int) -> str:
    """The name of the day that is so many days after the epoch."""
    return time.strftime("%Y-%m-%d", time.gmtime(day * 86400))


class History:
    """The writing side; belongs to one thread. `keep` in seconds."""

    def __init__(self, directory: str, keep: float) -> None:
        self.directory = directory
        self.keep = keep
        self._today = ""
        self._connection: sqlite3.Connection | None = None
        self._next = 1

    def append(self, lines: Sequence[Line]) -> None:
        """Keep the lines, each in the file of its day."""
        start = 0
        for end in range(1, len(lines) + 1):
            if end == len(lines) or _day(lines[end].time) != _day(lines[start].time):
                self._write(_day(lines[start].time), lines[start:end])
                start = end

    def _write(self, day: str, lines: Sequence[Line]) -> None:
        connection = self._open(day)
        first = self._next
        keys = [(key, first + number) for number, line in enumerate(lines) for key in line.keys]
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_ADD_EVENTS, (first, json.dumps([line.text for line in lines])))
            connection.execute(_ADD_KEYS, (json.dumps(keys),))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.close()
            if _is_damage(error):
                self._set_aside(day)
            raise
        self._next = first + len(lines)

    def _open(self, day: str) -> sqlite3.Connection:
        if self._connection is not None and day == self._today:
            return self._connection
        self.close()
        try:
            self._connection = self._connect(day)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._set_aside(day)
            self._connection = self._connect(day)
        self._today = day
        self.prune(day)
        return self._connection

    def _connect(self, day: str) -> sqlite3.Connection:
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        path = self._path(day)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = OFF")
            connection.executescript(_SCHEMA)
            self._next = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM event").fetchone()[0]
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _path(self, day: str) -> str:
        return os.path.join(self.directory, f"{day}.sqlite")

    def _set_aside(self, day: str) -> None:
        """Keep a damaged file for whoever wants to look, out of the way; its log would damage the next one."""
        path = self._path(day)
        with contextlib.suppress(OSError):
            os.replace(path, f"{path}.damaged")
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.unlink(path + suffix)

    def prune(self, day: str) -> None:
        """Remove the files of days that are over for longer than `keep`."""
        oldest = _day(max(0.0, _start(day) - self.keep))
        for old in days(self.directory):
            if old < oldest:
                for suffix in ("-wal", "-shm", ""):
                    with contextlib.suppress(OSError):
                        os.unlink(self._path(old) + suffix)

    def close(self) -> None:
        """Let the day's file go, as one plain file that readers need no log beside."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA journal_mode = DELETE")
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None


def _start(day: str) -> float:
    return calendar.timegm(time.strptime(day, "%Y-%m-%d"))


def _is_damage(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def days(directory: str) -> list[str]:
    """The days of which there is history, oldest first."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(match[1] for match in map(_NAME.match, names) if match)


def lookup(directory: str, text: str, limit: int = 50) -> list[Told]:
    """The events of the messages and sessions that `text` names, in order of time.

    `text` is a queue id (all events of the message, of its session from connect to the final reply, and of the reports
    it led to), a session id, a Message-ID or an address (the latest `limit` messages or refused sessions with it).
    Raises OSError where the history cannot be read.
    """
    with _Reader(directory) as reader:
        return reader.lookup(search_key(text), limit)


def events_of(directory: str, day: str, name: str) -> Iterator[Told]:
    """All events of a name ("tls_checked") on a day, in order of time; a day without history has none. Raises OSError
    where it cannot be read."""
    if day not in days(directory):
        return
    path = os.path.abspath(os.path.join(directory, f"{day}.sqlite"))
    query = "SELECT line FROM event WHERE instr(line, ?) ORDER BY id"  # every line begins with its time and its name
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as connection:
            for (line,) in connection.execute(query, (f'"event":"{name}"',)):
                told = json.loads(line)
                if told["event"] == name:
                    yield told
    except (sqlite3.Error, ValueError) as error:
        raise OSError(f"the history cannot be read: {error}") from error


_Place = tuple[int, int]
"""Where an event stands: its day's number and its own; sorts by time."""

_Found = dict[_Place, Told]


class _Reader:
    """Read-only connections to all days, for one question."""

    def __init__(self, directory: str) -> None:
        paths = [os.path.abspath(os.path.join(directory, f"{day}.sqlite")) for day in days(directory)]
        try:
            self._connections = [sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True) for path in paths]
        except sqlite3.Error as error:
            raise OSError(f"the history cannot be read: {error}") from error

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()

    def lookup(self, key: str, limit: int) -> list[Told]:
        found = self._latest(key, limit * 20)
        events = [found[place] for place in sorted(found)]
        if any(event.get("session") == key for event in events):
            messages, sessions = _ids(events, "queue_id"), [key]
        elif any(event.get("queue_id") == key for event in events):
            messages, sessions = [key], []
        else:
            messages = _ids(events, "queue_id")[-limit:]
            sessions = _ids([event for event in events if "queue_id" not in event], "session")[-limit:]
            found = {}
        self._add_messages(messages, found)
        for session in dict.fromkeys(sessions + _ids(found.values(), "session")):
            self._add_session(session, messages, found)
        return [found[place] for place in sorted(found)]

    def _latest(self, key: str, count: int) -> _Found:
        """The latest `count` events under a key."""
        found: _Found = {}
        for day in reversed(range(len(self._connections))):
            found.update(self._events(day, key, count - len(found)))
        return found

    def _all(self, key: str) -> _Found:
        return self._latest(key, 1 << 31)

    def _events(self, day: int, key: str, count: int) -> Iterator[tuple[_Place, Told]]:
        query = "SELECT id, line FROM found JOIN event ON id = event WHERE key = ? ORDER BY event DESC LIMIT ?"
        try:
            for number, line in self._connections[day].execute(query, (key, count)):
                yield (day, number), json.loads(line)
        except (sqlite3.Error, ValueError) as error:
            raise OSError(f"the history cannot be read: {error}") from error

    def _add_messages(self, queue_ids: Iterable[str], found: _Found) -> None:
        """The messages' own events, and those of the reports and messages to lists they led to."""
        waiting, seen = list(queue_ids), set[str]()
        while waiting:
            current = waiting.pop()
            seen.add(current)
            for place, event in self._all(current).items():
                if event.get("queue_id") == current:
                    found[place] = event
                    waiting.extend({event.get("report_id", current), event.get("list_id", current)} - seen)

    def _add_session(self, session: str, messages: Sequence[str], found: _Found) -> None:
        """What the session did apart from other messages that came over it."""
        for place, event in self._all(session).items():
            if event.get("queue_id", "") in ("", *messages):
                found[place] = event


def _ids(events: Iterable[Told], field: str) -> list[str]:
    """The different ids that stand in the events, in their order."""
    return list(dict.fromkeys(event[field] for event in events if event.get(field)))
