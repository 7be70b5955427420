"""The index of one account: what Maildir++ has no place for. SQLite; blocking; for the account's lane only.

It keeps UIDVALIDITY, UIDNEXT, every message's uid, keywords, size, date and modseq, and octets that protocols cache.
The maildir is the truth about messages and flags, the index about uids. A lost or broken index is made anew with
new UIDVALIDITYs. One process at a time: the file is locked while open, since uids are counted in memory.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import attrs

from relaygw.mailbox.values import Cached, StoreError

FILE = "relaygw-index.sqlite"
_VERSION = 1
_WAIT = 5.0
"""Seconds to wait for another process to let go of the index."""

_SCHEMA = """
CREATE TABLE counter (last_validity INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
CREATE TABLE folder (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL, modseq INTEGER NOT NULL);
CREATE TABLE message (
    folder INTEGER NOT NULL, uid INTEGER NOT NULL, place TEXT NOT NULL, name TEXT NOT NULL, keywords TEXT NOT NULL,
    octets INTEGER NOT NULL, size INTEGER NOT NULL, date REAL NOT NULL, modseq INTEGER NOT NULL,
    PRIMARY KEY (folder, uid)) WITHOUT ROWID;
CREATE TABLE cache (
    folder INTEGER NOT NULL, uid INTEGER NOT NULL, envelope BLOB NOT NULL, structure BLOB NOT NULL,
    PRIMARY KEY (folder, uid)) WITHOUT ROWID;
"""


@attrs.frozen(kw_only=True)
class FolderRow:
    id: int
    name: str
    validity: int
    uid_next: int
    modseq: int


@attrs.frozen(kw_only=True)
class MessageRow:
    """`place` is "new" or "cur", `name` the file name in it, `keywords` joined with spaces."""

    uid: int
    place: str
    name: str
    keywords: str
    octets: int
    size: int
    date: float
    modseq: int


class Index:
    """Raises StoreError when SQLite fails; what was begun is then rolled back."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, FILE)
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"{self._path}: {error}") from error
            self._set_aside()
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise sqlite3.OperationalError(f"the index is of version {version}, made by a newer relaygw")
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {_VERSION};COMMIT;")

    def _set_aside(self) -> None:
        """Keep a damaged index for whoever wants to look, out of the way."""
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._path + suffix, f"{self._path}.broken{suffix}")

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """All or nothing. `durable`: survives power loss when this ends; without, it survives a crash of ours."""
        try:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> StoreError:
        """Damage found on the way: the file is set aside, so that the account's next opening makes it anew."""
        if error.sqlite_errorcode in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._set_aside()
        return StoreError(f"{self._path}: {error}")

    def _rows(self, query: str, arguments: Sequence[object] = ()) -> list[tuple[object, ...]]:
        try:
            return self._connection.execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def folder(self, name: str, now: float) -> FolderRow:
        """The folder's row, made with a UIDVALIDITY that no folder of this account ever had."""
        query = "SELECT id, name, validity, uid_next, modseq FROM folder WHERE name = ?"
        found = self._rows(query, (name,))
        if not found:
            with self.transaction(durable=True) as connection:
                connection.execute("UPDATE counter SET last_validity = max(last_validity + 1, ?)", (int(now),))
                connection.execute(
                    "INSERT INTO folder (name, validity, uid_next, modseq) SELECT ?, last_validity, 1, 1 FROM counter",
                    (name,),
                )
            found = self._rows(query, (name,))
        values = dict(zip(("id", "name", "validity", "uid_next", "modseq"), found[0], strict=True))
        return FolderRow(**values)  # type: ignore[arg-type]  # SQLite's rows have no types

    def rename(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Folders keep uids and UIDVALIDITY under their new names; what was known under those names is forgotten."""
        with self.transaction(durable=True) as connection:
            for old, new in pairs:
                _forget(connection, new)
                connection.execute("UPDATE folder SET name = ? WHERE name = ?", (new, old))

    def forget(self, name: str) -> None:
        """A deleted folder: made again, it gets another UIDVALIDITY."""
        with self.transaction(durable=True) as connection:
            _forget(connection, name)

    def messages(self, folder: int) -> list[MessageRow]:
        """In order of uid."""
        fields = [field.name for field in attrs.fields(MessageRow)]
        rows = self._rows(f"SELECT {', '.join(fields)} FROM message WHERE folder = ? ORDER BY uid", (folder,))  # noqa: S608
        return [MessageRow(**dict(zip(fields, row, strict=True))) for row in rows]  # type: ignore[arg-type]  # as above

    def save(
        self, folder: FolderRow, rows: Iterable[MessageRow] = (), gone: Iterable[int] = (), *, durable: bool
    ) -> None:
        """Store changed and new rows, remove those gone, and the folder's counters, in one transaction."""
        with self.transaction(durable=durable) as connection:
            add_changes(connection, folder, rows, gone)

    def cached(self, folder: int, uids: Sequence[int]) -> dict[int, Cached]:
        """What is cached of these messages; those without are left out."""
        found: dict[int, Cached] = {}
        for start in range(0, len(uids), 500):
            part = uids[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"SELECT uid, envelope, structure FROM cache WHERE folder = ? AND uid IN ({marks})"  # noqa: S608
            for uid, envelope, structure in self._rows(query, (folder, *part)):
                found[uid] = Cached(envelope=envelope, structure=structure)  # type: ignore[index, arg-type]  # as above
        return found

    def cache(self, folder: int, values: Iterable[tuple[int, Cached]]) -> None:
        """Keep computed octets; those of expunged messages are dropped."""
        with self.transaction(durable=False) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO cache SELECT folder, uid, ?, ? FROM message WHERE folder = ? AND uid = ?",
                [(value.envelope, value.structure, folder, uid) for uid, value in values],
            )


def add_changes(
    connection: sqlite3.Connection, folder: FolderRow, rows: Iterable[MessageRow], gone: Iterable[int]
) -> None:
    """One folder's part of a transaction."""
    connection.execute(
        "UPDATE folder SET uid_next = ?, modseq = ? WHERE id = ?", (folder.uid_next, folder.modseq, folder.id)
    )
    connection.executemany(
        "INSERT OR REPLACE INTO message (folder, uid, place, name, keywords, octets, size, date, modseq)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(folder.id, *attrs.astuple(row)) for row in rows],
    )
    keys = [(folder.id, uid) for uid in gone]
    connection.executemany("DELETE FROM message WHERE folder = ? AND uid = ?", keys)
    connection.executemany("DELETE FROM cache WHERE folder = ? AND uid = ?", keys)


def _forget(connection: sqlite3.Connection, name: str) -> None:
    for (number,) in connection.execute("SELECT id FROM folder WHERE name = ?", (name,)).fetchall():
        for table, column in (("message", "folder"), ("cache", "folder"), ("folder", "id")):
            connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))  # noqa: S608
