"""Opening a spool: one owner, private files, formats, leftovers of a crash, and damage that stops nothing else."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relaygw.core.events import Event, SetAside
from relaygw.core.owner import owner_of
from relaygw.core.record import Progress
from relaygw.core.trash import Aside, Trashed
from relaygw.interfaces import Settlement, SpoolError
from relaygw.spool.codec import encode_record
from relaygw.spool.contents import STAYS
from relaygw.spool.files import make_directory
from relaygw.spool.reading import Reading
from relaygw.spool.schema import MIGRATIONS
from relaygw.spool.sqlite import SqliteSpool
from relaygw.spool.verify import verify
from relaygw.testing.spool import LARGE, NOW, PREFIX, SMALL, fill, make_record, read, store

T = TypeVar("T")


def now(coroutine: Coroutine[object, object, T]) -> T:
    return SynchronousTestCase().successResultOf(Deferred.fromCoroutine(coroutine))


class Bench:
    """A spool directory that is opened, closed, looked into and damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path / "spool"
        self.reported: list[Event] = []
        self.spool: SqliteSpool | None = None

    def open(self) -> SqliteSpool:
        self.close()
        self.spool = SqliteSpool(str(self.path), None, report=self.reported.append)
        self.spool.open()
        return self.spool

    def close(self) -> None:
        if self.spool is not None:
            now(self.spool.close())
        self.spool = None

    def execute(self, query: str, *values: object) -> None:
        self.close()
        with sqlite3.connect(self.path / "spool.sqlite") as connection:
            assert connection.execute(query, values).rowcount != 0
        connection.close()

    def contents(self) -> list[Path]:
        return list((self.path / "content").iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_everything_is_private(bench: Bench) -> None:
    old = os.umask(0)
    try:
        spool = bench.open()
        now(store(spool, make_record("a"), LARGE))
    finally:
        os.umask(old)
    made = list(bench.path.rglob("*"))
    assert len([path for path in made if path.is_file()]) >= 2
    for path in [bench.path, *made]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_a_second_owner_is_refused_and_told_who_has_it(bench: Bench) -> None:
    bench.open()
    with pytest.raises(SpoolError, match=rf"in use by another process \({os.getpid()}\)"):
        SqliteSpool(str(bench.path), None).open()
    bench.close()
    bench.open()


def test_a_spool_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SpoolError, match="cannot open the spool"):
        SqliteSpool(str(tmp_path / "file" / "spool"), None).open()


def test_the_first_format_is_brought_up_to_date(bench: Bench) -> None:
    """Who owns what is found out, claims and what is damaged stay so, and all is found by its new indexes."""
    make_directory(str(bench.path))
    connection = sqlite3.connect(bench.path / "spool.sqlite", isolation_level=None)
    MIGRATIONS[0](connection)
    connection.execute("PRAGMA user_version = 1")
    records = [make_record("a", NOW), attrs.evolve(make_record("b", NOW + 5), login="bob"), make_record("c", NOW)]
    for number, record in enumerate(records, 1):
        text = encode_record(record) if record.queue_id != "c" else "no record"
        row = (number, record.queue_id, record.due, NOW + 9, NOW + 9, "", None, text)
        connection.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.execute("INSERT INTO content (id, size, prefix, data) VALUES (?, 1, '', 'x')", (number,))
    connection.close()
    spool = bench.open()
    assert now(spool.count()) == 3
    assert [record.queue_id for record in now(spool.claim(NOW + 5, NOW + 50, 10, "bob"))] == ["b"]
    assert [record.queue_id for record in now(spool.claim(NOW + 5, NOW + 50, 10, owner_of(records[0])))] == ["a"]
    assert now(spool.claim(NOW + 5, NOW + 50, 10, "")) == ()
    assert [damage.queue_id for damage in now(spool.damaged())] == ["c"]
    assert now(spool.count()) == 2
    bench.close()
    with sqlite3.connect(bench.path / "spool.sqlite") as found, sqlite3.connect(":memory:") as fresh:
        for step in MIGRATIONS:
            step(fresh)
        layout = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
        assert found.execute(layout).fetchall() == fresh.execute(layout).fetchall()


def test_a_newer_format_is_refused(bench: Bench) -> None:
    bench.open()
    bench.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(SpoolError, match=f"has format {len(MIGRATIONS) + 1}"):
        bench.open()


