"""A clock that is set back makes no call of the reactor's wait for longer; one that is set forward is told of."""

import time
from collections.abc import Callable
from queue import Queue
from typing import Any

import pytest
from twisted.internet.task import Clock

from relaygw.core.events import ClockChanged, Event
from relaygw.gateway.clock import LEAST, ClockWatch, difference

PATIENCE = 30.0
"""Seconds a thread of ours may take to be heard of, on the busiest machine."""


class Reactor(Clock):
    """Calls from threads wait in line until the test makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.rightNow = 1_000_000.0
        self.line: Queue[Callable[[], Any]] = Queue()

    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.line.put(lambda: function(*arguments))


class World:
    """The system's clock as the test sets it: `off` is how far it is before the one that nobody sets."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.off = 500.0
        self.looks: Queue[float] = Queue()
        self.events: list[Event] = []
        self.moved: list[float] = []
        self.watch = ClockWatch(self.reactor, self.events.append, self.moved.append, self.differ, 0.001)

    def differ(self) -> float:
        self.looks.put(self.off)
        return self.off

    def set(self, seconds: float) -> None:
        self.reactor.rightNow += seconds
        self.off += seconds

    def make_call(self) -> None:
        self.reactor.line.get(timeout=PATIENCE)()

    def wait_for_looks(self) -> None:
        """Return when it has been looked at the clock as it is now, and that was dealt with."""
        while not self.looks.empty():
            self.looks.get()
        for _ in range(3):
            self.looks.get(timeout=PATIENCE)


@pytest.fixture
def world() -> Any:
    world = World()
    world.watch.start()
    yield world
    world.watch.stop()


def test_calls_wait_no_longer_when_the_clock_is_put_back(world: World) -> None:
    called: list[str] = []
    world.reactor.callLater(10, called.append, "soon")
    world.reactor.callLater(300, called.append, "later")
    world.set(-7200)
    world.reactor.callLater(20, called.append, "made since")
    world.make_call()
    world.reactor.advance(10)
    assert called == ["soon"]
    world.reactor.advance(10)
    assert called == ["soon", "made since"]
    world.reactor.advance(279)
    assert len(called) == 2
    world.reactor.advance(1)
    assert called == ["soon", "made since", "later"]
    assert world.events == [ClockChanged(seconds=-7200.0)]
    assert world.moved == [7200.0]


def test_what_was_due_already_is_called_at_once(world: World) -> None:
    called: list[str] = []
    world.reactor.callLater(0, called.append, "now")
    world.set(-3600)
    world.reactor.advance(0.5)
    assert called == []
    world.make_call()
    world.reactor.advance(0)
    assert called == ["now"]


def test_a_clock_put_forward_is_told_and_moves_nothing(world: World) -> None:
    call = world.reactor.callLater(10_000, lambda: None)
    world.set(3600)
    world.make_call()
    assert call.getTime() == 1_010_000.0
    assert world.events == [ClockChanged(seconds=3600.0)]
    assert world.moved == []


def test_each_change_counts_from_the_one_before(world: World) -> None:
    for seconds in (-LEAST, LEAST, -LEAST):
        world.set(seconds)
        world.make_call()
    assert world.events == [ClockChanged(seconds=seconds) for seconds in (-LEAST, LEAST, -LEAST)]


def test_a_clock_drawn_to_the_right_time_slowly_is_no_change(world: World) -> None:
    for _ in range(3):
        world.set(-LEAST + 0.01)
        world.wait_for_looks()
    assert world.reactor.line.empty()


def test_nothing_is_moved_after_the_end(world: World) -> None:
    call = world.reactor.callLater(10, lambda: None)
    world.set(-3600)
    told = world.reactor.line.get(timeout=PATIENCE)
    world.watch.stop()
    told()
    assert (call.getTime(), world.events) == (1_000_010.0, [])


def test_readings_of_two_moments_are_not_compared() -> None:
    """The process was stopped for an hour between them."""
    steady = iter([0.0, 3600.0, 3600.0, 3600.01])
    wall = iter([1000.0, 4600.0])
    assert difference(lambda: next(wall), lambda: next(steady)) == 1000.0


def test_the_difference_is_that_of_the_clocks() -> None:
    assert abs(difference() - (time.time() - time.monotonic())) < LEAST
