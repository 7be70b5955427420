"""Both spools of ours, the embedded one in its thread and without, do what every ISpool must do."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase, TestCase

from relaygw.interfaces import ISpool
from relaygw.rounds import Rounds
from relaygw.spool.memory import MemorySpool
from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.spool import CHECKS, Check, check_durable_spool, check_spool


def finish(coroutine: Awaitable[None]) -> None:
    """Run what answers at once."""
    SynchronousTestCase().successResultOf(Deferred.fromCoroutine(coroutine))  # type: ignore[arg-type]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_memory(check: Check) -> None:
    finish(check(MemorySpool()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_sqlite_at_once_with_all_contents_in_files_or_all_in_the_database(
    check: Check, limit: int, tmp_path: Path
) -> None:
    spool = SqliteSpool(str(tmp_path), None, inline_limit=limit)
    spool.open()
    finish(check(spool))
    finish(spool.close())


def test_sqlite_at_once_is_durable(tmp_path: Path) -> None:
    finish(check_durable_spool(opener(tmp_path, None)))


def opener(path: Path, with_reactor: object, **options: Any) -> Callable[[], ISpool]:
    def open_again() -> ISpool:
        spool = SqliteSpool(str(path), with_reactor, **options)  # type: ignore[arg-type]
        spool.open()
        return spool  # type: ignore[no-any-return]

    return open_again


class Threaded(TestCase):
    """The embedded spool with its threads under a real reactor."""

    def folder(self) -> Path:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Path(folder.name)

    @inlineCallbacks
    def test_conformance(self):
        yield Deferred.fromCoroutine(check_spool(lambda: opener(self.folder(), reactor)()))

    @inlineCallbacks
    def test_conformance_where_batches_wait_for_the_reactor_to_run_dry(self):
        dry = Rounds(reactor).when_dry
        yield Deferred.fromCoroutine(check_spool(lambda: opener(self.folder(), reactor, when_dry=dry)()))

    @inlineCallbacks
    def test_durability(self):
        yield Deferred.fromCoroutine(check_durable_spool(opener(self.folder(), reactor)))
