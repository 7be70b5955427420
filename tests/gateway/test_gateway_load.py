"""What the gateway finds out about its own load, and the counts it keeps between two lives."""

import os
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.threadpool import ThreadPool

from relaygw.config.schema import PressureConfig
from relaygw.core.quota import Amounts, Limits
from relaygw.gateway.counts import Counts
from relaygw.gateway.load import SOON, LoadWatch, memory
from relaygw.ingress.pressure import SHORT, Pressure
from relaygw.ingress.quotas import WRITE_EVERY, LedgerFile
from relaygw.interfaces import SpoolError


class Reactor(Clock):
    """A clock that takes calls from threads at once."""

    def callFromThread(self, function: Any, *arguments: Any, **named: Any) -> None:
        function(*arguments, **named)


class AtOnce(ThreadPool):
    """Threads' work done by the caller; `busy` never begins it."""

    busy = False

    def callInThreadWithCallback(self, ended: Any, function: Any, *arguments: Any, **named: Any) -> None:
        if not self.busy:
            ended(True, function(*arguments, **named))


class World:
    def __init__(self, folder: Path, **config: Any) -> None:
        self.reactor = Reactor()
        self.pool = AtOnce(0, 1)
        self.told: list[Any] = []
        self.count: Awaitable[int] = succeed(3)
        self.pressure = Pressure(PressureConfig(**config), self.reactor.seconds, self.told.append)
        self.watch = LoadWatch(
            pressure=self.pressure,
            path=str(folder),
            count=lambda: self.count,
            reactor=self.reactor,
            pool=self.pool,
            journal=self.told.append,
        )


def test_it_looks_at_the_start_and_from_then_on(tmp_path: Path) -> None:
    world = World(tmp_path, interval=5.0, queue_length=3)
    world.watch.start()
    status = world.pressure.status()
    assert status["queue"] == 3
    assert isinstance(status["free_space"], int)
    assert status["free_space"] > 0
    world.reactor.advance(5)
    assert world.pressure.status()["queue"] == 3
    assert world.pressure.reasons == ()
    world.count = succeed(4)
    world.reactor.advance(5)
    assert world.pressure.reasons == ("the queue is long",)
    world.watch.stop()
    assert world.reactor.getDelayedCalls() == []


def test_it_looks_again_as_soon_as_the_queue_may_be_full(tmp_path: Path) -> None:
    """A limit is passed by what comes in a tenth of a second, not by what comes until the next look."""
    world = World(tmp_path, interval=5.0, queue_length=10)
    world.watch.start()
    world.reactor.advance(1)
    assert [world.pressure.refusal(0) for _ in range(7)] == [None] * 7
    world.count = succeed(10)
    world.reactor.advance(0)
    assert world.pressure.status()["queue"] == 3
    assert world.pressure.refusal(0) is None  # the eleventh, if nobody left
    world.reactor.advance(0)
    assert world.pressure.status()["queue"] == 10
    assert world.pressure.refusal(0) is None
    world.count = succeed(11)
    world.reactor.advance(SOON - 0.01)
    assert world.pressure.reasons == ()
    world.reactor.advance(0.01)
    assert world.pressure.reasons == ("the queue is long",)
    assert world.pressure.refusal(0) == SHORT
    world.count = succeed(2)
    world.reactor.advance(4.99)
    assert world.pressure.reasons != ()
    world.reactor.advance(0.01)
    assert world.pressure.refusal(0) is None


def test_a_queue_that_empties_as_it_fills_is_looked_at_and_refuses_nobody(tmp_path: Path) -> None:
    world = World(tmp_path, interval=5.0, queue_length=10)
    world.watch.start()
    for _ in range(100):
        assert world.pressure.refusal(0) is None
        world.reactor.advance(0.01)


def test_without_a_limit_nothing_is_looked_at_sooner(tmp_path: Path) -> None:
    world = World(tmp_path, interval=5.0)
    world.watch.start()
    for _ in range(100):
        world.pressure.refusal(0)
    world.count = succeed(9)
    world.reactor.advance(4.9)
    assert world.pressure.status()["queue"] == 3


