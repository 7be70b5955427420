"""A slice of the queue for an operator's conditions: what an index knows is found there, a few milliseconds' worth at a
time; whoever asked judges the records that are found.

What has keys is looked up in the index of the queue (index.py), what is held in one of its own. All else, and what is
not indexed yet, is gone over in slices, of which SQLite leaves what may be meant (clauses.py).
"""

from collections.abc import Sequence

from relaygw.core.index_keys import conditions_of
from relaygw.core.record import Record
from relaygw.core.selection import Selection
from relaygw.spool.clauses import MARGIN, ORDERED, Clause, clauses_of
from relaygw.spool.entries import expand, parts
from relaygw.spool.index import Wanted, numbers_of
from relaygw.spool.store import Store

SLICE = 2000
"""Rows gone over at once: a few milliseconds in which nobody's commit is served."""

FEW = 5000
"""Held messages up to which it is they that are gone over, whatever else is asked."""

Page = tuple[tuple[Record, ...], str]


def search(
    store: Store, selection: Selection, after: str, limit: int, now: float, *, rows: int = SLICE, few: int = FEW
) -> Page:
    """Records that may be meant, in order of queue id, and after which id the next slice begins ("": nowhere).

    No record behind `after` that is meant is left out; others may be among them. Ages are those of `now`."""
    if selection.ids:
        return _named(store, sorted(each for each in selection.ids if each > after), limit)
    clauses = list(clauses_of(selection, now))
    held = bool(selection.held or selection.held_for) and not _ordered_of_some(store)
    wanted = _wanted(selection, now)
    if wanted is None or (held and _held_are_few(store, few)):
        return _slice(store, _HELD if held else _ALL, clauses, after, limit, rows)
    if after < store.index.mark:
        return _indexed(store, wanted, clauses, after, limit, rows)
    return _slice(store, _ALL, clauses, after, limit, rows)


def _wanted(selection: Selection, now: float) -> Wanted | None:
    """What is to be looked up; None where nothing of it has keys."""
    conditions = tuple(map(numbers_of, conditions_of(selection)))
    since = until = None
    if selection.younger_than is not None:
        since = now - selection.younger_than - MARGIN
    if selection.older_than is not None:
        until = now - selection.older_than + MARGIN
    if not conditions and since is None and until is None:
        return None
    return Wanted(
        conditions=conditions,
        since=float("-inf") if since is None else since,
        until=float("inf") if until is None else until,
    )


_ALL = "message", ""
_HELD = "message INDEXED BY message_held", "AND due = 9e999"


def _slice(store: Store, source: tuple[str, str], clauses: Sequence[Clause], after: str, limit: int, rows: int) -> Page:
    """Of the next rows of a source those of which the clauses hold."""
    table, condition = source
    query = f"SELECT queue_id FROM {table} WHERE queue_id > ? {condition} ORDER BY queue_id LIMIT 1 OFFSET ?"  # noqa: S608  # all of it is ours
    row = store.execute(query, (after, rows - 1)).fetchone()
    end = row[0] if row is not None else ""
    known = [(f"queue_id > ? {condition}", (after,)), *clauses]
    if end:
        known.append(("queue_id <= ?", (end,)))
    where, values = _where(known)
    query = f"SELECT queue_id, CAST(record AS BLOB) FROM {table} WHERE {where} ORDER BY queue_id LIMIT ?"  # noqa: S608  # all of it is ours
    found = store.execute(query, (*values, limit)).fetchall()
    return store.decode(found), found[-1][0] if len(found) == limit else end


def _indexed(store: Store, wanted: Wanted, clauses: Sequence[Clause], after: str, limit: int, rows: int) -> Page:
    """What is found in the index, from `after` to the mark at most."""
    ids, end = store.index.find(wanted, after, rows)
    if not store.index.current:
        return _slice(store, _ALL, clauses, after, limit, rows)
    where, values = _where(clauses)
    found: list[tuple[str, bytes]] = []
    for some in parts(ids):
        query = f"SELECT queue_id, CAST(record AS BLOB) FROM message WHERE queue_id IN ?* AND {where} ORDER BY queue_id"  # noqa: S608  # all of it is ours
        found += store.execute(expand(query, len(some)), (*some, *values)).fetchall()
        if len(found) >= limit:
            return store.decode(found[:limit]), found[limit - 1][0]
    return store.decode(found), end


def _where(clauses: Sequence[Clause]) -> tuple[str, list[object]]:
    where = " AND ".join(["damage IS NULL", *(clause for clause, _ in clauses)])
    return where, [value for _, values in clauses for value in values]


def _named(store: Store, ids: Sequence[str], limit: int) -> tuple[tuple[Record, ...], str]:
    records = tuple(record for queue_id in ids[:limit] if (record := store.record(queue_id)) is not None)
    return records, ids[limit - 1] if len(ids) > limit else ""


def _held_are_few(store: Store, few: int) -> bool:
    query = "SELECT 1 FROM message INDEXED BY message_held WHERE due = 9e999 LIMIT 1 OFFSET ?"
    return store.execute(query, (few,)).fetchone() is None


def _ordered_of_some(store: Store) -> bool:
    """Whether something was ordered of a message while it is attempted: that is due, also where it is held by now."""
    query = f"SELECT 1 FROM message INDEXED BY message_lease WHERE lease <> 0 AND lease > 0 AND {ORDERED} LIMIT 1"  # noqa: S608  # all of it is ours
    return store.execute(query).fetchone() is not None
