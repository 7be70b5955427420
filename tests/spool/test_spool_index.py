"""The index of the queue: at any moment of its making, whatever becomes of the messages, it leaves nothing out; and
what has keys is found without going over the queue."""

from collections.abc import Awaitable, Iterator
from ipaddress import ip_network
from random import Random
from tempfile import TemporaryDirectory
from typing import TypeVar

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relaygw.core.address import Address
from relaygw.core.lifecycle import Order, Verb, operate
from relaygw.core.patterns import compile_patterns
from relaygw.core.record import Detour, Origin, Progress, Record
from relaygw.core.selection import Selection
from relaygw.interfaces import Settlement
from relaygw.spool.index import pack, unpack
from relaygw.spool.indexing import Measures
from relaygw.spool.search import search
from relaygw.spool.sqlite import SqliteSpool
from relaygw.spool.store import Store
from relaygw.testing.spool import NOW, make_record, progressed, store

T = TypeVar("T")
SMALL = Measures(newest=2, messages=4, keys=60, loose=3, read=2, written=9, changes=3, pace=0.0, retry=0.0)
DOMAINS = ("example.org", "mail.example.org", "a.b.c.d.e.f.g.example.com", "example.net")


def now(coroutine: Awaitable[T]) -> T:
    return SynchronousTestCase().successResultOf(Deferred.fromCoroutine(coroutine))  # type: ignore[arg-type, no-any-return]


def varied(queue_id: str, chance: Random) -> Record:
    """A record of few senders, recipients, logins …, so that each is found with others and without."""

    def address() -> Address:
        return Address(chance.choice(("ann", "BOB", "straße")), chance.choice(DOMAINS))

    record = make_record(queue_id, recipients=chance.choice((1, 1, 2, 3)))
    paths = tuple(attrs.evolve(state.recipient, address=address()) for state in record.recipients)
    sender = None if chance.random() < 0.2 else address()
    return attrs.evolve(
        record,
        envelope=attrs.evolve(record.envelope, sender=sender, recipients=paths),
        recipients=tuple(map(lambda state, path: attrs.evolve(state, recipient=path), record.recipients, paths)),
        arrived=NOW - 100 * chance.randrange(10),
        login=chance.choice(("", "alice", "bob")),
        client=chance.choice(("", "192.0.2.7", "192.0.2.9", "::ffff:192.0.2.7", "2001:db8::1")),
        listener=chance.choice(("mx", "submission")),
        message_id=f"<\udcff{chance.randrange(4)}@example.org>",
        header_from=chance.choice(("", *DOMAINS)),
        findings=chance.choice(((), ("dmarc=fail", "spf=pass"))),
        origin=chance.choice((Origin.RECEIVED, Origin.REPORT)),
        quarantined=chance.random() < 0.2,
        held="rule x" if chance.random() < 0.2 else "",
    )


def patterns(*texts: str) -> Selection:
    return Selection(sender=compile_patterns(texts, {}))


INDEXED = (
    patterns("bob@mail.example.org"),
    patterns("STRASSE@example.net", "<>"),
    patterns("example.org"),
    patterns(".example.org"),
    patterns(".f.g.example.com", "nobody.example"),
    patterns(".c.d.e.f.g.example.com"),
    patterns(".b.c.d.e.f.g.example.com"),
    patterns(".com"),
    patterns("nobody@example.org"),
    Selection(recipient=compile_patterns(["ann@example.net", ".mail.example.org"], {})),
    Selection(recipient=compile_patterns(["example.org"], {}), logins=frozenset({"alice"})),
    Selection(header_from=compile_patterns(["example.net", ".example.org"], {})),
    Selection(logins=frozenset({"alice", "bob"})),
    Selection(logins=frozenset({""})),
    Selection(listeners=frozenset({"mx"})),
    Selection(clients=(ip_network("192.0.2.7/32"), ip_network("2001:db8::/64"))),
    Selection(clients=(ip_network("192.0.2.0/28"),)),
    Selection(message_id="<\udcff1@example.org>"),
    Selection(findings=frozenset({"dmarc=fail"})),
    Selection(origin=Origin.REPORT),
    Selection(quarantined=True),
    Selection(held=True, logins=frozenset({"alice"})),
    Selection(older_than=350.0),
    Selection(younger_than=250.0),
    Selection(older_than=200.0, younger_than=600.0, logins=frozenset({"bob"})),
)
GONE_OVER = (
    Selection(),
    Selection(held=True),
    Selection(held_for="RULE"),
    Selection(held=False),
    Selection(clients=(ip_network("192.0.0.0/8", strict=False),)),
    Selection(reply="451"),
    Selection(min_attempts=1),
)


