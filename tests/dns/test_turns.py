"""Turns: so many at one time, in the order in which they came, however many of them are done at once."""

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from relaygw.bridge import as_deferred
from relaygw.dns.turns import Turns


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turns = Turns(2)
        self.begun: list[str] = []
        self.open: dict[str, Deferred[str]] = {}

    def run_slowly(self, name: str) -> Deferred[str]:
        def act() -> Deferred[str]:
            self.begun.append(name)
            self.open[name] = Deferred()
            return self.open[name]

        return as_deferred(self.turns.run(act))

    def test_so_many_at_one_time_and_the_others_in_their_order(self) -> None:
        done = [self.run_slowly(name) for name in "abcd"]
        assert self.begun == ["a", "b"]
        self.open["b"].callback("well")
        assert self.begun == ["a", "b", "c"]
        assert self.successResultOf(done[1]) == "well"
        self.open["a"].errback(ZeroDivisionError())
        self.failureResultOf(done[0], ZeroDivisionError)  # type: ignore[no-untyped-call]  # trial has no types here
        assert self.begun == ["a", "b", "c", "d"]
        assert not self.turns.idle
        self.open["c"].callback("")
        self.open["d"].callback("")
        assert self.turns.idle

    def test_who_is_cancelled_while_he_waits_is_never_called(self) -> None:
        done = [self.run_slowly(name) for name in "abcd"]
        done[2].cancel()
        self.failureResultOf(done[2], CancelledError)  # type: ignore[no-untyped-call]  # trial has no types here
        done[0].cancel()
        self.failureResultOf(done[0], CancelledError)  # type: ignore[no-untyped-call]  # trial has no types here
        assert self.begun == ["a", "b", "d"]

    def test_a_long_line_of_what_is_done_at_once_is_no_deep_stack(self) -> None:
        first, second = self.run_slowly("a"), self.run_slowly("b")
        line = [as_deferred(self.turns.run(lambda number=number: succeed(number))) for number in range(3000)]  # type: ignore[misc]
        self.open["a"].callback("")
        assert [self.successResultOf(each) for each in line] == list(range(3000))
        self.open["b"].callback("")
        assert self.successResultOf(first) == self.successResultOf(second) == ""
        assert self.turns.idle
