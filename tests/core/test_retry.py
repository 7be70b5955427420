"""The retry schedule: waits in turn, the last repeats, jitter only lengthens, moments are never jumped over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.retry import Schedule, next_due

SCHEDULE = Schedule(waits=(60.0, 120.0, 240.0), expire=1000.0, expire_reports=500.0, delay_warnings=(300.0,))


@pytest.mark.parametrize(("attempts", "wait"), [(1, 60.0), (2, 120.0), (3, 240.0), (4, 240.0), (999, 240.0)])
def test_waits_come_in_turn_and_the_last_repeats(attempts: int, wait: float) -> None:
    assert SCHEDULE.wait(attempts, 0.0) == wait


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_jitter_lengthens_by_a_tenth_at_most(attempts: int, random: float) -> None:
    least = SCHEDULE.wait(attempts, 0.0)
    assert least <= SCHEDULE.wait(attempts, random) <= least * 1.1


def test_without_waits_the_expiry_is_the_next_attempt() -> None:
    assert Schedule(waits=(), expire=1000.0, expire_reports=500.0, delay_warnings=()).wait(1, 0.9) == 1000.0


def test_reports_expire_sooner_and_never_later_than_mail() -> None:
    assert SCHEDULE.expiry(10.0, False) == 1010.0
    assert SCHEDULE.expiry(10.0, True) == 510.0
    assert Schedule(waits=(), expire=100.0, expire_reports=500.0, delay_warnings=()).expiry(0.0, True) == 100.0


def test_no_delay_warning_is_never() -> None:
    assert Schedule(waits=(), expire=1.0, expire_reports=1.0, delay_warnings=()).warning(5.0) == float("inf")


def test_the_first_warning_and_then_the_next_that_is_still_to_come() -> None:
    """Whatever the order they are written in; the moment at which one was sent is over."""
    schedule = Schedule(waits=(), expire=1.0, expire_reports=1.0, delay_warnings=(300.0, 100.0, 200.0))
    assert [schedule.warning(10.0, warned) for warned in (None, 109.0, 110.0, 210.0)] == [110.0, 110.0, 210.0, 310.0]
    assert schedule.warning(10.0, 310.0) == float("inf")


def test_the_next_attempt_falls_on_the_first_moment_in_between() -> None:
    assert next_due(100.0, 160.0, 130.0, 140.0) == 130.0
    assert next_due(100.0, 160.0, 100.0, 90.0) == 160.0
    assert next_due(100.0, 160.0, 160.5) == 160.0
