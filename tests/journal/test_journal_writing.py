"""The journal writes lines and history in its thread, survives rotation and failing disks, and never raises."""

import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import TestCase

from relaygw.core.events import (
    Accepted,
    Completed,
    Connected,
    Disconnected,
    Event,
    FilterBroke,
    Judged,
    Refused,
    Reported,
)
from relaygw.journal import journal as journal_module
from relaygw.journal.file import LineFile
from relaygw.journal.history import History, days, lookup
from relaygw.journal.journal import Journal
from relaygw.journal.line import Line, make_line

DAY = 86400.0
MONDAY = 20_000 * DAY  # 2024-10-04


def line(event: Event, now: float = MONDAY) -> Line:
    return make_line(event, now)


def accepted(queue_id: str, session: str, recipient: str = "b@example.net", message_id: str = "<id@x>") -> Accepted:
    return Accepted(
        queue_id=queue_id, session=session, origin="received", sender="a@example.org", recipients=(recipient,), size=1,
        message_id=message_id,
    )  # fmt: skip


def names(events: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(event["event"], event.get("queue_id") or event.get("session")) for event in events]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(str(tmp_path / "history"), 14 * DAY)
    yield history
    history.close()


SESSION = [
    Connected(session="s1", listener="mx", client="192.0.2.1"),
    accepted("q1", "s1", "b@example.net", "<One@x>"),
    accepted("q2", "s1", "c@example.net", "<two@x>"),
    Refused(session="s1", command="RCPT", reply="550 no", recipient="d@example.net"),
    Disconnected(session="s1", cause="quit"),
    Reported(queue_id="q1", kind="failure", report_id="q3", recipients=("b@example.net",)),
    Completed(queue_id="q1", seconds=1.0),
    accepted("q3", "", "a@example.org", "<dsn@us>"),
    Connected(session="s2", listener="mx", client="192.0.2.2"),
    accepted("q4", "s2", "b@example.net", "<four@x>"),
]
OF_Q1 = [
    ("connected", "s1"),
    ("accepted", "q1"),
    ("refused", "s1"),
    ("disconnected", "s1"),
    ("reported", "q1"),
    ("completed", "q1"),
    ("accepted", "q3"),
]


@pytest.mark.parametrize("text", ["q1", "<One@x>", "one@X", "Q1 "])
def test_a_message_is_told_with_its_session_and_its_report_but_no_other_message(history: History, text: str) -> None:
    history.append([line(event) for event in SESSION])
    assert names(lookup(history.directory, text)) == OF_Q1


def test_a_report_is_told_with_what_led_to_it(history: History) -> None:
    history.append([line(event) for event in SESSION])
    assert names(lookup(history.directory, "q3")) == [("reported", "q1"), ("accepted", "q3")]


def test_a_session_is_told_with_all_its_messages(history: History) -> None:
    history.append([line(event) for event in SESSION])
    found = names(lookup(history.directory, "s1"))
    assert found == [*[(kind, name) for kind, name in OF_Q1[:2]], ("accepted", "q2"), *OF_Q1[2:]]


def test_an_address_finds_its_messages_the_latest_within_the_limit(history: History) -> None:
    history.append([line(event) for event in SESSION])
    assert {name for _, name in names(lookup(history.directory, "B@example.net"))} == {"s1", "q1", "q3", "s2", "q4"}
    assert names(lookup(history.directory, "<b@example.net>", limit=1)) == [("connected", "s2"), ("accepted", "q4")]


def test_a_refused_address_finds_its_session(history: History) -> None:
    history.append([line(event) for event in SESSION])
    found = names(lookup(history.directory, "d@example.net"))
    assert found == [("connected", "s1"), ("refused", "s1"), ("disconnected", "s1")]


def test_nothing_is_found_where_nothing_is(history: History) -> None:
    assert lookup(history.directory, "q1") == []
    history.append([line(event) for event in SESSION])
    assert lookup(history.directory, "nobody") == []
    assert lookup(history.directory, "") == []
    assert lookup(history.directory, "%' OR 1=1 --") == []


def test_a_life_over_several_days_is_told_in_order(history: History) -> None:
    for number in range(3):
        history.append([line(Completed(queue_id="q", seconds=number), MONDAY + number * DAY)])
    history.append([line(Completed(queue_id="q", seconds=9), MONDAY + 2.5 * DAY), line(SESSION[0], MONDAY + 3 * DAY)])
    assert [event["seconds"] for event in lookup(history.directory, "q")] == [0, 1, 2, 9]
    assert days(history.directory) == ["2024-10-04", "2024-10-05", "2024-10-06", "2024-10-07"]


@pytest.mark.parametrize(("age", "kept"), [(14, True), (15, False)])
def test_days_go_as_a_whole_when_they_are_too_old(history: History, age: int, kept: bool) -> None:
    history.append([line(SESSION[1])])
    history.append([line(SESSION[2], MONDAY + age * DAY)])
    assert bool(lookup(history.directory, "q1")) is kept
    assert lookup(history.directory, "q2")
    assert len(os.listdir(history.directory)) == (4 if kept else 3), "a day left files behind"


def test_history_is_private_and_reopened_where_it_ended(history: History) -> None:
    history.append([line(SESSION[1])])
    history.close()
    again = History(history.directory, DAY)
    again.append([line(SESSION[2])])
    again.close()
    assert names(lookup(history.directory, "a@example.org")) == [("accepted", "q1"), ("accepted", "q2")]
    assert stat.S_IMODE(os.stat(history.directory).st_mode) == 0o700
    [path] = Path(history.directory).iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_day_is_set_aside_and_the_day_goes_on(history: History) -> None:
    os.mkdir(history.directory)
    path = Path(history.directory) / "2024-10-04.sqlite"
    path.write_bytes(b"not a database" * 100)
    history.append([line(SESSION[1])])
    assert lookup(history.directory, "q1")
    assert Path(f"{path}.damaged").exists()


