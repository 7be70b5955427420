"""Rates: limits at n and n + 1, both ways of counting, a bounded number of keys, and properties over any history."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.rate import Counters, Counting, Limit, Tally, current, wait

LEAKY, STRICT = Counting.LEAKY, Counting.STRICT


def counters(count: float = 5, period: float = 60.0, counting: Counting = LEAKY, keys: int = 100) -> Counters:
    return Counters(Limit(count=count, period=period, counting=counting), keys)


@pytest.mark.parametrize("counting", Counting)
def test_n_pass_at_once_and_one_more_does_not(counting: Counting) -> None:
    counted = counters(counting=counting)
    assert [counted.take("a", 0.0) for _ in range(5)] == [0.0] * 5
    assert counted.take("a", 0.0) > 0
    assert counted.take("b", 0.0) == 0.0


def test_a_bucket_makes_room_evenly() -> None:
    counted = counters()
    for _ in range(5):
        counted.take("a", 0.0)
    assert counted.take("a", 0.0) == pytest.approx(12.0)
    assert counted.take("a", 11.9) == pytest.approx(0.1)
    assert counted.take("a", 12.0) == 0.0
    assert counted.take("a", 12.0) == pytest.approx(12.0)


def test_a_window_makes_room_all_at_once() -> None:
    counted = counters(counting=STRICT)
    for second in range(5):
        assert counted.take("a", float(second)) == 0.0
    assert counted.take("a", 5.0) == pytest.approx(55.0)
    assert counted.take("a", 59.9) == pytest.approx(0.1)
    assert [counted.take("a", 60.0) for _ in range(6)] == [0.0] * 5 + [60.0]


@pytest.mark.parametrize("counting", Counting)
def test_what_is_refused_is_not_counted(counting: Counting) -> None:
    counted = counters(counting=counting)
    for _ in range(5):
        counted.take("a", 0.0)
    waits = [counted.take("a", 1.0) for _ in range(50)]
    assert len(set(waits)) == 1


@pytest.mark.parametrize("counting", Counting)
def test_what_is_larger_than_the_limit_passes_alone(counting: Counting) -> None:
    counted = counters(counting=counting)
    assert counted.take("a", 0.0, 12.0) == 0.0
    seconds = counted.take("a", 0.0, 1.0)
    assert seconds > 0
    assert counted.take("a", seconds, 1.0) == 0.0
    assert counted.take("b", 0.0, 1.0) == 0.0
    seconds = counted.take("b", 0.0, 12.0)
    assert counted.take("b", seconds, 12.0) == 0.0


@pytest.mark.parametrize("counting", Counting)
def test_asking_counts_nothing(counting: Counting) -> None:
    counted = counters(count=1, counting=counting)
    assert [counted.wait("a", 0.0) for _ in range(3)] == [0.0] * 3
    counted.take("a", 0.0)
    assert counted.wait("a", 0.0) == pytest.approx(60.0)
    assert counted.wait("a", 60.0) == 0.0


def test_what_has_happened_is_counted_beyond_the_limit_but_not_without_end() -> None:
    counted = counters()
    for _ in range(4):
        counted.add("a", 0.0)
    assert counted.wait("a", 0.0) == 0.0
    counted.add("a", 0.0)
    assert counted.wait("a", 0.0) == pytest.approx(12.0)
    for _ in range(1000):
        counted.add("a", 0.0)
    assert counted.wait("a", 0.0) == pytest.approx(72.0)


@pytest.mark.parametrize("counting", Counting)
def test_a_clock_that_steps_back_is_no_time_passed(counting: Counting) -> None:
    limit = Limit(count=2, period=10.0, counting=counting)
    tally = Tally(2.0, 1000.0)
    assert current(limit, tally, 10.0) == Tally(2.0, 10.0)
    counted = counters(count=2, period=10.0, counting=counting)
    counted.take("a", 1000.0, 2.0)
    assert 0 < counted.take("a", 0.0) <= 10.0
    assert counted.take("a", 10.0) == 0.0


@pytest.mark.parametrize("counting", Counting)
def test_who_only_asks_is_not_kept_waiting_until_the_clock_has_caught_up(counting: Counting) -> None:
    counted = counters(count=2, period=10.0, counting=counting)
    counted.add("a", 1000.0, 2.0)
    assert 0 < counted.wait("a", 0.0) <= 10.0
    assert counted.wait("a", 10.0) == 0.0


def test_keys_are_bounded_and_the_longest_unheard_of_goes_first() -> None:
    counted = counters(count=1, keys=3)
    for key in "abc":
        assert counted.take(key, 0.0) == 0.0
    assert counted.wait("a", 0.0) > 0  # heard of again
    assert counted.take("d", 0.0) == 0.0
    assert len(counted) == 3
    assert counted.wait("b", 0.0) == 0.0
    assert counted.wait("a", 0.0) > 0


def test_what_has_run_empty_makes_room_before_it_is_needed() -> None:
    counted = counters(keys=1000)
    for number in range(100):
        counted.take(str(number), 0.0)
    for number in range(60):
        counted.take(f"later {number}", 1000.0)
    assert len(counted) == 60


@pytest.mark.parametrize(("count", "period"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -1.0)])
def test_a_limit_without_sense_is_refused(count: float, period: float) -> None:
    with pytest.raises(ValueError):
        Limit(count=count, period=period)


LIMITS = st.builds(
    Limit,
    count=st.integers(1, 50),
    period=st.floats(0.1, 100_000.0),
    counting=st.sampled_from(Counting),
)
STEPS = st.lists(st.tuples(st.floats(0.0, 5_000.0), st.floats(0.01, 100.0)), min_size=1, max_size=60)


@given(LIMITS, STEPS)
def test_whoever_waits_as_told_gets_in(limit: Limit, steps: list[tuple[float, float]]) -> None:
    counted, now = Counters(limit, 10), 0.0
    for pause, weight in steps:
        now += pause
        seconds = counted.take("a", now, weight)
        assert 0.0 <= seconds < math.inf
        if seconds:
            now += seconds
            assert counted.take("a", now, weight) == 0.0


@given(LIMITS, st.lists(st.floats(0.0, 5_000.0), min_size=1, max_size=100))
def test_no_stretch_of_time_lets_more_in_than_it_may(limit: Limit, pauses: list[float]) -> None:
    """Of unit weights: a bucket's worth and what leaks meanwhile; with windows, one for each that is touched."""
    counted, now, admitted = Counters(limit, 10), 0.0, []
    for pause in pauses:
        now += pause
        if counted.take("a", now) == 0.0:
            admitted.append(now)
    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            length = admitted[last] - start
            if limit.counting is LEAKY:
                allowed = limit.count * (1 + length / limit.period)
            else:
                allowed = limit.count * (2 + length // limit.period)
            assert last - first + 1 <= allowed + 1e-6 * (1 + limit.pace * len(pauses))


@given(LIMITS, st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0.0, 100.0)), max_size=80), st.integers(1, 5))
def test_memory_is_bounded_and_quiet_keys_are_forgotten(
    limit: Limit, steps: list[tuple[str, float]], keys: int
) -> None:
    counted, now = Counters(limit, keys), 0.0
    for key, pause in steps:
        now += pause
        counted.take(key, now)
        assert len(counted) <= keys
    assert current(limit, Tally(float(limit.count), now), now + limit.period * 1.001).level == 0.0


@given(LIMITS, st.floats(0.0, 200.0), st.floats(0.01, 200.0))
def test_a_wait_is_never_longer_than_what_is_counted_takes_to_leak(limit: Limit, level: float, weight: float) -> None:
    seconds = wait(limit, Tally(level, 0.0), 0.0, weight)
    assert seconds <= max(limit.period, level * limit.period / limit.count) * (1 + 1e-9)