def test_a_look_that_is_under_way_is_not_hurried(tmp_path: Path) -> None:
    world = World(tmp_path, interval=5.0, queue_length=1)
    waiting: Deferred[int] = Deferred()
    world.count = waiting
    world.watch.start()
    for _ in range(3):
        world.pressure.refusal(0)
    assert world.reactor.getDelayedCalls() == []
    waiting.callback(2)
    assert world.pressure.reasons == ("the queue is long",)
    world.watch.stop()
    world.pressure.look_again()
    assert world.reactor.getDelayedCalls() == []


def test_a_disk_with_too_little_space_is_found_before_the_first_client(tmp_path: Path) -> None:
    world = World(tmp_path, free_space=2**62)
    world.watch.start()
    assert world.pressure.reasons == ("little space is left on the disk",)


def test_a_path_that_is_not_there_refuses_nobody(tmp_path: Path) -> None:
    world = World(tmp_path / "missing", free_space=2**62)
    world.watch.start()
    assert world.pressure.reasons == ()


def test_a_spool_that_cannot_count_has_failed(tmp_path: Path) -> None:
    world = World(tmp_path, interval=5.0)
    world.watch.start()
    world.count = fail(SpoolError("closed"))
    world.reactor.advance(5)
    assert world.pressure.reasons == ("the spool failed: closed",)
    world.count = succeed(0)
    world.reactor.advance(5)
    assert world.pressure.reasons == ()


def test_a_look_that_breaks_is_told_and_the_next_one_is_taken(tmp_path: Path) -> None:
    world = World(tmp_path, interval=5.0)
    world.watch.start()
    world.count = fail(ValueError("odd"))
    world.reactor.advance(5)
    assert [event.task for event in world.told] == ["look at the load"]
    world.count = succeed(7)
    world.reactor.advance(5)
    assert world.pressure.status()["queue"] == 7


def test_a_disk_that_does_not_answer_stops_nobody(tmp_path: Path) -> None:
    world = World(tmp_path, interval=5.0)
    world.watch.start()
    world.pool.busy = True
    for _ in range(5):
        world.reactor.advance(5)
    assert world.pressure.reasons == ()
    world.watch.stop()


def test_the_memory_of_this_process() -> None:
    found = memory()
    assert found is None or 5_000_000 < found < 5_000_000_000


# Counts

ONE = Amounts(1, 1, 1)


def counts(folder: Path, told: list[Any]) -> tuple[Counts, Reactor]:
    reactor = Reactor()
    return Counts(LedgerFile(os.path.join(folder, "quotas.json"), told.append), reactor, AtOnce(0, 1)), reactor


def test_counts_are_written_when_they_changed_and_at_stop(tmp_path: Path) -> None:
    told: list[Any] = []
    first, reactor = counts(tmp_path, told)
    first.start()
    reactor.advance(WRITE_EVERY)
    assert not (tmp_path / "quotas.json").exists()
    first.ledger.charge("a", Limits(), ONE, reactor.seconds())
    reactor.advance(WRITE_EVERY)
    written = (tmp_path / "quotas.json").read_text()
    assert '"a"' in written
    first.ledger.charge("b", Limits(), ONE, reactor.seconds())
    first.stop()
    assert reactor.getDelayedCalls() == []
    second, _ = counts(tmp_path, told)
    second.start()
    assert second.ledger.dump() == first.ledger.dump()
    assert told == []


def test_nothing_is_written_on_the_reactors_thread_while_it_runs(tmp_path: Path) -> None:
    reactor = Reactor()
    pool = ThreadPool(0, 1)
    pool.start()
    threads: list[int] = []

    class File(LedgerFile):
        def write(self, rows: list[list[Any]]) -> None:
            threads.append(threading.get_ident())
            done.set()

    done = threading.Event()
    kept = Counts(File(str(tmp_path / "q"), lambda event: None), reactor, pool)
    kept.start()
    kept.ledger.charge("a", Limits(), ONE, 0.0)
    reactor.advance(WRITE_EVERY)
    assert done.wait(60)
    pool.stop()
    assert threads != [threading.get_ident()]


def test_a_deferred_count_is_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path, interval=5.0)
    waiting: Deferred[int] = Deferred()
    world.watch.start()
    world.count = waiting
    world.reactor.advance(5)
    assert world.reactor.getDelayedCalls() == []
    waiting.callback(9)
    assert world.pressure.status()["queue"] == 9
    assert len(world.reactor.getDelayedCalls()) == 1