def test_a_history_that_cannot_be_read_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "2024-10-04.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(OSError, match="cannot be read"):
        lookup(str(tmp_path), "q1")


def test_another_program_may_read_while_we_write(history: History) -> None:
    history.append([line(SESSION[1])])
    with sqlite3.connect(Path(history.directory) / "2024-10-04.sqlite") as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM event").fetchone() == (1,)
        history.append([line(SESSION[2])])
    reader.close()


def test_the_file_is_found_again_after_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    file = LineFile(str(path))
    file.append(["1"])
    path.rename(tmp_path / "journal.1")
    file.append(["2", "3"])
    assert (tmp_path / "journal.1").read_text() == "1\n"
    assert path.read_text() == "2\n3\n"
    path.rename(tmp_path / "journal.2")
    path.write_text("made by the rotation\n")
    file.append(["4"])
    assert path.read_text() == "made by the rotation\n4\n"
    file.close()


def test_standard_output_and_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    LineFile("-").append(["a", "b"])
    LineFile("").append(["c"])
    assert capfd.readouterr().out == "a\nb\n"


class Writing(TestCase):
    """The Journal with its thread, under the real reactor."""

    def journal(self, file: str | None = None, **rest: object) -> Journal:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name)
        file = str(self.path / "journal.jsonl") if file is None else file
        return Journal(file, str(self.path / "history"), reactor, **rest)  # type: ignore[arg-type]

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(text) for text in (self.path / "journal.jsonl").read_text().splitlines()]

    def until_stopped(self, journal: Journal, work: Callable[[], object]) -> Deferred[object]:
        async def run() -> object:
            journal.start()
            result = work()
            result = await result if isinstance(result, Deferred) else result
            await journal.stop()
            return result

        return Deferred.fromCoroutine(run())

    @inlineCallbacks
    def test_everything_is_written_at_stop(self):
        journal = self.journal()
        for number in range(3000):
            journal.write(Completed(queue_id=f"q{number}", seconds=0.0))
        yield self.until_stopped(journal, lambda: None)
        assert len(self.lines()) == 3000
        assert len(lookup(str(self.path / "history"), "q2999")) == 1
        assert journal.counts == {("completed", ""): 3000}
        assert journal.lost == 0
        assert not list((self.path / "history").glob("*-wal")), "stop left the history open"

    @inlineCallbacks
    def test_what_checks_found_is_counted_by_method_and_result(self):
        journal = self.journal()
        for found in (("spf=none", "spf=pass"), ("spf=pass",), ()):
            journal.write(Judged(filter="spf", phase="mail", action="pass", reason="x", found=found))
        journal.write(FilterBroke(filter="spf", phase="mail", error="x", on_error="skip", found=("spf=temperror",)))
        yield self.until_stopped(journal, lambda: None)
        assert journal.counts == {
            ("judged", "spf pass"): 3, ("filter_broke", ""): 1,
            ("authentication", "spf=none"): 1, ("authentication", "spf=pass"): 2, ("authentication", "spf=temperror"): 1
        }  # fmt: skip
        found = [["spf=none", "spf=pass"], ["spf=pass"], None, ["spf=temperror"]]
        assert [line.get("found") for line in self.lines()] == found

    @inlineCallbacks
    def test_a_lookup_finds_what_was_just_written(self):
        journal = self.journal("")

        def work() -> Deferred[object]:
            journal.write(SESSION[1])
            return Deferred.fromCoroutine(journal.lookup("q1"))

        found = yield self.until_stopped(journal, work)
        assert names(found) == [("accepted", "q1")]

    @inlineCallbacks
    def test_a_file_that_cannot_be_written_loses_lines_counts_them_and_keeps_history(self):
        journal = self.journal("/dev/full")
        journal.write(SESSION[1])
        yield self.until_stopped(journal, lambda: None)
        assert journal.lost == 1
        assert lookup(str(self.path / "history"), "q1")

    @inlineCallbacks
    def test_a_history_that_cannot_be_written_keeps_the_lines(self):
        journal = self.journal()
        (self.path / "history").write_text("in the way")
        journal.write(SESSION[1])
        yield self.until_stopped(journal, lambda: None)
        assert len(self.lines()) == 1

    @inlineCallbacks
    def test_an_event_that_cannot_be_told_is_lost_alone_and_does_not_raise(self):
        journal = self.journal()
        journal.write(Completed(queue_id=5, seconds=0.0))  # type: ignore[arg-type]
        journal.write(SESSION[0])
        yield self.until_stopped(journal, lambda: None)
        assert journal.lost == 1
        assert len(self.lines()) == 1
        assert len(self.flushLoggedErrors(TypeError)) == 1

    def test_what_waits_is_bounded(self):
        journal = self.journal()
        for _ in range(journal_module.MAX_WAITING + 2):
            journal._waiting.put(None)
        journal.write(SESSION[0])
        assert journal.lost == 1

    @inlineCallbacks
    def test_reopen_lets_the_file_go(self):
        journal = self.journal()

        def work() -> Deferred[object]:
            journal.write(SESSION[0])
            journal.reopen()
            journal.write(SESSION[1])
            return Deferred.fromCoroutine(journal.lookup("q1"))

        yield self.until_stopped(journal, work)
        assert len(self.lines()) == 2

    @inlineCallbacks
    def test_without_history_nothing_is_found(self):
        journal = Journal("", None, reactor)
        found = yield self.until_stopped(journal, lambda: Deferred.fromCoroutine(journal.lookup("q1")))
        assert found == []
