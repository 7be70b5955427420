"""Folds results and orders into an active record and stores each step: one settlement per record at a time.

While the spool fails, the step stays in memory and is stored again with growing pauses; nothing is delivered again
meanwhile, because its recipients still count as busy.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from relaygw.core.events import Attempted, Event, TaskFailed
from relaygw.core.lifecycle import Step, fold
from relaygw.core.orders import meant_late, operate, ripe_order
from relaygw.core.outcome import Outcome
from relaygw.core.record import Progress, Record
from relaygw.core.retry import Schedules
from relaygw.interfaces import ISpool, NewMessage, Settlement, SpoolError
from relaygw.queue.reports import Reports
from relaygw.queue.work import Active, Delivery, Effect, Result

FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0
"""Seconds between two tries to store a step."""


class NotStored(Exception):
    """The service stops and the spool still fails: what was learned is lost, and may be learned again."""


class Settler:
    """`settled(active, gone)` is called when nothing is left to settle; `gone`: the claim was given back with it,
    or the record is finished. Requests that came too late for that are left in `active.requests`."""

    def __init__(
        self,
        *,
        spool: ISpool,
        clock: IReactorTime,
        reports: Reports,
        schedule: Schedules,
        random: Callable[[], float],
        write_event: Callable[[Event], None],
        settled: Callable[[Active, bool], None],
        report: Callable[[Active], None],
        added: Callable[[float], None],
    ) -> None:
        self.schedule = schedule
        self.reports = reports
        self._spool = spool
        self._clock = clock
        self._random = random
        self._write_event = write_event
        self._settled = settled
        self._report = report
        self._added = added
        self._closing = False

    async def settle(self, active: Active) -> None:
        """Store all that is there to store. Only while `active.settling` is False."""
        active.settling = True
        gone = False
        try:
            while not gone and (active.results or active.requests or active.ripe):
                if active.results:
                    gone = await self._settle_results(active)
                elif active.ripe:
                    gone = await self._settle_intent(active)
                else:
                    gone = await self._settle_request(active)
        except NotStored as error:
            self._abandon(active, str(error))
        active.settling = False
        self._settled(active, gone)

    def _abandon(self, active: Active, trouble: str) -> None:
        requests, active.requests = active.requests, []
        active.results.clear()
        active.deliveries.clear()
        for request in requests:
            request.answer.errback(SpoolError(trouble))

    def hurry(self, active: Active) -> None:
        """Somebody asks for it: what could not be stored is tried again now."""
        if active.pause is not None:
            active.pause.callback(None)

    async def _settle_results(self, active: Active) -> bool:
        results, active.results = active.results, []
        over = {result.delivery for result in results}
        # Most messages have one recipient, or end with this one: nothing to collect.
        alone = active.collecting is None and len(active.deliveries) == len(results) == 1
        more = not (alone and results[0].delivery is not None) and self._more(active, results, over)
        step = self._fold(active, results, more)
        remaining = [delivery for delivery in active.deliveries if delivery not in over]
        if step is None:
            active.deliveries = remaining
            return False
        gone = await self._store(active, step, last=not remaining and not active.requests)
        if more and active.collecting is None and active.record.owing:
            active.collecting = self._clock.callLater(self.reports.collect, self._report, active)
        # `begin` may have appended while the spool was busy, so the list is read anew.
        active.deliveries = [delivery for delivery in active.deliveries if delivery not in over]
        return gone

    def _more(self, active: Active, results: list[Result], over: set[Delivery | None]) -> bool:
        """Whether others of the message are still attempted, whose fate belongs into the same report."""
        if self.reports.collect and any(delivery not in over for delivery in active.deliveries):
            return not any(result.reports for result in results)
        active.collect_no_more()
        return False

    def _fold(self, active: Active, results: list[Result], more: bool) -> Step | None:
        outcomes = [pair for result in results for pair in result.outcomes]
        postponed = [late for result in results for late in result.postponed]
        record, now = active.record, self._clock.seconds()
        if not outcomes and not postponed and (more or not record.owing):
            return None
        waits = {position: wait for result in results for position, wait in result.waits.items()}
        step = fold(
            record,
            outcomes,
            now=now,
            schedule=self.schedule,
            random=self._random(),
            waits=waits,
            postponed=postponed,
            more=more,
        )
        for result in results:
            for position, outcome in result.outcomes:
                self._write_event(_attempted(record, step.record, position, outcome, result))
        return step

    async def _settle_request(self, active: Active) -> bool:
        request = active.requests[0]
        busy = active.busy
        before = active.record
        step = operate(before, request.order, now=self._clock.seconds(), busy=busy)
        reached = _changes(before, step.record)
        gone = await self._store(active, step, last=not active.deliveries and len(active.requests) == 1)
        active.requests.pop(0)
        request.answer.callback(Effect(active.record, reached, meant_late(before, request.order, busy)))
        return gone

    async def _settle_intent(self, active: Active) -> bool:
        """What was ordered during an attempt, which has ended since."""
        order = ripe_order(active.record, active.busy)
        assert order is not None
        step = operate(active.record, order, now=self._clock.seconds(), busy=active.busy)
        return await self._store(active, step, last=not active.deliveries and not active.requests)

    async def _store(self, active: Active, step: Step, *, last: bool) -> bool:
        """Make the step durable, whatever it takes; answers whether the claim went with it."""
        record, now = step.record, self._clock.seconds()
        done = record.finished
        active.record = record  # at once: what is in line must not start for a recipient that is being removed
        gone = done or (last and not record.intents and (self._closing or record.due > now))
        pause = FIRST_PAUSE
        made: tuple[tuple[NewMessage, ...], tuple[Event, ...]] | None = None
        while True:
            try:
                # Once: a step that failed may be stored all the same, and its reports are known again by their ids.
                made = made or (
                    self.reports.make(step, active.content, self.schedule, now) if step.reports else ((), ())
                )
                added, events = made
                await self._spool.settle(Settlement(record=record, added=added, release=gone, aside=step.aside))
                break
            except Exception as error:
                self._complain(active, error)
            await self._wait(active, pause)
            pause = min(pause * 2, LAST_PAUSE)
        active.trouble = ""
        for event in (*events, *step.events):
            self._write_event(event)
        if added:
            self._added(min(new.record.due for new in added))
        return gone

    def _complain(self, active: Active, error: Exception) -> None:
        active.trouble = f"{type(error).__name__}: {error}"
        record = active.record
        self._write_event(
            TaskFailed(
                queue_id=record.queue_id, session=record.session_id, task="store the result", error=active.trouble
            )
        )
        if self._closing:
            raise NotStored(active.trouble) from error

    async def _wait(self, active: Active, seconds: float) -> None:
        active.pause = Deferred()
        call = self._clock.callLater(seconds, active.pause.callback, None)
        await active.pause
        active.pause = None
        if call.active():
            call.cancel()

    def close(self, actives: list[Active]) -> None:
        """From now on give all claims back, and try to store what could not be stored once more only."""
        self._closing = True
        for active in actives:
            self.hurry(active)


def _changes(before: Record, after: Record) -> int:
    return sum(old is not new for old, new in zip(before.recipients, after.recipients, strict=True))


def _attempted(before: Record, after: Record, position: int, outcome: Outcome, result: Result) -> Attempted:
    state = after.recipients[position]
    return Attempted(
        queue_id=before.queue_id,
        session=before.session_id,
        outcome=outcome,
        transport=result.route.transport,
        route=result.route.name,
        attempts=state.attempts,
        seconds=result.seconds,
        next_due=state.due if state.progress is Progress.WAITING else None,
    )
