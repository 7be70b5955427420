"""A spool of an older program, as that wrote it, is brought up to date whole or not at all; a newer one is refused.

The files in tests/data/spool/format_N were written by the program of that format and are never written again.
"""

import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relaygw.core.record import Origin
from relaygw.interfaces import SpoolError
from relaygw.spool import schema
from relaygw.spool.reading import Reading
from relaygw.spool.sqlite import SqliteSpool
from relaygw.spool.verify import verify
from relaygw.testing.spool import HEAD, NOW, PREFIX, SMALL, make_record, read

GOLDEN = Path(__file__).parents[1] / "data" / "spool"
MEDIUM = HEAD + b"\r\n" + bytes(range(256)) * 16


def now(coroutine: Awaitable[object]) -> object:
    return SynchronousTestCase().successResultOf(Deferred.fromCoroutine(coroutine))  # type: ignore[arg-type]  # one it is


@pytest.fixture(params=sorted(path.name for path in GOLDEN.iterdir()))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN / request.param, tmp_path / "spool")
    return tmp_path / "spool"


def opened(path: Path) -> SqliteSpool:
    spool = SqliteSpool(str(path), None)
    spool.open()
    return spool


def version(path: Path) -> int:
    with sqlite3.connect(path / "spool.sqlite") as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def check(path: Path) -> None:
    """Everything that was in the old spool, in every field and octet."""
    spool = opened(path)
    records = {record.queue_id: record for record in now(spool.records("", 100))}  # type: ignore[attr-defined]
    assert sorted(records) == ["0held0000000000c", "0large000000000b", "0small000000000a", "0tried000000000d"]
    assert records["0small000000000a"] == make_record("0small000000000a", recipients=2)
    held = records["0held0000000000c"]
    assert (held.held, held.quarantined, held.origin, held.login) == ("quota", True, Origin.LOCAL, "ann")
    (tried,) = records["0tried000000000d"].recipients
    assert (tried.attempts, tried.warned, tried.due) == (3, NOW, NOW + 500)
    assert tried.last is not None
    assert str(tried.last.reply) == "451 4.4.1 refuséd"
    for queue_id, data in (("0small000000000a", SMALL), ("0large000000000b", MEDIUM)):
        assert read(now(spool.content(queue_id))) == PREFIX + data  # type: ignore[arg-type]
    assert now(spool.count()) == 4
    assert [each.queue_id for each in now(spool.damaged())] == ["0torn0000000000e"]  # type: ignore[attr-defined]
    due = now(spool.claim(NOW, NOW + 9, 10))
    assert sorted(each.queue_id for each in due) == ["0large000000000b", "0small000000000a"]  # type: ignore[attr-defined]
    now(spool.close())
    with Reading(str(path)) as reading:
        found = verify(reading)
    assert found.problems == []
    assert (found.messages, found.set_aside) == (5, 1)


def test_digests_are_kept_of_contents_since_the_format_that_has_them(old: Path) -> None:
    before = version(old)
    now(opened(old).close())
    with Reading(str(old)) as reading:
        assert verify(reading).undigested == (4 if before < 3 else 0)


def test_an_old_spool_is_brought_up_to_date_where_it_is(old: Path) -> None:
    assert version(old) < len(schema.MIGRATIONS)
    check(old)
    assert version(old) == len(schema.MIGRATIONS)
    check(old)


@pytest.mark.parametrize("left", range(1, len(schema.MIGRATIONS)))
def test_an_upgrade_that_fails_midway_changes_nothing(left: int, old: Path) -> None:
    before = version(old)
    step = len(schema.MIGRATIONS) - left
    if step < before:
        pytest.skip("this step was made long ago")

    def breaks(connection: sqlite3.Connection) -> None:
        schema.MIGRATIONS[step](connection)
        raise SpoolError("the disk is full")

    steps: list[Callable[[sqlite3.Connection], None]] = list(schema.MIGRATIONS)
    steps[step] = breaks
    with pytest.raises(SpoolError, match="the disk is full"):
        schema.connect(str(old / "spool.sqlite"), steps)
    assert version(old) == before
    check(old)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_dies_in_an_upgrade_leaves_the_old_spool_or_the_new_one(old: Path) -> None:
    before = version(old)
    child = os.fork()
    if not child:
        steps = [*schema.MIGRATIONS[:-1], lambda connection: (schema.MIGRATIONS[-1](connection), os._exit(9))]
        try:
            schema.connect(str(old / "spool.sqlite"), steps)  # type: ignore[arg-type]  # it does not come back
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert version(old) == before
    check(old)


def test_a_newer_spool_is_refused_in_clear_words_by_all(old: Path) -> None:
    newer = len(schema.MIGRATIONS) + 1
    with sqlite3.connect(old / "spool.sqlite") as database:
        database.execute(f"PRAGMA user_version = {newer}")
    for look in (lambda: opened(old), lambda: Reading(str(old))):
        with pytest.raises(SpoolError, match=f"has format {newer}; this program knows formats up to {newer - 1}"):
            look()


def test_an_older_spool_is_not_touched_by_who_only_looks(old: Path) -> None:
    before = (old / "spool.sqlite").read_bytes()
    with pytest.raises(SpoolError, match="relaygw spool upgrade"):
        Reading(str(old))
    assert (old / "spool.sqlite").read_bytes() == before
