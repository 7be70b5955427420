"""The queue: brings due records and transports together, and folds what comes back into the spool.

It knows which records are due, active or parked and how many attempts run where; it opens no connection and changes
no content. Rules: a record is worked on only while it is claimed; one settlement per record runs at a time; nothing
is attempted again for a recipient whose outcome is not stored yet; an idle queue does nothing until the next due time.
"""

import contextlib
from collections.abc import Mapping
from functools import partial

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout

from relaygw.bridge import as_deferred, deferred
from relaygw.config.schema import QueueConfig
from relaygw.core.content import Content
from relaygw.core.events import TaskFailed
from relaygw.core.owner import owner_of
from relaygw.core.record import Record
from relaygw.core.routing import Routing
from relaygw.core.shaping import Destination
from relaygw.interfaces import ITransport
from relaygw.queue.claims import LEASE
from relaygw.queue.deliveries import JudgeDestination
from relaygw.queue.parts import Callbacks, QueueSetup, make_parts
from relaygw.queue.plan import NO_ROUTE, Plan, booked
from relaygw.queue.reports import Reports
from relaygw.queue.traffic import Traffic, make_traffic
from relaygw.queue.work import Active, Opening, Request, Result

CROWD = 500
"""Parked records of one owner by which it is a crowd: what more of it is due stays in the spool, and is passed over
when it is looked for others."""

LAST_GASP = 5.0
"""Seconds for cancelled attempts to end and be recorded when the time to drain is over."""


