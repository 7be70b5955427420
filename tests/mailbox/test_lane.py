"""A lane: one job at a time, in order; answers in the reactor thread; cancelling never lets two jobs meet."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from relaygw.mailbox.lane import Lane, Threads


class SlowPool:
    """Jobs wait until `finish`."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[bool, Any], object], Callable[[], Any]]] = []

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, Any], object] | None, func: Callable[..., Any], *args: Any
    ) -> None:
        assert onResult is not None
        self.jobs.append((onResult, func))

    def finish(self) -> None:
        done, function = self.jobs.pop(0)
        try:
            result = function()
        except Exception:
            done(False, Failure())
        else:
            done(True, result)


class Direct:
    def callFromThread(self, function: Callable[..., object], *args: object) -> None:
        function(*args)


class LaneTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.pool = SlowPool()
        self.between = 0
        self.lane = Lane(Threads(Direct(), self.pool), self.count)

    def count(self) -> None:
        self.between += 1

    def test_jobs_run_one_at_a_time_in_order(self) -> None:
        first, second = self.lane.run(lambda: 1), self.lane.run(lambda: 2)
        assert len(self.pool.jobs) == 1
        self.pool.finish()
        assert self.successResultOf(first) == 1
        self.assertNoResult(second)
        self.pool.finish()
        assert self.successResultOf(second) == 2
        assert self.between == 2

    def test_a_failure_is_its_own_jobs(self) -> None:
        first, second = self.lane.run(lambda: 1 // 0), self.lane.run(lambda: 2)
        self.pool.finish()
        self.failureResultOf(first, ZeroDivisionError)
        self.pool.finish()
        assert self.successResultOf(second) == 2

    def test_a_cancelled_job_that_waits_is_never_run(self) -> None:
        ran: list[int] = []
        self.lane.run(lambda: ran.append(1))
        waiting = self.lane.run(lambda: ran.append(2))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.pool.finish()
        assert (ran, self.pool.jobs) == ([1], [])

    def test_a_cancelled_job_that_runs_still_keeps_the_next_one_waiting(self) -> None:
        running, waiting = self.lane.run(lambda: 1), self.lane.run(lambda: 2)
        running.cancel()
        self.failureResultOf(running, CancelledError)
        assert len(self.pool.jobs) == 1
        self.pool.finish()
        assert self.between == 1
        self.pool.finish()
        assert self.successResultOf(waiting) == 2
