"""What is done to the database, as plain calls within a transaction that the caller begins and ends.

One thread at a time. Knows nothing of Deferreds and threads. A stored record or content that cannot be read is marked
as damaged with the reason, is left out of every answer from then on, and stops nothing else.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from zlib import crc32

from relaygw.core.owner import owner_of
from relaygw.core.record import Record
from relaygw.interfaces import Settlement, SpoolError
from relaygw.spool.claiming import Claiming
from relaygw.spool.codec import CodecError, decode_record
from relaygw.spool.contents import STAYS, Contents, is_corrupt
from relaygw.spool.entries import Damage, Entry, RecordChange, change_of, expand, parts
from relaygw.spool.files import ContentFiles
from relaygw.spool.index import Index
from relaygw.spool.schema import PAGE_SIZE, close_as_it_is, connect

LATELY = 512
"""Records that are remembered as they were read: an order reads them twice in a row."""


class Store(Claiming, Contents):
    """`written` estimates the octets that went into the log since it was last copied into the database. `doubt` is
    told, in any thread, of a message whose content file was read and is not what was stored."""

    def __init__(self, path: str, files: ContentFiles) -> None:
        self.files = files
        self.written = 0
        self._path = path
        self._connection = connect(path)
        self.index = Index(self._connection.execute)
        self._next_id = self._one("SELECT coalesce(max(id), 0) + 1 FROM message")[0]
        with contextlib.suppress(sqlite3.DatabaseError):  # contents that could not be removed outlive their messages
            self._next_id = max(self._next_id, self._one("SELECT coalesce(max(id), 0) + 1 FROM content")[0])
        self.stuck: set[int] = set()
        self._number = self._one(
            "SELECT (SELECT count(*) FROM message) - (SELECT count(*) FROM message WHERE damage IS NOT NULL)"
        )[0]
        self.doubt: Callable[[str, str], None] = lambda queue_id, error: None
        self._discarded: list[str] = []
        self._damages: list[Damage] = []
        self._lost: set[int] = set()
        self._losses: list[Damage] = []
        self._spoiled: dict[str, str] = {}
        self._learnt = False
        self._lately: dict[str, tuple[bytes, Record]] = {}

    def _one(self, query: str, values: Sequence[object] = ()) -> tuple[int, ...]:
        row: tuple[int, ...] = self._connection.execute(query, values).fetchone()
        return row

    def execute(self, query: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """For what lies beside the queue, within the caller's transaction (trash, search, set-aside messages)."""
        return self._connection.execute(query, values)

    def discard(self, file: str) -> None:
        """Nothing names this file any more, once the transaction is committed."""
        self._discarded.append(file)

    # -- the transaction ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def unsynced(self) -> Iterator[None]:
        """What is committed within may be lost when the power goes, as a whole: the next that is synced syncs it too
        (SQLite's log, synchronous = NORMAL)."""
        usual = self._one("PRAGMA synchronous")[0]
        self._connection.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._connection.execute(f"PRAGMA synchronous = {usual}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; when it ends without an exception, what was done survives power loss."""
        self._connection.execute("BEGIN IMMEDIATE")
        number = self._number
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._number = number
            self._discarded.clear()
            self._damages.clear()
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def take_discarded(self) -> list[str]:
        """The files that nothing names any more since the last commit: theirs to remove who asks."""
        discarded, self._discarded = self._discarded, []
        return discarded

    def take_damages(self) -> list[Damage]:
        """What was set aside since the last call and is committed so."""
        damages, self._damages, self._losses = self._damages + self._losses, [], []
        return damages

    def checkpoint(self, mode: str = "PASSIVE") -> bool:
        """Copy the log into the database; whether all of it was copied."""
        blocked, logged, copied = self._one(f"PRAGMA wal_checkpoint({mode})")
        self.written = 0
        return not blocked and logged == copied

    def close(self) -> None:
        self._connection.close()

    def forsake(self) -> None:
        """Close it without copying its log: what that holds cannot be trusted before it is written again."""
        close_as_it_is(self._connection, self._path)

    # -- changes --------------------------------------------------------------------------------------------------

    def insert(self, entries: Sequence[Entry]) -> None:
        """Add messages; SpoolError where one of the queue ids is there already."""
        for some in parts(entries):
            self._insert(some)

    def _insert(self, entries: Sequence[Entry]) -> None:
        messages: list[object] = []
        contents: list[object] = []
        for number, entry in enumerate(entries, self._next_id):
            record, body = entry.record, entry.body
            messages += number, record.queue_id, record.due, entry.lease, owner_of(record), body.file, entry.text
            crc = crc32(body.prefix, body.crc if body.file else crc32(body.data))
            contents += number, body.size, body.prefix, body.data, crc
            self.written += len(entry.text) + len(body.prefix) + len(body.data) + PAGE_SIZE
        rows = len(entries)
        self._next_id += rows
        self._number += rows
        if self.index.reached:
            self.index.note([entry.record.queue_id for entry in entries])
        try:
            query = "INSERT INTO message (id, queue_id, due, lease, owner, file, record) VALUES ?*"
            self._connection.execute(expand(query, 7, rows), messages)
        except sqlite3.IntegrityError as error:
            raise SpoolError("there is a record of this queue id already") from error
        query = "INSERT INTO content (id, size, prefix, data, crc) VALUES ?*"
        self._connection.execute(expand(query, 5, rows), contents)

    def remove(self, queue_ids: Sequence[str]) -> None:
        """Remove messages with their contents; those that are gone are passed over."""
        for some in parts(queue_ids):
            self._remove(some)

    def _remove(self, queue_ids: Sequence[str]) -> None:
        query = expand("SELECT id, file, damage, queue_id FROM message WHERE queue_id IN ?*", len(queue_ids))
        found = self._connection.execute(query, queue_ids).fetchall()
        if not found:
            return
        numbers = [row[0] for row in found]
        self._connection.execute(expand("DELETE FROM message WHERE id IN ?*", len(numbers)), numbers)
        self.remove_contents(numbers)
        self._discarded += [row[1] for row in found if row[1]]
        if self.stuck:
            self._damages += [Damage(row[3], STAYS) for row in found if row[0] in self.stuck]
        self._number -= sum(row[2] is None for row in found)
        self.written += PAGE_SIZE * len(numbers)

    def settle(self, settlement: Settlement, text: str, added: Sequence[Entry]) -> bool:
        """One step of a message's life; whether the record was there. `text` is the record's.

        What is to be added and is there already came with the same settlement, whose answer was lost; where the record
        stands as it should, it may have been done with since, too.
        """
        record = settlement.record
        query = "SELECT record = ? FROM message WHERE queue_id = ? AND damage IS NULL"
        found = self._connection.execute(query, (text, record.queue_id)).fetchone()
        again = found is not None and found[0]
        new = [] if again else [entry for entry in added if not self.exists(entry.record.queue_id)]
        self._discarded += [entry.body.file for entry in added if entry.body.file and entry not in new]
        if found is None:
            self._discarded += [entry.body.file for entry in new if entry.body.file]
            return False
        self.insert(new)
        if record.finished:
            self._remove([record.queue_id])
        else:
            self.change([change_of(settlement, text)])
        return True

    def change(self, changes: Sequence[RecordChange]) -> None:
        """Change the records of messages, each named once; those that are gone are passed over."""
        for some in parts(changes):
            query = (
                "UPDATE message SET record = new.column2, due = new.column3, "
                "lease = CASE WHEN new.column4 THEN 0 ELSE lease END "
                "FROM (VALUES ?*) AS new WHERE queue_id = new.column1 AND damage IS NULL"
            )
            values = [value for each in some for value in (each.queue_id, each.text, each.due, each.release)]
            self._connection.execute(expand(query, 4, len(some)), values)
            self.written += PAGE_SIZE * len(some)

    def exists(self, queue_id: str) -> bool:
        query = "SELECT 1 FROM message WHERE queue_id = ? AND damage IS NULL"
        return self._connection.execute(query, (queue_id,)).fetchone() is not None

    # -- questions ------------------------------------------------------------------------------------------------

    def record(self, queue_id: str) -> Record | None:
        query = "SELECT queue_id, CAST(record AS BLOB) FROM message WHERE queue_id = ? AND damage IS NULL"
        found = self.decode(self._connection.execute(query, (queue_id,)).fetchall())
        return found[0] if found else None

    def records(self, after: str, limit: int) -> tuple[Record, ...]:
        """Asks on while damaged records leave the page short, so that an empty page means the end."""
        query = (
            "SELECT queue_id, CAST(record AS BLOB) FROM message "
            "WHERE queue_id > ? AND damage IS NULL ORDER BY queue_id LIMIT ?"
        )
        found: tuple[Record, ...] = ()
        while len(found) < limit:
            rows = self._connection.execute(query, (after, limit - len(found))).fetchall()
            found += self.decode(rows)
            if not rows:
                break
            after = rows[-1][0]
        return found

    @property
    def newest_number(self) -> int:
        """Grows with every message that comes in."""
        return self._next_id

    def count(self) -> int:
        """Known at any time, however many there are."""
        return self._number

    def named(self, queue_ids: Sequence[str]) -> tuple[Record, ...]:
        rows: list[tuple[str, bytes]] = []
        for some in parts(queue_ids):
            query = "SELECT queue_id, CAST(record AS BLOB) FROM message WHERE damage IS NULL AND queue_id IN ?*"
            rows += self._connection.execute(expand(query, len(some)), some)
        return self.decode(rows)

    def named_files(self) -> dict[str, str]:
        """The content files that messages name, each with its queue id."""
        query = "SELECT file, queue_id FROM message WHERE file <> ''"
        return dict(self._connection.execute(query).fetchall())

    # -- damage ---------------------------------------------------------------------------------------------------

    def decode(self, rows: Iterable[tuple[str, bytes]]) -> tuple[Record, ...]:
        return tuple([record for queue_id, raw in rows if (record := self._read(queue_id, raw)) is not None])

    def _read(self, queue_id: str, raw: bytes) -> Record | None:
        known = self._lately.get(queue_id)
        if known is not None and known[0] == raw:
            return known[1]
        try:
            record = decode_record(raw.decode("utf-8"))
            if record.queue_id != queue_id:
                raise CodecError(f"the record says it is {record.queue_id!r:.40}")
        except (CodecError, UnicodeDecodeError) as error:
            self.set_aside(queue_id, str(error))
            return None
        if len(self._lately) >= LATELY:
            self._lately.clear()
        self._lately[queue_id] = raw, record
        return record

    def set_aside(self, queue_id: str, error: str) -> None:
        """Keep a message out of every answer but `damaged`."""
        query = "UPDATE message SET damage = ?, lease = 0 WHERE queue_id = ? AND damage IS NULL"
        try:
            changed = self._connection.execute(query, (error, queue_id)).rowcount
        except sqlite3.DatabaseError as failure:
            if is_corrupt(failure):
                self.spoil(queue_id, error)
            raise
        if changed:
            self._number -= 1
            self._damages.append(Damage(queue_id, error))

    def spoil(self, queue_id: str, error: str) -> None:
        """It is to be set aside in a transaction of its own."""
        self._spoiled[queue_id] = error

    def set_spoiled_aside(self) -> bool:
        """Whether anything was learnt of pages that cannot be read, so that it is worth while to ask again."""
        spoiled, self._spoiled = self._spoiled, {}
        learnt, self._learnt = self._learnt or bool(spoiled), False
        with self.transaction():
            for queue_id, error in spoiled.items():
                self.set_aside(queue_id, error)
        return learnt

    def set_right(self, record: Record) -> None:
        """A message that was set aside is what this record says, and in the queue again."""
        query = (
            "UPDATE message SET damage = NULL, lease = 0, due = ?, owner = ? WHERE queue_id = ? AND damage IS NOT NULL"
        )
        values = (record.due, owner_of(record), record.queue_id)
        self.index.note([record.queue_id])
        self._number += self._connection.execute(query, values).rowcount
