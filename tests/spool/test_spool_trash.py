"""Both spools of ours keep what operators removed, and find and settle in bulk, as `relaygw.testing.trash` has it; what
the embedded one keeps survives the end of the process, and its files are swept when the trash lets go of them."""

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relaygw.core.record import Record
from relaygw.core.selection import Selection
from relaygw.interfaces import ISpool, Settlement
from relaygw.spool.memory import MemorySpool
from relaygw.spool.search import search
from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.spool import LARGE, NOW, PREFIX, SMALL, make_record, read, store
from relaygw.testing.trash import TRASH_CHECKS, check_search, removal

Check = Callable[[ISpool], Awaitable[None]]


def now(coroutine: Awaitable[object]) -> object:
    return SynchronousTestCase().successResultOf(Deferred.fromCoroutine(coroutine))  # type: ignore[arg-type]  # one it is


def opened(path: Path, **more: int) -> SqliteSpool:
    spool = SqliteSpool(str(path), None, **more)
    spool.open()
    return spool


@pytest.mark.parametrize("check", TRASH_CHECKS, ids=lambda check: check.__name__)
def test_memory(check: Check) -> None:
    now(check(MemorySpool()))


@pytest.mark.parametrize("check", TRASH_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_sqlite_with_all_contents_in_files_or_all_in_the_database(check: Check, limit: int, tmp_path: Path) -> None:
    spool = opened(tmp_path, inline_limit=limit)
    now(check(spool))
    now(spool.close())
    if limit == 0:
        with sqlite3.connect(tmp_path / "spool.sqlite") as database:
            query = "SELECT file FROM message UNION SELECT file FROM trash"
            named = {file for (file,) in database.execute(query) if file}
        assert {path.name for path in (tmp_path / "content").iterdir()} == named, "a file too many, or too few"


class Sliced(SqliteSpool):
    """Looks at few rows at a time."""

    rows = 1

    async def search(self, selection: Selection, after: str, limit: int, now: float) -> tuple[tuple[Record, ...], str]:
        few = rows = self.rows
        return await self._call(lambda store: search(store, selection, after, limit, now, rows=rows, few=few))


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_search_in_slices_of_any_size_finds_the_same(rows: int, tmp_path: Path) -> None:
    spool = Sliced(str(tmp_path), None)
    spool.rows = rows
    spool.open()
    now(check_search(spool))
    now(spool.close())


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_the_trash_survives_the_end_of_the_process(data: bytes, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    record = make_record("a", recipients=2)
    now(store(spool, record, data))
    now(spool.settle(removal(record, 0)))
    now(spool.settle(Settlement(record=removal(record).record)))
    now(spool.close())
    again = opened(tmp_path)
    (kept,) = now(again.trashed_of(["a"]))  # type: ignore[misc]  # a tuple
    assert kept.removed == NOW
    assert len(now(again.restore([kept.entry]))) == 1  # type: ignore[arg-type]  # a tuple
    assert read(now(again.content("a"))) == PREFIX + data  # type: ignore[arg-type]  # a content
    now(again.close())


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_a_removal_that_is_stored_again_is_kept_once(data: bytes, tmp_path: Path) -> None:
    """The disk failed when it was stored, and it was there all the same: two of it could come back at two times."""
    spool = opened(tmp_path)
    record = make_record("a", recipients=2)
    now(store(spool, record, data))
    for _ in range(2):
        now(spool.settle(removal(record, 0)))
    assert now(spool.trash_count()) == 1
    now(spool.settle(removal(record, 1)))  # another one
    assert now(spool.trash_count()) == 2
    now(spool.close())
