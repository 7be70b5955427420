"""Claims: whose turn it is among the messages of a store, and that nobody else has it meanwhile (ISpool).

Rows that the database cannot read are passed over from then on, and told once.
"""

import abc
import math
import sqlite3
from collections.abc import Iterable, Sequence, Set

from relaygw.core.record import Record
from relaygw.interfaces import Found, Mark
from relaygw.spool.contents import is_corrupt
from relaygw.spool.entries import Damage, expand, parts
from relaygw.spool.schema import PAGE_SIZE

LOOKED_AT = 1000
"""Records that one look goes over at most: about a millisecond."""

_UNCLAIMED = "SELECT due, owner, id FROM message INDEXED BY message_due WHERE lease = 0 AND damage IS NULL"
_UNCLAIMED_OF = (
    "SELECT due, owner, id FROM message INDEXED BY message_owner WHERE lease = 0 AND damage IS NULL AND owner = ?"
)


class Claiming(abc.ABC):
    """The part of a store that gives messages to who delivers them, and takes them back."""

    written: int
    _connection: sqlite3.Connection
    _lost: set[int]
    _losses: list[Damage]
    _learnt: bool

    @abc.abstractmethod
    def decode(self, rows: Iterable[tuple[str, bytes]]) -> tuple[Record, ...]:
        """The records that can be read; the others are set aside."""

    @abc.abstractmethod
    def record(self, queue_id: str) -> Record | None:
        """The record of this queue id, None where there is none that can be read."""

    def claim(self, now: float, lease: float, limit: int, owner: str | None = None) -> tuple[Record, ...]:
        self._end_claims(now)
        if owner is None:
            return self._claim(f"{_UNCLAIMED} AND due <= ? ORDER BY due, owner, id LIMIT ?", (now, limit), lease)
        return self._claim(f"{_UNCLAIMED_OF} AND due <= ? ORDER BY due, id LIMIT ?", (owner, now, limit), lease)

    def _claim(self, query: str, values: Sequence[object], lease: float) -> tuple[Record, ...]:
        """Asks on where all it finds is damaged, so that an empty answer means that nothing is due."""
        while numbers := [row[2] for row in self._connection.execute(query, values) if row[2] not in self._lost]:
            if records := self._claimed(numbers, lease):
                return records
        return ()

    def look(self, now: float, lease: float, limit: int, mark: Mark, passed: Set[str]) -> Found:
        mark = min(mark, (self._end_claims(now), "", 0))
        query = f"{_UNCLAIMED} AND (due, owner, id) > (?, ?, ?) AND due <= ? ORDER BY due, owner, id LIMIT ?"
        rows: list[Mark] = self._connection.execute(query, (*mark, now, LOOKED_AT)).fetchall()
        wanted = [row for row in rows if row[1] not in passed and row[2] not in self._lost]
        if len(wanted) > limit:
            mark = wanted[limit - 1]
        elif rows:
            mark = rows[-1]
        ended = len(wanted) <= limit and len(rows) < LOOKED_AT
        records = self._claimed([row[2] for row in wanted[:limit]], lease)
        return Found(records=records, mark=mark, next_due=self._next_due(now) if ended else None)

    def _end_claims(self, now: float) -> float:
        """Give back the claims that ran out; the earliest time one of them is due (infinity: there was none)."""
        query = "SELECT id, due FROM message INDEXED BY message_lease WHERE lease <> 0 AND lease <= ?"
        ended = self._connection.execute(query, (now,)).fetchall()
        self._set_leases([number for number, _ in ended], 0.0)
        return min((due for _, due in ended), default=math.inf)

    def _claimed(self, numbers: Sequence[int], lease: float) -> tuple[Record, ...]:
        """The messages of these numbers, from now on claimed."""
        try:
            rows = self._take_rows(numbers, lease)
        except sqlite3.DatabaseError as error:
            if is_corrupt(error):
                self._lose([number for number in numbers if not self._is_readable(number)])
            raise
        if len(rows) < len(numbers):
            self._lose([number for number in numbers if number not in rows])
        return self.decode(rows[number] for number in numbers if number in rows)

    def _take_rows(self, numbers: Sequence[int], lease: float) -> dict[int, tuple[str, bytes]]:
        self._set_leases(numbers, lease)
        rows: dict[int, tuple[str, bytes]] = {}
        for some in parts(numbers):
            query = expand("SELECT id, queue_id, CAST(record AS BLOB) FROM message WHERE id IN ?*", len(some))
            rows.update((number, (queue_id, raw)) for number, queue_id, raw in self._connection.execute(query, some))
        return rows

    def _lose(self, numbers: Sequence[int]) -> None:
        """Rows that the indexes name and the database cannot read, or has not: nobody is kept up by them again."""
        self._learnt = self._learnt or bool(numbers)
        self._lost.update(numbers)
        query = "SELECT queue_id FROM message INDEXED BY sqlite_autoindex_message_1 WHERE id = ?"
        for number in numbers:
            row = self._connection.execute(query, (number,)).fetchone()
            error = "the database cannot read it: `relaygw spool verify` tells more"
            self._losses.append(Damage(row[0] if row is not None else f"row {number}", error))

    def _is_readable(self, number: int) -> bool:
        try:
            self._connection.execute("SELECT record, damage FROM message WHERE id = ?", (number,)).fetchone()
        except sqlite3.DatabaseError:
            return False
        return True

    def _set_leases(self, numbers: Sequence[int], lease: float) -> None:
        for some in parts(numbers):
            query = expand("UPDATE message SET lease = ? WHERE id IN ?*", len(some))
            self._connection.execute(query, (lease, *some))
            self.written += PAGE_SIZE * len(some)

    def take(self, queue_id: str, now: float, lease: float) -> Record | None:
        query = "SELECT 1 FROM message WHERE queue_id = ? AND lease <= ? AND damage IS NULL"
        if self._connection.execute(query, (queue_id, now)).fetchone() is None:
            return None
        self.renew([queue_id], lease)
        return self.record(queue_id)

    def take_all(self, queue_ids: Sequence[str], now: float, lease: float) -> tuple[Record, ...]:
        rows: list[tuple[str, bytes]] = []
        for some in parts(queue_ids):
            query = (
                "SELECT queue_id, CAST(record AS BLOB) FROM message "
                "WHERE lease <= ? AND damage IS NULL AND queue_id IN ?*"
            )
            rows += self._connection.execute(expand(query, len(some)), (now, *some))
        records = self.decode(rows)
        self.renew([record.queue_id for record in records], lease)
        return records

    def renew(self, queue_ids: Sequence[str], lease: float) -> None:
        for wanted in parts(queue_ids):
            query = expand("UPDATE message SET lease = ? WHERE damage IS NULL AND queue_id IN ?*", len(wanted))
            self._connection.execute(query, (lease, *wanted))

    def release_all(self) -> None:
        """Give every claim back: their owner was this spool, and is no more."""
        self._connection.execute("UPDATE message SET lease = 0 WHERE lease <> 0")

    def _next_due(self, now: float) -> float:
        """When something falls due after now, or a claim ends."""
        later = self._connection.execute(f"{_UNCLAIMED} AND due > ? ORDER BY due LIMIT 1", (now,)).fetchone()
        query = "SELECT min(lease) FROM message INDEXED BY message_lease WHERE lease <> 0"
        lease = self._connection.execute(query).fetchone()[0]
        return min(math.inf if later is None else later[0], math.inf if lease is None else lease)
