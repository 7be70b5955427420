"""Group commit: one transaction and one hop for a batch, a bad job fails alone, a failing disk acknowledges nothing."""

import contextlib
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relaygw.core.events import Event
from relaygw.core.record import Progress
from relaygw.interfaces import NewMessage, Settlement, SpoolError
from relaygw.spool.batcher import Haste
from relaygw.spool.claiming import LOOKED_AT
from relaygw.spool.codec import encode_record
from relaygw.spool.engine import Engine
from relaygw.spool.entries import change_of, make_entry
from relaygw.spool.files import ContentFiles
from relaygw.spool.jobs import Call, Change, Insert, Job, Remove
from relaygw.spool.sink import Body
from relaygw.spool.store import Store
from relaygw.testing.spool import NOW, make_record, progressed

case = SynchronousTestCase()
CHECKPOINT = 1 << 20


def disk_failure() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    return error


class Bench:
    """An engine whose store's commits fail as a script says: "before" or "after" they took effect, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.script: list[str] = []
        self.broken = False
        self.transactions = 0
        self.checkpoints: list[str] = []
        self.hops = 0
        self.discarded: list[str] = []
        self.stores: list[Store] = []
        self.engine = Engine(self.connect, self.hop, self.discarded.extend, self.reported, CHECKPOINT)
        self.engine.open()
        self.transactions = 0

    def connect(self) -> Store:
        if self.broken:
            raise disk_failure()
        bench = self

        class Scripted(Store):
            @contextlib.contextmanager
            def transaction(self) -> Iterator[None]:
                bench.transactions += 1
                step = bench.script.pop(0) if bench.script else ""
                with super().transaction():
                    yield
                    if step == "before":
                        raise disk_failure()
                if step == "after":
                    raise disk_failure()

            def checkpoint(self, mode: str = "PASSIVE") -> bool:
                bench.checkpoints.append(mode)
                return super().checkpoint(mode)

        self.stores.append(Scripted(str(self.path / "spool.sqlite"), ContentFiles(str(self.path))))
        return self.stores[-1]

    def hop(self, function: object, *args: object) -> None:
        self.hops += 1
        assert callable(function)
        function(*args)

    def reported(self, event: Event) -> None:
        raise AssertionError(event)

    def serve(self, *jobs: Job) -> list[str]:
        """How each job ended: "ok" or "failed"."""
        answers: list[Deferred[object]] = [job.answer for job in jobs]
        self.engine.serve(jobs)
        return ["ok" if case.successResultOf(ended(answer)) else "failed" for answer in answers]

    def ids(self) -> list[str]:
        return [record.queue_id for record in self.engine.open().records("", 1000)]


async def ended(answer: Deferred[object]) -> bool:
    try:
        await answer
    except SpoolError:
        return False
    return True


def insert(queue_id: str, file: str = "", size: int = 10) -> Insert:
    body = Body(prefix=b"", data=b"" if file else b"x" * size, file=file, size=size)
    return Insert(entry=make_entry(make_record(queue_id), body), files=(file,) if file else ())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.engine.close()


def test_a_batch_is_one_transaction_and_one_hop(bench: Bench) -> None:
    jobs = [insert(f"id{number:03}") for number in range(120)]
    assert set(bench.serve(*jobs)) == {"ok"}
    assert (bench.transactions, bench.hops) == (1, 1)
    mixed = [Remove(queue_id=f"id{number:03}") for number in range(115)]
    assert set(bench.serve(*mixed, insert("new"), Call(action=Store.count))) == {"ok"}
    assert (bench.transactions, bench.hops) == (2, 2)
    assert bench.ids() == ["id115", "id116", "id117", "id118", "id119", "new"]


def test_a_look_goes_over_no_more_than_its_bound_and_finds_what_is_behind_a_crowd(bench: Bench) -> None:
    def entry(queue_id: str, login: str, due: float) -> Insert:
        record = attrs.evolve(make_record(queue_id, due), login=login)
        return Insert(entry=make_entry(record, Body(prefix=b"", data=b"x", file="", size=1)))

    bench.serve(*(entry(f"m{number:05}", "mailing", NOW) for number in range(LOOKED_AT)))
    store = bench.engine.open()
    crowd = frozenset({"mailing"})
    all_of_it = store.look(NOW, NOW + 9, 5, (0.0, "", 0), crowd)
    assert (all_of_it.records, all_of_it.next_due) == ((), None), "it cannot know that this was the end"
    assert store.look(NOW, NOW + 9, 5, all_of_it.mark, crowd).next_due == math.inf
    bench.serve(entry("letter", "alice", NOW))
    first = store.look(NOW, NOW + 9, 5, (0.0, "", 0), crowd)
    assert [record.queue_id for record in first.records] == ["letter"], "owners due at one time come by name"
    bench.serve(entry("later", "alice", NOW + 1))
    second = store.look(NOW + 1, NOW + 9, 5, (0.0, "", 0), crowd)
    third = store.look(NOW + 1, NOW + 9, 5, second.mark, crowd)
    assert (second.records, [record.queue_id for record in third.records]) == ((), ["later"])


def test_what_the_queue_asks_walks_over_nothing_that_grows(bench: Bench) -> None:
    store = bench.engine.open()
    asked: list[str] = []
    store._connection.set_trace_callback(asked.append)
    with store.transaction():
        store.insert([insert("a").entry, insert("b", file="f").entry])
        store.claim(NOW, NOW + 9, 5)
        store.claim(NOW, NOW + 9, 5, "alice")
        store.look(NOW, NOW + 9, 5, (0.0, "", 0), frozenset())
        store.take("a", NOW, NOW + 9)
        store.renew(["a"], 0.0)
        store.records("", 5)
        store.content("a")
        store.count()
        store.named_files()
        store.release_all()
        store.remove(["a", "b"])
    store._connection.set_trace_callback(None)
    plans = [
        (query, detail)
        for query in asked
        if query.startswith(("SELECT", "UPDATE", "DELETE"))
        for _, _, _, detail in store._connection.execute(f"EXPLAIN QUERY PLAN {query}")
    ]
    assert len(plans) > 12
    whole = [plan for plan in plans if plan[1] in ("SCAN message", "SCAN content") or "TEMP B-TREE" in plan[1]]
    assert whole == []


def test_the_number_of_messages_is_that_of_what_is_committed(bench: Bench) -> None:
    bench.serve(insert("a"), insert("b"), insert("c"))
    bench.serve(insert("a"), insert("d"), Remove(queue_id="b"), Remove(queue_id="nobody"))
    store = bench.engine.open()
    assert store.count() == len(store.records("", 10)) == 3
    with store.transaction():
        store.set_aside("c", "unreadable")
        store.set_aside("c", "again")
    assert [damage.error for damage in store.take_damages()] == ["unreadable"]
    assert store.count() == 2
    bench.serve(Remove(queue_id="c"))
    bench.engine.close()
    assert bench.engine.open().count() == 2


def test_changes_of_a_batch_go_together_and_pass_over_what_is_gone(bench: Bench) -> None:
    bench.serve(*(insert(f"id{number:03}") for number in range(60)))
    store = bench.engine.open()
    with store.transaction():
        store.claim(NOW, NOW + 9, 60)
    due = {f"id{number:03}": NOW + 100 + number for number in range(60)}
    jobs = [
        Change(change=change_of(Settlement(record=make_record(name, when), release=when % 2 == 0), f"text of {name}"))
        for name, when in due.items()
    ]
    asked: list[str] = []
    store._connection.set_trace_callback(asked.append)
    assert set(bench.serve(Remove(queue_id="id007"), *jobs)) == {"ok"}
    store._connection.set_trace_callback(None)
    assert sum(query.startswith("UPDATE") for query in asked) == 2
    rows = store.execute("SELECT queue_id, record, due, lease FROM message ORDER BY queue_id").fetchall()
    del due["id007"]
    assert rows == [(name, f"text of {name}", when, 0 if when % 2 == 0 else NOW + 9) for name, when in due.items()]


def test_a_bad_job_fails_alone(bench: Bench) -> None:
    bench.serve(insert("taken"))

    def wrong(store: Store) -> None:
        store.renew(["a"], NOW + 5)
        raise ZeroDivisionError

    jobs: list[Job] = [insert("a"), insert("taken", file="file"), Call(action=wrong), insert("b"), Remove(queue_id="z")]
    assert bench.serve(*jobs) == ["ok", "failed", "failed", "ok", "ok"]
    assert bench.ids() == ["a", "b", "taken"]
    assert bench.discarded == ["file"], "the file of a refused message stays"
    assert len(bench.engine.open().claim(NOW, NOW + 1, 10)) == 3, "half of a failed job was done"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_after_a_failed_sync_nothing_is_acknowledged_and_nothing_refused_turns_up(bench: Bench, moment: str) -> None:
    bench.serve(insert("old"), insert("removed"))
    bench.script = [moment]
    failed = bench.serve(insert("a"), insert("b", file="file"), Remove(queue_id="removed"))
    assert failed == ["failed", "failed", "failed"]
    assert bench.transactions == 2, "the batch was tried again on a connection that cannot be trusted"
    assert bench.discarded == [], "a file was removed that a record in the log may name"
    assert bench.serve(insert("c")) == ["ok"]
    assert len(bench.stores) == 2, "the database was not opened anew"
    assert bench.checkpoints == ["TRUNCATE", "TRUNCATE"]
    assert bench.ids() == (["c", "old", "removed"] if moment == "before" else ["c", "old"])
    assert bench.discarded == ["file"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_log_that_may_not_be_on_the_disk_is_not_copied_into_the_database(bench: Bench, moment: str) -> None:
    """SQLite does so when it closes one. Where that fails too, and the power goes, the log is torn and a part of it is
    in the database: nothing is left to mend it by."""
    bench.serve(insert("old", size=20_000))
    database, log = bench.path / "spool.sqlite", bench.path / "spool.sqlite-wal"
    before, logged = database.read_bytes(), log.stat().st_size
    bench.script, bench.broken = [moment], True
    bench.serve(insert("a", size=20_000))
    assert database.read_bytes() == before
    assert log.stat().st_size >= logged > 20_000
    bench.broken = False
    assert bench.serve(insert("b")) == ["ok"]
    assert bench.ids() == ["b", "old"]


def test_a_database_that_could_be_opened_for_reading_only_is_opened_anew(bench: Bench) -> None:
    bench.engine.open()._connection.execute("PRAGMA query_only = ON")
    assert bench.serve(insert("a")) == ["failed"]
    assert bench.serve(insert("b")) == ["ok"]
    assert len(bench.stores) == 2
    assert bench.ids() == ["b"]


def test_while_the_disk_fails_everything_is_refused_and_afterwards_it_works_again(bench: Bench) -> None:
    bench.serve(insert("old"))
    bench.script = ["after"]
    bench.serve(insert("a"))
    bench.broken = True
    assert bench.serve(insert("b"), Call(action=Store.count)) == ["failed", "failed"]
    assert bench.serve(insert("c", file="file")) == ["failed"]
    bench.broken = False
    assert bench.serve(insert("d")) == ["ok"]
    assert bench.ids() == ["d", "old"]
    assert bench.discarded == ["file"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_settlement_with_a_report_is_never_lost_by_a_failed_sync(bench: Bench, moment: str) -> None:
    """Whether or not the failed commit took effect, settling again leaves the report, once, and not the message."""
    bench.serve(insert("a"))
    record = progressed(make_record("a"), Progress.REPORTED)
    report = NewMessage(record=make_record("report"), content=b"\r\n")
    entry = make_entry(report.record, Body(prefix=b"", data=report.content, size=2))
    settlement = Settlement(record=record, added=(report,))

    def settle() -> Call:
        return Call(action=lambda store: store.settle(settlement, encode_record(record), [entry]))

    bench.script = [moment]
    assert bench.serve(settle()) == ["failed"]
    assert bench.serve(settle()) == ["ok"]
    assert bench.ids() == ["report"]


def test_a_full_database_refuses_new_messages_and_still_settles_old_ones(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.serve(insert("old"), insert("older"))
    connection = bench.engine.open()._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    jobs: list[Job] = [insert("large", size=100_000), Remove(queue_id="old"), insert("small")]
    assert bench.serve(*jobs) == ["failed", "ok", "ok"]
    assert bench.ids() == ["older", "small"]
    assert len(bench.stores) == 1, "a full disk is no reason to open the database anew"
    bench.engine.close()


def test_the_log_is_copied_out_after_enough_was_written_and_not_before(bench: Bench) -> None:
    bench.checkpoints.clear()
    size = CHECKPOINT // 10
    for number in range(9):
        bench.serve(insert(f"id{number}", size=size))
    assert bench.checkpoints == []
    bench.serve(insert("id9", size=size))
    assert bench.checkpoints == ["PASSIVE"]
    assert (bench.path / "spool.sqlite").stat().st_size > 9 * size


def test_a_job_that_raises_anything_is_answered_with_a_spool_error(bench: Bench) -> None:
    def wrong(store: Store) -> None:
        raise MemoryError

    job = Call(action=wrong)
    bench.engine.serve([job])
    failure = case.failureResultOf(job.answer, SpoolError)
    assert "the spool failed" in str(failure.value)
    assert bench.serve(insert("a")) == ["ok"]


def test_a_settlement_of_a_gone_record_discards_the_files_it_brought(bench: Bench) -> None:
    record = make_record("gone")
    entry = make_entry(make_record("report"), Body(prefix=b"", data=b"", file="file", size=5))
    settlement = Settlement(record=attrs.evolve(record, recipients=()))
    job = Call(action=lambda store: store.settle(settlement, "", [entry]), files=("file",))
    assert bench.serve(job) == ["ok"]
    assert bench.ids() == []
    assert bench.discarded == ["file"]


def test_only_what_may_be_lost_goes_without_a_sync(bench: Bench) -> None:
    """Claims, which end with their owner, and questions; as soon as one job of a batch may not, all are synced."""
    normal, full = 1, 2

    def asked(*others: Job, haste: Haste = Haste.ASIDE) -> int:
        job = Call(action=lambda store: store.execute("PRAGMA synchronous").fetchone()[0], haste=haste)
        bench.engine.serve([job, *others])
        found: int = case.successResultOf(job.answer)
        assert bench.engine.open().execute("PRAGMA synchronous").fetchone()[0] == full
        return found

    assert asked() == normal
    assert asked(haste=Haste.NOW) == full
    assert asked(insert("one")) == full
    assert asked(Remove(queue_id="one")) == full
