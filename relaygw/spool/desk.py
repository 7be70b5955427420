"""The operator's side of the spool: what was set aside, tried again or let go of; archives, taken in a slice at a time.

An archive is read where it lies, by the process that owns the spool. A slice is short, so that mail is served between
two; who asks goes on where the last one ended, today or after a power cut.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from twisted.internet.defer import Deferred, DeferredList, succeed

from relaygw.bridge import as_deferred
from relaygw.core.envelope import path as in_brackets
from relaygw.core.events import Event, Imported, Operated
from relaygw.core.record import Record
from relaygw.interfaces import SpoolError
from relaygw.spool.adoption import PRESENT
from relaygw.spool.archive import ArchiveError, Ending, Head, Item, read_head, read_item
from relaygw.spool.entries import Damage
from relaygw.spool.sqlite import SqliteSpool

MESSAGES, OCTETS, SECONDS = 200, 4 * 1024 * 1024, 0.05
"""Where a slice ends, at the first of them."""


class SpoolDesk:
    """`fell_due` is told when something that came in is due; `elapsed` measures, in seconds, how long a slice takes."""

    def __init__(
        self,
        spool: SqliteSpool,
        *,
        now: Callable[[], float],
        write_event: Callable[[Event], None],
        fell_due: Callable[[float], None] = lambda due: None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._now = now
        self._write_event = write_event
        self._fell_due = fell_due
        self._elapsed = elapsed

    async def damaged(self) -> Sequence[Damage]:
        """What was set aside, and why."""
        return await self._spool.damaged()

    async def retry(self, queue_id: str) -> str:
        """Into the queue again where it can be read by now: "", or why not."""
        record, trouble = await self._spool.retry_damaged(queue_id)
        if record is not None:
            self._write_event(
                Operated(queue_id=queue_id, session=record.session_id, verb="retry", reason="it was set aside")
            )
            self._fell_due(record.due)
        return trouble

    async def remove(self, queue_id: str) -> str:
        """Away with it for good: "", or why not."""
        if not await self._spool.remove_damaged(queue_id):
            return "there is no such message among those set aside"
        self._write_event(Operated(queue_id=queue_id, verb="remove", reason="it was set aside"))
        return ""

    async def reindex(self) -> None:
        """Let go of the index of the queue: it is made anew while nobody waits, and nothing is left out meanwhile."""
        await self._spool.reindex()

    async def take_in(self, path: str, offset: int) -> Mapping[str, Any]:
        """A slice of an archive, from `offset` (0: its beginning). Raises ArchiveError, and SpoolError where this spool
        fails: what was taken in stays so, and comes in no second time.

        The answer's `offset` is where to go on, 0 at the end; `problem` tells why the end is not one.
        """
        begun: list[tuple[Item, Deferred[str]]] = []
        failure: Exception | None = None
        with _opened(path) as file:
            head = read_head(file)
            told = _Slice(archive=head.archive, offset=offset or head.offset)
            end = self._elapsed() + SECONDS
            try:
                while len(begun) < MESSAGES and told.octets < OCTETS and self._elapsed() < end:
                    taken = self._take_one(file, head, told)
                    if taken is None:
                        break
                    begun.append(taken)
            except SpoolError as error:
                failure = error
        # All at once: one sync for all of them. A failure is told when nothing is under way any more.
        done: Any = await DeferredList([storing for _, storing in begun], consumeErrors=True)
        for (item, _), (stored, trouble) in zip(begun, done, strict=True):
            if not stored:
                failure = trouble.value
            else:
                self._learn(item, trouble, told)
        if failure is not None:
            raise failure
        return told.document()

    def _learn(self, item: Item, trouble: str, told: "_Slice") -> None:
        told.learn(item, trouble)
        if item.record is not None and not trouble:
            self._came(item.record, told.archive)

    def _take_one(self, file: IO[bytes], head: Head, told: "_Slice") -> "tuple[Item, Deferred[str]] | None":
        """The next message, and what is to become of it; None at the end."""
        sink = self._spool.sink()
        try:
            item = read_item(file, told.offset, sink.write)
            if isinstance(item, Ending):
                told.ended(item)
                return None
            told.offset = item.offset
            if item.record is None:
                return item, succeed(item.problem)
            told.octets += sink.size
            return item, as_deferred(self._spool.adopt(item.record, sink, head.archive, self._now()))
        finally:
            sink.abort()

    def _came(self, record: Record, archive: str) -> None:
        self._write_event(
            Imported(
                queue_id=record.queue_id,
                session=record.session_id,
                archive=archive,
                sender=in_brackets(record.envelope.sender),
                recipients=tuple(str(state.address) for state in record.waiting),
                size=record.size,
            )
        )
        self._fell_due(record.due)


def _opened(path: str) -> IO[bytes]:
    if not os.path.isabs(path):
        raise ArchiveError(f"{path!r:.200} is not an absolute path")
    try:
        if not os.path.isfile(path):
            raise ArchiveError(f"{path}: there is no such file")
        return open(path, "rb")
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror or error}") from None


class _Slice:
    """What became of a slice of an archive."""

    def __init__(self, *, archive: str, offset: int) -> None:
        self.archive = archive
        self.offset = offset
        self.octets = 0
        self._imported: list[str] = []
        self._present: list[str] = []
        self._refused: list[Mapping[str, str]] = []
        self._over = False
        self._problem = ""

    def learn(self, item: Item, trouble: str) -> None:
        if not trouble:
            self._imported.append(item.queue_id)
        elif trouble == PRESENT:
            self._present.append(item.queue_id)
        else:
            self._refused.append({"id": item.queue_id, "problem": trouble})

    def ended(self, ending: Ending) -> None:
        self._over, self._problem = True, ending.problem

    def document(self) -> Mapping[str, Any]:
        return {
            "archive": self.archive,
            "imported": self._imported,
            "present": self._present,
            "refused": self._refused,
            "offset": 0 if self._over else self.offset,
            "problem": self._problem,
        }
