"""The filter `greylist`: strangers wait, those vouched for do not; restarts forget and broken disks lose nothing."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from relaygw.core.dnsbl import Reputation
from relaygw.core.greylist import Policy, Ruling, Triplet
from relaygw.core.reply import Reply
from relaygw.core.spf import Finding, Identity, Result
from relaygw.core.spf.result import Findings
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.filters.greylist import FILE, GreylistFilter
from relaygw.filters.greylist_store import IDLE, PRUNE, GreylistFile, GreylistStore, StoreError
from relaygw.plugins import OptionsError
from relaygw.testing.filters import check_filter, make_services, make_session, make_transaction, run_filter
from relaygw.testing.threads import InlineReactor

POLICY = Policy(delay=300.0, window=7200.0, remember=86_400.0, passes=3)


@attrs.define
class Gate:
    """A filter over a directory, and its clock."""

    state: Path
    clock: InlineReactor = attrs.field(factory=InlineReactor)
    options: dict[str, Any] = attrs.field(factory=dict)
    filter: GreylistFilter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.clock.advance(1_000_000)
        self.restart()

    def restart(self) -> None:
        self.filter = GreylistFilter(self.options, make_services(clock=self.clock, state=str(self.state)))

    def ask(self, recipient: str = "r@here.test", sender: str | None = "a@client.test", **changes: Any) -> Verdict:
        results = changes.pop("results", {})
        transaction = make_transaction(
            sender=sender, recipient=recipient, session=make_session(**changes), results=results
        )
        return run_filter(self.filter, Phase.RCPT, transaction)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "state")


def test_it_passes_the_suite_for_filters(gate: Gate) -> None:
    check_filter(gate.filter)


def test_a_stranger_is_asked_to_come_back_and_told_when(gate: Gate) -> None:
    verdict = gate.ask()
    assert verdict == Verdict(
        action=Action.DEFER,
        reason="greylist: first attempt, 300 s to wait",
        reply=Reply(451, "4.7.1", "Greylisted, please try again in 300 seconds"),
    )
    gate.clock.advance(299)
    assert gate.ask().reply == Reply(451, "4.7.1", "Greylisted, please try again in 1 second")
    gate.clock.advance(1)
    assert gate.ask() == Verdict(reason="greylist: came back after 300 s")
    assert gate.ask() is PASS


def test_another_host_of_the_same_block_may_come_back(gate: Gate) -> None:
    gate.ask(client="192.0.2.1")
    gate.clock.advance(300)
    assert gate.ask(client="192.0.2.200").action is Action.PASS
    assert gate.ask(client="192.0.3.1").action is Action.DEFER


@pytest.mark.parametrize(
    "other",
    [{"recipient": "other@here.test"}, {"sender": "b@client.test"}, {"sender": None}, {"client": "2001:db8::1"}],
)
def test_another_triplet_waits_for_itself(gate: Gate, other: dict[str, Any]) -> None:
    gate.ask()
    gate.clock.advance(300)
    assert gate.ask(**other).action is Action.DEFER


def test_what_was_seen_survives_a_restart(gate: Gate) -> None:
    gate.ask()
    gate.clock.advance(300)
    gate.restart()
    assert gate.ask().action is Action.PASS
    gate.restart()
    assert gate.ask() is PASS


def test_a_block_that_comes_back_often_enough_is_known(gate: Gate) -> None:
    for number in range(5):
        assert gate.ask(f"r{number}@here.test").action is Action.DEFER
        gate.clock.advance(300)
        assert gate.ask(f"r{number}@here.test").action is Action.PASS
    assert gate.ask("another@here.test", "x@anywhere.test") is PASS
    assert gate.ask("another@here.test", client="198.51.100.1").action is Action.DEFER


def spf(result: Result, identity: Identity = Identity.MAIL_FROM) -> Findings:
    finding = Finding(result=result, identity=identity, client="", domain="", sender="", hello="")
    return Findings(mail_from=finding) if identity is Identity.MAIL_FROM else Findings(hello=finding)


@pytest.mark.parametrize(
    ("result", "option", "waits"),
    [
        (spf(Result.PASS), "spf_pass", False),
        (spf(Result.PASS, Identity.HELO), "spf_pass", False),
        (spf(Result.SOFTFAIL), "spf_pass", True),
        (Findings(), "spf_pass", True),
        (Reputation(score=-1.0), "welcome", False),
        (Reputation(score=0.0), "welcome", True),
        (Reputation(score=2.0), "welcome", True),
        ("pass", "welcome", True),
    ],
)
def test_who_is_vouched_for_does_not_wait(tmp_path: Path, result: object, option: str, waits: bool) -> None:
    gate = Gate(tmp_path)
    assert (gate.ask(results={"anything": result}).action is Action.DEFER) is waits
    strict = Gate(tmp_path / "strict", options={option: False})
    assert strict.ask(results={"anything": result}).action is Action.DEFER


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({"trusted": True}, False),
        ({"login": "alice"}, False),
        ({"client": ""}, False),
        ({"client": "198.51.100.7"}, False),
        ({"recipient": "Abuse@here.test"}, False),
        ({"recipient": "x@open.test"}, False),
        ({}, True),
    ],
)
def test_who_does_not_wait(tmp_path: Path, changes: dict[str, Any], waits: bool) -> None:
    gate = Gate(tmp_path, options={"skip": ["198.51.100.0/24"], "skip_recipients": ["abuse@here.test", "open.test"]})
    assert (gate.ask(**changes).action is Action.DEFER) is waits


def test_a_file_that_cannot_be_opened_lets_mail_pass_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a directory")
    gate = Gate(tmp_path / "state")
    verdict = gate.ask()
    assert verdict.action is Action.PASS
    assert verdict.reason.startswith("greylist cannot be asked: ")
    (tmp_path / "state").unlink()
    assert gate.ask().action is Action.DEFER  # it recovers by itself


def test_a_locked_file_lets_mail_pass(gate: Gate) -> None:
    gate.ask()
    other = sqlite3.connect(gate.state / "greylist.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert gate.ask().reason.startswith("greylist cannot be asked: ")
    other.execute("ROLLBACK")
    other.close()
    assert gate.ask().action is Action.DEFER


def test_a_damaged_file_is_set_aside(gate: Gate) -> None:
    gate.state.mkdir()
    path = gate.state / "greylist.sqlite"
    path.write_bytes(b"this is no database at all" * 100)
    assert gate.ask().action is Action.PASS
    assert gate.ask().action is Action.DEFER
    assert (gate.state / "greylist.sqlite.damaged").exists()


def test_a_file_of_a_later_version_is_not_touched(gate: Gate) -> None:
    gate.state.mkdir()
    other = sqlite3.connect(gate.state / "greylist.sqlite")
    other.execute("PRAGMA user_version = 99")
    other.close()
    assert gate.ask().reason.endswith("it was written by a later version")


def test_the_file_is_for_us_alone_and_let_go_when_nobody_asks(gate: Gate) -> None:
    gate.ask()
    path = gate.state / "greylist.sqlite"
    assert path.stat().st_mode & 0o077 == 0
    assert path.with_name("greylist.sqlite-wal").exists()
    gate.clock.advance(IDLE)
    assert not path.with_name("greylist.sqlite-wal").exists()
    assert gate.clock.getDelayedCalls() == []
    gate.clock.advance(300)
    assert gate.ask().action is Action.PASS


def rows(path: Path) -> dict[str, int]:
    connection = sqlite3.connect(path)
    counts = {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("triplet", "known")
    }
    connection.close()
    return counts


def ask_file(file: GreylistFile, now: float, *names: str) -> list[Ruling]:
    return file.rule([(Triplet(f"{name}/24", "s", "r"), now) for name in names])


def test_the_file_is_bounded_and_those_who_never_came_back_go_first(tmp_path: Path) -> None:
    path = tmp_path / "greylist.sqlite"
    file = GreylistFile(str(path), POLICY, entries=3)
    ask_file(file, 1000.0, "faithful")
    ask_file(file, 1300.0, "faithful")
    for number in range(20):
        ask_file(file, 1400.0 + number, f"n{number}")
    ask_file(file, 1300.0 + 2 * PRUNE, "last")
    assert rows(path)["triplet"] == 3
    assert ask_file(file, 2000.0, "faithful")[0].reason == "known triplet"
    assert ask_file(file, 2000.0, "n19")[0].reason == "came back after 581 s"
    assert ask_file(file, 2000.0, "n0")[0].reason == "first attempt"
    file.close()


def test_what_no_ruling_asks_for_any_more_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "greylist.sqlite"
    file = GreylistFile(str(path), POLICY, entries=1000)
    ask_file(file, 1000.0, "passes", "gives up")
    ask_file(file, 1300.0, "passes")
    assert rows(path) == {"triplet": 2, "known": 1}
    ask_file(file, 1000.0 + POLICY.window + 1, "somebody")
    assert rows(path) == {"triplet": 2, "known": 1}
    ask_file(file, 1300.0 + POLICY.remember + 1, "somebody else")
    assert rows(path) == {"triplet": 1, "known": 0}
    file.close()


def test_the_file_is_opened_once_until_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite"
    file = GreylistFile(str(path), POLICY, entries=1000)
    ask_file(file, 0.0, "one")
    path.rename(tmp_path / "elsewhere")
    ask_file(file, 1.0, "two")
    assert not path.exists()
    file.close()
    ask_file(file, 2.0, "three")
    assert rows(path)["triplet"] == 1
    file.close()


def test_a_batch_that_fails_leaves_nothing_half_done(tmp_path: Path) -> None:
    file = GreylistFile(str(tmp_path / "g.sqlite"), POLICY, entries=1000)
    ask_file(file, 0.0, "before")
    bad = Triplet("x", "y", None)  # type: ignore[arg-type]  # what no database takes
    with pytest.raises(StoreError):
        file.rule([(Triplet("good/24", "s", "r"), 1.0), (bad, 1.0)])
    assert ask_file(file, 400.0, "good")[0].reason == "first attempt"
    assert ask_file(file, 400.0, "before")[0].wait == 0.0
    file.close()


@pytest.mark.parametrize(
    "options",
    [
        {"delay": "3d"},
        {"delay": "2d"},
        {"passes": -1},
        {"skip_recipients": ["not a pattern@"]},
        {"entries": 0},
        {"dely": 1},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionsError):
        GreylistFilter(options, make_services())


class SlowPool:
    """A pool whose thread works when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def callInThreadWithCallback(self, done: Callable[[bool, Any], object], function: Callable[[], Any]) -> None:
        self.jobs.append(lambda: done(True, function()))

    def work(self) -> None:
        self.jobs.pop(0)()


