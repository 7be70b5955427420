"""Makes the parts of the queue and ties them to each other and to the service that runs them; nothing begins here."""

from collections.abc import Callable, Mapping

import attrs
from twisted.internet.interfaces import IReactorTime

from relaygw.config.schema import QueueConfig
from relaygw.core.content import Content
from relaygw.core.events import Event
from relaygw.core.lanes import Lanes
from relaygw.core.record import Record
from relaygw.core.routing import Routing
from relaygw.core.shaping import Destination
from relaygw.interfaces import ISpool, ITransport
from relaygw.queue.books import Books
from relaygw.queue.claims import Claims
from relaygw.queue.deliveries import Deliveries
from relaygw.queue.hands import QueueHands
from relaygw.queue.opener import Opener
from relaygw.queue.operations import Operations
from relaygw.queue.planner import Planner
from relaygw.queue.reports import Reports, reports_of
from relaygw.queue.settling import Settler
from relaygw.queue.traffic import Traffic, make_traffic
from relaygw.queue.work import Active, Delivery, Result
from relaygw.tasks import Tasks

PARKED = 20_000
"""Records that may be ours, known by id only, while their destination is busy."""


@attrs.frozen(kw_only=True)
class QueueSetup:
    """What a queue works with. `transports` are named as routes name them. `random` answers in [0, 1); `new_id` a fresh
    queue id.

    `traffic` None: what is built in, and [queue]; `reports` None: in our own words. `parked` records at most are known
    by id only. `write_event` must not raise.
    """

    spool: ISpool
    transports: Mapping[str, ITransport]
    routing: Routing
    config: QueueConfig
    clock: IReactorTime
    write_event: Callable[[Event], None]
    hostname: str
    postmaster: str
    random: Callable[[], float]
    new_id: Callable[[], str]
    traffic: Traffic | None = None
    reports: Reports | None = None
    parked: int = PARKED


@attrs.frozen(kw_only=True)
class Callbacks:
    """What the parts tell the service: the functions of the same names in each part say when."""

    arrived: Callable[[Record], None]
    opened: Callable[[str, Record | None, Content | None], None]
    ended: Callable[[Active, Result], None]
    rests: Callable[[Destination], None]
    unused: Callable[[ITransport], None]
    settle: Callable[[Active], None]
    settled: Callable[[Active, bool], None]
    report: Callable[[Active], None]


@attrs.frozen(kw_only=True)
class Parts:
    """The parts of one queue."""

    tasks: Tasks
    books: Books
    claims: Claims
    opener: Opener
    deliveries: Deliveries
    planner: Planner
    settler: Settler
    operations: Operations


def make_parts(setup: QueueSetup, calls: Callbacks) -> Parts:
    """All parts, in the order in which they need each other."""
    traffic = setup.traffic or make_traffic(setup.config)
    reports = setup.reports or reports_of(setup.hostname, setup.postmaster, setup.new_id)
    tasks = Tasks(setup.write_event)
    lanes: Lanes[Delivery] = Lanes(setup.config.concurrency, traffic.shape)
    books = Books(lanes, setup.parked)
    deliveries = _deliveries(setup, calls, traffic, lanes)
    planner = Planner(routing=setup.routing, deliveries=deliveries, clock=setup.clock, random=setup.random)
    claims = Claims(
        spool=setup.spool,
        clock=setup.clock,
        write_event=setup.write_event,
        spawn=tasks.spawn,
        room=books.room,
        enough=books.has_enough,
        arrived=calls.arrived,
        ours=books.ours,
    )
    hands = QueueHands(
        clock=setup.clock,
        books=books,
        lanes=lanes,
        places=planner.places,
        sources=planner.sources,
        withdraw=deliveries.withdraw,
        settle=calls.settle,
        changed=claims.wake_at,
        is_crowd=claims.is_left,
    )
    return Parts(
        tasks=tasks,
        books=books,
        claims=claims,
        opener=Opener(spool=setup.spool, write_event=setup.write_event, spawn=tasks.spawn, opened=calls.opened),
        deliveries=deliveries,
        planner=planner,
        settler=_settler(setup, calls, traffic, reports, claims),
        operations=Operations(
            spool=setup.spool,
            reports=reports,
            schedule=traffic.retries,
            now=setup.clock.seconds,
            write_event=setup.write_event,
            hands=hands,
        ),
    )


def _deliveries(setup: QueueSetup, calls: Callbacks, traffic: Traffic, lanes: Lanes[Delivery]) -> Deliveries:
    return Deliveries(
        lanes=lanes,
        transports=setup.transports,
        clock=setup.clock,
        timeout=setup.config.attempt_timeout,
        rules=traffic.rules,
        write_event=setup.write_event,
        ended=calls.ended,
        rests=calls.rests,
        unused=calls.unused,
    )


def _settler(setup: QueueSetup, calls: Callbacks, traffic: Traffic, reports: Reports, claims: Claims) -> Settler:
    return Settler(
        spool=setup.spool,
        clock=setup.clock,
        reports=reports,
        schedule=traffic.retries,
        random=setup.random,
        write_event=setup.write_event,
        settled=calls.settled,
        report=calls.report,
        added=claims.came,
    )
