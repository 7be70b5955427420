"""Batches: who waits is served at once, what nobody waits for has company, and what only reads brings about no sync."""

import threading
import time

import pytest

from relaygw.spool.batcher import LINGER, PATIENCE, Batcher, Haste

HASTE = {"n": Haste.NOW, "r": Haste.ASIDE, "l": Haste.LATER}


class Bench:
    """Items are named by their haste; each batch is told with the time it took to come."""

    def __init__(self, limit: int = 100, linger: float = LINGER, patience: float = PATIENCE) -> None:
        self.batches: list[list[str]] = []
        self.came = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.batcher: Batcher[str] = Batcher(
            "test", self._serve, limit, lambda item: HASTE[item[0]], linger=linger, patience=patience
        )

    def _serve(self, items: list[str]) -> None:
        self.batches.append(items)
        self.came.set()
        self.gate.wait(60)

    def put(self, *items: str) -> None:
        for item in items:
            self.batcher.put(item)

    def run(self) -> list[list[str]]:
        """Serve what was put, to the end."""
        self.batcher.start()
        self.batcher.stop()
        return self.batches


def test_what_waits_is_one_batch_in_its_order() -> None:
    bench = Bench()
    bench.put("n1", "l1", "n2", "l2")
    assert bench.run() == [["n1", "l1", "n2", "l2"]]


def test_who_waits_takes_those_along_who_have_patience() -> None:
    bench = Bench()
    bench.batcher.start()
    bench.put("l1")
    bench.put("n1")
    assert bench.came.wait(60)
    bench.batcher.stop()
    assert [item for batch in bench.batches for item in batch] == ["l1", "n1"]


def test_what_only_reads_goes_before_what_has_patience() -> None:
    bench = Bench()
    bench.put("l1", "r1", "l2", "r2")
    bench.batcher.start()
    assert bench.came.wait(60)
    assert bench.batches[0] == ["r1", "r2"]
    bench.batcher.stop()
    assert bench.batches[1:] == [["l1", "l2"]]


def test_what_nobody_waits_for_waits_no_longer_than_its_patience() -> None:
    bench = Bench()
    bench.batcher.start()
    began = time.monotonic()
    bench.put("l1")
    assert bench.came.wait(60)
    assert time.monotonic() - began >= PATIENCE * 0.9
    assert bench.batches == [["l1"]]
    bench.batcher.stop()


def test_those_whom_nobody_waits_for_gather_while_they_have_patience() -> None:
    bench = Bench(limit=3, patience=60.0)
    bench.batcher.start()
    for item in ("l1", "l2", "l3"):
        bench.put(item)
    assert bench.came.wait(30)
    bench.batcher.stop()
    assert bench.batches == [["l1", "l2", "l3"]]


@pytest.mark.parametrize(("number", "first"), [(3, 3), (4, 3)])
def test_a_full_batch_waits_for_nobody(number: int, first: int) -> None:
    bench = Bench(limit=3)
    bench.put(*(f"l{each}" for each in range(number)))
    assert len(bench.run()[0]) == first
    assert sum(map(len, bench.batches)) == number


def test_a_batch_is_complete_when_nothing_more_is_about_to_come() -> None:
    bench = Bench(linger=60.0)
    bench.batcher.start()
    bench.batcher.put("n1", more=True)
    bench.batcher.put("n2", more=True)
    bench.batcher.no_more()
    assert bench.came.wait(60)
    bench.batcher.stop()
    assert bench.batches == [["n1", "n2"]]


def test_who_waits_waits_no_longer_for_more_than_a_moment() -> None:
    bench = Bench()
    bench.batcher.start()
    began = time.monotonic()
    bench.batcher.put("n1", more=True)
    assert bench.came.wait(60)
    assert time.monotonic() - began >= LINGER * 0.9
    bench.batcher.stop()
    assert bench.batches == [["n1"]]


def test_that_nothing_more_comes_is_known_before_the_thread_is_free() -> None:
    """However long the batch before it takes."""
    bench = Bench(linger=60.0)
    bench.gate.clear()
    bench.batcher.start()
    bench.put("n1")
    assert bench.came.wait(60)
    bench.came.clear()
    bench.batcher.put("n2", more=True)
    bench.batcher.no_more()
    bench.gate.set()
    assert bench.came.wait(60)
    bench.batcher.stop()
    assert bench.batches == [["n1"], ["n2"]]


def test_a_full_batch_waits_for_nothing_more() -> None:
    bench = Bench(limit=2, linger=60.0)
    for item in ("n1", "n2", "n3"):
        bench.batcher.put(item, more=True)
    assert bench.run() == [["n1", "n2"], ["n3"]]


def test_a_batch_that_raises_stops_nothing() -> None:
    served: list[list[str]] = []

    def serve(items: list[str]) -> None:
        served.append(items)
        raise ZeroDivisionError

    batcher: Batcher[str] = Batcher("test", serve, 1, lambda item: Haste.NOW)
    batcher.put("n1")
    batcher.put("n2")
    batcher.start()
    batcher.stop()
    assert served == [["n1"], ["n2"]]


class Chores:
    """So many pieces; what is put comes between two of them."""

    def __init__(self, pieces: int, *, overdue: bool = False) -> None:
        self.left = pieces
        self.done = threading.Event()
        self._overdue = overdue

    def overdue(self) -> bool | None:
        return self._overdue if self.left else None

    def piece(self) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


def chored(chores: Chores) -> Bench:
    bench = Bench()
    bench.batcher = Batcher("test", bench._serve, 100, lambda item: HASTE[item[0]], chores)
    return bench


def test_chores_are_done_while_nothing_comes() -> None:
    chores = Chores(5)
    bench = chored(chores)
    bench.batcher.start()
    assert chores.done.wait(60)
    bench.put("n1")
    bench.batcher.stop()
    assert bench.batches == [["n1"]]


def test_whoever_comes_goes_before_a_chore() -> None:
    chores = Chores(10**15)
    bench = chored(chores)
    bench.put("n1", "l1", "r1")
    bench.batcher.start()
    bench.batcher.stop()
    assert [item for batch in bench.batches for item in batch] == ["n1", "l1", "r1"]
    assert chores.left > 0


def test_a_chore_that_is_overdue_is_done_before_what_came() -> None:
    left: list[int] = []
    chores = Chores(3, overdue=True)
    bench = chored(chores)
    serve = bench._serve

    def watched(items: list[str]) -> None:
        left.append(chores.left)
        serve(items)

    bench.batcher._serve = watched
    bench.put("n1")
    assert bench.run() == [["n1"]]
    assert left == [0]


def test_what_has_patience_is_not_kept_waiting_by_what_goes_before_it() -> None:
    """However much is read meanwhile."""
    bench = Bench()
    bench.batcher.start()
    bench.put("l1")
    end = time.monotonic() + 60.0
    while not any("l1" in batch for batch in bench.batches) and time.monotonic() < end:
        bench.put("r")
    came = [batch for batch in bench.batches if "l1" in batch]
    bench.batcher.stop()
    assert len(came) == 1


def test_what_has_patience_is_not_kept_waiting_by_few_who_ask_on_and_on() -> None:
    """However few: they never fill a batch, and one of them always waits."""
    bench, served = Bench(), threading.Event()

    def serve(items: list[str]) -> None:
        if "l1" in items:
            served.set()
        for item in items:
            if item == "r" and not served.is_set():
                bench.put(item)

    bench.batcher._serve = serve
    bench.put("r", "l1")
    bench.batcher.start()
    came = served.wait(60)
    served.set()
    bench.batcher.stop()
    assert came