class QueueService(Service):
    """`lease`: who commits a message and offers it, claims it for that many seconds. `operations` are for operators."""

    name = "queue"
    lease = LEASE

    def __init__(self, setup: QueueSetup) -> None:
        parts = make_parts(
            setup,
            Callbacks(
                arrived=self._arrived,
                opened=self._opened,
                ended=self._ended,
                rests=self._rests,
                unused=self._part_with,
                settle=self._settle,
                settled=self._settled,
                report=self._report,
            ),
        )
        self.operations = parts.operations
        self._spool = setup.spool
        self._config = setup.config
        self._clock = setup.clock
        self._write_event = setup.write_event
        self._tasks = parts.tasks
        self._claims = parts.claims
        self._opener = parts.opener
        self._deliveries = parts.deliveries
        self._planner = parts.planner
        self._settler = parts.settler
        self._books = parts.books
        self._actives, self._opening, self._parking = parts.books.actives, parts.books.opening, parts.books.parking
        self._filling = self._closing = False
        self._drained: Deferred[None] | None = None

    def reconfigure(
        self,
        *,
        transports: Mapping[str, ITransport],
        routing: Routing,
        config: QueueConfig,
        traffic: Traffic | None = None,
        reports: Reports | None = None,
    ) -> None:
        """Use these from now on. A transport that is not among them is stopped when its last attempt has ended."""
        traffic = traffic or make_traffic(config)
        self._planner.routing = routing
        self._config = config
        self._deliveries.replace(transports)
        self._deliveries.timeout = config.attempt_timeout
        self._deliveries.rules = traffic.rules
        self._deliveries.lanes.total = config.concurrency
        self._deliveries.lanes.reshape(traffic.shape, self._clock.seconds())
        self._settler.schedule = self.operations.schedule = traffic.retries
        if reports is not None:
            self._settler.reports = self.operations.reports = reports
        self._deliveries.wake()

    def hold_by(self, judge: JudgeDestination) -> None:
        """Hold what `judge` names a rule for when it turns out where it is to go."""
        self._deliveries.judge_destination = judge

    def put_back(self, seconds: float) -> None:
        """The clock was, by so much: nobody waits for a place to be open again until it has caught up."""
        self._deliveries.put_back(seconds)

    @property
    def counts(self) -> Mapping[str, int]:
        """For the metrics: how much is in hand."""
        return self._books.counts

    # Coming in

    def offer(self, record: Record, content: Content) -> None:
        """Deliver a message that was just committed and is claimed for us; it need not be read again."""
        try:
            self._take_in(record, content)
        except Exception:
            active = self._actives.get(record.queue_id)
            if active is not None and active.idle:
                del self._actives[record.queue_id]
            self._claims.wake_at(self._clock.seconds() + self.lease)  # nobody else would look when the claim ends
            raise

    def _take_in(self, record: Record, content: Content) -> None:
        queue_id = record.queue_id
        if self._closing or not self.running or record.held or queue_id in self._opening or queue_id in self._actives:
            self._give_back(queue_id)
            return
        if self._parking.destination(queue_id):
            return  # its claim ran out before it was offered, and it was found again
        plan, owner = self._planner.plan(record, content), owner_of(record)
        if self._books.fits(plan, owner):
            self._claims.keep()
            active = self._actives[queue_id] = Active(record, content, owner)
            self._launch(active, plan)
        elif not self._park(record, plan, owner, content):
            self._leave(queue_id, owner)

    def _arrived(self, record: Record) -> None:
        """A record was claimed."""
        queue_id = record.queue_id
        if queue_id in self._actives or queue_id in self._opening or self._parking.destination(queue_id):
            return  # ours already: its claim ran out before it was lengthened, and is lengthened now
        self._claims.keep()
        plan, owner = self._planner.plan(record), owner_of(record)
        if self._books.fits(plan, owner):
            self._begin_opening(queue_id, plan.groups[0].destination if plan.groups else None, record)
        elif not self._park(record, plan, owner):
            self._book(record, plan, owner)
        elif self._parking.held(owner) >= CROWD:
            self._claims.leave(owner)

    def _begin_opening(
        self,
        queue_id: str,
        destination: Destination | None,
        record: Record | None = None,
        *,
        until: float = 0.0,
        content: Content | None = None,
    ) -> None:
        self._opening[queue_id] = Opening(destination, until=until)
        self._books.coming[destination] += 1
        self._opener.open(queue_id, record, content)

    def _opened(self, queue_id: str, record: Record | None, content: Content | None) -> None:
        """A claimed record was read: begin to work on it."""
        opening = self._books.end_opening(queue_id)
        if content is None:
            self._claims.retry(record.due if record is not None else 0.0)
        if record is not None and content is not None and not self._closing:
            active = Active(record, content, owner_of(record), requests=opening.requests)
            self._actives[queue_id] = active
            if record.owing:
                active.results.append(Result(None, NO_ROUTE, (), reports=True))
            if active.ripe:  # we were killed during an attempt: first what was ordered then
                self._settle(active)
                return
            plan = self._planner.plan(record, content)
            self._launch(active, booked(plan, record, opening.until) if opening.until else plan)
            return
        self._give_back(queue_id)
        self._pass_on(queue_id, opening.requests)
        self._parted()

    def _park(self, record: Record, plan: Plan, owner: str, content: Content | None = None) -> bool:
        """Keep its id until there is room, as far as its owner may; where its content is here, that too."""
        if not plan.groups or not self._parking.has_place(owner):
            return False
        self._claims.keep()
        displaced = self._parking.add(record.queue_id, plan.groups[0].destination, owner, (record, content))
        if displaced is not None:
            self._leave(*displaced)
        return True

    def _leave(self, queue_id: str, owner: str) -> None:
        """It stays in the spool until there is room for more of its owner."""
        self._claims.leave(owner)
        self._give_back(queue_id)

    def _book(self, record: Record, plan: Plan, owner: str) -> None:
        """A claimed record for which there is no place even to wait: it comes back when its turn is likely to be,
        so that what is due behind it is reached."""
        if not plan.groups or self._books.room() <= 0:
            self._leave(record.queue_id, owner)
            return
        place = plan.groups[0].destination
        until = self._books.book(place, self._clock.seconds())
        self._begin_opening(record.queue_id, None, record, until=until)

    def _rests(self, destination: Destination) -> None:
        """Nobody waits for a destination that rests: what is due meanwhile is put off in the spool."""
        for queue_id, owner in self._parking.send_home(destination):
            self._leave(queue_id, owner)
        self._room_made()

    # At work

    def _launch(self, active: Active, plan: Plan) -> None:
        """Start what can be started; let go what has nothing to wait for."""
        for error in plan.errors:
            self._write_event(TaskFailed(queue_id=active.record.queue_id, task="route", error=error))
        if plan.stuck:
            active.results.append(Result(None, NO_ROUTE, plan.stuck))
        if plan.postponed:
            active.results.append(Result(None, NO_ROUTE, (), postponed=self._planner.spread(plan.postponed)))
        if plan.groups:
            self._deliveries.begin(active, plan.groups)
        if active.idle:
            self._let_go(active)
        else:
            self._settle(active)

    def _ended(self, active: Active, result: Result) -> None:
        active.results.append(result)
        self._settle(active)
        if result.delivery is not None:
            lane = result.delivery.lane
            self._parking.opened(lane)
            if self._books.runs_out(lane):
                self._room_made()  # what comes next need not wait until this is stored

    def _settle(self, active: Active) -> None:
        if active.settling:
            if active.requests:
                self._settler.hurry(active)
        elif active.results or active.requests or active.ripe:
            self._tasks.spawn("settle a record", self._settler.settle(active))

    def _settled(self, active: Active, gone: bool) -> None:
        """Nothing is left to store: go on with what is due, or part with the record."""
        if gone:
            self._forget(active)
            if not active.record.finished:
                self._claims.wake_at(active.record.due)
        elif self._closing:
            if active.idle:
                self._let_go(active)
        else:
            self._launch(active, self._planner.plan(active.record, active.content, active))

    def _let_go(self, active: Active) -> None:
        if active.record.queue_id in self._actives:
            self._give_back(active.record.queue_id)
            self._forget(active)
            self._claims.wake_at(active.record.due)

    def _report(self, active: Active) -> None:
        """Its reports have waited long enough for more of its recipients."""
        active.collecting = None
        active.results.append(Result(None, NO_ROUTE, (), reports=True))
        self._settle(active)

    def _forget(self, active: Active) -> None:
        del self._actives[active.record.queue_id]
        active.collect_no_more()
        self._pass_on(active.record.queue_id, active.requests)
        self._parted()

    def _parted(self) -> None:
        """A record is not in hand any more."""
        if self._drained is not None and self._books.idle:
            drained, self._drained = self._drained, None
            drained.callback(None)
        self._room_made()

    def _pass_on(self, queue_id: str, requests: list[Request]) -> None:
        """Orders that came when the record was already on its way out are carried out in the spool."""
        for request in requests:
            self._tasks.spawn("carry out an order", self.operations.pass_on(queue_id, request))

    def _give_back(self, queue_id: str) -> None:
        self._tasks.spawn("give a claim back", self._spool.release(queue_id))

    def _room_made(self) -> None:
        """Take what was parked, then what was left in the spool, a good part at a time."""
        if self._filling or self._closing:
            return
        self._filling = True
        short: dict[Destination, bool] = {}  # whether its line ran out, and is filled now
        while self._parking and self._books.room() > 0:
            parked = self._parking.next(partial(self._takes, short))
            if parked is None:
                break
            queue_id, destination, kept = parked
            record, content = kept or (None, None)
            self._begin_opening(queue_id, destination, record, content=content)
        self._filling = False
        if self._books.has_much_room() and self._claims.wants_more():
            self._claims.look()

    def _takes(self, short: dict[Destination, bool], destination: Destination) -> bool:
        if destination not in short:
            short[destination] = self._books.runs_out(destination)
        return short[destination] and self._books.short_line(destination)

    # Life

    def startService(self) -> None:
        """Begin with what is due already."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service has no types
        self._closing = False
        self._claims.open()

    @deferred
    async def stopService(self) -> None:
        """Let what runs end within `drain_timeout`, cancel the rest, record what is known, give all claims back,
        and stop the transports."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service has no types
        self._closing = True
        self._claims.close()
        for queue_id in self._parking.clear():
            self._give_back(queue_id)
        self._settler.close(list(self._actives.values()))
        self._deliveries.close()
        for active in list(self._actives.values()):
            if active.idle:
                self._let_go(active)
        await self._drain(self._config.drain_timeout)
        self._deliveries.cancel()
        await self._drain(LAST_GASP)
        for queue_id, active in list(self._actives.items()):
            active.collect_no_more()
            self._give_back(queue_id)
        self._claims.end()
        await self._tasks.stop()
        for transport in self._deliveries.all_transports():
            await self._stop_transport(transport)

    async def _drain(self, seconds: float) -> None:
        """Wait until nothing is in hand, but no longer than this."""
        if self._books.idle:
            return
        drained: Deferred[None] = Deferred()
        self._drained = drained
        with contextlib.suppress(DeferredTimeout):
            await drained.addTimeout(seconds, self._clock)
        self._drained = None

    def _part_with(self, transport: ITransport) -> None:
        self._tasks.spawn("stop a transport", self._stop_transport(transport))

    async def _stop_transport(self, transport: ITransport) -> None:
        try:
            await as_deferred(transport.stop()).addTimeout(LAST_GASP, self._clock)
        except Exception as error:
            name = type(transport).__name__
            self._write_event(TaskFailed(task=f"stop {name}", error=f"{type(error).__name__}: {error}"))
