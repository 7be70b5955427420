"""Reads claimed records and their contents from the spool: one read at a time, of all that wait for one by then.

It knows nothing of what they are read for. What cannot be read is told as missing, and holds up nobody else.
"""

from collections.abc import Awaitable, Callable, Mapping

from relaygw.bridge import as_deferred
from relaygw.core.content import Content
from relaygw.core.events import Event, TaskFailed
from relaygw.core.record import Record
from relaygw.interfaces import ISpool, SpoolError
from relaygw.tasks import describe

BATCH = 100
"""Records read at once."""


class Opener:
    """`opened` gets each record with its content, None for what is not there or cannot be read now."""

    def __init__(
        self,
        *,
        spool: ISpool,
        write_event: Callable[[Event], None],
        spawn: Callable[[str, Awaitable[None]], None],
        opened: Callable[[str, Record | None, Content | None], None],
    ) -> None:
        self._spool = spool
        self._write_event = write_event
        self._spawn = spawn
        self._opened = opened
        self._waiting: dict[str, Record | None] = {}
        self._reading = False

    def open(self, queue_id: str, record: Record | None, content: Content | None = None) -> None:
        """Read what is missing of it: the content, and the record where it is not known. Where nothing is, it is
        handed over at once."""
        if content is not None:
            self._hand_over(queue_id, record, content)
            return
        self._waiting[queue_id] = record
        if not self._reading:
            self._reading = True
            self._spawn("open records", self._read_all())

    async def _read_all(self) -> None:
        try:
            while self._waiting:
                batch = {queue_id: self._waiting.pop(queue_id) for queue_id in list(self._waiting)[:BATCH]}
                records, contents = await self._read(batch)
                for queue_id, known in batch.items():
                    self._hand_over(queue_id, known or records.get(queue_id), contents.get(queue_id))
        finally:
            self._reading = False

    async def _read(self, batch: Mapping[str, Record | None]) -> tuple[Mapping[str, Record], Mapping[str, Content]]:
        """Both are asked for before either is waited for, so that they are one turn of the spool's."""
        unknown = [queue_id for queue_id, record in batch.items() if record is None]
        coming = as_deferred(self._spool.contents(list(batch)))
        try:
            records = await self._spool.named(unknown) if unknown else ()
            return {record.queue_id: record for record in records}, await coming
        except SpoolError as error:
            _ = coming.addErrback(lambda _: None)
            for queue_id in batch:
                self._write_event(TaskFailed(queue_id=queue_id, task="open a record", error=str(error)))
            return {}, {}

    def _hand_over(self, queue_id: str, record: Record | None, content: Content | None) -> None:
        try:
            self._opened(queue_id, record, content)
        except Exception as error:
            self._write_event(TaskFailed(queue_id=queue_id, task="open a record", error=describe(error)))
