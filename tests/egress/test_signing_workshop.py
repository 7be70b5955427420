"""Every job is answered: in a thread, when the threads end, and after."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from relaygw.egress.workshop import Workshop


class Reactor:
    """Keeps what threads ask for until the test lets it happen."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def callFromThread(self, function: Callable[..., None], *arguments: Any) -> None:
        self.calls.append((function, arguments))

    def run(self) -> None:
        while self.calls:
            function, arguments = self.calls.pop(0)
            function(*arguments)


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


def numbers(workshop: Workshop, many: int, got: list[bytes]) -> None:
    for number in range(many):
        workshop.do(lambda number=number: b"%d" % number).addCallback(got.append)  # type: ignore[misc]  # its default


@pytest.mark.parametrize("many", [1, 2, 30])
def test_what_waits_when_the_threads_end_is_answered(reactor: Reactor, many: int) -> None:
    """A configuration that was replaced lets its threads go while messages are still being signed."""
    workshop, got = Workshop(reactor, 1), list[bytes]()
    numbers(workshop, many, got)
    workshop.stop()
    reactor.run()
    assert sorted(got) == sorted(b"%d" % number for number in range(many))


def test_who_comes_after_the_stop_is_answered_at_once(reactor: Reactor) -> None:
    workshop, got = Workshop(reactor, 2), list[bytes]()
    workshop.stop()
    workshop.stop()
    numbers(workshop, 3, got)
    assert got == [b"0", b"1", b"2"]


def fail(error: BaseException) -> bytes:
    raise error


@pytest.mark.parametrize(
    ("error", "stopped"),
    [(ValueError("a key"), False), (KeyboardInterrupt("a panic"), False), (ValueError("late"), True)],
)
def test_what_a_job_raises_is_its_answer_and_the_thread_goes_on(
    reactor: Reactor, error: BaseException, stopped: bool
) -> None:
    workshop, failures, got = Workshop(reactor, 1), list[Any](), list[bytes]()
    if stopped:
        workshop.stop()
    failing: Deferred[bytes] = workshop.do(lambda: fail(error))
    failing.addErrback(failures.append)
    numbers(workshop, 1, got)
    workshop.stop()
    reactor.run()
    assert [each.value for each in failures] == [error]
    assert got == [b"0"]


def test_what_was_cancelled_disturbs_nobody(reactor: Reactor) -> None:
    workshop, got = Workshop(reactor, 1), list[bytes]()
    free = threading.Event()
    first = workshop.do(lambda: b"%d" % free.wait(60))
    first.addErrback(lambda failure: None)
    numbers(workshop, 2, got)
    first.cancel()
    free.set()
    workshop.stop()
    reactor.run()
    assert got == [b"0", b"1"]
