"""A slice of the queue for an operator's conditions: what an index knows is found there, a few milliseconds' worth at a
time; whoever asked judges the records that are found.

What has keys is looked up in the index of the queue (index.py), what is held in one of its own. All else, and what is
not indexed yet, is gone over in slices: records are JSON texts of our own making (codec.py), so that what must stand in
the text of every record that is meant is known, and SQLite looks for it.
"""

import json
from collections.abc import Iterator, Sequence

from relaygw.core.index_keys import conditions_of
from relaygw.core.owner import owner_of_sender
from relaygw.core.patterns import Patterns
from relaygw.core.record import Origin, Record
from relaygw.core.selection import Selection
from relaygw.spool.entries import expand, parts
from relaygw.spool.index import Wanted, numbers_of
from relaygw.spool.store import Store

SLICE = 2000
"""Rows gone over at once: a few milliseconds in which nobody's commit is served."""

FEW = 5000
"""Held messages up to which it is they that are gone over, whatever else is asked."""

MARGIN = 1.0
"""Seconds that an age may be off by: sums of times are rounded."""

Clause = tuple[str, tuple[object, ...]]
Page = tuple[tuple[Record, ...], str]


def search(
    store: Store, selection: Selection, after: str, limit: int, now: float, *, rows: int = SLICE, few: int = FEW
) -> Page:
    """Records that may be meant, in order of queue id, and after which id the next slice begins ("": nowhere).

    No record behind `after` that is meant is left out; others may be among them. Ages are those of `now`."""
    if selection.ids:
        return _named(store, sorted(each for each in selection.ids if each > after), limit)
    clauses = list(_clauses(selection))
    held = bool(selection.held or selection.held_for)
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


def _clauses(selection: Selection) -> Iterator[Clause]:
    """What must hold of the row of every record that is meant."""
    if selection.logins and "" not in selection.logins:
        yield _owned_by(sorted(selection.logins))
    if selection.sender is not None and _names_all(selection.sender):
        clause, owners = _owned_by(sorted({_owner(key) for key in selection.sender.addresses}))
        yield f"({clause} OR instr(record, ?) > 0)", (*owners, '"login":')
    for patterns in (selection.sender, selection.recipient):
        if patterns is not None:
            yield _one_of(list(_needles(patterns)))
    if selection.listeners and "" not in selection.listeners:
        yield _one_of([f'"listener":{json.dumps(listener)}' for listener in sorted(selection.listeners)])
    if selection.findings:
        yield _one_of([json.dumps(finding) for finding in sorted(selection.findings)])
    if selection.message_id:
        yield _one_of([json.dumps(selection.message_id)])
    if selection.held is not None:
        yield ("due = 9e999" if selection.held else "due < 9e999"), ()
    if selection.quarantined:
        yield _one_of(['"quarantined":true'])
    if selection.origin is not None and selection.origin is not Origin.RECEIVED:
        yield _one_of([f'"origin":"{selection.origin.value}"'])


def _owned_by(owners: Sequence[str]) -> Clause:
    return f"owner IN ({', '.join('?' * len(owners))})", tuple(owners)


def _owner(key: str) -> str:
    """Who owns what came from an address, unless somebody had logged in."""
    local, _, domain = key.rpartition("@")
    return owner_of_sender(local, domain)


def _names_all(patterns: Patterns) -> bool:
    """Whether they are addresses and nothing else."""
    return bool(patterns.addresses) and not (patterns.domains or patterns.suffixes or patterns.null)


def _one_of(needles: Sequence[str]) -> Clause:
    return "(" + " OR ".join(["instr(record, ?) > 0"] * len(needles)) + ")" if needles else "0", tuple(needles)


def _needles(patterns: Patterns) -> Iterator[str]:
    """Addresses stand in a record as ["local","domain"], and the null reverse-path as null."""
    domains = {key.rpartition("@")[2] for key in patterns.addresses} | set(patterns.domains)
    yield from (f",{json.dumps(domain)}]" for domain in sorted(domains))
    yield from (f'{json.dumps(suffix)[1:-1]}"]' for suffix in patterns.suffixes)
    if patterns.null:
        yield '"sender":null'
