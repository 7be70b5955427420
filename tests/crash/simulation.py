"""The queue and the spool as they are, on a disk that is noted call by call, with all else simulated: clients, next
hops, operators, the clock, and the threads, whose steps are taken one at a time in an order that a seed decides.

What happens is told to a Truth through marks in the disk's log, so that for each moment of the log it is known what
had been promised by then.
"""

import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import attrs
from shim import ERRORS, EVERY, Kind, Shim
from surroundings import NextHops, Note, Reactor, Steps, Witness
from truth import Found, Truth
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from relaygw.config.schema import MatchConfig, QueueConfig, RouteConfig
from relaygw.core.address import parse_address
from relaygw.core.content import Content
from relaygw.core.envelope import Envelope, Notify, Recipient
from relaygw.core.ids import new_id
from relaygw.core.lifecycle import begin
from relaygw.core.orders import Order, Verb
from relaygw.core.record import Detour, Record
from relaygw.core.routing import compile_routes
from relaygw.interfaces import ISink, ISpool, ITransport, SpoolError
from relaygw.queue.parts import QueueSetup
from relaygw.queue.service import QueueService
from relaygw.spool.indexing import Measures
from relaygw.spool.sqlite import SqliteSpool

INLINE = 1_500
CHECKPOINT = 60_000
INDEX = Measures(newest=2, messages=4, keys=60, loose=3, read=2, written=9, changes=3, pace=0.0, retry=0.0)
SIZES = (200, 900, 1_400, 3_000, 9_000)
PREFIX = b"Received: by mail.example.net\r\n"
CONFIG = QueueConfig(
    retry=(60.0, 120.0),
    expire=2000.0,
    expire_reports=500.0,
    delay_warning=(300.0,),
    concurrency=6,
    destination_concurrency=2,
    attempt_timeout=400.0,
)
NOTIFIES = (
    frozenset[Notify](),
    frozenset[Notify](),
    frozenset({Notify.SUCCESS, Notify.FAILURE}),
    frozenset({Notify.NEVER}),
)

VERBS = (Verb.HOLD, Verb.RELEASE, Verb.RETRY, Verb.REMOVE, Verb.BOUNCE, Verb.REROUTE)
WAYS = (Detour(hosts=("other.example:25",)), Detour(hosts=("third.example:25",)), None)


@attrs.frozen(kw_only=True)
class Build:
    """How the gateway is put together. A planted bug is a Build with a part exchanged: `spool` makes the spool,
    `around` stands between it and the queue, `hops` makes the transport. `faulty` is the share of lives with a failing
    disk, `shared` that of the others with two queues on one spool; `kinds` of calls fail, and so many `times`."""

    spool: Callable[..., SqliteSpool] = SqliteSpool
    around: Callable[[SqliteSpool], Any] = lambda spool: spool
    hops: Callable[[Note, Truth], NextHops] = NextHops
    faulty: float = 0.5
    shared: float = 0.3
    kinds: tuple[Kind, ...] = (EVERY, Kind.SYNC, Kind.WRITE, Kind.WRITE | Kind.TRUNCATE)
    times: tuple[int, ...] = (1, 1, 2, 6)


SOUND = Build()


def make_queue(
    spool: ISpool, hops: ITransport, clock: Clock, ids: Iterator[int], random: Callable[[], float]
) -> QueueService:
    """A queue in which all mail goes to the next hops."""
    return QueueService(
        QueueSetup(
            spool=spool,
            transports={"mx": hops, "smarthost": hops},
            routing=compile_routes((RouteConfig(transport="mx", match=MatchConfig()),)),
            config=CONFIG,
            clock=clock,
            write_event=lambda event: None,
            hostname="mail.example.net",
            postmaster="",
            random=random,
            new_id=lambda: new_id(clock.seconds(), next(ids)),
        )
    )


