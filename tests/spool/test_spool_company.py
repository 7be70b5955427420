"""Messages that come in wait for those about to come, until the reactor has run dry; nothing else waits for that."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from relaygw.interfaces import Settlement
from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.spool import make_record, store


@attrs.define
class Writer:
    """In place of the spool's thread: notes what it is told, and does nothing."""

    told: list[tuple[str, bool]] = attrs.field(factory=list)

    def start(self) -> None:
        """There is nothing to start."""

    def put(self, item: Any, *, more: bool = False) -> None:
        self.told.append((type(item).__name__, more))

    def no_more(self) -> None:
        self.told.append(("no more", False))

    def stop(self) -> None:
        """There is nothing to stop."""


class Bench:
    def __init__(self, path: Path, *, waits: bool) -> None:
        self.writer = Writer()
        self.dry: list[Callable[[], None]] = []
        running: Any = reactor
        when_dry = self.dry.append if waits else None
        self.spool = SqliteSpool(str(path), running, batcher=self._one_for_both_threads, when_dry=when_dry)
        self.spool.open()

    def _one_for_both_threads(self, *_: object) -> Any:
        return self.writer

    def come(self, name: str) -> None:
        """Nobody waits for the answer, which never comes."""
        Deferred.fromCoroutine(store(self.spool, make_record(name)))  # type: ignore[arg-type]

    def settle(self, name: str) -> None:
        settlement = Settlement(record=make_record(name), added=())
        Deferred.fromCoroutine(self.spool.settle(settlement))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, waits=True)
    yield bench
    bench.spool._let_go()


def test_once_for_all_who_come_until_then(bench: Bench) -> None:
    bench.come("one")
    bench.come("two")
    assert bench.writer.told == [("Insert", True), ("Insert", True)]
    assert len(bench.dry) == 1
    bench.dry.pop()()
    assert bench.writer.told[2:] == [("no more", False)]
    bench.come("three")
    assert len(bench.dry) == 1


def test_changes_ask_for_no_company(bench: Bench) -> None:
    bench.settle("one")
    assert [more for _, more in bench.writer.told] == [False]
    assert not bench.dry


def test_where_nobody_tells_when_the_reactor_is_dry_nobody_waits(tmp_path: Path) -> None:
    bench = Bench(tmp_path, waits=False)
    bench.come("one")
    assert bench.writer.told == [("Insert", False)]
    bench.spool._let_go()
