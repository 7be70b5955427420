"""The trash in the database: messages that operators removed, each with a content of its own, beside the queue.

A large content gets a second name (a hard link) when its message goes into the trash, so that neither the queue nor the
trash ever waits for the other to let go of it. Everything is done within the caller's transaction.
"""

import sqlite3
from collections.abc import Sequence

from relaygw.core.record import Record
from relaygw.core.trash import Trashed
from relaygw.interfaces import Settlement
from relaygw.spool.codec import CodecError, decode_record, encode_record
from relaygw.spool.contents import is_corrupt
from relaygw.spool.entries import Entry, make_entry
from relaygw.spool.files import spool_errors
from relaygw.spool.schema import PAGE_SIZE
from relaygw.spool.sink import Body
from relaygw.spool.store import Store

_IN_QUEUE = "SELECT 1 FROM message WHERE queue_id = ?"


def settle(store: Store, settlement: Settlement, text: str, added: Sequence[Entry]) -> bool:
    """`Store.settle`, with what it does to the trash; nothing of either where the record is gone."""
    aside = settlement.aside
    assert aside is not None
    if not store.exists(settlement.record.queue_id):
        return store.settle(settlement, text, added)
    if aside.put is not None:
        _put(store, aside.put)
    _forget(store, aside.taken)
    if aside.taken:  # what comes back may have other keys, where the same queue id came in from an archive meanwhile
        store.index.note([settlement.record.queue_id])
    return store.settle(settlement, text, added)


def _put(store: Store, trashed: Trashed) -> None:
    """Keep a copy of the message as it is before the removal: once, also where a removal is stored again because the
    answer to the first time was lost."""
    queue_id, text = trashed.record.queue_id, encode_record(trashed.record)
    query = "SELECT 1 FROM trash WHERE queue_id = ? AND removed = ? AND record = ?"
    if store.execute(query, (queue_id, trashed.removed, text)).fetchone() is not None:
        return
    row = store.execute("SELECT id, file FROM message WHERE queue_id = ?", (queue_id,)).fetchone()
    file = ""
    if row[1]:
        with spool_errors("keep removed content"):
            file = store.files.link(row[1])
            store.files.sync_names()
    query = (
        "INSERT INTO trash (queue_id, removed, reason, file, record, size, crc, prefix, data) "
        "SELECT ?, ?, ?, ?, ?, size, crc, prefix, data FROM content WHERE id = ?"
    )
    try:
        store.execute(query, (queue_id, trashed.removed, trashed.reason, file, text, row[0]))
    except sqlite3.DatabaseError as error:
        if is_corrupt(error):
            store.spoil(queue_id, f"the content cannot be read: {error}")
        raise
    store.written += len(text) + 2 * PAGE_SIZE


def page(store: Store, after: int, limit: int) -> tuple[tuple[Trashed, ...], int]:
    """At most `limit` entries behind `after`, and where the next page begins (0: this was the last)."""
    query = "SELECT id, removed, reason, CAST(record AS BLOB) FROM trash WHERE id > ? ORDER BY id LIMIT ?"
    rows = store.execute(query, (after, limit)).fetchall()
    found = tuple(entry for row in rows if (entry := _read(*row)) is not None)
    return found, rows[-1][0] if len(rows) == limit else 0


def of(store: Store, queue_ids: Sequence[str]) -> tuple[Trashed, ...]:
    """What is kept of these messages."""
    found: list[Trashed] = []
    for queue_id in queue_ids:
        query = "SELECT id, removed, reason, CAST(record AS BLOB) FROM trash WHERE queue_id = ? ORDER BY id"
        found += (each for row in store.execute(query, (queue_id,)) if (each := _read(*row)) is not None)
    return tuple(found)


def _read(entry: int, removed: float, reason: str, raw: bytes) -> Trashed | None:
    """None for what cannot be read: `relaygw spool verify` names it, and time takes it away."""
    try:
        record = decode_record(raw.decode("utf-8"))
    except (CodecError, UnicodeDecodeError):
        return None
    return Trashed(record=record, removed=removed, reason=reason, entry=entry)


def restore(store: Store, entries: Sequence[int]) -> tuple[Record, ...]:
    """Back into the queue, as they were. Passed over are those that are gone, and those whose id is in the queue."""
    return tuple(record for entry in entries if (record := _restore(store, entry)) is not None)


def _restore(store: Store, entry: int) -> Record | None:
    query = "SELECT file, CAST(record AS BLOB), size, prefix, data, crc FROM trash WHERE id = ?"
    row = store.execute(query, (entry,)).fetchone()
    trashed = _read(entry, 0.0, "", row[1]) if row is not None else None
    if trashed is None or store.execute(_IN_QUEUE, (trashed.record.queue_id,)).fetchone() is not None:
        return None
    file, _, size, prefix, data, crc = row
    record = trashed.record
    store.insert([make_entry(record, Body(prefix=prefix, data=data, file=file, size=size))])
    query = "UPDATE content SET crc = ? WHERE id = (SELECT id FROM message WHERE queue_id = ?)"
    store.execute(query, (crc, record.queue_id))  # that of a file is not known otherwise
    store.execute("DELETE FROM trash WHERE id = ?", (entry,))
    return record


def purge(store: Store, entries: Sequence[int]) -> None:
    """Let go for good; those that are gone are passed over."""
    _forget(store, entries)


def _forget(store: Store, entries: Sequence[int]) -> None:
    for entry in entries:
        row = store.execute("SELECT file FROM trash WHERE id = ?", (entry,)).fetchone()
        if row is not None:
            store.execute("DELETE FROM trash WHERE id = ?", (entry,))
            store.written += PAGE_SIZE
            if row[0]:
                store.discard(row[0])


def expire(store: Store, before: float, limit: int) -> tuple[str, ...]:
    """Let go of at most `limit` entries removed before this time; their queue ids."""
    query = "SELECT id, queue_id FROM trash WHERE removed < ? ORDER BY removed LIMIT ?"
    rows = store.execute(query, (before, limit)).fetchall()
    _forget(store, [entry for entry, _ in rows])
    return tuple(queue_id for _, queue_id in rows)


def oldest(store: Store) -> float:
    """When the first of what is kept was removed (infinity: nothing is kept)."""
    found = store.execute("SELECT min(removed) FROM trash").fetchone()[0]
    return float("inf") if found is None else float(found)


def count(store: Store) -> int:
    """How many entries there are."""
    return int(store.execute("SELECT count(*) FROM trash").fetchone()[0])


def named_files(store: Store) -> set[str]:
    """The content files of the trash."""
    return {file for (file,) in store.execute("SELECT file FROM trash WHERE file <> ''")}