class World:
    """One life of the machine, from start to power cut. `facts` are what the marks in the log stand for; `truth` knows
    all of them at once."""

    def __init__(
        self, folder: Path, shim: Shim, chance: Random, truth: Truth, *, start: float, build: Build = SOUND
    ) -> None:
        self._build = build
        self._folder = folder
        self.faulty = chance.random() < build.faulty
        self.facts: list[tuple[Any, ...]] = []
        self.truth = truth
        self.faults = 0
        self._shim = shim
        self._chance = chance
        self.reactor = Reactor()
        self.reactor.advance(start)
        self._threads: list[Steps] = []
        self._ids = iter(range(int(chance.random() * (1 << 34)), 1 << 35))
        self.hops = build.hops(self.note, truth)
        self._raw = build.spool(
            str(folder),
            self.reactor,
            inline_limit=INLINE,
            checkpoint=CHECKPOINT,
            batcher=self._make_steps,
            index=INDEX,
        )
        self.spool = Witness(build.around(self._raw), self.note)
        shared = not self.faulty and chance.random() < build.shared
        self._queues = [self._make_queue() for _ in range(2 if shared else 1)]

    def _make_queue(self) -> QueueService:
        return make_queue(self.spool, self.hops, self.reactor, self._ids, self._chance.random)  # type: ignore[arg-type]

    def _make_steps(self, name: str, serve: Callable[[list[Any]], None], limit: int, *more: Any) -> Steps:
        steps = Steps(name, serve, limit, *more)
        self._threads.append(steps)
        return steps

    def note(self, *fact: Any) -> None:
        """It is true from now on."""
        self._shim.mark(str(len(self.facts)).encode())
        self.facts.append(fact)
        self.truth.learn(fact)

    def open(self) -> None:
        """Start, the disk being well."""
        self._raw.open()
        for queue in self._queues:
            queue.startService()

    def let_go(self) -> None:
        """Free what the process holds, as its end does."""
        self._shim.stop()
        with contextlib.suppress(Exception):
            self._raw._let_go()

    # -- steps ----------------------------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        """Take so many steps."""
        actions = [self.send] * 6 + [self.hear] * 12 + [self.work] * 18 + [self.answer] * 9 + [self.wait] * 5
        actions += [self.tidy] * 6 + [self.order] * 2 + [self.intrude] + ([self.break_disk] * 2 if self.faulty else [])
        for _ in range(steps):
            self._chance.choice(actions)()

    def hear(self) -> None:
        """The reactor hears what the threads said."""
        self.reactor.hear()

    def work(self) -> None:
        """A thread of the spool does a batch."""
        busy = [steps for steps in self._threads if steps.waiting]
        if busy:
            self._chance.choice(busy).step(self._chance.choice((1, 2, 4, 16)))

    def tidy(self) -> None:
        """A thread of the spool does what nobody waits for."""
        for steps in self._threads:
            steps.tidy()

    def wait(self) -> None:
        """Time passes; a claim lasts longer than the spool takes to answer."""
        times = (0.01, 1.0, 20.0, 70.0, 200.0) if self._quiet else (0.01, 0.1, 1.0)
        self.reactor.advance(self._chance.choice(times))

    @property
    def _quiet(self) -> bool:
        return not self.reactor.said and not any(steps.waiting for steps in self._threads)

    def answer(self) -> None:
        """A next hop answers."""
        if self.hops.open:
            self.hops.finish(self._chance.choice(self.hops.open), self._chance)

    def break_disk(self) -> None:
        """Some calls fail soon: one, some in a row, or every second or fifth for a while."""
        self.faults += 1
        self._shim.fail(
            self._chance.choice(self._build.kinds),
            first=self._chance.choice((1, 1, 2, 3, 5)),
            step=self._chance.choice((1, 1, 1, 2, 3, 5)),
            times=self._chance.choice(self._build.times),
            error=self._chance.choice(ERRORS),
        )

    def intrude(self) -> None:
        """Somebody starts a second gateway on the same spool: it must be refused, or it would work on all of this."""
        intruder = self._build.spool(str(self._folder), None, inline_limit=INLINE)
        try:
            intruder.open()
        except SpoolError:
            return
        queue = make_queue(intruder, self.hops, self.reactor, self._ids, self._chance.random)
        queue.startService()

    def send(self) -> None:
        """A client ends its data."""
        number = next(self._ids)
        count = self._chance.choice((1, 1, 2, 3))
        notify = self._chance.choice(NOTIFIES)
        sender = None if self._chance.random() < 0.15 else parse_address(f"s{number}@example.org")
        recipients = tuple(
            Recipient(address=parse_address(f"r{number}.{each}@d{self._chance.randrange(3)}.example"), notify=notify)
            for each in range(count)
        )
        content = make_content(number, self._chance.choice(SIZES))
        queue_id = new_id(self.reactor.seconds(), number)
        record = begin(
            queue_id=queue_id,
            envelope=Envelope(sender=sender, recipients=recipients),
            now=self.reactor.seconds(),
            size=len(PREFIX) + len(content),
        )
        start(self._commit(record, content))

    async def _commit(self, record: Record, content: bytes) -> None:
        """As the ingress does it: 250 is read when the spool has answered."""
        self.note("offered", record, PREFIX + content)
        queue = self._chance.choice(self._queues)
        try:
            sink = self.spool.sink()
            _fill(sink, content)
            kept: Content = await self.spool.commit(record, sink, PREFIX, self.reactor.seconds() + queue.lease)
        except SpoolError:
            self.note("refused", record.queue_id)
        else:
            self.note("accepted", record.queue_id)
            queue.offer(record, kept)

    def order(self) -> None:
        """An operator orders something of some message."""
        alive = [queue_id for queue_id, story in self.truth.stories.items() if not _done(story)]
        if alive:
            self.order_one(self._chance.choice(alive), self._chance.choice(VERBS))

    def order_one(self, queue_id: str, verb: Verb) -> None:
        if verb is Verb.REMOVE:
            self.note("ordered", queue_id)
        to = self._chance.choice(WAYS) if verb is Verb.REROUTE else None
        order = Order(verb=verb, keep=verb is Verb.REMOVE, to=to)
        start(self._chance.choice(self._queues).operations.order(queue_id, order))

    # -- the end --------------------------------------------------------------------------------------------------

    def settle_down(self) -> list[str]:
        """The disk is well again, next hops answer, nobody sends: everything must come to its end. Complaints."""
        self._shim.heal()
        for turn in range(400):
            self._breathe()
            if self.hops.violations:
                return []  # that is told already
            left = self._left() if self._quiet and not self.hops.open else ["something under way"]
            if not left:
                return self.truth.problems(Found({}, {}), cut=False)
            if turn % 20 == 10:
                for queue_id in self._left():
                    self.order_one(queue_id, Verb.RELEASE)
        return [f"{', '.join(left[:3])} did not come to an end"]

    def _left(self) -> list[str]:
        """The messages in the spool, as another program reads it."""
        with contextlib.closing(sqlite3.connect(self._folder / "spool.sqlite")) as connection:
            return [row[0] for row in connection.execute("SELECT queue_id FROM message")]

    def _breathe(self) -> None:
        for _ in range(4):
            for steps in self._threads:
                steps.step(16)
            self.reactor.hear()
        for talk in list(self.hops.open):
            if talk in self.hops.open:
                self.hops.finish(talk, self._chance)
        self.reactor.advance(35.0)


def _done(story: Any) -> bool:
    """Whether nothing will happen to it any more, as far as the queue was told."""
    if story.stored < 0:
        return bool(story.refused or not story.begun)
    return bool(story.versions[story.stored].record.finished)


def start(awaitable: Awaitable[Any]) -> None:
    """Begin it. What it raises is not what is looked for."""
    Deferred.fromCoroutine(awaitable).addErrback(lambda failure: None)  # type: ignore[arg-type]


def _fill(sink: ISink, content: bytes) -> None:
    for place in range(0, len(content), 1000):
        sink.write(content[place : place + 1000])


def make_content(number: int, size: int) -> bytes:
    """A content that can be known again."""
    return b"Subject: %d\r\n\r\n" % number + Random(number).randbytes(size)


def is_shared_memory(name: str) -> bool:
    """SQLite's index of its log: mapped memory, made anew at every start."""
    return name.endswith("-shm")
