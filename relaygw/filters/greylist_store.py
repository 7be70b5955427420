"""What greylisting remembers, in one SQLite file: asked and written in a thread, many questions in one transaction.

Nobody's mail depends on it: every failure is a StoreError for those who asked, a file that turns out damaged is set
aside, and the next question begins anew. The file is synced now and then only. It is let go when nobody asks for a
while, so that a replaced filter holds nothing.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from relaygw.core.greylist import Known, Policy, Ruling, Seen, Triplet, rule

IDLE = 60.0
"""Seconds without a question after which the file is let go."""
PRUNE = 300.0
"""Seconds between two looks for what may be forgotten."""
BATCH = 256
"""Questions per transaction at most."""

_FORMAT = 1
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS triplet (
    client TEXT NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL,
    first REAL NOT NULL, last REAL NOT NULL, passed INTEGER NOT NULL,
    PRIMARY KEY (client, sender, recipient)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS triplet_age ON triplet (passed, last);
CREATE TABLE IF NOT EXISTS known (
    client TEXT PRIMARY KEY, passes INTEGER NOT NULL, last REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS known_age ON known (last);
PRAGMA user_version = {_FORMAT};
"""


class StoreError(Exception):
    """The file cannot be asked now."""


@attrs.frozen
class _Question:
    triplet: Triplet
    now: float
    answer: "Deferred[Ruling]"


class GreylistFile:
    """The thread's side. At most `entries` triplets, and as many clients, are kept; the longest unheard of go first."""

    def __init__(self, path: str, policy: Policy, entries: int) -> None:
        self._path = path
        self._policy = policy
        self._entries = entries
        self._connection: sqlite3.Connection | None = None
        self._pruned = 0.0

    def rule(self, questions: Sequence[tuple[Triplet, float]]) -> list[Ruling]:
        """The rulings, remembered; raises StoreError."""
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            rulings = [self._rule(connection, triplet, now) for triplet, now in questions]
            self._prune(connection, questions[-1][1])
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self.close()
            if isinstance(error, sqlite3.Error) and _is_damage(error):
                self._set_aside()
            raise StoreError(f"{self._path}: {error}") from error
        return rulings

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, timeout=2.0, isolation_level=None, check_same_thread=False)
        self._connection = connection
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if connection.execute("PRAGMA user_version").fetchone()[0] > _FORMAT:
            raise sqlite3.OperationalError("it was written by a later version")
        connection.executescript(_SCHEMA)
        return connection

    def _rule(self, connection: sqlite3.Connection, triplet: Triplet, now: float) -> Ruling:
        key = (triplet.client, triplet.sender, triplet.recipient)
        found = connection.execute(
            "SELECT first, last, passed FROM triplet WHERE client = ? AND sender = ? AND recipient = ?", key
        ).fetchone()
        seen = Seen(first=found[0], last=found[1], passed=bool(found[2])) if found else None
        found = connection.execute("SELECT passes, last FROM known WHERE client = ?", key[:1]).fetchone()
        known = Known(passes=found[0], last=found[1]) if found else None
        ruling = rule(self._policy, seen, known, now)
        if (seen := ruling.seen) is not None:
            row = (*key, seen.first, seen.last, seen.passed)
            connection.execute("INSERT OR REPLACE INTO triplet VALUES (?, ?, ?, ?, ?, ?)", row)
        if (known := ruling.known) is not None:
            connection.execute("INSERT OR REPLACE INTO known VALUES (?, ?, ?)", (key[0], known.passes, known.last))
        return ruling

    def _prune(self, connection: sqlite3.Connection, now: float) -> None:
        """Forget what no ruling asks for any more, and what is too much; those who never came back go first."""
        if 0 <= now - self._pruned < PRUNE:
            return
        self._pruned = now
        window, remember = now - self._policy.window, now - self._policy.remember
        connection.execute("DELETE FROM triplet WHERE passed = 0 AND last < ?", (window,))
        connection.execute("DELETE FROM triplet WHERE passed = 1 AND last < ?", (remember,))
        connection.execute("DELETE FROM known WHERE last < ?", (remember,))
        for table, key, age in (
            ("triplet", "(client, sender, recipient)", "passed, last"),
            ("known", "client", "last"),
        ):
            columns = key.strip("()")
            [surplus] = connection.execute(f"SELECT count(*) - ? FROM {table}", (self._entries,)).fetchone()  # noqa: S608
            if surplus > 0:
                connection.execute(
                    f"DELETE FROM {table} WHERE {key} IN (SELECT {columns} FROM {table} ORDER BY {age} LIMIT ?)",  # noqa: S608
                    (surplus,),
                )

    def _set_aside(self) -> None:
        """Keep a damaged file for whoever wants to look, out of the way; its log would damage the next one."""
        with contextlib.suppress(OSError):
            os.replace(self._path, f"{self._path}.damaged")
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.unlink(self._path + suffix)


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class GreylistStore:
    """The reactor's side. `reactor` gives time, callFromThread and the thread pool."""

    def __init__(self, file: GreylistFile, reactor: Any) -> None:
        self._file = file
        self._reactor = reactor
        self._waiting: list[_Question] = []
        self._busy = False
        self._idle: IDelayedCall | None = None

    def ask(self, triplet: Triplet) -> "Deferred[Ruling]":
        """The ruling on an attempt made now, or a StoreError."""
        question = _Question(triplet, self._reactor.seconds(), Deferred())
        self._waiting.append(question)
        self._next()
        return question.answer

    def close(self) -> None:
        """Let the file go at once, where nobody waits for it; the next question opens it again."""
        self._stop_waiting()
        if not self._busy:
            self._file.close()

    def _next(self) -> None:
        if self._busy:
            return
        self._stop_waiting()
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        if not batch:
            self._idle = self._reactor.callLater(IDLE, self._let_go)
            return
        self._busy = True
        asked = [(question.triplet, question.now) for question in batch]
        self._run(lambda: self._file.rule(asked), lambda worked, result: self._answered(batch, worked, result))

    def _run(self, function: Callable[[], object], done: Callable[[bool, Any], None]) -> None:
        """Call the function in a thread, then `done` in the reactor's."""
        self._reactor.getThreadPool().callInThreadWithCallback(
            lambda worked, result: self._reactor.callFromThread(done, worked, result), function
        )

    def _answered(self, batch: Sequence[_Question], worked: bool, result: Any) -> None:
        self._busy = False
        self._next()
        for position, question in enumerate(batch):
            if worked:
                question.answer.callback(result[position])
            else:
                question.answer.errback(result)

    def _stop_waiting(self) -> None:
        timer, self._idle = self._idle, None
        if timer is not None and timer.active():
            timer.cancel()

    def _let_go(self) -> None:
        self._busy = True
        self._run(self._file.close, lambda worked, result: self._closed())

    def _closed(self) -> None:
        self._busy = False
        if self._waiting:
            self._next()