def test_another_program_s_database_is_refused_unchanged(bench: Bench) -> None:
    bench.path.mkdir()
    with sqlite3.connect(bench.path / "spool.sqlite") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(SpoolError, match="other program"):
        bench.open()


def test_what_is_no_database_is_refused(bench: Bench) -> None:
    bench.path.mkdir()
    (bench.path / "spool.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(SpoolError, match="cannot open the spool"):
        bench.open()


def test_claims_of_the_former_owner_are_given_back(bench: Bench) -> None:
    now(store(bench.open(), make_record("a"), lease=NOW + 3600))
    shutil.copytree(bench.path, bench.path.parent / "copy")
    crashed = SqliteSpool(str(bench.path.parent / "copy"), None)
    crashed.open()
    assert [record.queue_id for record in now(crashed.claim(NOW, NOW + 1, 10))] == ["a"]
    now(crashed.close())


def test_files_without_a_message_go_and_others_stay(bench: Bench) -> None:
    spool = bench.open()
    now(store(spool, make_record("kept"), LARGE))
    fill(spool.sink(), LARGE)
    assert len(bench.contents()) == 2
    (bench.path / "content" / "README").write_text("not ours")
    spool = bench.open()
    assert len(bench.contents()) == 2
    assert read(now(spool.content("kept"))) == PREFIX + LARGE


def test_the_file_of_a_removed_message_goes(bench: Bench) -> None:
    spool = bench.open()
    record = make_record("a")
    now(store(spool, record, LARGE))
    now(spool.settle(Settlement(record=attrs.evolve(record, recipients=()))))
    assert bench.contents() == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE message SET record = substr(record, 1, 100) WHERE queue_id = 'bad'",
        "UPDATE message SET record = x'ff00ff' WHERE queue_id = 'bad'",
        "UPDATE message SET record = '' WHERE queue_id = 'bad'",
        "UPDATE message SET record = (SELECT record FROM message WHERE queue_id = 'good1') WHERE queue_id = 'bad'",
        "UPDATE message SET record = replace(record, '\"v\":1', '\"v\":99') WHERE queue_id = 'bad'",
    ],
)
def test_a_damaged_record_is_set_aside_named_and_stops_nothing_else(bench: Bench, damage: str) -> None:
    spool = bench.open()
    for queue_id in ("good1", "bad", "good2"):
        now(store(spool, make_record(queue_id)))
    bench.execute(damage)
    spool = bench.open()
    assert [record.queue_id for record in now(spool.claim(NOW, NOW + 1, 10))] == ["good1", "good2"]
    assert [record.queue_id for record in now(spool.records("", 10))] == ["good1", "good2"]
    assert now(spool.record("bad")) is None
    assert now(spool.take("bad", NOW, NOW + 1)) is None
    assert now(spool.content("bad")) is None
    assert now(spool.count()) == 2
    [event] = bench.reported
    assert isinstance(event, SetAside)
    assert event.queue_id == "bad"
    [kept] = now(bench.open().damaged())
    assert (kept.queue_id, kept.error) == ("bad", event.error)


def test_a_page_of_records_is_full_in_spite_of_damaged_ones(bench: Bench) -> None:
    spool = bench.open()
    for number in range(9):
        now(store(spool, make_record(f"id{number}")))
    bench.execute("UPDATE message SET record = '{' WHERE queue_id < 'id6'")
    found = now(bench.open().records("", 3))
    assert [record.queue_id for record in found] == ["id6", "id7", "id8"]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("data = CAST(data AS TEXT)", "it is no octets any more"),
        ("prefix = 7", "it is no octets any more"),
        ("data = substr(data, 2)", "octets"),
        ("data = CAST(replace(data, 'e', 'a') AS BLOB)", "its digest is wrong"),
        ("prefix = x'41'", "its digest is wrong"),
        ("crc = crc + 1", "its digest is wrong"),
    ],
)
def test_a_content_that_is_not_what_was_stored_stops_only_its_own_message(
    bench: Bench, damage: str, sentence: str
) -> None:
    spool = bench.open()
    for queue_id in ("bad", "good", "older"):
        now(store(spool, make_record(queue_id), SMALL))
    bench.execute(f"UPDATE content SET {damage} WHERE id = 1")
    bench.execute("UPDATE content SET crc = NULL WHERE id = 3")
    spool = bench.open()
    found = now(spool.contents(["bad", "good", "older"]))
    assert {queue_id: read(content) for queue_id, content in found.items()} == {
        "good": PREFIX + SMALL,
        "older": PREFIX + SMALL,
    }
    [event] = bench.reported
    assert isinstance(event, SetAside)
    assert (event.queue_id, sentence in event.error) == ("bad", True)
    record, why = now(spool.retry_damaged("bad"))
    assert (record, sentence in why) == (None, True)


