"""When to ask the spool for due records, and how long they stay ours.

It sleeps until the next due time it was told of; nothing is asked of the spool in between. While records are ours
their claims are lengthened well before they end. A spool that fails is asked again with growing pauses.
"""

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from relaygw.core.events import Event, TaskFailed
from relaygw.core.record import Record
from relaygw.interfaces import ISpool
from relaygw.tasks import describe

LEASE = 300.0
"""Seconds a claim lasts; it is lengthened three times as often for as long as the record is ours."""

BATCH = 100
"""Records claimed at once."""

FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0
"""Seconds before the spool is asked again after it failed, and at least between two looks that find nothing."""


class Claims:
    """`room()` says how many records may come; each is given to `arrived`; `ours()` lists the ids that are ours."""

    def __init__(
        self,
        *,
        spool: ISpool,
        clock: IReactorTime,
        write_event: Callable[[Event], None],
        spawn: Callable[[str, Awaitable[None]], None],
        room: Callable[[], int],
        arrived: Callable[[Record], None],
        ours: Callable[[], Sequence[str]],
    ) -> None:
        self.backlog = False  # whether due records were left in the spool for want of room
        self._spool = spool
        self._clock = clock
        self._write_event = write_event
        self._spawn = spawn
        self._room = room
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
        self.look()

    def close(self) -> None:
        """Claim nothing more. Claims are still lengthened until `end`."""
        self._open = False
        self._timer = _cancelled(self._timer)

    def end(self) -> None:
        """Nothing is ours any more."""
        self._renewal = _cancelled(self._renewal)

    def look(self) -> None:
        """Claim what is due now, as far as there is room."""
        self._again = True
        if self._open and not self._looking:
            self._looking = True
            self._timer = _cancelled(self._timer)
            self._spawn("claim due records", self._claim())

    def wake_at(self, due: float) -> None:
        """Look no later than this."""
        if not self._open or self._looking or due == float("inf"):
            return  # the look that runs asks for the next due time at its end
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
                self._again = False
                next_due = await self._claim_all()
            self._pause = FIRST_PAUSE
        except Exception as error:
            self._write_event(TaskFailed(task="claim due records", error=f"{type(error).__name__}: {error}"))
            next_due = self._clock.seconds() + self._pause
            self._pause = min(self._pause * 2, LAST_PAUSE)
        finally:
            self._looking = False
        self.wake_at(next_due)

    async def _claim_all(self) -> float:
        """Claim batch after batch; answers when to look again (infinity: when there is room)."""
        while True:
            limit = min(BATCH, self._room())
            self.backlog = limit <= 0
            if self.backlog or not self._open:
                return float("inf")
            now = self._clock.seconds()
            records = await self._spool.claim(now, now + LEASE, limit)
            for record in records:
                self._hand_over(record)
            if len(records) < limit:
                # What is due already and still was not given is another's: no hurry.
                return max(await self._spool.next_due(), now + FIRST_PAUSE)

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
        await self._spool.renew(ours, self._clock.seconds() + LEASE)


def _cancelled(call: IDelayedCall | None) -> IDelayedCall | None:
    """None, the call being cancelled if it was still to come."""
    if call is not None and call.active():
        call.cancel()
    return None
