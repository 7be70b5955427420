"""Rounds: what joins is done together and soon, and who waits for the reactor to run dry is told when it has."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from relaygw.rounds import MOST, Rounds, at_once


class Reactor:
    """What is called later is called in the next round, and what is said then in the one after it."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def seconds(self) -> float:
        return 1.0

    def callLater(self, delay: float, function: Callable[..., object], *arguments: object) -> Any:
        assert delay == 0
        self.calls.append(partial(function, *arguments))

    def round(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def rounds_of(reactor: Any) -> Rounds:
    """Nothing else is asked of it."""
    return Rounds(reactor)


def test_what_joins_is_done_at_the_end_of_the_round_in_its_order() -> None:
    reactor, done = Reactor(), list[str]()
    rounds = rounds_of(reactor)
    rounds.join(partial(done.append, "one"))
    rounds.join(partial(done.append, "two"))
    assert done == []
    reactor.round()
    assert done == ["one", "two"]
    assert not reactor.calls


@pytest.mark.parametrize(("number", "done_before"), [(MOST - 1, 0), (MOST, MOST), (MOST + 1, MOST)])
def test_only_so_many_wait_for_each_other(number: int, done_before: int) -> None:
    reactor, done = Reactor(), list[int]()
    rounds = rounds_of(reactor)
    for each in range(number):
        rounds.join(partial(done.append, each))
    assert len(done) == done_before
    reactor.round()
    assert done == list(range(number))


def test_what_joins_while_others_are_done_has_a_round_of_its_own() -> None:
    reactor, done = Reactor(), list[str]()
    rounds = rounds_of(reactor)
    rounds.join(lambda: rounds.join(partial(done.append, "later")))
    reactor.round()
    assert done == []
    reactor.round()
    assert done == ["later"]


def test_what_fails_keeps_nobody_else_from_it() -> None:
    reactor, done = Reactor(), list[str]()
    rounds = rounds_of(reactor)

    def fail() -> None:
        raise ZeroDivisionError

    with capturedLogs() as said:
        rounds.join(fail)
        rounds.join(partial(done.append, "after it"))
        reactor.round()
    assert done == ["after it"]
    assert [event["log_format"] for event in said] == ["what was to be done at the end of a round failed"]


def test_the_reactor_has_run_dry_when_nobody_joined_for_a_round() -> None:
    reactor, dry = Reactor(), list[str]()
    rounds = rounds_of(reactor)
    rounds.when_dry(partial(dry.append, "dry"))
    for _ in range(3):
        rounds.join(lambda: None)
        reactor.round()
        assert dry == []
    reactor.round()
    assert dry == ["dry"]
    assert not reactor.calls


def test_who_waits_for_that_alone_waits_for_one_round() -> None:
    reactor, dry = Reactor(), list[str]()
    rounds = rounds_of(reactor)
    rounds.when_dry(partial(dry.append, "dry"))
    reactor.round()
    assert dry == []
    reactor.round()
    assert dry == ["dry"]


def test_a_clock_that_was_put_back_stops_nobody() -> None:
    """By hours, as clocks are that were wrong: the reactor's calls wait until it has caught up."""
    clock, done = Clock(), list[str]()
    clock.advance(10_000)
    rounds = rounds_of(clock)
    rounds.join(partial(done.append, "before"))
    rounds.when_dry(partial(done.append, "dry"))
    clock.rightNow = 100.0
    rounds.join(partial(done.append, "after"))
    rounds.join(partial(done.append, "after it"))
    clock.advance(0)
    assert done == ["before", "after", "after it", "dry"]
    clock.advance(20_000)
    rounds.join(partial(done.append, "again"))
    clock.advance(0)
    assert done[4:] == ["again"]


def test_without_rounds_everything_is_done_at_once() -> None:
    done: list[str] = []
    at_once(partial(done.append, "now"))
    assert done == ["now"]