def test_a_content_file_that_is_not_what_was_stored_is_not_read_to_its_end(bench: Bench) -> None:
    spool = bench.open()
    now(store(spool, make_record("bad"), LARGE))
    [path] = bench.contents()
    data = bytearray(LARGE)
    data[len(LARGE) // 2] ^= 1
    path.write_bytes(data)
    content = now(spool.content("bad"))
    assert content is not None
    told: list[str] = []
    doubted = attrs.evolve(content, damaged=told.append)  # type: ignore[misc]
    got: list[bytes] = []
    with pytest.raises(SpoolError, match="its digest is wrong"):
        got.extend(doubted.chunks())
    assert sum(map(len, got)) < len(PREFIX + LARGE)
    assert [path.name in each for each in told] == [True]
    assert read(content, len(PREFIX) + 1) == bytes(data)[1:]  # a part proves nothing
    path.write_bytes(LARGE)
    assert read(content) == PREFIX + LARGE


def test_a_content_file_that_cannot_be_opened_sets_its_message_aside(bench: Bench) -> None:
    spool = bench.open()
    now(store(spool, make_record("bad"), LARGE))
    [path] = bench.contents()
    now(store(spool, make_record("good"), LARGE))
    path.unlink()
    path.symlink_to(path.name)
    assert list(now(spool.contents(["bad", "good"]))) == ["good"]
    [event] = bench.reported
    assert isinstance(event, SetAside)
    assert (event.queue_id, "cannot be read: Too many levels" in event.error) == ("bad", True)


@pytest.mark.parametrize("when", ["before opening", "while open"])
@pytest.mark.parametrize("harm", ["missing", "short"])
def test_a_damaged_content_file_sets_its_message_aside(bench: Bench, when: str, harm: str) -> None:
    spool = bench.open()
    now(store(spool, make_record("bad"), LARGE))
    now(store(spool, make_record("good"), SMALL))
    if when == "before opening":
        bench.close()
    [path] = bench.contents()
    if harm == "missing":
        path.unlink()
    else:
        os.truncate(path, len(LARGE) - 1)
    if when == "before opening":
        spool = bench.open()
    assert now(spool.content("bad")) is None
    assert read(now(spool.content("good"))) == PREFIX + SMALL
    assert now(spool.record("bad")) is None
    assert [event.queue_id for event in bench.reported] == ["bad"]
    assert [kept.queue_id for kept in now(spool.damaged())] == ["bad"]


def test_a_content_row_that_is_missing_sets_its_message_aside(bench: Bench) -> None:
    now(store(bench.open(), make_record("bad")))
    bench.execute("DELETE FROM content")
    spool = bench.open()
    assert now(spool.content("bad")) is None
    assert [event.queue_id for event in bench.reported] == ["bad"]


def smash(bench: Bench, needle: bytes) -> None:
    """Spoil the page of the database where these octets stand: it has no kind any more."""
    bench.close()
    path = bench.path / "spool.sqlite"
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[16:18], "big")
    page = data.index(needle) // size * size
    data[page] = 0xFF
    path.write_bytes(data)


