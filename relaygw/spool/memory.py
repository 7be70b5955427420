"""A spool that forgets everything at the end of the process: for tests, rehearsals and `explain`.

It obeys ISpool to the letter but for power loss; `broken` set to a text makes every operation fail with it, as a
failing disk would.
"""

import itertools
import math
from collections.abc import Mapping, Sequence, Set

import attrs
from zope.interface import implementer

from relaygw.core.content import BytesContent, Content
from relaygw.core.owner import owner_of
from relaygw.core.record import Record
from relaygw.core.selection import Selection
from relaygw.core.trash import Aside, Trashed
from relaygw.interfaces import Found, ISink, ISpool, ITrash, Mark, Settlement, SpoolError
from relaygw.spool.sink import Sink


@attrs.define
class _Entry:
    record: Record
    content: Content
    number: int
    lease: float = 0.0

    @property
    def wake(self) -> float:
        """When it can be claimed next."""
        return max(self.record.due, self.lease)

    @property
    def owner(self) -> str:
        return owner_of(self.record)

    @property
    def mark(self) -> Mark:
        return self.record.due, self.owner, self.number


@implementer(ISpool, ITrash)
class MemorySpool:
    """All answers come at once. Contents never spill."""

    def __init__(self) -> None:
        self.broken = ""
        self._entries: dict[str, _Entry] = {}
        self._numbers = itertools.count(1)
        self._trash: dict[int, tuple[Trashed, Content]] = {}
        self._closed = False

    def _check(self) -> None:
        if self._closed:
            raise SpoolError("the spool is closed")
        if self.broken:
            raise SpoolError(self.broken)

    def sink(self) -> ISink:
        self._check()
        return Sink()

    async def commit(self, record: Record, sink: ISink, prefix: bytes, lease: float) -> Content:
        if not isinstance(sink, Sink):
            raise SpoolError("the sink is not one of this spool")
        body = sink.take(prefix)
        self._check()
        content = body.content(None)
        self._add(record, content, lease)
        return content

    def _add(self, record: Record, content: Content, lease: float) -> None:
        if record.queue_id in self._entries:
            raise SpoolError(f"there is a record {record.queue_id} already")
        self._entries[record.queue_id] = _Entry(record, content, next(self._numbers), lease)

    async def settle(self, settlement: Settlement) -> None:
        self._check()
        record = settlement.record
        entry = self._entries.get(record.queue_id)
        if entry is None:
            return
        self._set_aside(settlement.aside, entry.content)
        for new in settlement.added if entry.record != record else ():
            if new.record.queue_id not in self._entries:
                self._add(new.record, BytesContent(new.content), 0.0)
        if record.finished:
            del self._entries[record.queue_id]
            return
        entry.record = record
        if settlement.release:
            entry.lease = 0.0

    async def claim(self, now: float, lease: float, limit: int, owner: str | None = None) -> tuple[Record, ...]:
        self._check()
        due = sorted(
            (entry for entry in self._entries.values() if entry.wake <= now and owner in (None, entry.owner)),
            key=lambda entry: entry.mark,
        )
        return _claimed(due[:limit], lease)

    async def look(self, now: float, lease: float, limit: int, mark: Mark, passed: Set[str]) -> Found:
        self._check()
        for entry in self._entries.values():
            if 0 < entry.lease <= now:
                entry.lease, mark = 0.0, min(mark, (entry.record.due, "", 0))
        due = sorted(
            (
                entry
                for entry in self._entries.values()
                if entry.wake <= now and entry.mark > mark and entry.owner not in passed
            ),
            key=lambda entry: entry.mark,
        )
        found = due[:limit]
        ended = len(due) <= limit
        end = (now, "", 0) if ended else found[-1].mark
        later = (entry.wake for entry in self._entries.values() if entry.wake > now)
        records = _claimed(found, lease)
        return Found(records=records, mark=max(mark, end), next_due=min(later, default=math.inf) if ended else None)

    async def take(self, queue_id: str, now: float, lease: float) -> Record | None:
        self._check()
        entry = self._entries.get(queue_id)
        if entry is None or entry.lease > now:
            return None
        entry.lease = lease
        return entry.record

    async def settle_all(self, settlements: Sequence[Settlement]) -> None:
        for settlement in settlements:
            await self.settle(settlement)

    async def take_all(self, queue_ids: Sequence[str], now: float, lease: float) -> tuple[Record, ...]:
        taken = [await self.take(queue_id, now, lease) for queue_id in queue_ids]
        return tuple(record for record in taken if record is not None)

    async def renew(self, queue_ids: Sequence[str], lease: float) -> None:
        self._check()
        for queue_id in queue_ids:
            if queue_id in self._entries:
                self._entries[queue_id].lease = lease

    async def release(self, queue_id: str) -> None:
        self._check()
        if queue_id in self._entries:
            self._entries[queue_id].lease = 0.0

    async def record(self, queue_id: str) -> Record | None:
        self._check()
        entry = self._entries.get(queue_id)
        return entry.record if entry else None

    async def content(self, queue_id: str) -> Content | None:
        self._check()
        entry = self._entries.get(queue_id)
        return entry.content if entry else None

    async def search(self, selection: Selection, after: str, limit: int, now: float) -> tuple[tuple[Record, ...], str]:
        records = await self.records(after, limit)
        return records, records[-1].queue_id if len(records) == limit else ""

    async def named(self, queue_ids: Sequence[str]) -> tuple[Record, ...]:
        found = [await self.record(queue_id) for queue_id in queue_ids]
        return tuple(record for record in found if record is not None)

    async def contents(self, queue_ids: Sequence[str]) -> Mapping[str, Content]:
        found = {queue_id: await self.content(queue_id) for queue_id in queue_ids}
        return {queue_id: content for queue_id, content in found.items() if content is not None}

    async def records(self, after: str, limit: int) -> tuple[Record, ...]:
        self._check()
        wanted = sorted(queue_id for queue_id in self._entries if queue_id > after)[:limit]
        return tuple(self._entries[queue_id].record for queue_id in wanted)

    def _set_aside(self, aside: Aside | None, content: Content) -> None:
        if aside is None:
            return
        if aside.put is not None:
            number = next(self._numbers)
            self._trash[number] = attrs.evolve(aside.put, entry=number), content
        for entry in aside.taken:
            self._trash.pop(entry, None)

    async def trashed(self, after: int, limit: int) -> tuple[tuple[Trashed, ...], int]:
        self._check()
        entries = [entry for entry in sorted(self._trash) if entry > after][:limit]
        return tuple(self._trash[entry][0] for entry in entries), entries[-1] if len(entries) == limit else 0

    async def trashed_of(self, queue_ids: Sequence[str]) -> tuple[Trashed, ...]:
        self._check()
        return tuple(kept for kept, _ in self._trash.values() if kept.record.queue_id in queue_ids)

    async def restore(self, entries: Sequence[int]) -> tuple[Record, ...]:
        self._check()
        back = []
        for entry in entries:
            kept = self._trash.get(entry)
            if kept is not None and kept[0].record.queue_id not in self._entries:
                self._add(kept[0].record, kept[1], 0.0)
                back.append(kept[0].record)
                del self._trash[entry]
        return tuple(back)

    async def purge(self, entries: Sequence[int]) -> None:
        self._check()
        for entry in entries:
            self._trash.pop(entry, None)

    async def expire(self, before: float, limit: int) -> tuple[str, ...]:
        self._check()
        gone = [kept for kept, _ in self._trash.values() if kept.removed < before]
        gone = sorted(gone, key=lambda kept: kept.removed)[:limit]
        await self.purge([kept.entry for kept in gone])
        return tuple(kept.record.queue_id for kept in gone)

    async def oldest(self) -> float:
        self._check()
        return min((kept.removed for kept, _ in self._trash.values()), default=math.inf)

    async def trash_count(self) -> int:
        self._check()
        return len(self._trash)

    async def count(self) -> int:
        self._check()
        return len(self._entries)

    async def close(self) -> None:
        for entry in self._entries.values():
            entry.lease = 0.0
        self._closed = True


def _claimed(entries: Sequence[_Entry], lease: float) -> tuple[Record, ...]:
    for entry in entries:
        entry.lease = lease
    return tuple(entry.record for entry in entries)
