"""The queue: brings due records and transports together, and folds what comes back into the spool.

It knows which records are due, active or parked and how many attempts run where; it opens no connection and changes
no content. Rules: a record is worked on only while it is claimed; one settlement per record runs at a time; nothing
is attempted again for a recipient whose outcome is not stored yet; an idle queue does nothing until the next due time.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from relaygw.bridge import as_deferred, deferred
from relaygw.config.schema import QueueConfig
from relaygw.core.content import Content
from relaygw.core.detour import route_of
from relaygw.core.events import Event, TaskFailed
from relaygw.core.header_match import NOTHING
from relaygw.core.lanes import RESERVE, Lanes
from relaygw.core.lifecycle import Postponed
from relaygw.core.owner import owner_of
from relaygw.core.record import Record
from relaygw.core.retry import JITTER
from relaygw.core.routing import Routing
from relaygw.core.shaping import Destination
from relaygw.interfaces import ISpool, ITransport
from relaygw.queue.bookings import Bookings
from relaygw.queue.claims import LEASE, Claims
from relaygw.queue.deliveries import Deliveries
from relaygw.queue.hands import QueueHands
from relaygw.queue.opener import Opener
from relaygw.queue.operations import Operations
from relaygw.queue.parking import Parking
from relaygw.queue.plan import NO_ROUTE, Plan, make_plan, postpone
from relaygw.queue.reports import Reports, reports_of
from relaygw.queue.settling import Settler
from relaygw.queue.traffic import Traffic, make_traffic
from relaygw.queue.work import Active, Opening, Request, Result
from relaygw.tasks import Tasks

PARKED = 20_000
"""Records that may be ours, known by id only, while their destination is busy."""

CROWD = 500
"""Parked records of one owner by which it is a crowd: what more of it is due stays in the spool, and is passed over
when it is looked for others."""

LINE = 2
"""Records in line for one destination before more are parked, in units of what it bears at once."""

ACTIVE = 2
"""Records with content in memory, in units of the concurrency."""

LAST_GASP = 5.0
"""Seconds for cancelled attempts to end and be recorded when the time to drain is over."""


class QueueService(Service):
    """`transports` are named as routes name them. `random` answers in [0, 1); `new_id` a fresh queue id.

    `traffic` None: what is built in, and [queue]; `reports` None: in our own words. `parked` records at most are known
    by id only. `write_event` must not raise. `lease`: who commits a message and offers it, claims it for that many
    seconds.
    """

    name = "queue"
    lease = LEASE

    def __init__(
        self,
        *,
        spool: ISpool,
        transports: Mapping[str, ITransport],
        routing: Routing,
        config: QueueConfig,
        clock: IReactorTime,
        write_event: Callable[[Event], None],
        hostname: str,
        postmaster: str,
        random: Callable[[], float],
        new_id: Callable[[], str],
        traffic: Traffic | None = None,
        reports: Reports | None = None,
        parked: int = PARKED,
    ) -> None:
        traffic = traffic or make_traffic(config)
        self._random = random
        self._spool = spool
        self._routing = routing
        self._config = config
        self._clock = clock
        self._write_event = write_event
        self._tasks = Tasks(write_event)
        self._actives: dict[str, Active] = {}
        self._opening: dict[str, Opening] = {}
        self._coming: Counter[Destination | None] = Counter()  # of those being opened
        self._parking = Parking(parked)
        self._bookings = Bookings()
        self._filling = self._closing = False
        self._drained: Deferred[None] | None = None
        reports = reports or reports_of(hostname, postmaster, new_id)
        self._claims = Claims(
            spool=spool,
            clock=clock,
            write_event=write_event,
            spawn=self._tasks.spawn,
            room=self._room,
            arrived=self._arrived,
            ours=lambda: (*self._actives, *self._opening, *self._parking),
        )
        self._opener = Opener(spool=spool, write_event=write_event, spawn=self._tasks.spawn, opened=self._opened)
        self._deliveries = Deliveries(
            lanes=Lanes(config.concurrency, traffic.shape),
            transports=transports,
            clock=clock,
            timeout=config.attempt_timeout,
            rules=traffic.rules,
            write_event=write_event,
            ended=self._ended,
            rests=self._rests,
            unused=self._part_with,
        )
        self._settler = Settler(
            spool=spool,
            clock=clock,
            reports=reports,
            schedule=traffic.retries,
            random=random,
            write_event=write_event,
            settled=self._settled,
            report=self._report,
            added=self._claims.came,
        )
        hands = QueueHands(
            clock=clock,
            actives=self._actives,
            opening=self._opening,
            parking=self._parking,
            lanes=self._deliveries.lanes,
            places=self._places,
            withdraw=self._deliveries.withdraw,
            settle=self._settle,
            changed=self._claims.wake_at,
            is_crowd=self._claims.is_left,
        )
        self.operations = Operations(
            spool=spool,
            reports=reports,
            schedule=traffic.retries,
            now=clock.seconds,
            write_event=write_event,
            hands=hands,
        )

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
        self._routing = routing
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

    @property
    def counts(self) -> Mapping[str, int]:
        """For the metrics: how much is in hand."""
        return {
            "active": len(self._actives) + len(self._opening),
            "parked": len(self._parking),
            "attempts": self._deliveries.lanes.running,
        }

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
        plan, owner = self._plan(record, content), owner_of(record)
        if self._fits(plan, owner):
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
        plan, owner = self._plan(record), owner_of(record)
        if self._fits(plan, owner):
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
        self._coming[destination] += 1
        self._opener.open(queue_id, record, content)

    def _opened(self, queue_id: str, record: Record | None, content: Content | None) -> None:
        """A claimed record was read: begin to work on it."""
        opening = self._opening.pop(queue_id)
        self._came(opening.destination)
        if content is None:
            self._claims.retry(record.due if record is not None else 0.0)
        if record is not None and content is not None and not self._closing:
            active = Active(record, content, owner_of(record), requests=opening.requests)
            self._actives[queue_id] = active
            if record.owing:
                active.results.append(Result(None, NO_ROUTE, (), reports=True))
            plan = self._plan(record, content)
            self._launch(active, _booked(plan, record, opening.until) if opening.until else plan)
            return
        self._give_back(queue_id)
        self._pass_on(queue_id, opening.requests)
        self._parted()

    def _came(self, destination: Destination | None) -> None:
        """One less is on its way into the line of the destination."""
        self._coming[destination] -= 1
        if not self._coming[destination]:
            del self._coming[destination]
        if destination is not None:
            self._parking.opened(destination)

    def _plan(self, record: Record, content: Content | None = None, active: Active | None = None) -> Plan:
        """Without the content, a rough one: routes that ask for header fields are passed over."""
        planned = active.planned if active is not None and active.deliveries else frozenset()
        return make_plan(
            record,
            self._clock.seconds(),
            planned,
            self._routing,
            self._deliveries.transports,
            self._deliveries.locators,
            self._deliveries.lanes,
            self._routing.headers.find(content.head) if self._routing.headers and content is not None else NOTHING,
        )

    def _room(self, owner: str = "") -> int:
        """For how many more there is room. As among attempts, a tenth is kept for owners for whom nothing runs."""
        most = ACTIVE * self._config.concurrency
        kept = 0 if owner and self._deliveries.lanes.idle(owner) else most // RESERVE
        return most - kept - len(self._actives) - len(self._opening)

    def _fits(self, plan: Plan, owner: str) -> bool:
        """Whether to work on it now: there is room, and something in it would not have to wait for long."""
        if self._room(owner) <= 0:
            return False
        return not plan.groups or any(self._short_line(group.destination) for group in plan.groups)

    def _short_line(self, destination: Destination) -> bool:
        lanes = self._deliveries.lanes
        return lanes.in_line(destination) + self._coming.get(destination, 0) < LINE * lanes.most(destination)

    def _park(self, record: Record, plan: Plan, owner: str, content: Content | None = None) -> bool:
        """Keep its id until there is room, as far as its owner may; where its content is here, that too."""
        if not plan.groups or not self._parking.has_place(owner):
            return False
        self._claims.keep()
        kept = (record, content) if content is not None else None
        displaced = self._parking.add(record.queue_id, plan.groups[0].destination, owner, kept)
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
        if not plan.groups or self._room() <= 0:
            self._leave(record.queue_id, owner)
            return
        place = plan.groups[0].destination
        throughput = self._deliveries.lanes.throughput(place)
        until = self._bookings.book(place, self._parking.waiting(place), throughput, self._clock.seconds())
        self._begin_opening(record.queue_id, None, record, until=until)

    def _rests(self, destination: Destination) -> None:
        """Nobody waits for a destination that rests: what is due meanwhile is put off in the spool."""
        for queue_id, owner in self._parking.send_home(destination):
            self._leave(queue_id, owner)
        self._room_made()

    def _places(self, record: Record) -> Sequence[Destination]:
        """Where the recipients that wait are to go, as far as that is known."""
        found: dict[Destination, None] = {}
        for state in record.waiting:
            detour = state.detour
            route = (
                self._routing.choose(record, state.recipient)
                if detour is None
                else route_of(detour, self._routing.named)
            )
            transport = self._deliveries.transports.get(route.transport) if route is not None else None
            if route is not None and transport is not None:
                with contextlib.suppress(Exception):  # a plugin's fault is told when the record is planned
                    found[route.transport, transport.destination(route, state.address)] = None
        return tuple(found)

    # At work

    def _launch(self, active: Active, plan: Plan) -> None:
        """Start what can be started; let go what has nothing to wait for."""
        for error in plan.errors:
            self._write_event(TaskFailed(queue_id=active.record.queue_id, task="route", error=error))
        if plan.stuck:
            active.results.append(Result(None, NO_ROUTE, plan.stuck))
        if plan.postponed:
            active.results.append(Result(None, NO_ROUTE, (), postponed=self._spread(plan.postponed)))
        if plan.groups:
            self._deliveries.begin(active, plan.groups)
        if active.idle:
            self._let_go(active)
        else:
            self._settle(active)

    def _spread(self, postponed: tuple[Postponed, ...]) -> tuple[Postponed, ...]:
        """A little later, so that not all come back in the same moment."""
        now, random = self._clock.seconds(), self._random()
        return tuple(attrs.evolve(late, until=late.until + (late.until - now) * JITTER * random) for late in postponed)

    def _ended(self, active: Active, result: Result) -> None:
        active.results.append(result)
        if result.delivery is not None:
            self._parking.opened(result.delivery.lane)
        self._settle(active)

    def _settle(self, active: Active) -> None:
        if active.settling:
            if active.requests:
                self._settler.hurry(active)
        elif active.results or active.requests:
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
            self._launch(active, self._plan(active.record, active.content, active))

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
        if self._drained is not None and not self._actives and not self._opening:
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
        while self._parking and self._room() > 0:
            parked = self._parking.next(self._short_line)
            if parked is None:
                break
            queue_id, destination, kept = parked
            record, content = kept or (None, None)
            self._begin_opening(queue_id, destination, record, content=content)
        self._filling = False
        if self._claims.backlog and self._room() >= ACTIVE * self._config.concurrency // 4:
            self._claims.look()

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
        if not self._actives and not self._opening:
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


def _booked(plan: Plan, record: Record, until: float) -> Plan:
    """The plan, all that could travel being put off until then."""
    positions = [position for group in plan.groups for position in group.positions]
    late = postpone(record, positions, until, "4.4.5", "other messages to this destination are before it")
    return attrs.evolve(plan, groups=(), postponed=(*plan.postponed, *late))
