"""What is done to the database, as plain calls within a transaction that the caller begins and ends.

One thread at a time. Knows nothing of Deferreds and threads. A stored record or content that cannot be read is marked
as damaged with the reason, is left out of every answer from then on, and stops nothing else.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import attrs

from relaygw.core.content import BytesContent, Content
from relaygw.core.record import Record
from relaygw.interfaces import Settlement, SpoolError
from relaygw.spool.codec import CodecError, decode_record, encode_record
from relaygw.spool.files import ContentFiles, FileContent, read_head
from relaygw.spool.schema import PAGE_SIZE, connect
from relaygw.spool.sink import Body

_ROWS = 50
"""Rows per statement: few statements for a batch, few different statements to prepare."""


@attrs.frozen(kw_only=True)
class Entry:
    """A message to be stored: the record, its text, its body, and until when it is claimed."""

    record: Record
    text: str
    body: Body
    lease: float = 0.0


def make_entry(record: Record, body: Body, lease: float = 0.0) -> Entry:
    return Entry(record=record, text=encode_record(record), body=body, lease=lease)


@attrs.frozen
class Damage:
    """A message that was set aside, and why."""

    queue_id: str
    error: str


class Store:
    """`written` estimates the octets that went into the log since it was last copied into the database."""

    def __init__(self, path: str, files: ContentFiles) -> None:
        self.files = files
        self.written = 0
        self._connection = connect(path)
        self._next_id = self._one("SELECT coalesce(max(id), 0) + 1 FROM message")[0]
        self._discarded: list[str] = []
        self._damages: list[Damage] = []

    def _one(self, query: str, values: Sequence[object] = ()) -> tuple[int, ...]:
        row: tuple[int, ...] = self._connection.execute(query, values).fetchone()
        return row

    # -- the transaction ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; when it ends without an exception, what was done survives power loss."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
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
        damages, self._damages = self._damages, []
        return damages

    def checkpoint(self, mode: str = "PASSIVE") -> bool:
        """Copy the log into the database; whether all of it was copied."""
        blocked, logged, copied = self._one(f"PRAGMA wal_checkpoint({mode})")
        self.written = 0
        return not blocked and logged == copied

    def close(self) -> None:
        self._connection.close()

    # -- changes --------------------------------------------------------------------------------------------------

    def insert(self, entries: Sequence[Entry]) -> None:
        """Add messages; SpoolError where one of the queue ids is there already."""
        for start in range(0, len(entries), _ROWS):
            self._insert(entries[start : start + _ROWS])

    def _insert(self, entries: Sequence[Entry]) -> None:
        messages: list[object] = []
        contents: list[object] = []
        for number, entry in enumerate(entries, self._next_id):
            due, body = entry.record.due, entry.body
            wake = max(due, entry.lease)
            messages += number, entry.record.queue_id, due, entry.lease, wake, body.file, entry.text
            contents += number, body.size, body.prefix, body.data
            self.written += len(entry.text) + len(body.prefix) + len(body.data) + PAGE_SIZE
        rows = len(entries)
        self._next_id += rows
        try:
            query = "INSERT INTO message (id, queue_id, due, lease, wake, file, record) VALUES ?*"
            self._connection.execute(_expand(query, 7, rows), messages)
        except sqlite3.IntegrityError as error:
            raise SpoolError("there is a record of this queue id already") from error
        query = "INSERT INTO content (id, size, prefix, data) VALUES ?*"
        self._connection.execute(_expand(query, 4, rows), contents)

    def remove(self, queue_ids: Sequence[str]) -> None:
        """Remove messages with their contents; those that are gone are passed over."""
        for start in range(0, len(queue_ids), _ROWS):
            self._remove(queue_ids[start : start + _ROWS])

    def _remove(self, queue_ids: Sequence[str]) -> None:
        query = _expand("SELECT id, file FROM message WHERE queue_id IN ?*", len(queue_ids))
        found = self._connection.execute(query, queue_ids).fetchall()
        if not found:
            return
        numbers = [number for number, _ in found]
        for query in ("DELETE FROM message WHERE id IN ?*", "DELETE FROM content WHERE id IN ?*"):
            self._connection.execute(_expand(query, len(numbers)), numbers)
        self._discarded += [file for _, file in found if file]
        self.written += PAGE_SIZE * len(numbers)

    def settle(self, settlement: Settlement, text: str, added: Sequence[Entry]) -> bool:
        """One step of a message's life; whether the record was there. `text` is the record's.

        What is to be added and is there already came with the same settlement, whose answer was lost.
        """
        record = settlement.record
        new = [entry for entry in added if not self._exists(entry.record.queue_id)]
        self._discarded += [entry.body.file for entry in added if entry.body.file and entry not in new]
        if not self._exists(record.queue_id):
            self._discarded += [entry.body.file for entry in new if entry.body.file]
            return False
        self.insert(new)
        if record.finished:
            self._remove([record.queue_id])
        elif settlement.release:
            self._connection.execute(
                "UPDATE message SET record = ?, due = ?, lease = 0, wake = ? WHERE queue_id = ?",
                (text, record.due, record.due, record.queue_id),
            )
        else:
            self._connection.execute(
                "UPDATE message SET record = ?1, due = ?2, wake = max(?2, lease) WHERE queue_id = ?3",
                (text, record.due, record.queue_id),
            )
        self.written += PAGE_SIZE
        return True

    def _exists(self, queue_id: str) -> bool:
        query = "SELECT 1 FROM message WHERE queue_id = ? AND damage IS NULL"
        return self._connection.execute(query, (queue_id,)).fetchone() is not None

    # -- claims ---------------------------------------------------------------------------------------------------

    def claim(self, now: float, lease: float, limit: int) -> tuple[Record, ...]:
        query = (
            "SELECT id, queue_id, CAST(record AS BLOB) FROM message "
            "WHERE wake <= ? AND damage IS NULL ORDER BY wake, id LIMIT ?"
        )
        rows = self._connection.execute(query, (now, limit)).fetchall()
        for start in range(0, len(rows), _ROWS):
            numbers = [row[0] for row in rows[start : start + _ROWS]]
            query = _expand("UPDATE message SET lease = ?, wake = max(due, ?) WHERE id IN ?*", len(numbers))
            self._connection.execute(query, (lease, lease, *numbers))
            self.written += PAGE_SIZE * len(numbers)
        return self._decode((queue_id, raw) for _, queue_id, raw in rows)

    def take(self, queue_id: str, now: float, lease: float) -> Record | None:
        query = "SELECT 1 FROM message WHERE queue_id = ? AND lease <= ? AND damage IS NULL"
        if self._connection.execute(query, (queue_id, now)).fetchone() is None:
            return None
        self.renew([queue_id], lease)
        return self.record(queue_id)

    def renew(self, queue_ids: Sequence[str], lease: float) -> None:
        for start in range(0, len(queue_ids), _ROWS):
            wanted = queue_ids[start : start + _ROWS]
            query = _expand("UPDATE message SET lease = ?, wake = max(due, ?) WHERE queue_id IN ?*", len(wanted))
            self._connection.execute(query, (lease, lease, *wanted))

    def release_all(self) -> None:
        """Give every claim back: their owner was this spool, and is no more."""
        self._connection.execute("UPDATE message SET lease = 0, wake = due WHERE lease <> 0")

    # -- questions ------------------------------------------------------------------------------------------------

    def next_due(self) -> float:
        row = self._one("SELECT min(wake) FROM message")
        return float("inf") if row[0] is None else float(row[0])

    def record(self, queue_id: str) -> Record | None:
        query = "SELECT queue_id, CAST(record AS BLOB) FROM message WHERE queue_id = ? AND damage IS NULL"
        found = self._decode(self._connection.execute(query, (queue_id,)).fetchall())
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
            found += self._decode(rows)
            if not rows:
                break
            after = rows[-1][0]
        return found

    def count(self) -> int:
        """From the indexes, without a walk over the records."""
        query = "SELECT (SELECT count(*) FROM message) - (SELECT count(*) FROM message WHERE damage IS NOT NULL)"
        return self._one(query)[0]

    def content(self, queue_id: str) -> Content | None:
        query = (
            "SELECT file, size, prefix, data FROM message JOIN content ON content.id = message.id "
            "WHERE queue_id = ? AND damage IS NULL"
        )
        row = self._connection.execute(query, (queue_id,)).fetchone()
        if row is None:
            if self._exists(queue_id):
                self.set_aside(queue_id, "the content is missing")
            return None
        file, size, prefix, data = row
        if not file:
            return BytesContent(prefix + data)
        return self._file_content(queue_id, prefix, file, size)

    def _file_content(self, queue_id: str, prefix: bytes, file: str, size: int) -> Content | None:
        path = self.files.path(file)
        try:
            found = os.stat(path).st_size
        except FileNotFoundError:
            found = -1
        if found < size:
            self.set_aside(queue_id, f"the content file {file} has {found} of {size} octets" if found >= 0 else
                           f"the content file {file} is missing")  # fmt: skip
            return None
        return FileContent(prefix, path, size, read_head(path, size))

    def named_files(self) -> dict[str, str]:
        """The content files that messages name, each with its queue id."""
        query = "SELECT file, queue_id FROM message WHERE file <> ''"
        return dict(self._connection.execute(query).fetchall())

    # -- damage ---------------------------------------------------------------------------------------------------

    def _decode(self, rows: Iterable[tuple[str, bytes]]) -> tuple[Record, ...]:
        return tuple([record for queue_id, raw in rows if (record := self._read(queue_id, raw)) is not None])

    def _read(self, queue_id: str, raw: bytes) -> Record | None:
        try:
            record = decode_record(raw.decode("utf-8"))
            if record.queue_id != queue_id:
                raise CodecError(f"the record says it is {record.queue_id!r:.40}")
        except (CodecError, UnicodeDecodeError) as error:
            self.set_aside(queue_id, str(error))
            return None
        return record

    def set_aside(self, queue_id: str, error: str) -> None:
        """Keep a message out of every answer but `damaged`."""
        query = "UPDATE message SET damage = ?, lease = 0, wake = 9e999 WHERE queue_id = ?"
        self._connection.execute(query, (error, queue_id))
        self._damages.append(Damage(queue_id, error))

    def damaged(self) -> tuple[Damage, ...]:
        """Every message that was set aside."""
        query = "SELECT queue_id, damage FROM message WHERE damage IS NOT NULL ORDER BY queue_id"
        return tuple(Damage(queue_id, error) for queue_id, error in self._connection.execute(query))


@lru_cache(maxsize=1024)
def _expand(query: str, width: int, rows: int = 1) -> str:
    """The query with `?*` replaced by so many rows of so many placeholders."""
    row = "(" + ", ".join("?" * width) + ")"
    return query.replace("?*", ", ".join([row] * rows))
