"""The operators' way back: what they removed is kept for a while, can be listed and brought back, and goes for good
when its time is over, a few at a time.

It asks the spool only when the first of what is kept may be too old, and never while nothing is kept.
"""

from collections.abc import Awaitable, Callable, Sequence

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from relaygw.core.events import Event, Operated, Purged, TaskFailed
from relaygw.core.orders import Order, Verb
from relaygw.core.record import Record
from relaygw.core.selection import Selection
from relaygw.core.trash import Trashed
from relaygw.interfaces import ITrash
from relaygw.queue.answers import Done, people
from relaygw.queue.operations import Operations
from relaygw.tasks import describe

PAGE = 100
"""Entries read, brought back or let go of at once."""

PAUSE = 0.1
"""Seconds between two slices of a sweep, in which mail is served."""

TROUBLE = 60.0
"""Seconds before a sweep that failed begins anew."""


@attrs.frozen(kw_only=True)
class Kept:
    """Part of the trash; `after` is where the next part begins, 0 when this is the last."""

    entries: tuple[Trashed, ...]
    after: int = 0


@attrs.frozen(kw_only=True)
class Back:
    """What bringing back part of the trash, or letting go of it, came to."""

    answers: tuple[Done, ...]
    after: int = 0


class Trash:
    """`age` is for how many seconds what is removed is kept; 0: nothing is, from now on. `changed` is told when
    something is due in the queue."""

    def __init__(
        self,
        *,
        spool: ITrash,
        operations: Operations,
        age: float,
        now: Callable[[], float],
        write_event: Callable[[Event], None],
    ) -> None:
        self.age = age
        self._spool = spool
        self._operations = operations
        self._now = now
        self._write_event = write_event
        operations.keeps = age > 0

    def set_age(self, age: float) -> None:
        """It holds for what is kept already, too."""
        self.age = age
        self._operations.keeps = age > 0

    async def listing(
        self, selection: Selection, *, within: float | None = None, after: int = 0, limit: int = 1000
    ) -> Kept:
        """At most `limit` entries that are meant, removed `within` so many seconds, behind the entry `after`."""
        if selection.ids:
            entries = await self._spool.trashed_of(sorted(selection.ids))
            meant = [each for each in entries if each.entry > after and self._is_meant(each, selection, within)]
            meant.sort(key=lambda each: each.entry)
            return Kept(entries=tuple(meant[:limit]), after=meant[limit - 1].entry if len(meant) > limit else 0)
        found: list[Trashed] = []
        while len(found) < limit:
            page, after = await self._spool.trashed(after, min(PAGE, limit - len(found)))
            found += [each for each in page if self._is_meant(each, selection, within)]
            if not after:
                break
        return Kept(entries=tuple(found), after=after)

    def _is_meant(self, each: Trashed, selection: Selection, within: float | None) -> bool:
        now = self._now()
        return (within is None or now - each.removed <= within) and selection.matches(each.record, now)

    async def undo(
        self, selection: Selection, *, within: float | None = None, after: int = 0, limit: int = PAGE
    ) -> Back:
        """Bring back at most `limit` entries that are meant."""
        part = await self.listing(selection, within=within, after=after, limit=limit)
        restored = {record.queue_id: record for record in await self._spool.restore([x.entry for x in part.entries])}
        answers: dict[str, Done] = {}
        for record in restored.values():
            answers[record.queue_id] = self._restored(record)
        left = await self._left(part.entries)
        for queue_id in left:
            answers[queue_id] = await self._merged(queue_id, left[queue_id])
        return Back(answers=tuple(answers.values()), after=part.after)

    async def _left(self, entries: Sequence[Trashed]) -> dict[str, tuple[Trashed, ...]]:
        """Those whose message is in the queue itself: its other recipients wait there."""
        wanted = {each.entry for each in entries}
        ids = list(dict.fromkeys(each.record.queue_id for each in entries))
        left: dict[str, tuple[Trashed, ...]] = {}
        for each in await self._spool.trashed_of(ids):
            if each.entry in wanted:
                left[each.record.queue_id] = (*left.get(each.record.queue_id, ()), each)
        return left

    def _restored(self, record: Record) -> Done:
        names = tuple(str(state.address) for state in record.waiting)
        self._write_event(
            Operated(queue_id=record.queue_id, session=record.session_id, verb=Verb.UNDO.value, recipients=names)
        )
        self._operations.fell_due(record.due)
        held = f"; held: {record.held}" if record.held else ""
        message = f"brought back: {people(len(names))}{held}"
        return Done(queue_id=record.queue_id, done=True, message=message)

    async def _merged(self, queue_id: str, kept: tuple[Trashed, ...]) -> Done:
        done = await self._operations.order(queue_id, Order(verb=Verb.UNDO, kept=kept))
        if not done.done:  # it has ended meanwhile: then what is kept of it is a message of its own
            again = await self._spool.restore([each.entry for each in kept])
            done = self._restored(again[0]) if again else done
        return done

    async def purge(
        self, selection: Selection, *, within: float | None = None, after: int = 0, limit: int = PAGE
    ) -> Back:
        """Let go for good of at most `limit` entries that are meant."""
        part = await self.listing(selection, within=within, after=after, limit=limit)
        await self._spool.purge([each.entry for each in part.entries])
        for each in part.entries:
            record = each.record
            self._write_event(Purged(queue_id=record.queue_id, session=record.session_id, reason="by an operator"))
        answers = [Done(queue_id=each.record.queue_id, done=True, message="gone for good") for each in part.entries]
        return Back(answers=tuple(answers), after=part.after)

    async def sweep(self) -> bool:
        """Let go of a few that are too old; whether there may be more."""
        gone = await self._spool.expire(self._now() - self.age, PAGE)
        for queue_id in gone:
            self._write_event(Purged(queue_id=queue_id, reason="its time in the trash is over"))
        return len(gone) == PAGE

    async def count(self) -> int:
        """How many removals are kept."""
        return await self._spool.trash_count()

    async def next_expiry(self) -> float:
        """When the first of what is kept is too old; infinity when nothing is kept."""
        return await self._spool.oldest() + self.age


