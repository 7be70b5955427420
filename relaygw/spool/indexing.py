"""Fills the index of the queue, and empties it, in short pieces between other work of the spool's thread.

Nothing is indexed while the queue is short, and the newest messages are not indexed in a long one: most of them are
delivered before anybody asks. Each piece is a transaction; what is written of a part counts from the one on that enters
the part and moves the mark. What was begun when the power went is cleared away at the next start.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import attrs

from relaygw.core.index_keys import VERSION, keys_of
from relaygw.core.record import Record
from relaygw.spool.entries import expand
from relaygw.spool.entries import parts as chunks
from relaygw.spool.index import Part, join, key_number, pack
from relaygw.spool.schema import PAGE_SIZE
from relaygw.spool.store import Store


@attrs.frozen(kw_only=True)
class Measures:
    """How much: the `newest` messages are not indexed, a part has so many `messages` or is full with so many `keys`;
    so many `loose` ones make a part. `read` and `written` are for one piece: records, and rows. So many `changes` of
    the queue are a reason to look whether there is work. `pace`: when there is far more to do than usual, seconds from
    one piece to the next, however busy the spool is; `retry`: those from one that failed to the next."""

    newest: int = 16_000
    messages: int = 8_000
    keys: int = 40_000
    loose: int = 2_000
    read: int = 50
    written: int = 2_000
    changes: int = 4_000
    pace: float = 0.1
    retry: float = 60.0


class Indexer:
    """Of one store. Its pieces are done in the store's thread."""

    def __init__(self, store: Store, measures: Measures | None = None) -> None:
        self._store = store
        self._index = store.index
        self._measures = measures or Measures()
        self._work: Iterator[None] | None = None
        self._generation = 0
        self._then: Callable[[], None] | None = None  # what is true once the piece is committed
        self._seen = -self._measures.changes  # so that the first look is at once
        self._excess = 0  # of the index over the queue, when all of it had been gone over
        self._behind = False
        self._next = self._not_before = 0.0

    def overdue(self) -> bool | None:
        """Whether a piece is to be done at once; False: as soon as there is time, None: there is nothing to do."""
        if self._work is None and not self._may_have_work():
            return None
        return self._behind and time.monotonic() >= self._next

    def _may_have_work(self) -> bool:
        store, index, measures = self._store, self._index, self._measures
        if time.monotonic() < self._not_before:
            return False
        many = store.newest_number - self._seen >= measures.changes
        return not index.current or many or index.loose >= measures.loose or self._is_stale()

    def _is_stale(self) -> bool:
        """Whether a tenth more of what is indexed is gone than when all of it was gone over."""
        number = self._store.count()
        return self._index.messages - number - self._excess > number // 10 + self._measures.loose

    def piece(self) -> None:
        """One transaction. What fails is begun anew, later."""
        if self._work is None or self._generation != self._index.generation:
            self._seen = self._store.newest_number
            self._work = self._all()
            self._generation = self._index.generation
        try:
            with self._store.transaction():
                ended = next(self._work, self) is self
        except BaseException:
            self._give_up()
            raise
        self._next = time.monotonic() + self._measures.pace
        if ended:
            self._work = None
        then, self._then = self._then, None
        if then is not None:
            then()

    def _give_up(self) -> None:
        self._work = self._then = self._index.noted = None
        self._behind = False
        self._not_before = time.monotonic() + self._measures.retry
        self._seen = self._store.newest_number - self._measures.changes

    def finish(self) -> None:
        """All there is to do, at once: for who fills a spool, and for tests."""
        while self.overdue() is not None:
            self.piece()

    def _all(self) -> Iterator[None]:
        """Each step of it is a piece."""
        if not self._index.current:
            self._begin_anew()
            yield
            return
        yield from self._clear_orphans()
        while True:
            if self._index.loose >= self._measures.loose:
                yield from self._index_loose()
            elif self._tail_is_long():
                yield from self._index_tail()
            elif self._is_stale():
                yield from self._go_over()
            else:
                return

    def _execute(self, query: str, values: Sequence[object] = ()) -> int:
        """Rows changed."""
        return self._store.execute(query, values).rowcount

    def _begin_anew(self) -> None:
        """The index is of other keys than those of today."""
        for table in ("index_part", "index_loose"):
            self._execute(f"DELETE FROM {table}")  # noqa: S608  # all of it is ours
        self._execute("DELETE FROM index_state")
        self._execute("INSERT INTO index_state VALUES (?, '')", (VERSION,))
        self._then = self._index.load  # another generation: this one ends here

    # -- adding ---------------------------------------------------------------------------------------------------

    def _tail_is_long(self) -> bool:
        """Whether there is enough for a part, apart from the newest; and whether for many."""
        query = "SELECT 1 FROM message WHERE queue_id > ? ORDER BY queue_id LIMIT 1 OFFSET ?"
        length = self._measures.newest + self._measures.messages
        after = self._index.mark
        self._behind = self._store.execute(query, (after, 2 * length)).fetchone() is not None
        return self._behind or self._store.execute(query, (after, length - 1)).fetchone() is not None

    def _index_tail(self) -> Iterator[None]:
        draft, measures, index = _Draft(), self._measures, self._index
        at = index.mark
        query = (
            "SELECT queue_id, CAST(record AS BLOB) FROM message "
            "WHERE queue_id > ? AND damage IS NULL ORDER BY queue_id LIMIT ?"
        )
        while draft.messages < measures.messages and draft.keys < measures.keys:
            limit = min(measures.read, measures.messages - draft.messages)
            rows = self._store.execute(query, (at, limit)).fetchall()
            if not rows:
                break
            draft.add(self._store.decode(rows))
            at = rows[-1][0]
            index.reached = max(index.reached, at)
            yield
        yield from self._write(draft, at, ())

    def _index_loose(self) -> Iterator[None]:
        draft, measures, index = _Draft(), self._measures, self._index
        taken: list[str] = []
        index.noted = set()
        query = "SELECT queue_id FROM index_loose WHERE queue_id > ? AND queue_id <= ? ORDER BY queue_id LIMIT ?"
        while draft.messages < measures.messages and draft.keys < measures.keys:
            limit = min(measures.read, measures.messages - draft.messages)
            after = taken[-1] if taken else ""
            ids = [queue_id for (queue_id,) in self._store.execute(query, (after, index.mark, limit))]
            if not ids:
                break
            draft.add(sorted(self._store.named(ids), key=lambda record: record.queue_id))
            taken += ids
            yield
        yield from self._write(draft, index.mark, taken)

    def _write(self, draft: "_Draft", mark: str, taken: Sequence[str]) -> Iterator[None]:
        """The part, and with its entry the mark. Of the loose ones those are `taken` that nobody has touched since."""
        number = self._new_number()
        rows = draft.rows()
        for start in range(0, len(rows), self._measures.written):
            self._insert(number, rows[start : start + self._measures.written])
            yield
        index = self._index
        part, touched = draft.part(number), index.noted or ()
        if part is not None:
            text = join(draft.ids)
            self._execute("INSERT INTO index_part VALUES (?, ?, ?, ?, ?, ?, ?)", (*attrs.astuple(part), text))
            self._store.written += len(text) + PAGE_SIZE
        for some in chunks([queue_id for queue_id in taken if queue_id not in touched]):
            self._execute(expand("DELETE FROM index_loose WHERE queue_id IN ?*", len(some)), some)
        self._execute("UPDATE index_state SET mark = ?", (mark,))
        loose = self._store.execute("SELECT count(*) FROM index_loose WHERE queue_id <= ?", (mark,)).fetchone()[0]
        self._then = partial(index.enter, part, mark, loose)
        yield

    def _insert(self, number: int, rows: Sequence[tuple[int, bytes]]) -> None:
        for some in chunks(rows):
            values = [value for key, places in some for value in (number, key, places)]
            self._execute(expand("INSERT INTO index_key VALUES ?*", 3, len(some)), values)
        self._store.written += sum(len(places) + 16 for _, places in rows) + PAGE_SIZE

    def _new_number(self) -> int:
        highest = (
            self._store.execute(query).fetchone()[0] or 0
            for query in ("SELECT max(number) FROM index_part", "SELECT max(part) FROM index_key")
        )
        return int(max(highest)) + 1

    # -- taking away ----------------------------------------------------------------------------------------------

    def _clear_orphans(self) -> Iterator[None]:
        """Rows of parts that were never entered, or are no more, and what is loose where it need not be."""
        self._execute("DELETE FROM index_loose WHERE queue_id > ?", (self._index.reached,))
        known = {part.number for part in self._index.parts}
        number = 0
        query = "SELECT min(part) FROM index_key WHERE part > ?"
        while (found := self._store.execute(query, (number,)).fetchone()[0]) is not None:
            number = found
            if number not in known:
                yield from self._clear(number)

    def _clear(self, number: int) -> Iterator[None]:
        query = "DELETE FROM index_key WHERE part = ? AND key IN (SELECT key FROM index_key WHERE part = ? LIMIT ?)"
        while self._execute(query, (number, number, self._measures.written)):
            self._store.written += PAGE_SIZE * 8
            yield

    def _go_over(self) -> Iterator[None]:
        """Parts of which half is gone are dissolved: what is left of them is loose, and will be indexed again."""
        for part in list(self._index.parts):
            living: list[str] = []
            for some in chunks(self._index.ids(part), 10 * self._measures.read):
                query = expand("SELECT queue_id FROM message WHERE queue_id IN ?*", len(some))
                living += [queue_id for (queue_id,) in self._store.execute(query, some)]
                yield
            if 2 * len(living) <= part.messages:
                yield from self._dissolve(part, living)
        self._excess = self._index.messages - self._store.count()

    def _dissolve(self, part: Part, living: Sequence[str]) -> Iterator[None]:
        self._index.note(living)
        self._execute("DELETE FROM index_part WHERE number = ?", (part.number,))
        self._then = partial(self._index.drop, part)
        yield
        yield from self._clear(part.number)