class SlowReactor(InlineReactor):
    def __init__(self) -> None:
        super().__init__()
        self.pool = SlowPool()

    def getThreadPool(self) -> Any:
        return self.pool


class RecordingFile(GreylistFile):
    def __init__(self) -> None:
        super().__init__("", POLICY, 1)
        self.batches: list[int] = []
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def rule(self, questions: Sequence[tuple[Triplet, float]]) -> list[Ruling]:
        self.batches.append(len(questions))
        return [Ruling(reason=triplet.client) for triplet, _ in questions]


def test_questions_that_wait_share_one_transaction_and_get_their_own_answers() -> None:
    slow, file = SlowReactor(), RecordingFile()
    store = GreylistStore(file, slow)
    answers = [store.ask(Triplet(str(number), "", "")) for number in range(300)]
    answers[7].cancel()
    _quiet = answers[7].addErrback(lambda _: None)
    while slow.pool.jobs:
        slow.pool.work()
    assert file.batches == [1, 256, 43]
    told: list[Any] = []
    for number, answer in enumerate(answers):
        if number != 7:
            _ = answer.addCallback(lambda ruling: told.append(ruling.reason))
    assert told == [str(number) for number in range(300) if number != 7]


def test_a_question_while_the_file_is_let_go_is_answered_after_it() -> None:
    slow, file = SlowReactor(), RecordingFile()
    store = GreylistStore(file, slow)
    first: Deferred[Ruling] = store.ask(Triplet("a", "", ""))
    slow.pool.work()
    slow.advance(IDLE)
    second = store.ask(Triplet("b", "", ""))
    assert len(slow.pool.jobs) == 1
    slow.pool.work()
    assert not second.called
    slow.pool.work()
    assert first.called
    assert second.called