def test_a_page_that_sqlite_cannot_read_costs_what_stands_on_it_and_nothing_else(bench: Bench) -> None:
    """Of contents."""
    spool = bench.open()
    ids = [f"id{number:02}" for number in range(40)]
    for queue_id in ids:
        now(store(spool, make_record(queue_id), f"Subject: of {queue_id}!\r\n\r\n{'x' * 900}\r\n".encode()))
    smash(bench, b"Subject: of id20!")
    with Reading(str(bench.path)) as reading:
        found = verify(reading)
    lost = {problem.queue_id for problem in found.problems} - {""}
    assert "id20" in lost
    assert len(lost) < 10
    assert found.messages == 40
    spool = bench.open()
    assert set(now(spool.contents(ids))) == set(ids) - lost
    assert {event.queue_id for event in bench.reported} == lost
    assert {kept.queue_id for kept in now(spool.damaged())} == lost
    with Reading(str(bench.path)) as reading:
        assert {row.queue_id for row in reading.damaged()} == lost
    assert len(now(spool.claim(NOW, NOW + 1, 100))) == 40 - len(lost)


def ended(spool: SqliteSpool, queue_id: str, aside: Aside | None = None) -> Settlement:
    """The step that ends a message."""
    record = now(spool.record(queue_id))
    assert record is not None
    states = tuple(attrs.evolve(state, progress=Progress.DELIVERED) for state in record.recipients)
    return Settlement(record=attrs.evolve(record, recipients=states), aside=aside)


def test_what_is_done_with_leaves_the_queue_though_its_content_cannot_be_removed(bench: Bench) -> None:
    """It was delivered: tried again until a restart it would be found damaged then, by nobody who knows."""
    spool = bench.open()
    ids = [f"id{number:02}" for number in range(40)]
    for queue_id in ids:
        now(store(spool, make_record(queue_id), f"Subject: of {queue_id}!\r\n\r\n{'x' * 900}\r\n".encode()))
    smash(bench, b"Subject: of id20!")
    spool = bench.open()
    now(spool.settle(ended(spool, "id20")))
    assert bench.reported == [SetAside(queue_id="id20", error=STAYS)]
    bench.reported.clear()
    now(spool.settle_all([ended(spool, queue_id) for queue_id in ids if queue_id != "id20"]))
    stuck = {event.queue_id for event in bench.reported}
    assert {event.error for event in bench.reported if isinstance(event, SetAside)} == {STAYS}
    assert 0 < len(stuck) < 30  # those on the same page, and what SQLite would have to put together with it
    assert (now(spool.count()), now(spool.damaged()), now(spool.records("", 100))) == (0, (), ())
    spool = bench.open()
    assert now(spool.count()) == 0
    for number in range(40):  # under numbers of its own
        now(store(spool, make_record(f"new{number}"), SMALL))
    assert now(spool.count()) == 40


def test_a_content_that_cannot_be_read_does_not_go_into_the_trash_and_can_be_let_go_of(bench: Bench) -> None:
    spool = bench.open()
    for number in range(20):
        now(store(spool, make_record(f"id{number:02}"), f"Subject: of id{number:02}!\r\n\r\n{'x' * 900}".encode()))
    smash(bench, b"Subject: of id10!")
    spool = bench.open()
    record = now(spool.record("id10"))
    assert record is not None
    put = Aside(put=Trashed(record=record, removed=NOW, reason="by an operator"))
    now(spool.settle(ended(spool, "id10", put)))
    assert [kept.queue_id for kept in now(spool.damaged())] == ["id10"]
    assert now(spool.remove_damaged("id10"))
    assert now(spool.damaged()) == ()
    assert [event.queue_id for event in bench.reported] == ["id10", "id10"]


def test_a_page_of_records_that_sqlite_cannot_read_stops_no_claim(bench: Bench) -> None:
    spool = bench.open()
    ids = [f"id{number:02}" for number in range(60)]
    for queue_id in ids:
        now(store(spool, make_record(queue_id), SMALL))
    smash(bench, b'"queue_id":"id20"')
    with Reading(str(bench.path)) as reading:
        lost = {problem.queue_id for problem in verify(reading).problems} - {""}
    assert "id20" in lost
    assert len(lost) < 30
    spool = bench.open()
    for _ in range(2):
        claimed = now(spool.look(NOW, NOW + 1, 100, (float("-inf"), "", 0), frozenset())).records
        assert {record.queue_id for record in claimed} == set(ids) - lost
        now(spool.renew(sorted(set(ids) - lost), 0.0))
    assert {event.queue_id for event in bench.reported} == lost
    assert now(spool.claim(NOW, NOW + 1, 100, "nobody")) == ()
    now(store(spool, make_record("new"), SMALL))
    assert now(spool.record("new")) is not None
