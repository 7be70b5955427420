"""A spool looked at from outside, whether a service works on it or not: read-only, one row at a time, nothing locked.

Rows may be gone between two looks: mail goes on. Who finds something wrong looks again before saying so.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from urllib.parse import quote

import attrs

from relaygw.core.content import CHUNK, BytesContent, Content
from relaygw.core.record import Record
from relaygw.interfaces import SpoolError
from relaygw.spool.codec import CodecError, decode_record
from relaygw.spool.files import FileContent
from relaygw.spool.schema import MIGRATIONS

PAGE = 50
"""Rows read in one step: their contents may be in them."""

_QUEUE = (
    "message.id, queue_id, due, owner, file, damage, CAST(record AS BLOB), content.id, size, crc, prefix, data "
    "FROM message LEFT JOIN content ON content.id = message.id"
)
_TRASH = "id, queue_id, removed, '', file, NULL, CAST(record AS BLOB), id, size, crc, prefix, data FROM trash"


@attrs.frozen(kw_only=True)
class Row:
    """One message as it is stored: `raw` its record, `stored` whether a content is. `size` and `crc` as noted there.
    `trouble`: why the database cannot read it."""

    number: int
    queue_id: str
    due: float
    owner: str
    file: str
    damage: str | None
    raw: bytes
    stored: bool
    size: int
    crc: int | None
    prefix: bytes
    data: bytes
    trouble: str = ""

    def record(self) -> Record:
        """Raises CodecError."""
        try:
            record = decode_record(self.raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise CodecError(f"the record is not readable: {error}") from None
        if record.queue_id != self.queue_id:
            raise CodecError(f"the record says it is {record.queue_id!r:.40}")
        return record


class Reading:
    """`path` is the spool's directory. Raises SpoolError where there is nothing to read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._database = os.path.join(path, "spool.sqlite")
        if not os.path.exists(self._database):
            raise SpoolError(f"there is no spool in {path}")
        try:
            self._connection = sqlite3.connect(f"file:{quote(self._database)}?mode=ro", uri=True, timeout=10)
            self._connection.text_factory = _lenient_text
            self.format = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.Error as error:
            raise SpoolError(f"the spool {path} cannot be read: {error}") from None
        if self.format != len(MIGRATIONS):
            self.close()
            raise SpoolError(_other_format(self._database, self.format))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Reading":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def execute(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """All rows of a question; raises SpoolError."""
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise SpoolError(f"the spool {self.path} cannot be read: {error}") from None

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is asked within it is asked of one moment. Short: the log cannot be used again meanwhile."""
        self.execute("BEGIN")
        try:
            yield
        finally:
            self.execute("COMMIT")

    def count(self) -> int:
        """Messages in it, set aside or not, and in the trash."""
        ((number,),) = self.execute("SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM trash)")
        return int(str(number))

    def messages(self) -> Iterator[Row]:
        """All of the queue, in order of queue id."""
        return self._all(_QUEUE, "queue_id", "", lambda row: row.queue_id)

    def message(self, queue_id: str) -> Row | None:
        return self._one(_QUEUE, "queue_id", queue_id)

    def trash(self) -> Iterator[Row]:
        """All that was removed and can be had back, in order of removal."""
        return self._all(_TRASH, "id", 0, lambda row: row.number)

    def trashed(self, number: int) -> Row | None:
        return self._one(_TRASH, "id", number)

    def _all(self, source: str, key: str, after: object, place: Callable[[Row], object]) -> Iterator[Row]:
        """A page at a time, in the order of the key, which `place` finds in a row."""
        while True:
            query = f"SELECT {source} WHERE {key} > ? ORDER BY {key} LIMIT ?"  # all of it is ours
            try:
                rows = [_row(row) for row in self.execute(query, (after, PAGE))]
            except SpoolError:
                rows = self._singly(source, key, after)
            yield from rows
            if len(rows) < PAGE:
                return
            after = place(rows[-1])

    def _singly(self, source: str, key: str, after: object) -> list[Row]:
        """A page of which not all can be read: by the index of the keys, one by one."""
        table = "trash" if source is _TRASH else "message"
        query = f"SELECT {key} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT ?"  # noqa: S608  # all of it is ours
        rows: list[Row] = []
        for (value,) in self.execute(query, (after, PAGE)):
            try:
                row = self._one(source, key, value)
            except SpoolError as error:
                row = _unreadable(value, str(error))
            rows.append(row or _unreadable(value, "the index names it, and it is not there"))
        return rows

    def _one(self, source: str, key: str, value: object) -> Row | None:
        rows = self.execute(f"SELECT {source} WHERE {key} = ?", (value,))  # all of it is ours
        return _row(rows[0]) if rows else None

    def damaged(self) -> Iterator[Row]:
        """What was set aside, in order of queue id."""
        ids = self.execute("SELECT queue_id, damage FROM message WHERE damage IS NOT NULL ORDER BY queue_id")
        for queue_id, damage in ids:
            try:
                row = self.message(str(queue_id))
            except SpoolError as error:
                row = attrs.evolve(_unreadable(queue_id, str(error)), damage=str(damage))
            if row is not None and row.damage is not None:
                yield row

    def file(self, name: str) -> str:
        """The path of a content file."""
        return os.path.join(self.path, "content", name)

    def content(self, row: Row) -> Content:
        """What is stored as its content, as far as it is there."""
        if not row.file:
            return BytesContent(row.prefix + row.data)
        size = 0
        with contextlib.suppress(OSError):
            size = min(os.stat(self.file(row.file)).st_size, row.size)
        return FileContent(row.prefix, self.file(row.file), size) if size else BytesContent(row.prefix)

    def file_chunks(self, row: Row) -> Iterator[bytes]:
        """The octets of its content file, at most as many as belong to it; raises OSError."""
        with open(self.file(row.file), "rb", buffering=0) as file:
            left = row.size
            while left and (data := file.read(min(CHUNK, left))):
                left -= len(data)
                yield data


def _row(values: tuple[object, ...]) -> Row:
    number, queue_id, due, owner, file, damage, raw, stored, size, crc, prefix, data = values
    return Row(
        number=_integer(number),
        queue_id=str(queue_id),
        due=float(due) if isinstance(due, float | int) else 0.0,
        owner=str(owner),
        file=str(file or ""),
        damage=None if damage is None else str(damage),
        raw=octets(raw),
        stored=stored is not None,
        size=_integer(size),
        crc=crc if isinstance(crc, int) else None,
        prefix=octets(prefix),
        data=octets(data),
    )


def _unreadable(key: object, trouble: str) -> Row:
    """A message of which only its place in an index is known."""
    number, queue_id = (key, "") if isinstance(key, int) else (0, str(key))
    return Row(
        number=number,
        queue_id=queue_id or f"row {number}",
        due=0.0,
        owner="",
        file="",
        damage=None,
        raw=b"",
        stored=False,
        size=0,
        crc=None,
        prefix=b"",
        data=b"",
        trouble=trouble,
    )


def _integer(value: object) -> int:
    return value if isinstance(value, int) else 0


def octets(value: object) -> bytes:
    """A column's octets, whatever type it was given."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return value if isinstance(value, bytes) else b""


def _lenient_text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _other_format(path: str, found: int) -> str:
    if found > len(MIGRATIONS):
        return f"{path} has format {found}; this program knows formats up to {len(MIGRATIONS)}: use a newer one"
    return (
        f"{path} has format {found}, and this program works with {len(MIGRATIONS)}: start the service, or say "
        "`relaygw spool upgrade`, to bring it up to date"
    )