def test_the_file_is_not_taken_from_the_thread_that_works_on_it() -> None:
    slow, file = SlowReactor(), RecordingFile()
    store = GreylistStore(file, slow)
    answer = store.ask(Triplet("a", "", ""))
    store.close()
    assert file.closed == 0
    slow.pool.work()
    assert answer.called
    store.close()
    assert file.closed == 1
    slow.advance(IDLE)
    assert (file.closed, slow.pool.jobs) == (1, []), "it is let go of once"


class ThreadTests(TestCase):
    timeout = 300
    folder: Path

    @pytest.fixture(autouse=True)
    def _in(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def test_the_disk_is_never_touched_in_the_reactors_thread(self) -> Any:
        threads: set[str] = set()

        class Watched(GreylistFile):
            def rule(self, questions: Sequence[tuple[Triplet, float]]) -> list[Ruling]:
                threads.add(threading.current_thread().name)
                return super().rule(questions)

        store = GreylistStore(Watched(str(self.folder / FILE), POLICY, 100), reactor)
        asked = gatherResults([store.ask(Triplet(str(number), "s", "r")) for number in range(50)])

        def check(rulings: list[Ruling]) -> None:
            assert [ruling.wait for ruling in rulings] == [300.0] * 50
            assert threading.current_thread().name not in threads
            store.close()

        return asked.addCallback(check)