class Sweeper:
    """Lets the trash go when its time is over, while the service runs."""

    def __init__(
        self,
        trash: Trash,
        clock: IReactorTime,
        spawn: Callable[[str, Awaitable[None]], None],
        write_event: Callable[[Event], None],
    ) -> None:
        self._trash = trash
        self._clock = clock
        self._spawn = spawn
        self._write_event = write_event
        self._call: IDelayedCall | None = None
        self._stopped = True
        self._sweeping = False

    def start(self) -> None:
        self._stopped = False
        self._begin()

    def stop(self) -> None:
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def look(self) -> None:
        """Something was put into the trash."""
        if not self._stopped and self._call is None and not self._sweeping:
            self._wait(self._trash.age)

    def reconfigure(self, age: float) -> None:
        """Use this age from now on."""
        self._trash.set_age(age)
        if not self._stopped and not self._sweeping:
            if self._call is not None:
                self._call.cancel()
            self._begin()

    def _wait(self, seconds: float) -> None:
        if not self._stopped and seconds < float("inf"):
            self._call = self._clock.callLater(max(seconds, 0.0), self._begin)

    def _begin(self) -> None:
        self._call = None
        self._sweeping = True
        self._spawn("sweep the trash", self._sweep())

    async def _sweep(self) -> None:
        """A slice, and when the next one is due. Strictly later, so that equal times do not make it turn idly."""
        wait = TROUBLE
        try:
            if await self._trash.sweep():
                wait = PAUSE
            else:
                wait = max(await self._trash.next_expiry() - self._clock.seconds(), 0.0) + PAUSE
        except Exception as error:
            self._write_event(TaskFailed(task="sweep the trash", error=describe(error)))
        finally:
            self._sweeping = False
        self._wait(wait)
