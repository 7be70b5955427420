"""When to ask the spool for due records, and how long they stay ours.

It sleeps until the next due time it was told of; nothing is asked of the spool in between. It looks once at each record
in the order of due times, however many are due, and passes over those of owners who are a crowd: theirs are claimed
owner by owner when there is room, so that no letter waits behind a mailing. While records are ours their claims are
lengthened well before they end. A spool that fails is asked again with growing pauses.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from relaygw.core.events import Event, TaskFailed
from relaygw.core.record import Record
from relaygw.interfaces import ISpool, Mark
from relaygw.tasks import describe

LEASE = 300.0
"""Seconds a claim lasts; it is lengthened three times as often for as long as the record is ours."""

BATCH = 100
"""Records claimed at once."""

RENEWED = 500
"""Claims lengthened at once: a few milliseconds of the spool's."""

LEAST = 10
"""Records of one owner claimed at once, where many are crowds."""

PACE = 0.1
"""Seconds between two claims for owners of whom there is enough here."""

BEGIN: Mark = (float("-inf"), "", 0)
END: Mark = (float("inf"), "", 0)

FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0
"""Seconds before the spool is asked again after it failed, and at least between two looks that find nothing."""


class Claims:
    """`room()` says how many records of crowds may come, `enough` whether an owner's wait here already for some time;
    each record is given to `arrived`, which says by `leave` where it finds no place; `ours()` lists the ids that are
    ours."""

    def __init__(
        self,
        *,
        spool: ISpool,
        clock: IReactorTime,
        write_event: Callable[[Event], None],
        spawn: Callable[[str, Awaitable[None]], None],
        room: Callable[[], int],
        enough: Callable[[str], bool],
        arrived: Callable[[Record], None],
        ours: Callable[[], Sequence[str]],
    ) -> None:
        self._left: OrderedDict[str, None] = OrderedDict()
        self._mark = BEGIN
        self._soonest = float("inf")  # what was said to be due next while it was looked
        self._spool = spool
        self._clock = clock
        self._write_event = write_event
        self._spawn = spawn
        self._room = room
        self._enough = enough
        self._unhurried = 0.0  # when more is claimed of owners who have enough
        self._arrived = arrived
        self._ours = ours
        self._timer: IDelayedCall | None = None
        self._renewal: IDelayedCall | None = None
        self._looking = self._again = False
        self._open = False
        self._pause = FIRST_PAUSE

    def open(self) -> None:
        """Begin, with what is due already."""
        self._open = True
        self._mark = BEGIN
        self.look()

    def close(self) -> None:
        """Claim nothing more. Claims are still lengthened until `end`."""
        self._open = False
        self._timer = _cancelled(self._timer)

    def end(self) -> None:
        """Nothing is ours any more."""
        self._renewal = _cancelled(self._renewal)

    def wants_more(self) -> bool:
        """Whether due records were left in the spool of which more should come now."""
        return bool(self._left) and (self._clock.seconds() >= self._unhurried or not all(map(self._enough, self._left)))

    def leave(self, owner: str) -> None:
        """There are records of this owner in the spool that are due, and no place for them."""
        self._left.setdefault(owner)

    def is_left(self, owner: str) -> bool:
        """Whether there are such."""
        return owner in self._left

    def came(self, due: float) -> None:
        """Something came into the spool, or came back, that is due then."""
        self._mark = min(self._mark, (due, "", 0))
        self.look()

    def retry(self, due: float) -> None:
        """What is due then could not be read, and may be there still: look for it again, but not at once."""
        self._mark = min(self._mark, (due, "", 0))
        self.wake_at(self._clock.seconds() + FIRST_PAUSE)

    def look(self) -> None:
        """Claim what is due now, as far as there is room."""
        self._again = True
        if self._open and not self._looking:
            self._looking = True
            self._timer = _cancelled(self._timer)
            self._spawn("claim due records", self._claim())

    def wake_at(self, due: float) -> None:
        """Look no later than this: something is due then."""
        self._mark = min(self._mark, (due, "", 0))
        self._soonest = min(self._soonest, due)
        if not self._open or self._looking or due == float("inf"):
            return  # the look that runs sees to it at its end
        delay = max(due - self._clock.seconds(), 0.0)
        if self._timer is not None:
            if self._timer.getTime() <= self._clock.seconds() + delay:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(delay, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self.look()

    async def _claim(self) -> None:
        next_due = float("inf")
        try:
            while self._again and self._open:
                self._again, self._soonest = False, float("inf")
                next_due = await self._claim_all()
            self._pause = FIRST_PAUSE
        except Exception as error:
            self._write_event(TaskFailed(task="claim due records", error=f"{type(error).__name__}: {error}"))
            next_due = self._clock.seconds() + self._pause
            self._pause = min(self._pause * 2, LAST_PAUSE)
        finally:
            self._looking = False
        self.wake_at(min(next_due, self._soonest))

    async def _claim_all(self) -> float:
        """Look for letters, then claim a batch of a crowd, in turns; answers when to look again."""
        next_due = float("inf")
        while self._open:
            next_due = await self._look()
            if not await self._claim_of_crowd():
                break
        return min(next_due, self._unhurried) if self._left and self._room() > 0 else next_due

    async def _look(self) -> float:
        """Claim what is due and not of a crowd; answers when something is due next."""
        next_due = None
        while next_due is None:
            now, (mark, self._mark) = self._clock.seconds(), (self._mark, END)
            try:
                found = await self._spool.look(now, now + LEASE, BATCH, mark, frozenset(self._left))
            except BaseException:
                self._mark = min(self._mark, mark)
                raise
            self._mark, next_due = min(self._mark, found.mark), found.next_due
            for record in found.records:
                self._hand_over(record)
            if not self._open:
                return float("inf")
        return max(next_due, now + FIRST_PAUSE)  # however many fall due, it is looked once a second

    async def _claim_of_crowd(self) -> bool:
        """Claim for the owner whose turn it is, as far as there is room; False: there is none, or nobody is left."""
        limit = min(max(BATCH // max(len(self._left), 1), LEAST), self._room())
        owner = self._next() if limit > 0 and self._open else None
        if owner is None:
            return False
        now = self._clock.seconds()
        del self._left[owner]
        try:
            records = await self._spool.claim(now, now + LEASE, limit, owner)
        except BaseException:
            self.leave(owner)
            raise
        if records:
            self.leave(owner)  # else nothing is left, but for what was given back meanwhile and named then
        for record in records:
            self._hand_over(record)
        return True

    def _next(self) -> str | None:
        """Whose turn it is. Of who has enough more comes a little at a time: it may be for other destinations."""
        owner = next((owner for owner in self._left if not self._enough(owner)), None)
        if owner is None and self._left and self._clock.seconds() >= self._unhurried:
            self._unhurried = self._clock.seconds() + PACE
            owner = next(iter(self._left))
        return owner

    def _hand_over(self, record: Record) -> None:
        """One record with which something is wrong holds up nobody: it comes again when its claim has ended."""
        try:
            self._arrived(record)
        except Exception as error:
            self._write_event(
                TaskFailed(queue_id=record.queue_id, session=record.session_id, task="plan", error=describe(error))
            )

    def keep(self) -> None:
        """Something is ours now: lengthen its claim in time."""
        if self._renewal is None:
            self._renewal = self._clock.callLater(LEASE / 3, self._renew)

    def _renew(self) -> None:
        self._renewal = None
        ours = self._ours()
        if ours:
            self._spawn("lengthen claims", self._lengthen(ours))
            self.keep()

    async def _lengthen(self, ours: Sequence[str]) -> None:
        """A part at a time, so that no commit waits for all of them; what is not ours any more is passed over."""
        for start in range(0, len(ours), RENEWED):
            still = frozenset(self._ours())
            part = [queue_id for queue_id in ours[start : start + RENEWED] if queue_id in still]
            await self._spool.renew(part, self._clock.seconds() + LEASE)


def _cancelled(call: IDelayedCall | None) -> IDelayedCall | None:
    """None, the call being cancelled if it was still to come."""
    if call is not None and call.active():
        call.cancel()
    return None
