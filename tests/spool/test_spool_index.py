"""The index of the queue: at any moment of its making, whatever becomes of the messages, it leaves nothing out; and
what has keys is found without going over the queue."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random
from tempfile import TemporaryDirectory
from typing import TypeVar

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relaygw.core.address import Address
from relaygw.core.index_keys import VERSION
from relaygw.core.orders import Order, Verb, operate
from relaygw.core.outcome import deferred
from relaygw.core.patterns import compile_patterns
from relaygw.core.record import Detour, Intent, Origin, Progress, Record
from relaygw.core.selection import Selection
from relaygw.interfaces import Settlement
from relaygw.spool.index import pack, unpack
from relaygw.spool.index_check import left_out
from relaygw.spool.indexing import Measures
from relaygw.spool.reading import Reading
from relaygw.spool.search import search
from relaygw.spool.sqlite import SqliteSpool
from relaygw.spool.store import Store
from relaygw.spool.verify import verify
from relaygw.testing.spool import NOW, make_record, progressed, store

T = TypeVar("T")
SMALL = Measures(newest=2, messages=4, keys=60, loose=3, read=2, written=9, changes=3, pace=0.0, retry=0.0)
DOMAINS = ("example.org", "mail.example.org", "a.b.c.d.e.f.g.example.com", "example.net")


def now(coroutine: Awaitable[T]) -> T:
    return SynchronousTestCase().successResultOf(Deferred.fromCoroutine(coroutine))  # type: ignore[arg-type]


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
        size=chance.choice((1999, 2000)),
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
    Selection(clients=(ip_network("0.0.0.0/0"), ip_network("::/0"))),
    Selection(reply="451 4.4.1 GREY"),
    Selection(reply='"' + "later"),
    Selection(reply="\u017fo"),
    Selection(min_attempts=2),
    Selection(larger_than=1999),
    Selection(smaller_than=2000, held=False),
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

    def defer(self) -> None:
        for record in self._some():
            address = record.recipients[0].address
            text = self.chance.choice(("Greylisted", "come\nback", '"later"', "\u017forry", "no\tspace"))
            last = deferred(address, self.chance.choice(("", "4.4.1")), text)
            state = attrs.evolve(record.recipients[0], last=last, attempts=record.recipients[0].attempts + 1)
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

    def forget(self) -> None:
        now(self.spool.reindex())

    def die(self) -> None:
        """What is in memory is lost."""
        self.spool._let_go()
        self.spool = self.opened()

    def _some(self) -> list[Record]:
        records = self.records()
        return self.chance.sample(records, min(len(records), self.chance.randrange(4)))

    def check(self) -> None:
        records = self.records()
        with Reading(self.folder) as reading:
            assert list(left_out(reading)) == []
        for selection in (*INDEXED, *GONE_OVER):
            wanted = [record.queue_id for record in records if selection.matches(record, NOW)]
            limit, rows = self.chance.choice(((2, 3), (7, 2000)))
            assert list(self.found(selection, limit, rows)) == wanted, f"{selection} in pages of {limit}"

    def found(self, selection: Selection, limit: int, rows: int) -> Iterator[str]:
        after = ""
        while True:
            with self.store.transaction():
                page, after = search(self.store, selection, after, limit, NOW, rows=rows, few=rows)
            assert len(page) <= limit
            yield from (record.queue_id for record in page if selection.matches(record, NOW))
            if not after:
                return


STEPS = (
    "add_many", "add_many", "add_many", "add", "index", "index", "index", "operate", "defer", "deliver", "sweep",
    "forget", "undo", "exchange", "tear", "mend", "die",
)  # fmt: skip


@settings(max_examples=10, deadline=None)
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


@settings(max_examples=50)
@given(st.sets(st.integers(0, 65535)))
def test_places_come_back(places: set[int]) -> None:
    assert set(unpack(pack(sorted(places)))) == places


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(str(tmp_path))
    yield life
    life.spool._let_go()


def filled(life: Life, number: int) -> None:
    """So many messages, and all of them indexed but the newest."""
    for each in range(number):
        life.newest += 1
        now(store(life.spool, varied(f"{life.newest:06}", Random(each))))
    while life.spool._engine.overdue() is not None:
        life.spool._engine.piece()


@pytest.mark.parametrize(("messages", "parts"), [(5, 0), (6, 1), (9, 1), (10, 2)])
def test_a_short_queue_and_the_newest_of_a_long_one_are_not_indexed(messages: int, parts: int, life: Life) -> None:
    filled(life, messages)
    assert len(life.store.index.parts) == parts
    assert life.store.execute("SELECT count(*) FROM index_key").fetchone()[0] > 0 or not parts


def test_what_is_delivered_at_once_writes_nothing_of_the_index(life: Life) -> None:
    filled(life, 10)
    life.store._connection.set_trace_callback((asked := list[str]()).append)
    for number in range(20):
        record = make_record(f"9{number:05}")
        now(store(life.spool, record, lease=NOW + 300))
        now(life.spool.settle(Settlement(record=progressed(record, Progress.DELIVERED))))
    assert [query for query in asked if "index_" in query] == []
    while life.spool._engine.overdue() is not None:
        life.spool._engine.piece()
    assert [query for query in asked if "index_" in query and not query.startswith(("SELECT", "DELETE"))] == []


def test_nothing_of_the_queue_is_gone_over_for_what_has_keys(life: Life) -> None:
    """But for the newest, in their order; what is read is read by its queue id."""
    filled(life, 40)
    mark = life.store.index.mark
    life.store._connection.set_trace_callback((asked := list[str]()).append)
    for selection in (*INDEXED, Selection(held=True), Selection(held_for="RULE")):
        list(life.found(selection, 100, 2000))
    life.store._connection.set_trace_callback(None)
    plans = {
        (query, detail)
        for query in asked
        if query.startswith("SELECT")
        for _, _, _, detail in life.store.execute(f"EXPLAIN QUERY PLAN {query}")
    }
    assert len(plans) > 50
    walks = {plan for plan in plans if plan[1].startswith("SCAN") or "TEMP B-TREE" in plan[1]}
    assert [plan for plan in walks if not plan[1].endswith("INDEX message_held")] == []
    ranges = {query for query, detail in plans if "(queue_id>?" in detail and "message" in detail}
    assert ranges
    assert [query for query in ranges if f"'{mark}'" not in query and "message_held" not in query] == []


@pytest.mark.parametrize("messages", [3, 40])
def test_a_message_that_is_held_and_waits_for_what_was_ordered_is_found_with_those_that_are_held(
    messages: int, life: Life
) -> None:
    """Where it is attempted at the time, it is due for that, and not in the index of what is held."""
    filled(life, messages)
    record = next(record for record in life.records() if record.login)
    ordered = attrs.evolve(record, held="rule x", intents=(Intent(verb="remove", positions=(0,)),))
    now(life.spool.settle(Settlement(record=ordered)))
    assert now(life.spool.take(ordered.queue_id, NOW, NOW + 300)) == ordered
    hers = Selection(held=True, logins=frozenset({record.login}))
    for asked in (Selection(held=True), Selection(held_for="RULE"), hers):
        wanted = [record.queue_id for record in life.records() if asked.matches(record, NOW)]
        assert ordered.queue_id in wanted
        assert list(life.found(asked, 2, 7)) == wanted
    assert ordered.queue_id not in life.found(Selection(held=False), 2, 7)


def test_a_message_that_is_exchanged_while_it_is_indexed_is_found_by_its_new_keys(life: Life) -> None:
    """Of the loose ones those are not let go of that were touched since they were read."""
    filled(life, 10)
    engine = life.spool._engine
    for number in range(3):
        now(store(life.spool, attrs.evolve(make_record(f"00000{number}"), login="before")))
    assert life.store.index.loose == 3
    engine.piece()
    now(life.spool.settle(Settlement(record=progressed(make_record("000000"), Progress.DELIVERED))))
    now(store(life.spool, attrs.evolve(make_record("000000"), login="after")))
    while engine.overdue() is not None:
        engine.piece()
    assert list(life.found(Selection(logins=frozenset({"after"})), 9, 9)) == ["000000"]
    assert list(life.found(Selection(logins=frozenset({"before"})), 9, 9)) == ["000001", "000002"]


def test_what_was_begun_when_the_process_died_is_cleared_away(life: Life) -> None:
    filled(life, 5)
    for number in range(5):
        now(store(life.spool, varied(f"2{number:05}", Random(number))))
    count = "SELECT count(*) FROM index_key"
    while not life.store.execute(count).fetchone()[0]:
        life.spool._engine.piece()
    assert life.store.index.parts == []
    life.die()
    assert life.store.index.mark == ""
    life.check()
    filled(life, 0)
    rows = life.store.execute("SELECT DISTINCT part FROM index_key").fetchall()
    assert rows == [(part.number,) for part in life.store.index.parts]
    assert rows != []
    life.check()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE index_key SET places = x'ffff'",
        "UPDATE index_key SET places = x'000000'",
        "UPDATE index_key SET places = 'no octets'",
        "UPDATE index_part SET ids = substr(ids, 1, 9)",
        "UPDATE index_part SET ids = 7",
        "DELETE FROM index_part",
    ],
)
def test_an_index_that_cannot_be_right_leaves_nothing_out_and_is_made_anew(statement: str, life: Life) -> None:
    filled(life, 20)
    life.store.execute(statement)
    with Reading(life.folder) as reading:
        assert list(left_out(reading))
    records = life.records()
    for selection in INDEXED:
        wanted = [record.queue_id for record in records if selection.matches(record, NOW)]
        assert list(life.found(selection, 7, 2000)) == wanted
    assert not life.store.index.current
    filled(life, 0)
    assert life.store.index.messages >= 16
    life.check()


@pytest.mark.parametrize("statement", [f"UPDATE index_state SET version = {VERSION + 1}", "DELETE FROM index_state"])
def test_an_index_of_other_keys_counts_for_nothing_and_is_made_anew(statement: str, life: Life) -> None:
    filled(life, 20)
    life.store.execute(statement)
    life.store.execute("UPDATE index_key SET places = x''")
    life.die()
    life.check()
    filled(life, 0)
    assert life.store.index.current
    assert life.store.index.messages >= 16
    life.check()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE index_part SET low = x'00' WHERE number = 2",
        "UPDATE index_state SET mark = x'07'",
        "DELETE FROM index_state",
    ],
)
def test_an_index_that_is_damaged_keeps_no_spool_from_being_opened(statement: str, life: Life) -> None:
    filled(life, 20)
    life.store.execute(statement)
    life.die()
    life.check()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM index_part WHERE number = 2",
        "DELETE FROM index_key WHERE part = 2",
        "UPDATE index_key SET places = x'0000' WHERE part = 2",
        "DELETE FROM index_loose",
        "UPDATE index_state SET mark = '999999'",
    ],
)
def test_what_the_index_leaves_out_is_found_by_verify_and_remedied_by_making_it_anew(
    statement: str, life: Life
) -> None:
    filled(life, 20)
    now(store(life.spool, varied("000007", Random(7))))
    life.check()
    life.store.execute(statement)
    with Reading(life.folder) as reading:
        assert any("reindex" in found.problem for found in verify(reading).problems)
    now(life.spool.reindex())
    life.check()
    filled(life, 0)
    life.check()


def test_parts_of_which_most_is_gone_are_dissolved_and_their_rows_go(life: Life) -> None:
    filled(life, 60)
    before = life.store.execute("SELECT count(*) FROM index_key").fetchone()[0]
    for record in life.records()[:50]:
        now(life.spool.settle(Settlement(record=progressed(record, Progress.DELIVERED))))
    filled(life, 0)
    assert life.store.index.messages <= 10
    assert life.store.execute("SELECT count(*) FROM index_key").fetchone()[0] < before / 4
    life.check()


def test_while_the_disk_is_full_mail_goes_on_and_afterwards_the_index_is_made(life: Life) -> None:
    for number in range(300):
        now(store(life.spool, varied(f"{number:06}", Random(number))))
    pages = life.store.execute("PRAGMA page_count").fetchone()[0]
    life.store.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(200):
        if life.spool._engine.overdue() is not None:
            life.spool._engine.piece()
    stuck = life.store.index.messages
    assert stuck < 296
    life.check()
    life.store.execute("PRAGMA max_page_count = 1000000")
    filled(life, 0)
    assert life.store.index.messages > stuck
    life.check()


class Reactor:
    """What the threads say is heard when somebody listens."""

    def __init__(self) -> None:
        self.said: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def callFromThread(self, function: Callable[..., object], *args: object) -> None:
        self.said.put(partial(function, *args))

    def hear_until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not true():
            assert time.monotonic() < end
            with contextlib.suppress(Empty):
                self.said.get(timeout=0.005)()


def test_a_spool_in_its_thread_indexes_while_nothing_comes(tmp_path: Path) -> None:
    reactor = Reactor()
    spool = SqliteSpool(str(tmp_path), reactor, index=SMALL)  # type: ignore[arg-type]  # as much of it as is used
    spool.open()
    made = [Deferred.fromCoroutine(store(spool, varied(f"{number:06}", Random(number)))) for number in range(40)]
    reactor.hear_until(lambda: spool._engine.open().index.messages >= 36)
    assert all(each.called for each in made)
    found = Deferred.fromCoroutine(spool.search(Selection(quarantined=True), "", 100, NOW))
    reactor.hear_until(lambda: found.called)
    closed = Deferred.fromCoroutine(spool.close())
    reactor.hear_until(lambda: closed.called)