class Life:
    """A spool, and what may become of it; each step is chosen by a number."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.chance = Random(0)
        self.newest = 100_000
        self.torn: dict[str, str] = {}
        self.spool = self.opened()

    def opened(self) -> SqliteSpool:
        spool = SqliteSpool(self.folder, None, index=SMALL)
        spool.open()
        return spool

    @property
    def store(self) -> Store:
        return self.spool._engine.open()

    def step(self, kind: str, number: int) -> None:
        self.chance = Random(number)
        getattr(self, kind)()

    def records(self) -> tuple[Record, ...]:
        return now(self.spool.records("", 10_000))

    def add(self) -> None:
        """Most come in the order of their ids, some with those of long ago."""
        self.newest += 1 + self.chance.randrange(9)
        late = self.chance.random() < 0.2
        queue_id = f"{self.chance.randrange(100_000, self.newest) if late else self.newest:06}"
        if now(self.spool.record(queue_id)) is None and queue_id not in self.torn:
            now(store(self.spool, varied(queue_id, self.chance)))

    def add_many(self) -> None:
        for _ in range(6):
            self.add()

    def index(self) -> None:
        for _ in range(self.chance.choice((1, 1, 3, 30))):
            if self.spool._engine.overdue() is not None:
                self.spool._engine.piece()

    def operate(self) -> None:
        for record in self._some():
            verb = self.chance.choice((Verb.HOLD, Verb.RELEASE, Verb.RETRY, Verb.REROUTE, Verb.REMOVE))
            only = self.chance.choice((None, Selection(recipient=compile_patterns(["example.org"], {}))))
            order = Order(verb=verb, reason="rule", keep=True, only=only, to=Detour(route="other"))
            step = operate(record, order, now=NOW)
            now(self.spool.settle_all([Settlement(record=step.record, aside=step.aside)]))

    def deliver(self) -> None:
        for record in self._some():
            state = attrs.evolve(record.recipients[0], progress=Progress.DELIVERED)
            now(self.spool.settle(Settlement(record=attrs.evolve(record, recipients=(state, *record.recipients[1:])))))

    def sweep(self) -> None:
        """Most of the queue goes."""
        for record in self.records():
            if self.chance.random() < 0.7:
                now(self.spool.settle(Settlement(record=progressed(record, Progress.DELIVERED))))

    def undo(self) -> None:
        entries, _ = now(self.spool.trashed(0, 100))
        for kept in entries:
            record = now(self.spool.record(kept.record.queue_id))
            if record is None and kept.record.queue_id not in self.torn:
                now(self.spool.restore([kept.entry]))
            elif record is not None:
                step = operate(record, Order(verb=Verb.UNDO, kept=(kept,)), now=NOW)
                now(self.spool.settle_all([Settlement(record=step.record, aside=step.aside)]))

    def exchange(self) -> None:
        """Another message comes in under the id of one that went, as from an archive."""
        for record in self._some():
            now(self.spool.settle(Settlement(record=progressed(record, Progress.DELIVERED))))
            now(store(self.spool, varied(record.queue_id, self.chance)))

    def tear(self) -> None:
        """A record cannot be read; nobody may have noticed yet."""
        for record in self._some()[:1]:
            query = "SELECT CAST(record AS TEXT) FROM message WHERE queue_id = ?"
            self.torn[record.queue_id] = self.store.execute(query, (record.queue_id,)).fetchone()[0]
            self.store.execute("UPDATE message SET record = '{' WHERE queue_id = ?", (record.queue_id,))
            if self.chance.random() < 0.5:
                now(self.spool.record(record.queue_id))

    def mend(self) -> None:
        for queue_id, text in self.torn.items():
            now(self.spool.record(queue_id))
            self.store.execute("UPDATE message SET record = ? WHERE queue_id = ?", (text, queue_id))
            now(self.spool.retry_damaged(queue_id))
        self.torn.clear()

    def die(self) -> None:
        """What is in memory is lost."""
        self.spool._let_go()
        self.spool = self.opened()

    def _some(self) -> list[Record]:
        records = self.records()
        return self.chance.sample(records, min(len(records), self.chance.randrange(4)))

    def check(self) -> None:
        records = self.records()
        for selection in (*INDEXED, *GONE_OVER):
            wanted = [record.queue_id for record in records if selection.matches(record, NOW)]
            for limit, rows in ((1, 3), (7, 2000)):
                assert list(self.found(selection, limit, rows)) == wanted, f"{selection} in pages of {limit}"

    def found(self, selection: Selection, limit: int, rows: int) -> Iterator[str]:
        after = "!"
        while after:
            store = self.store
            with store.transaction():
                page, after = search(store, selection, after.strip("!"), limit, NOW, rows=rows, few=rows)
            assert len(page) <= limit
            yield from (record.queue_id for record in page if selection.matches(record, NOW))


STEPS = (
    "add_many", "add_many", "add_many", "add", "index", "index", "index", "operate", "deliver", "sweep", "undo",
    "exchange", "tear", "mend", "die",
)  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1 << 30)), min_size=10, max_size=40))
def test_what_is_found_is_what_going_over_all_finds(steps: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as folder:
        life = Life(folder)
        for number, (kind, chance) in enumerate(steps):
            life.step(kind, chance)
            if number % 8 == 7:
                life.check()
        life.check()
        life.spool._let_go()


@given(st.sets(st.integers(0, 65535)))
def test_places_come_back(places: set[int]) -> None:
    assert set(unpack(pack(sorted(places)))) == places
