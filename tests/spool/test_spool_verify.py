"""`verify` finds damage of every kind in record, content, digest, index and file, names the message, alters nothing."""

import os
import sqlite3
from collections.abc import Awaitable
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relaygw.spool.reading import Reading
from relaygw.spool.sqlite import SqliteSpool
from relaygw.spool.verify import ON_ITS_WAY, Verified, verify
from relaygw.testing.spool import LARGE, PREFIX, SMALL, make_record, store
from relaygw.testing.trash import removal


def now(coroutine: Awaitable[object]) -> object:
    return SynchronousTestCase().successResultOf(Deferred.fromCoroutine(coroutine))  # type: ignore[arg-type]  # one it is


def sized(queue_id: str, data: bytes) -> object:
    return make_record(queue_id, size=len(PREFIX) + len(data))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small and large messages, in the queue and in the trash."""
    spool = SqliteSpool(str(tmp_path), None)
    spool.open()
    for queue_id, data in (("small", SMALL), ("large", LARGE), ("gone", LARGE), ("other", SMALL)):
        now(store(spool, sized(queue_id, data), data))  # type: ignore[arg-type]  # a record
    now(spool.settle(removal(sized("gone", LARGE))))  # type: ignore[arg-type]  # a record
    now(spool.close())
    return tmp_path


def look(folder: Path) -> Verified:
    with Reading(str(folder)) as reading:
        return verify(reading)


def damage(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "spool.sqlite") as database:
        assert database.execute(statement).rowcount > 0
    database.close()


def file_of(folder: Path, query: str) -> Path:
    with sqlite3.connect(folder / "spool.sqlite") as database:
        return folder / "content" / database.execute(query).fetchone()[0]


def test_a_sound_spool(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    before = (folder / "spool.sqlite").read_bytes()
    with Reading(str(folder)) as reading:
        found = verify(reading, lambda done, total: told.append((done, total)))
    assert (found.sound, found.messages, found.trash, found.undigested, found.orphans) == (True, 3, 1, 0, [])
    assert found.octets == 3 * len(PREFIX) + 2 * len(SMALL) + len(LARGE)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (folder / "spool.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "queue_id", "words"),
    [
        ("UPDATE message SET record = '{' WHERE queue_id = 'small'", "small", "not readable"),
        ("UPDATE message SET record = x'ff' WHERE queue_id = 'small'", "small", "not readable"),
        ("UPDATE message SET queue_id = 'tiny' WHERE queue_id = 'small'", "tiny", "says it is 'small'"),
        ("UPDATE message SET due = 5 WHERE queue_id = 'small'", "small", "indexes"),
        ("UPDATE message SET owner = 'x' WHERE queue_id = 'small'", "small", "indexes"),
        ("UPDATE content SET data = x'00' WHERE id = 1", "small", "has 1 of"),
        ("UPDATE content SET data = zeroblob(size) WHERE id = 1", "small", "digest is wrong"),
        ("UPDATE content SET prefix = zeroblob(length(prefix)) WHERE id = 1", "small", "digest is wrong"),
        ("UPDATE content SET prefix = x'' WHERE id = 1", "small", "the record says"),
        ("DELETE FROM content WHERE id = 1", "small", "the content is missing"),
        ("DELETE FROM message WHERE queue_id = 'small'", "", "1 contents belong to no message"),
        ("UPDATE trash SET record = '{'", "gone", "not readable"),
        ("UPDATE trash SET crc = crc + 1", "gone", "digest is wrong"),
    ],
)
def test_damage_in_the_database_is_named(statement: str, queue_id: str, words: str, folder: Path) -> None:
    damage(folder, statement)
    found = look(folder)
    assert not found.sound
    assert {each.queue_id for each in found.problems} == {queue_id}
    assert any(words in each.problem for each in found.problems), found.problems


@pytest.mark.parametrize("query", ["SELECT file FROM message WHERE file <> ''", "SELECT file FROM trash"])
@pytest.mark.parametrize(
    ("harm", "words"), [("missing", "is missing"), ("short", "octets"), ("changed", "digest is wrong")]
)
def test_damage_of_a_file_is_named(query: str, harm: str, words: str, folder: Path) -> None:
    path = file_of(folder, query)
    if harm == "missing":
        path.unlink()
    elif harm == "short":
        os.truncate(path, len(LARGE) - 1)
    else:
        with path.open("r+b") as file:
            file.seek(len(LARGE) // 2)
            file.write(b"?!")
    (problem,) = look(folder).problems
    assert problem.queue_id == ("gone" if "trash" in query else "large")
    assert words in problem.problem


def test_an_index_that_lies_is_found(folder: Path) -> None:
    with sqlite3.connect(folder / "spool.sqlite") as database:
        database.execute("PRAGMA writable_schema = ON")
        query = "UPDATE sqlite_master SET sql = replace(sql, 'due, owner', 'owner, due') WHERE name = 'message_due'"
        assert database.execute(query).rowcount == 1
    database.close()
    assert any(each.problem.startswith("the database: ") for each in look(folder).problems)


def test_files_that_nothing_names_are_told_when_they_are_old(folder: Path) -> None:
    fresh, old = folder / "content" / "fresh.content", folder / "content" / "old.content"
    for path in (fresh, old, folder / "content" / "README"):
        path.write_bytes(b"x")
    os.utime(old, (1, os.stat(fresh).st_mtime - ON_ITS_WAY - 1))
    found = look(folder)
    assert (found.sound, found.orphans) == (True, ["old.content"])


def test_it_reads_beside_the_owner_and_does_not_disturb_it(folder: Path) -> None:
    spool = SqliteSpool(str(folder), None)
    spool.open()
    with Reading(str(folder)) as reading:
        rows = reading.messages()
        next(rows)
        now(store(spool, make_record("zebra")))
        assert [row.queue_id for row in rows][-1] == "small", "a page is of one moment"
        assert verify(reading).messages == 4
    now(spool.close())
