"""The index of the queue: which messages stand under which keys (core/index_keys.py), for the questions of operators.

No message is in it when it is accepted, and one that is delivered at once never is. Behind the newest some thousands,
messages are indexed when nobody waits (indexing.py), in parts of several thousand that are written once and never
changed. All messages up to the `mark`, a queue id, are in a part or loose; what is behind it is gone over as it is.
A message that comes in below the mark, as when a removal is undone, is loose until it is indexed, too.

A part knows its queue ids in their order, and under each key the places of the messages in it. Messages that are gone
stay in it: whatever is found has to be read, and judged.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from struct import Struct

import attrs

from relaygw.core.index_keys import VERSION
from relaygw.spool.entries import expand
from relaygw.spool.entries import parts as chunks

SEEKS = 2000
"""Lookups in the database after which a search makes a pause: some milliseconds."""

BEYOND = 1 << 16
"""A place that is in no part: what stands for places that cannot be read."""

Execute = Callable[..., sqlite3.Cursor]


@attrs.frozen(kw_only=True)
class Part:
    """`low` and `high` are its first and last queue id, `oldest` and `newest` when the first and the last of its
    messages arrived."""

    number: int
    low: str
    high: str
    oldest: float
    newest: float
    messages: int


@attrs.frozen(kw_only=True)
class Wanted:
    """Messages that have a key of each of the conditions, and arrived between two moments."""

    conditions: tuple[frozenset[int], ...]
    since: float
    until: float


def _is_sound(row: Sequence[object]) -> bool:
    """Whether it can be a part, as a database that is damaged may say something else."""
    number, low, high, *others = row
    return (
        isinstance(number, int)
        and all(isinstance(each, str) for each in (low, high))
        and all(isinstance(each, int | float) for each in others)
    )


class Index:
    """Reading, and what must be noted of each change. `execute` is the database's."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self.generation = 0
        self.load()

    def load(self) -> None:
        """What the database says. An index of other keys counts for nothing.

        What comes in up to where messages have been `reached`, to be indexed or to become part of a part that is being
        made, is loose. `noted` are those since a part of loose ones is being made. Who works on the index begins
        anew with each `generation` of it."""
        self.mark: str
        version, self.mark = self._execute("SELECT version, mark FROM index_state").fetchone() or (0, "")
        self.current = version == VERSION and isinstance(self.mark, str)
        rows: list[tuple[int, str, str, float, float, int]] = []
        if self.current:
            query = "SELECT number, low, high, oldest, newest, messages FROM index_part"
            rows = self._execute(query).fetchall()
        if not self.current or not all(map(_is_sound, rows)):  # a page of it was damaged
            self.current, self.mark, rows = False, "", []
        self._take(
            [
                Part(number=number, low=low, high=high, oldest=oldest, newest=newest, messages=messages)
                for number, low, high, oldest, newest, messages in rows
            ]
        )
        self.loose = self._execute("SELECT count(*) FROM index_loose WHERE queue_id <= ?", (self.mark,)).fetchone()[0]
        self.reached = self.mark
        self.noted: set[str] | None = None
        self.generation += 1

    def disregard(self) -> None:
        """What is stored of it cannot be right: it counts for nothing from now on, and will be made anew."""
        self.current, self.mark, self.reached, self.loose, self.noted = False, "", "", 0, None
        self._take(())
        self.generation += 1

    def forget(self) -> None:
        """Nothing of it counts any more; it will be made anew."""
        self._execute("UPDATE index_state SET version = 0")
        self.load()

    def _take(self, found: Iterable[Part]) -> None:
        self.parts = sorted(found, key=lambda part: part.low)
        self.messages = sum(part.messages for part in self.parts)

    def enter(self, part: Part | None, mark: str, loose: int) -> None:
        """A part that has been written, up to where all is indexed by now, and how many below that are loose."""
        if part is not None:
            self._take((*self.parts, part))
        self.mark, self.loose = mark, loose

    def drop(self, part: Part) -> None:
        """A part that is no more."""
        self._take(each for each in self.parts if each is not part)

    # -- changes --------------------------------------------------------------------------------------------------

    def note(self, queue_ids: Sequence[str]) -> None:
        """These came in, or may have got other keys: those that have been passed by are loose from now on."""
        passed = [queue_id for queue_id in queue_ids if queue_id <= self.reached]
        if not passed:
            return
        for some in chunks(passed):
            self._execute(expand("INSERT OR IGNORE INTO index_loose VALUES ?*", 1, len(some)), some)
        self.loose += len(passed)
        if self.noted is not None:
            self.noted.update(passed)

    # -- questions ------------------------------------------------------------------------------------------------

    def find(self, wanted: Wanted, after: str, most: int) -> tuple[list[str], str]:
        """At most `most` of the queue ids behind `after` that may be meant, in order; and up to which id none is
        missing, at most the mark. There may be none, and more behind that. Where something of the index is damaged it
        is not `current` any more, and the answer none."""
        found: set[str] = set()
        end, seeks, highs = self.mark, 0, [after]
        for part in [each for each in self.parts if each.high > after]:
            if len(found) >= most or seeks >= SEEKS:
                complete = max((high for high in highs if high < part.low), default="")
                if complete > after:
                    end = min(end, complete)
                    break
            highs.append(part.high)
            if part.newest < wanted.since or part.oldest > wanted.until:
                continue
            seeks += 1 + sum(len(keys) for keys in wanted.conditions)
            some = list(self._in_part(part, wanted.conditions, after, most))
            found.update(some)
            if len(some) == most:
                end = min(end, some[-1])
        loose = self._loose(after, end, most)
        if len(loose) == most:
            end = loose[-1]
        ids = sorted(queue_id for queue_id in found.union(loose) if queue_id <= end)
        return (ids, end) if len(ids) <= most else (ids[:most], ids[most - 1])

    def _loose(self, after: str, end: str, most: int) -> list[str]:
        query = "SELECT queue_id FROM index_loose WHERE queue_id > ? AND queue_id <= ? ORDER BY queue_id LIMIT ?"
        return [queue_id for (queue_id,) in self._execute(query, (after, end, most))]

    def _in_part(self, part: Part, conditions: Sequence[frozenset[int]], after: str, most: int) -> Iterator[str]:
        places: set[int] | None = None
        for keys in conditions:
            under = self._places(part.number, sorted(keys))
            places = under if places is None else places & under
            if not places:
                return
        ids = self.ids(part)
        first = bisect_right(ids, after)
        wanted = range(len(ids)) if places is None else sorted(places)
        if wanted and wanted[-1] >= len(ids):
            self.disregard()
            return
        behind = wanted[bisect_right(wanted, first - 1) :]
        yield from (ids[place] for place in behind[:most])

    def _places(self, number: int, keys: Sequence[int]) -> set[int]:
        found: set[int] = set()
        for some in chunks(keys):
            query = expand("SELECT places FROM index_key WHERE part = ? AND key IN ?*", len(some))
            for (packed,) in self._execute(query, (number, *some)):
                found.update(unpack(packed) if isinstance(packed, bytes) else (BEYOND,))
        return found

    def ids(self, part: Part) -> list[str]:
        """The queue ids of a part, in order."""
        row = self._execute("SELECT ids FROM index_part WHERE number = ?", (part.number,)).fetchone()
        ids = join_back(row[0]) if row is not None and isinstance(row[0], str) else []
        if len(ids) != part.messages:
            self.disregard()
        return ids


def key_number(key: str) -> int:
    """The number a key goes by: two keys in millions of millions may share one, which only finds too much."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=6).digest(), "big")


def numbers_of(keys: Collection[str]) -> frozenset[int]:
    return frozenset(map(key_number, keys))


@lru_cache(maxsize=256)
def _format(count: int) -> Struct:
    return Struct(f"<{count}H")


def pack(places: Sequence[int]) -> bytes:
    """Places as they are stored."""
    return _format(len(places)).pack(*places)


def unpack(packed: bytes) -> tuple[int, ...]:
    """And back."""
    if len(packed) % 2:
        return (BEYOND,)
    found: tuple[int, ...] = _format(len(packed) // 2).unpack(packed)
    return found


def join(queue_ids: Sequence[str]) -> str:
    """Queue ids as they are stored: none has a line end in it."""
    return "\n".join(queue_ids)


def join_back(text: str) -> list[str]:
    return text.split("\n")
