"""Bans over a restart: written in time, read again, put aside when they cannot be read, and told to the journal."""

import json
from pathlib import Path
from typing import Any

from results import at_once

from relaygw.bans import SAVE_AFTER, SWEEP_EVERY, BanBook
from relaygw.core.bans import Policy
from relaygw.core.events import Banned, Event, Lifted, TaskFailed
from relaygw.testing.threads import InlineReactor

POLICY = Policy(failures=2, duration=30.0)
CLIENT = "192.0.2.7"


class Book:
    def __init__(self, folder: Path, at: float = 1000.0) -> None:
        self.path = folder / "bans.json"
        self.reactor: Any = InlineReactor()
        self.reactor.advance(at)
        self.events: list[Event] = []
        self.book = BanBook(str(self.path), POLICY, self.reactor, self.events.append)
        self.book.start()

    def ban(self) -> None:
        self.book.failed(CLIENT, "a")
        self.book.failed(CLIENT, "b")


def test_bans_and_known_logins_survive_a_restart(tmp_path: Path) -> None:
    first = Book(tmp_path)
    first.book.succeeded("198.51.100.1", "alice")
    first.ban()
    assert first.events == [Banned(kind="address", subject=f"{CLIENT}/32", reason="2 failed logins", seconds=30.0)]
    at_once(first.book.stop())
    second = Book(tmp_path, 1010.0)
    assert second.book.shut(CLIENT) is not None
    for login in ("alice", "bob"):
        for _ in range(50):
            second.book.failed("203.0.113.1", login)
    assert not second.book.refuses("198.51.100.1", "alice")
    assert second.book.refuses("198.51.100.1", "bob")


def test_a_ban_is_written_within_seconds_and_not_before_something_changed(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.reactor.advance(SAVE_AFTER)
    assert not book.path.exists()
    book.ban()
    book.reactor.advance(SAVE_AFTER)
    assert len(json.loads(book.path.read_text())["bans"]) == 1
    assert book.path.stat().st_mode & 0o777 == 0o600
    book.book.add("mallory", 10.0, "")
    book.reactor.advance(SAVE_AFTER)
    assert len(json.loads(book.path.read_text())["bans"]) == 2


def test_a_file_that_cannot_be_read_is_put_aside_and_told(tmp_path: Path) -> None:
    for wrong in ("{", "[]", '{"bans": [{"kind": "x"}], "known": []}', '{"bans": 1}', "\udcff"):
        (tmp_path / "bans.json").write_text(wrong, errors="surrogateescape")
        book = Book(tmp_path)
        assert [type(event) for event in book.events] == [TaskFailed]
        assert book.book.all() == ()
        assert not book.path.exists()
        assert (tmp_path / "bans.json.unreadable").exists()


def test_the_end_of_a_ban_is_told_whoever_ends_it(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.ban()
    book.reactor.advance(SWEEP_EVERY)
    assert book.events[1:] == [Lifted(kind="address", subject=f"{CLIENT}/32", reason="its time is over")]
    book.ban()
    assert len(book.book.lift(CLIENT)) == 1
    assert book.events[-1] == Lifted(kind="address", subject=f"{CLIENT}/32", reason="by an operator")
    assert book.book.shut(CLIENT) is None


def test_a_disk_that_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    book = Book(tmp_path / "state")
    (tmp_path / "state").rmdir()
    book.ban()
    book.reactor.advance(SAVE_AFTER)
    assert [type(event) for event in book.events] == [Banned, TaskFailed]
    (tmp_path / "state").mkdir()
    at_once(book.book.stop())
    assert book.path.exists()


def test_a_new_policy_holds_at_once(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.book.reconfigure(Policy(failures=5))
    book.ban()
    assert book.book.shut(CLIENT) is None
