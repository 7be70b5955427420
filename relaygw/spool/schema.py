"""The spool's database: how it is opened, its tables, and the steps from one format to the next.

The format's number stands in `user_version`. A database of a newer program is refused, an older one is brought up to
date in one transaction. `message` has what the queue asks for, `content` the octets apart from it, so that a change of
the record never rewrites them. Those that nobody has claimed (`lease` 0) are found by due time and by owner, those that
are claimed by the end of the claim: what is delivered at once is in no index that grows with the queue. What operators
look for is in the tables `index_…`, which accepted mail does not wait for.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from urllib.parse import quote

from twisted.logger import Logger

from relaygw.core.owner import owner_of
from relaygw.interfaces import SpoolError
from relaygw.spool.codec import CodecError, decode_record
from relaygw.spool.files import write_again

_log = Logger()

APPLICATION = 0x52475751  # "RGWQ", for file(1)
PAGE_SIZE = 8192
WAL_LIMIT = 64 * 1024 * 1024
"""Octets of log file kept for reuse: overwriting it syncs faster than extending it."""


def _format_1(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE message (id INTEGER PRIMARY KEY, queue_id TEXT NOT NULL UNIQUE, due REAL NOT NULL, "
        "lease REAL NOT NULL, wake REAL NOT NULL, file TEXT NOT NULL, damage TEXT, record TEXT NOT NULL)"
    )
    connection.execute("CREATE INDEX message_wake ON message (wake)")
    connection.execute("CREATE INDEX message_damage ON message (id) WHERE damage IS NOT NULL")
    connection.execute(
        "CREATE TABLE content (id INTEGER PRIMARY KEY, size INTEGER NOT NULL, prefix BLOB NOT NULL, data BLOB NOT NULL)"
    )


def _format_2(connection: sqlite3.Connection) -> None:
    """Owners, so that a letter is found behind a mailing; indexes of those that are claimed and those that are not."""
    connection.create_function("owner_of_record", 1, _owner_of_text, deterministic=True)
    connection.execute("DROP INDEX message_wake")
    connection.execute("ALTER TABLE message DROP COLUMN wake")
    connection.execute("ALTER TABLE message ADD COLUMN owner TEXT NOT NULL DEFAULT ''")
    connection.execute("UPDATE message SET owner = owner_of_record(CAST(record AS BLOB)) WHERE damage IS NULL")
    connection.execute("CREATE INDEX message_due ON message (due, owner) WHERE lease = 0 AND damage IS NULL")
    connection.execute("CREATE INDEX message_owner ON message (owner, due) WHERE lease = 0 AND damage IS NULL")
    connection.execute("CREATE INDEX message_lease ON message (lease) WHERE lease <> 0")
    connection.execute("CREATE INDEX message_file ON message (file, queue_id) WHERE file <> ''")


def _owner_of_text(raw: bytes) -> str:
    """What cannot be read has no owner; it is set aside when it is."""
    try:
        return owner_of(decode_record(raw.decode("utf-8")))
    except (CodecError, UnicodeDecodeError):
        return ""


def _format_3(connection: sqlite3.Connection) -> None:
    """What operators removed and may want back; digests of contents; what came from archives, to come in once."""
    connection.execute("ALTER TABLE content ADD COLUMN crc INTEGER")
    connection.execute(
        "CREATE TABLE trash (id INTEGER PRIMARY KEY AUTOINCREMENT, queue_id TEXT NOT NULL, removed REAL NOT NULL, "
        "reason TEXT NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, crc INTEGER, record TEXT NOT NULL, "
        "prefix BLOB NOT NULL, data BLOB NOT NULL)"
    )
    connection.execute("CREATE INDEX trash_removed ON trash (removed)")
    connection.execute("CREATE INDEX trash_queue_id ON trash (queue_id)")
    connection.execute("CREATE INDEX trash_file ON trash (file) WHERE file <> ''")
    connection.execute(
        "CREATE TABLE imported (archive TEXT NOT NULL, queue_id TEXT NOT NULL, moment REAL NOT NULL, "
        "PRIMARY KEY (archive, queue_id)) WITHOUT ROWID"
    )


def _format_4(connection: sqlite3.Connection) -> None:
    """The index of the queue (index.py), which is filled when nobody waits; what is held, in order."""
    connection.execute("CREATE INDEX message_held ON message (queue_id) WHERE due = 9e999")
    connection.execute(
        "CREATE TABLE index_part (number INTEGER PRIMARY KEY, low TEXT NOT NULL, high TEXT NOT NULL, "
        "oldest REAL NOT NULL, newest REAL NOT NULL, messages INTEGER NOT NULL, ids TEXT NOT NULL)"
    )
    connection.execute(
        "CREATE TABLE index_key (part INTEGER NOT NULL, key INTEGER NOT NULL, places BLOB NOT NULL, "
        "PRIMARY KEY (part, key)) WITHOUT ROWID"
    )
    connection.execute("CREATE TABLE index_loose (queue_id TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.execute("CREATE TABLE index_state (version INTEGER NOT NULL, mark TEXT NOT NULL)")
    connection.execute("INSERT INTO index_state VALUES (0, '')")


Migration = Callable[[sqlite3.Connection], None]

MIGRATIONS: tuple[Migration, ...] = (_format_1, _format_2, _format_3, _format_4)
"""Step n leads from format n to n + 1; what was published is never changed, only followed by another."""


def connect(path: str, steps: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """An open database of the present format. Raises sqlite3.Error, OSError, or SpoolError where the file is not ours.

    What is in the log is on the disk before SQLite goes by it: from a log that was synced in vain it would copy pages
    into the database, and after a power cut put older ones, from what there is of the log, on top."""
    write_again(f"{path}-wal")
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=10)
    try:
        _configure(connection)
        _migrate(connection, path, steps)
    except BaseException:
        connection.close()
        raise
    return connection


def close_as_it_is(connection: sqlite3.Connection, path: str) -> None:
    """Close a database whose log may not be on the disk as reading shows it. Whoever is the last to close one copies
    the log into it first, and a power cut then leaves a part of that and no log to mend it: so the last is somebody who
    may only read."""
    last = None
    try:
        last = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, check_same_thread=False)
        last.execute("SELECT count(*) FROM sqlite_master").fetchall()  # it has the log open, too
    except sqlite3.Error as error:
        _log.error("the database cannot be opened beside itself: {error}", error=error)
    connection.close()
    if last is not None:
        last.close()


def _configure(connection: sqlite3.Connection) -> None:
    connection.text_factory = _lenient_text
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise SpoolError("the spool's file system does not allow SQLite's write-ahead log")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # the writer does it when nobody waits
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("PRAGMA cache_size = -8192")
    connection.execute("PRAGMA temp_store = MEMORY")


def _lenient_text(raw: bytes) -> str:
    """Damaged text must not stop a query; records are read as octets and judged by the codec."""
    return raw.decode("utf-8", "replace")


def _migrate(connection: sqlite3.Connection, path: str, steps: Sequence[Migration]) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found == len(steps):
        return
    if found > len(steps):
        raise SpoolError(f"{path} has format {found}; this program knows formats up to {len(steps)}")
    connection.execute("BEGIN IMMEDIATE")
    if found == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise SpoolError(f"{path} is some other program's database")
    for step in steps[found:]:
        step(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {len(steps)}")
    connection.execute("COMMIT")
