"""A slice of the queue for an operator's conditions: what the database can tell cheaply is told here, in C and a
bounded number of rows at a time; whoever asked judges the records that are left.

Records are JSON texts of our own making (codec.py), so that what must stand in the text of every record that is meant
is known, and no index has to be kept up for it while mail is on its way.
"""

import json
from collections.abc import Iterator, Sequence

from relaygw.core.owner import owner_of_sender
from relaygw.core.patterns import Patterns
from relaygw.core.record import Origin, Record
from relaygw.core.selection import Selection
from relaygw.spool.store import Store

SLICE = 2000
"""Rows gone over at once: a few milliseconds in which nobody's commit is served."""

FEW = 5000
"""Held messages up to which they are looked up by index, and sorted."""

Clause = tuple[str, tuple[object, ...]]


def search(
    store: Store, selection: Selection, after: str, limit: int, *, rows: int = SLICE, few: int = FEW
) -> tuple[tuple[Record, ...], str]:
    """Records that may be meant, in order of queue id, and after which id the next slice begins ("": nowhere).

    No record behind `after` that is meant is left out; others may be among them."""
    if selection.ids:
        return _named(store, sorted(each for each in selection.ids if each > after), limit)
    clauses = list(_clauses(selection))
    if selection.held and _held_are_few(store, few):
        source, end = "message INDEXED BY message_due", ""
        clauses.append(("lease = 0", ()))
    else:
        source, end = "message", _end(store, after, rows)
    if end:
        clauses.append(("queue_id <= ?", (end,)))
    where = " AND ".join(["queue_id > ?", "damage IS NULL", *(clause for clause, _ in clauses)])
    query = f"SELECT queue_id, CAST(record AS BLOB) FROM {source} WHERE {where} ORDER BY queue_id LIMIT ?"  # noqa: S608  # all of it is ours
    values = [after, *(value for _, values in clauses for value in values), limit]
    found = store.execute(query, values).fetchall()
    return store.decode(found), found[-1][0] if len(found) == limit else end


def _named(store: Store, ids: Sequence[str], limit: int) -> tuple[tuple[Record, ...], str]:
    records = tuple(record for queue_id in ids[:limit] if (record := store.record(queue_id)) is not None)
    return records, ids[limit - 1] if len(ids) > limit else ""


def _held_are_few(store: Store, few: int) -> bool:
    """Whether all that are held stand together in an index. Those that are claimed, by an order, do not."""
    query = "SELECT 1 FROM message INDEXED BY message_lease WHERE lease <> 0 AND due = 9e999 LIMIT 1"
    if store.execute(query).fetchone() is not None:
        return False
    query = (
        "SELECT count(*) FROM (SELECT 1 FROM message INDEXED BY message_due "
        "WHERE lease = 0 AND damage IS NULL AND due = 9e999 LIMIT ?)"
    )
    return bool(store.execute(query, (few + 1,)).fetchone()[0] <= few)


def _end(store: Store, after: str, rows: int) -> str:
    """The last id of the slice, "" where the queue ends within it."""
    query = "SELECT queue_id FROM message WHERE queue_id > ? ORDER BY queue_id LIMIT 1 OFFSET ?"
    row = store.execute(query, (after, rows - 1)).fetchone()
    return row[0] if row is not None else ""


def _clauses(selection: Selection) -> Iterator[Clause]:
    """What must hold of the row of every record that is meant."""
    if selection.logins:
        yield _owned_by(sorted(selection.logins))
    if selection.sender is not None and _names_all(selection.sender):
        clause, owners = _owned_by(sorted({_owner(key) for key in selection.sender.addresses}))
        yield f"({clause} OR instr(record, ?) > 0)", (*owners, '"login":')
    for patterns in (selection.sender, selection.recipient):
        if patterns is not None:
            yield _one_of(list(_needles(patterns)))
    if selection.listeners:
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
