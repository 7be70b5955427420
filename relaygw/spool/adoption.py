"""Messages that come into the database other than through a door: from an archive, each once, and from among those that
were set aside, when they can be read again. Within the caller's transaction.
"""

import os

from relaygw.core.record import Record
from relaygw.interfaces import SpoolError
from relaygw.spool.codec import CodecError, decode_record
from relaygw.spool.digest import WRONG, inline_fault
from relaygw.spool.entries import Damage, Entry
from relaygw.spool.files import FileContent
from relaygw.spool.store import Store

REMEMBERED = 90 * 86400.0
"""Seconds for which it is remembered what came from an archive, beyond the message's own life."""

PRESENT = "it is there already"


def adopt(store: Store, entry: Entry, archive: str, now: float) -> str:
    """Take a message in; "" where it was, else why it was not. What was taken in once never comes in again, even when
    it has long been delivered."""
    queue_id = entry.record.queue_id
    query = "SELECT 1 FROM imported WHERE archive = ? AND queue_id = ?"
    if store.execute(query, (archive, queue_id)).fetchone() is not None:
        return _not_taken(store, entry, PRESENT)
    query = (
        "SELECT CAST(record AS BLOB) FROM message WHERE queue_id = ?1 "
        "UNION ALL SELECT CAST(record AS BLOB) FROM trash WHERE queue_id = ?1"
    )
    row = store.execute(query, (queue_id,)).fetchone()
    if row is not None:
        same = _is_same(row[0], entry.record)
        return _not_taken(store, entry, PRESENT if same else "another message has its queue id")
    store.insert([entry])
    if store.execute("SELECT 1 FROM imported WHERE archive = ? LIMIT 1", (archive,)).fetchone() is None:
        # Once per archive: it goes over all that is remembered.
        store.execute("DELETE FROM imported WHERE moment < ?", (now - REMEMBERED,))
    store.execute("INSERT INTO imported (archive, queue_id, moment) VALUES (?, ?, ?)", (archive, queue_id, now))
    return ""


def _not_taken(store: Store, entry: Entry, why: str) -> str:
    if entry.body.file:
        store.discard(entry.body.file)
    return why


def _is_same(raw: bytes, record: Record) -> bool:
    try:
        there = decode_record(raw.decode("utf-8"))
    except (CodecError, UnicodeDecodeError):
        return False
    return (there.arrived, there.envelope.sender, there.size) == (record.arrived, record.envelope.sender, record.size)


def retry(store: Store, queue_id: str) -> tuple[Record | None, str]:
    """Let a message that was set aside be in the queue again, where all of it can be read; else why not."""
    query = "SELECT id, file, damage, CAST(record AS BLOB) FROM message WHERE queue_id = ?"
    row = store.execute(query, (queue_id,)).fetchone()
    if row is None or row[2] is None:
        return None, "there is no such message among those set aside"
    number, file, _, raw = row
    try:
        record = decode_record(raw.decode("utf-8"))
    except (CodecError, UnicodeDecodeError) as error:
        return None, f"it still cannot be read: {error}"
    if record.queue_id != queue_id:
        return None, f"it still cannot be read: the record says it is {record.queue_id!r:.40}"
    content = store.execute("SELECT size, prefix, data, crc FROM content WHERE id = ?", (number,)).fetchone()
    if content is None:
        return None, "it still cannot be read: the content is missing"
    if fault := _file_fault(store, file, *content) if file else inline_fault(*content):
        return None, f"it still cannot be read: the content {fault}"
    store.set_right(record)
    return record, ""


def _file_fault(store: Store, file: str, size: int, prefix: bytes, _: bytes, crc: int | None) -> str:
    path = store.files.path(file)
    try:
        if os.stat(path).st_size < size:
            return f"file {file} is too short"
        for _chunk in FileContent(prefix, path, size, b"", crc).chunks():
            pass
    except FileNotFoundError:
        return f"file {file} is missing"
    except (OSError, SpoolError):
        return f"file {file} {WRONG}"
    return ""


def damaged(store: Store) -> tuple[Damage, ...]:
    """Every message that was set aside."""
    query = "SELECT queue_id, damage FROM message WHERE damage IS NOT NULL ORDER BY queue_id"
    return tuple(Damage(queue_id, error) for queue_id, error in store.execute(query))


def remove(store: Store, queue_id: str) -> bool:
    """Let go of a message that was set aside, for good; False where there is none."""
    query = "SELECT 1 FROM message WHERE queue_id = ? AND damage IS NOT NULL"
    if store.execute(query, (queue_id,)).fetchone() is None:
        return False
    store.remove([queue_id])
    return True