class _Draft:
    """A part in the making."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._under: dict[str, list[int]] = {}
        self._oldest, self._newest = float("inf"), float("-inf")

    @property
    def messages(self) -> int:
        return len(self.ids)

    @property
    def keys(self) -> int:
        return len(self._under)

    def add(self, records: Sequence[Record]) -> None:
        """In order of queue id."""
        under = self._under
        for record in records:
            place = len(self.ids)
            self.ids.append(record.queue_id)
            self._oldest = min(self._oldest, record.arrived)
            self._newest = max(self._newest, record.arrived)
            for key in keys_of(record):
                if key in under:
                    under[key].append(place)
                else:
                    under[key] = [place]

    def rows(self) -> list[tuple[int, bytes]]:
        """Keys and the places under them, in order of the keys."""
        numbered: dict[int, list[int]] = {}
        for key, places in self._under.items():
            numbered.setdefault(key_number(key), []).extend(places)
        return [(number, pack(numbered[number])) for number in sorted(numbered)]

    def part(self, number: int) -> Part | None:
        """None where no message is in it."""
        if not self.ids:
            return None
        return Part(
            number=number,
            low=self.ids[0],
            high=self.ids[-1],
            oldest=self._oldest,
            newest=self._newest,
            messages=len(self.ids),
        )
