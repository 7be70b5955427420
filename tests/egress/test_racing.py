"""Connecting to several addresses of one host, staggered (RFC 8305), and remembering those that do not answer."""

from typing import Any

from egress_support import pending
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relaygw.core.mx import Target
from relaygw.egress.broken import Broken, Phase, broken
from relaygw.egress.failing import FIRST, LONGEST, MAX_KNOWN, FailingHosts
from relaygw.egress.racing import STAGGER, race

SIX, FOUR, THIRD = (Target(host="h", address=each) for each in ("2001:db8::1", "192.0.2.1", "192.0.2.2"))
REFUSED = broken(Phase.CONNECT, "4.4.1", "refused")


class Connection:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class RacingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.begun: dict[Target, Deferred[Any]] = {}
        self.cancelled: list[Target] = []
        self.failures: list[Target] = []

    def race(self, *targets: Target) -> Deferred[Any]:
        def begin(target: Target) -> Deferred[Any]:
            self.begun[target] = Deferred(lambda _: self.cancelled.append(target))
            return self.begun[target]

        return race(self.clock, targets, begin, lambda target, failure: self.failures.append(target))

    def test_the_second_begins_after_a_moment_and_the_first_to_answer_wins(self) -> None:
        won = self.race(SIX, FOUR, THIRD)
        assert list(self.begun) == [SIX]
        self.clock.advance(STAGGER)
        assert list(self.begun) == [SIX, FOUR]
        connection = Connection()
        self.begun[FOUR].callback(connection)
        assert self.successResultOf(won) == (FOUR, connection)
        assert self.cancelled == [SIX]
        assert self.failures == []
        assert self.clock.getDelayedCalls() == []

    def test_a_refusal_begins_the_next_at_once(self) -> None:
        won = self.race(SIX, FOUR)
        self.begun[SIX].errback(REFUSED)
        assert list(self.begun) == [SIX, FOUR]
        assert self.failures == [SIX]
        self.begun[FOUR].callback(Connection())
        assert self.successResultOf(won)[0] is FOUR

    def test_all_refused_is_the_last_ones_reason(self) -> None:
        won = self.race(SIX, FOUR)
        self.begun[SIX].errback(REFUSED)
        assert pending(won)
        self.begun[FOUR].errback(REFUSED)
        assert self.failureResultOf(won, Broken).value is REFUSED
        assert self.failures == [SIX, FOUR]

    def test_one_still_on_its_way_is_waited_for(self) -> None:
        won = self.race(SIX, FOUR)
        self.clock.advance(STAGGER)
        self.begun[FOUR].errback(REFUSED)
        assert pending(won)
        self.begun[SIX].callback(Connection())
        assert self.successResultOf(won)[0] is SIX

    def test_cancelling_gives_all_of_them_up(self) -> None:
        won = self.race(SIX, FOUR, THIRD)
        self.clock.advance(STAGGER)
        won.cancel()
        self.failureResultOf(won, CancelledError)
        assert self.cancelled == [SIX, FOUR]
        assert self.failures == []
        assert self.clock.getDelayedCalls() == []


def test_an_address_that_failed_comes_last_until_its_time_is_over() -> None:
    clock = Clock()
    failing = FailingHosts(clock)
    failing.failed(("192.0.2.1", 25))
    assert failing.avoided(("192.0.2.1", 25))
    assert not failing.avoided(("192.0.2.1", 26))
    clock.advance(FIRST)
    assert not failing.avoided(("192.0.2.1", 25))


def test_one_probes_and_the_others_wait_for_it() -> None:
    clock = Clock()
    failing = FailingHosts(clock)
    place = ("192.0.2.1", 25)
    failing.failed(place)
    clock.advance(FIRST)
    failing.probing(place)
    assert failing.avoided(place)
    failing.answered(place)
    assert not failing.avoided(place)


def test_each_further_failure_lasts_twice_as_long_up_to_the_longest() -> None:
    clock = Clock()
    failing = FailingHosts(clock)
    waits = []
    for _ in range(7):
        failing.failed(("192.0.2.1", 25))
        failing.failed(("192.0.2.1", 25))  # of an attempt that began together with the other
        began = clock.seconds()
        while failing.avoided(("192.0.2.1", 25)):
            clock.advance(1)
        waits.append(clock.seconds() - began)
    assert waits == [30, 60, 120, 240, 480, 600, 600]
    assert waits[-1] == LONGEST


def test_a_probe_that_fails_counts_like_any_failure() -> None:
    clock, place = Clock(), ("192.0.2.1", 25)
    failing = FailingHosts(clock)
    failing.failed(place)
    for wait in (60, 120, 240):
        while failing.avoided(place):
            clock.advance(1)
        failing.probing(place)
        clock.advance(5)
        failing.failed(place)
        failing.failed(place)
        clock.advance(wait - 1)
        assert failing.avoided(place)
        clock.advance(1)
        assert not failing.avoided(place)


def test_what_is_known_is_bounded() -> None:
    failing = FailingHosts(Clock())
    for number in range(MAX_KNOWN + 1):
        failing.failed((f"2001:db8::{number:x}", 25))
    assert len(failing._known) == MAX_KNOWN
    assert not failing.avoided(("2001:db8::0", 25))
