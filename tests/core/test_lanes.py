"""The scheduler's lanes: no limit is exceeded, nobody starves, every job ends, and a letter passes a mailing."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relaygw.core.health import Care
from relaygw.core.lane import BURST
from relaygw.core.lanes import Lanes
from relaygw.core.shaping import Destination, Shape
from relaygw.core.turns import Turns

A, B, C = ("mx", "a"), ("mx", "b"), ("mx", "c")


def shapes(most: int, *, initial: int = 0, per_minute: int = 0) -> Shape:
    return Shape(care=Care(initial=initial or most, most=most), messages_per_minute=per_minute)


def make(total: int, most: int, **more: int) -> Lanes[str]:
    return Lanes(total, lambda destination: shapes(most, **more))


def test_one_more_than_a_destination_may_have_waits() -> None:
    lanes = make(10, 2)
    assert [lanes.enter(A, "o", job, 0.0) for job in "xyz"] == [True, True, False]
    assert (lanes.at_work(A), lanes.in_line(A)) == (2, 1)
    assert lanes.leave(A, "o", 0.0) == ["z"]


def test_one_more_than_the_total_waits_whatever_its_destination() -> None:
    lanes = make(2, 2)
    assert [lanes.enter(place, "o", place[1], 0.0) for place in (A, B, C)] == [True, True, False]
    assert lanes.leave(A, "o", 0.0) == ["c"]


def test_a_job_does_not_overtake_its_own_lane() -> None:
    lanes = make(10, 1)
    assert lanes.enter(A, "o", "1", 0.0)
    assert not any(lanes.enter(A, "o", job, 0.0) for job in "23")
    assert lanes.leave(A, "o", 0.0) == ["2"]
    assert not lanes.enter(A, "o", "4", 0.0)
    assert [lanes.leave(A, "o", 0.0) for _ in range(3)] == [["3"], ["4"], []]


def test_a_smaller_limit_applies_as_jobs_end_and_a_larger_one_starts_more() -> None:
    lanes = make(10, 3)
    for job in "12345":
        lanes.enter(A, "o", job, 0.0)
    lanes.reshape(lambda destination: shapes(1), 0.0)
    assert [lanes.leave(A, "o", 0.0) for _ in range(3)] == [[], [], ["4"]]
    lanes.reshape(lambda destination: shapes(3), 0.0)
    assert lanes.wake(0.0) == ["5"]


@pytest.mark.parametrize("back", [False, True])
def test_a_clock_put_back_makes_no_rest_and_no_pace_longer(back: bool) -> None:
    lanes = make(10, 1, per_minute=6)
    assert [lanes.enter(A, "o", job, 10_000.0) for job in "12"] == [True, False]
    lanes.rest(B, 10_000.0, 300.0, "dead")
    assert not lanes.enter(B, "o", "3", 10_000.0)
    off = 7200.0 if back else 0.0
    if back:
        lanes.put_back(off)
    assert lanes.next_wake() == 10_010.0 - off
    assert lanes.leave(A, "o", 10_005.0 - off) == []
    assert lanes.next_wake() == 10_010.0 - off
    assert lanes.wake(10_010.0 - off) == ["2"]
    assert lanes.wake(10_299.0 - off) == []
    assert lanes.wake(10_300.0 - off) == ["3"]


def test_the_last_tenth_is_for_owners_for_whom_nothing_runs() -> None:
    lanes = make(20, 20)
    assert [lanes.enter(A, "mailing", str(job), 0.0) for job in range(19)] == [True] * 18 + [False]
    assert [lanes.enter(B, "alice", "letter", 0.0), lanes.enter(B, "alice", "second", 0.0)] == [True, False]
    assert lanes.leave(B, "alice", 0.0) == ["second"]
    assert [lanes.leave(A, "mailing", 0.0), lanes.leave(A, "mailing", 0.0)] == [[], ["18"]]


def test_a_letter_waits_for_one_start_of_a_mailing_to_the_same_destination_and_one_in_all() -> None:
    lanes = make(10, 5)
    for number in range(1000):
        lanes.enter(("mx", str(number % 50)), "mailing", f"m{number}", 0.0)
    assert lanes.enter(("mx", "7"), "alice", "letter", 0.0), "the place kept for it"
    lanes.enter(("mx", "8"), "bob", "another", 0.0)
    assert "another" in lanes.leave(("mx", "0"), "mailing", 0.0) + lanes.leave(("mx", "1"), "mailing", 0.0)


@pytest.mark.parametrize("destinations", [1, 1000, 50_000])
def test_a_mailing_of_100000_gives_a_letter_the_next_turn(destinations: int) -> None:
    lanes: Lanes[str] = Lanes(200, lambda destination: shapes(20))
    running = []
    for number in range(100_000):
        place = ("mx", str(number % destinations))
        if lanes.enter(place, "mailing", f"m{number}", 0.0):
            running.append(place)
    if destinations == 1:
        assert len(running) == 20
        assert not lanes.enter(running[0], "alice", "letter", 0.0)
        assert lanes.leave(running[0], "mailing", 0.0) == ["letter"]
    else:
        assert len(running) == 180, "the last tenth is not for it"
        assert lanes.enter(("mx", "0"), "alice", "letter", 0.0)


def test_no_letter_waits_long_however_many_lanes_of_a_mailing_others_enter() -> None:
    """Lists and people come into lanes that stand open for a mailing that has thousands of them to choose from."""
    chance = random.Random(1)
    turns: Turns[int, str] = Turns()
    for number in range(20_000):
        turns.add(number % 1000, "mailing", "m", is_open=True)
    waiting: dict[str, int] = {}
    waits: list[int] = []
    started: Counter[str] = Counter()
    for step in range(20_000):
        for name in ("list1", "list2") if step < 500 or step % 2 else ():
            turns.add(chance.randrange(1000), name, name, is_open=True)
        if step % 20 == 0:
            letter = f"letter{step}"
            waiting[letter] = step
            turns.add(chance.randrange(1000), letter, letter, is_open=True)
        lane, owner, job = turns.next() or (0, "", "")
        turns.open(lane)
        turns.began(owner)
        started[owner[:4]] += 1
        if job in waiting:
            waits.append(step - waiting.pop(job))
    assert max(waits) < 50
    assert not [letter for letter, step in waiting.items() if step < 19_900]
    assert min(started["mail"], started["list"], started["lett"]) > 900


def test_an_endless_stream_of_letters_does_not_stop_a_mailing() -> None:
    lanes = make(10, 1)
    lanes.enter(A, "mailing", "m0", 0.0)
    for number in range(1, 10):
        lanes.enter(A, "mailing", f"m{number}", 0.0)
    order, owner = [], "mailing"
    for number in range(60):
        lanes.enter(A, f"letter{number}", f"l{number}", 0.0)
        (job,) = lanes.leave(A, owner, 0.0)
        owner = "mailing" if job[0] == "m" else f"letter{job[1:]}"
        order.append(job)
    assert sum(job[0] == "m" for job in order) >= 1
    assert [job for job in order if job[0] == "m"] == [f"m{n}" for n in range(1, sum(j[0] == "m" for j in order) + 1)]


def test_a_paced_destination_starts_no_faster_and_wakes_by_itself() -> None:
    lanes = make(10, 10, per_minute=60)
    assert [lanes.enter(A, "o", job, 0.0) for job in "123"] == [True, False, False]
    assert lanes.leave(A, "o", 0.1) == []
    assert lanes.next_wake() == pytest.approx(1.0)
    assert lanes.wake(0.9) == []
    assert lanes.wake(1.0) == ["2"]
    assert lanes.next_wake() == pytest.approx(2.0)
    assert lanes.wake(2.0) == ["3"]
    assert lanes.next_wake() == float("inf")


def test_a_dead_destination_rests_longer_each_time_and_one_probe_brings_it_back() -> None:
    lanes = make(10, 2)
    now = 0.0
    for pause in (300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0):
        while not lanes.resting(A, now)[0]:
            assert lanes.enter(A, "o", "x", now)
            if lanes.standing(A, now).probing:  # type: ignore[union-attr]  # it is known
                assert not lanes.enter(A, "o", "beside the probe", now)
            rests = lanes.unreachable(A, now, "refused")
            lanes.send_home(A) if rests else None
            lanes.leave(A, "o", now)
        assert lanes.resting(A, now) == (now + pause, "refused")
        now += pause
        assert lanes.resting(A, now) == (0.0, "")
    assert lanes.enter(A, "o", "probe", now)
    lanes.answered(A, now, 1.0)
    lanes.leave(A, "o", now)
    assert [lanes.enter(A, "o", job, now) for job in "123"] == [True, True, False]


def test_the_limit_follows_the_answers() -> None:
    lanes = Lanes[int](100, lambda destination: shapes(20, initial=5))
    ran = [lanes.enter(A, "o", number, 0.0) for number in range(500)].count(True)
    seen = [ran]
    while ran:
        lanes.answered(A, 0.0, 1.0)
        ran += len(lanes.leave(A, "o", 0.0)) - 1
        seen.append(ran)
    assert seen[0] == 5
    assert max(seen) == 20
    assert seen.index(20) > sum(range(5, 20)) / 2, "it grows by one per cohort, not at once"


def test_a_failing_destination_gets_less_and_recovers() -> None:
    lanes = make(100, 10)
    limits = []
    for failed in (True, False, True, False, False):
        assert lanes.enter(A, "o", "x", 0.0)
        lanes.unreachable(A, 0.0, "lost") if failed else lanes.answered(A, 0.0, 1.0)
        lanes.leave(A, "o", 0.0)
        limits.append(lanes.most(A))
    assert limits == [9, 9, 9, 9, 9]
    assert "lost" not in lanes.standing(A, 0.0).why  # type: ignore[union-attr]  # an answer clears it


def test_a_slow_destination_gets_half_and_no_more_for_a_while() -> None:
    lanes = make(100, 8)
    lanes.slow(A, 0.0, 60.0, "too fast")
    assert lanes.most(A) == 4
    for now, most in ((1.0, 4), (59.0, 4), (61.0, 4)):
        for _ in range(3):
            lanes.enter(A, "o", "x", now)
            lanes.answered(A, now, 1.0)
            lanes.leave(A, "o", now)
        assert lanes.most(A) >= most
    assert "too fast" in lanes.standing(A, 59.0).why  # type: ignore[union-attr]  # it is known


def test_every_throttle_has_a_sentence() -> None:
    def why(lanes: Lanes[str], now: float = 0.0) -> str:
        standing = lanes.standing(A, now)
        assert standing is not None
        return standing.why

    at_its_limit = make(100, 2)
    at_its_limit.enter(A, "o", "x", 0.0), at_its_limit.enter(A, "o", "y", 0.0)
    assert why(at_its_limit) == "Its configured limit of 2 at once is reached."
    growing = make(100, 9, initial=1)
    growing.enter(A, "o", "x", 0.0)
    assert why(growing) == "Its present limit of 1 at once is reached."
    growing.unreachable(A, 0.0, "refused")
    assert why(growing) == "It rests for 5 minutes, then one attempt probes it: refused."
    growing.leave(A, "o", 0.0)
    assert why(growing, 300.0) == "One attempt probes it after a rest; nothing else is attempted meanwhile: refused."
    failing = make(100, 9)
    failing.enter(A, "o", "x", 0.0)
    failing.unreachable(A, 0.0, "refused")
    assert why(failing) == "Attempts have failed to get through lately: refused."
    paced = make(100, 9, per_minute=60)
    paced.enter(A, "o", "x", 0.0)
    assert why(paced) == "Its pace is 60 messages a minute."
    paced.slow(A, 10.0, 300.0, "too fast")
    assert why(paced, 20.0) == "It is kept slow for 5 minutes: too fast."


def test_the_limit_in_all_and_what_is_kept_of_it_have_a_sentence() -> None:
    lanes = make(20, 20)
    for number in range(18):
        lanes.enter(A, "mailing", str(number), 0.0)
    kept = "18 attempts run; the last 2 of 20 are for senders for whom nothing runs."
    assert (lanes.full("mailing"), lanes.full("alice"), lanes.full(None)) == (kept, "", kept)
    assert make(20, 20).full(None) == ""
    lanes.enter(B, "alice", "a", 0.0), lanes.enter(B, "bob", "b", 0.0)
    assert lanes.full("carol") == "All 20 attempts that may run at once do."


def test_memory_of_destinations_is_bounded() -> None:
    lanes: Lanes[str] = Lanes(10, lambda destination: shapes(2), remembered=50)
    for number in range(500):
        lanes.rest(("mx", str(number)), 0.0, 60.0, "told so")
        lanes.enter(("mx", f"x{number}"), "o", "x", 0.0)
        lanes.leave(("mx", f"x{number}"), "o", 0.0)
    assert lanes.remembered() <= 60


def test_those_in_line_can_be_sent_home() -> None:
    lanes = make(1, 1)
    for place, job in ((A, "1"), (A, "2"), (B, "3")):
        lanes.enter(place, "o", job, 0.0)
    assert sorted(lanes.clear()) == ["2", "3"]
    assert lanes.leave(A, "o", 0.0) == []


PLACES = {A: shapes(3, initial=2), B: shapes(2, per_minute=120), C: shapes(5)}
TOTAL = 6


class Scheduler(RuleBasedStateMachine):
    """Anything in any order: what holds after every step, and that all come to their end."""

    @initialize()
    def begin(self) -> None:
        self.lanes: Lanes[int] = Lanes(TOTAL, PLACES.__getitem__, remembered=2)
        self.now = 1000.0
        self.made = 0
        self.jobs: dict[int, tuple[Destination, str]] = {}
        self.running: list[int] = []
        self.starts: list[tuple[float, Destination]] = []
        self.ended: Counter[int] = Counter()

    def started(self, jobs: list[int]) -> None:
        for job in jobs:
            assert job not in self.running
            assert not self.ended[job]
            place = self.jobs[job][0]
            assert self.lanes.resting(place, self.now) == (0.0, ""), "started while it rests"
            self.running.append(job)
            self.starts.append((self.now, place))

    @rule(place=st.sampled_from(sorted(PLACES)), owner=st.sampled_from("xyz"))
    def enter(self, place: Destination, owner: str) -> None:
        self.made += 1
        self.jobs[self.made] = place, owner
        if self.lanes.enter(place, owner, self.made, self.now):
            self.started([self.made])

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 99), how=st.sampled_from(["answered", "unreachable", "slow", "rest", "unknown"]))
    def leave(self, which: int, how: str) -> None:
        job = self.running.pop(which % len(self.running))
        place, owner = self.jobs[job]
        rests = False
        if how == "answered":
            self.lanes.answered(place, self.now, 1.0)
        elif how == "unreachable":
            rests = self.lanes.unreachable(place, self.now, "refused") > 0
        elif how == "slow":
            self.lanes.slow(place, self.now, 30.0, "slow")
        elif how == "rest":
            self.lanes.rest(place, self.now, 20.0, "rest")
            rests = True
        self.ended[job] += 1
        self.started(self.lanes.leave(place, owner, self.now))
        if rests:
            for home in self.lanes.send_home(place):
                self.ended[home] += 1

    @rule(seconds=st.floats(0.0, 400.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.started(self.lanes.wake(self.now))

    @invariant()
    def limits_hold(self) -> None:
        if not hasattr(self, "lanes"):
            return
        counts = Counter(self.jobs[job][0] for job in self.running)
        assert self.lanes.running == len(self.running) <= TOTAL
        assert all(counts[place] == self.lanes.at_work(place) <= PLACES[place].care.most for place in PLACES)
        paced = [at for at, place in self.starts if place == B and at > self.now - 10.0]
        assert len(paced) <= 1 + max(1.0, 2.0 * BURST) + 2.0 * 10.0
        assert self.lanes.remembered() <= len(PLACES)

    def teardown(self) -> None:
        """Given time and answers, every job ends exactly once."""
        if not hasattr(self, "lanes"):
            return
        for _ in range(20 * self.made + 20):
            if self.running:
                job = self.running.pop(0)
                place, owner = self.jobs[job]
                self.lanes.answered(place, self.now, 1.0)
                self.ended[job] += 1
                self.started(self.lanes.leave(place, owner, self.now))
            elif self.lanes.next_wake() < float("inf"):
                self.now = max(self.now, self.lanes.next_wake())
                self.started(self.lanes.wake(self.now))
            else:
                break
        assert all(self.ended[job] == 1 for job in self.jobs), "starved"
        assert not any(self.lanes.in_line(place) for place in PLACES)


TestScheduler = Scheduler.TestCase
TestScheduler.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.sampled_from("wxyz"), st.sampled_from([A, B, C])), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_room_is_wasted(entries: list[tuple[str, Destination]]) -> None:
    lanes: Lanes[int] = Lanes(4, lambda destination: shapes(2))
    jobs = dict(enumerate(entries))
    running = [number for number, (owner, place) in jobs.items() if lanes.enter(place, owner, number, 0.0)]
    done = 0
    while running:
        counts = Counter(jobs[job][1] for job in running)
        if len(running) < 4:
            assert all(counts[place] == 2 or not lanes.in_line(place) for place in (A, B, C)), "room is left"
        owner, place = jobs[running.pop(0)]
        running += lanes.leave(place, owner, 0.0)
        done += 1
    assert done == len(entries)
