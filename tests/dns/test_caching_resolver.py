"""The cache keeps answers for their TTL, shares questions on their way, and bounds time, number and memory."""

import sys
from typing import Any

from clocks import put_back
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.dns import CachingResolver, DeadlineResolver, consult
from relaygw.dns.cache import FAILURE_TTL, MAX_NEGATIVE_TTL, MAX_TTL
from relaygw.interfaces import IResolver

QUESTION = Question("example.org", "TXT")


def found(ttl: int = 60, *records: bytes) -> Answer:
    return Answer(status=AnswerStatus.FOUND, records=records or (b"text",), ttl=ttl)


@implementer(IResolver)
class Slow:
    """Every question waits until the test answers it."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.open: list[Deferred[Answer]] = []
        self.cancelled = 0

    def ask(self, question: Question) -> Deferred[Answer]:
        self.asked.append(question)
        waiting: Deferred[Answer] = Deferred(self._cancelled)
        self.open.append(waiting)
        return waiting

    def _cancelled(self, _: object) -> None:
        self.cancelled += 1

    def answer(self, answer: Answer) -> None:
        self.open.pop(0).callback(answer)


class CacheTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = Slow()
        self.resolver = self.make()

    def make(self, **limits: Any) -> CachingResolver:
        return CachingResolver(self.inner, self.clock, **limits)

    def get(self, answer: Answer, question: Question = QUESTION) -> None:
        """Have one answer cached."""
        waiting = self.resolver.ask(question)
        self.inner.answer(answer)
        assert self.successResultOf(waiting) == answer

    def is_cached(self, question: Question = QUESTION) -> bool:
        before = len(self.inner.asked)
        waiting = self.resolver.ask(question)
        if len(self.inner.asked) == before:
            self.successResultOf(waiting)
            return True
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.inner.open.pop()
        return False

    def test_what_is_known_is_told_at_once_and_nothing_is_asked_for_it(self) -> None:
        assert self.resolver.known(QUESTION) is None
        assert not self.resolver.is_asked(QUESTION)
        assert self.inner.asked == []
        waiting = self.resolver.ask(QUESTION)
        assert self.resolver.is_asked(Question("EXAMPLE.org.", "TXT"))
        assert self.resolver.known(QUESTION) is None
        self.inner.answer(found(60))
        self.successResultOf(waiting)
        assert self.resolver.known(Question("EXAMPLE.org.", "TXT")) == found(60)
        assert not self.resolver.is_asked(QUESTION)
        self.clock.advance(60)
        assert self.resolver.known(QUESTION) is None

    def test_an_answer_is_kept_for_its_ttl_and_no_longer(self) -> None:
        self.get(found(60))
        self.clock.advance(59.9)
        assert self.is_cached()
        self.clock.advance(0.1)
        assert not self.is_cached()

    def test_of_what_was_kept_nothing_is_told_when_the_clock_was_put_back(self) -> None:
        """A failure of the moment in which a machine starts would hold until its clock has caught up."""
        self.clock.advance(1_700_000_000.3)
        self.get(Answer(status=AnswerStatus.FAILED, reason="no network yet"))
        self.get(found(60), Question("example.net", "TXT"))
        assert self.is_cached()
        put_back(self.clock, 3600)
        assert not self.is_cached()
        assert not self.is_cached(Question("example.net", "TXT"))

    def test_the_ttl_of_a_cached_answer_counts_down(self) -> None:
        self.get(found(60))
        self.clock.advance(20)
        assert self.successResultOf(self.resolver.ask(QUESTION)).ttl == 40

    def test_case_and_a_final_dot_make_no_other_question(self) -> None:
        self.get(found())
        assert self.is_cached(Question("EXAMPLE.org.", "TXT"))
        assert not self.is_cached(Question("example.org", "MX"))

    def test_ttls_are_capped_and_those_of_failures_are_short(self) -> None:
        for answer, lifetime in (
            (found(10 * MAX_TTL), MAX_TTL),
            (Answer(status=AnswerStatus.NO_NAME, ttl=10 * MAX_TTL), MAX_NEGATIVE_TTL),
            (Answer(status=AnswerStatus.NO_DATA, ttl=30), 30),
            (Answer(status=AnswerStatus.FAILED, reason="SERVFAIL"), FAILURE_TTL),
        ):
            self.resolver = self.make()
            waiting = self.resolver.ask(QUESTION)
            self.inner.answer(answer)
            # Whoever asked first remembers what he makes of it for no longer than the cache remembers the answer.
            assert self.successResultOf(waiting).ttl <= lifetime
            self.clock.advance(lifetime - 1)
            assert self.is_cached(), answer
            self.clock.advance(1)
            assert not self.is_cached(), answer

    def test_a_ttl_of_zero_is_not_kept(self) -> None:
        self.get(found(0))
        assert not self.is_cached()

    def test_the_least_used_answer_goes_first(self) -> None:
        self.resolver = self.make(size=2)
        one, two, three = (Question(name, "A") for name in ("one.test", "two.test", "three.test"))
        self.get(found(), one)
        self.get(found(), two)
        assert self.is_cached(one)
        self.get(found(), three)
        assert (self.is_cached(one), self.is_cached(two), self.is_cached(three)) == (True, False, True)

    def test_large_answers_push_others_out(self) -> None:
        self.resolver = self.make(size=60)
        for number in range(30):
            self.get(found(60, b"x" * 60_000), Question(f"n{number}.test", "TXT"))
        assert self.is_cached(Question("n29.test", "TXT"))
        assert not self.is_cached(Question("n28.test", "TXT"))
        self.get(found(), QUESTION)
        assert self.is_cached()

    def test_many_short_records_weigh_what_they_take(self) -> None:
        """An answer has room for 4,000 of two octets: counted as 8 KB, a cache of 50 MB took a thousand."""
        records = [number.to_bytes(2, "big") for number in range(4000)]
        taken = sum(map(sys.getsizeof, records))
        self.resolver = self.make(size=4 * taken // 1024)
        questions = [Question(f"n{number}.test", "TXT") for number in range(8)]
        for question in questions:
            self.get(found(60, *records), question)
        kept = sum(self.resolver.known(question) is not None for question in questions)
        assert 0 < kept * taken <= 4 * taken

    def test_the_same_question_travels_once(self) -> None:
        waiting = [self.resolver.ask(QUESTION), self.resolver.ask(Question("Example.Org", "TXT"))]
        assert len(self.inner.asked) == 1
        self.inner.answer(found())
        assert [self.successResultOf(each) for each in waiting] == [found(), found()]

    def test_a_question_is_given_up_when_the_last_who_waits_has_gone(self) -> None:
        first, second = self.resolver.ask(QUESTION), self.resolver.ask(QUESTION)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        assert self.inner.cancelled == 0
        second.cancel()
        self.failureResultOf(second, CancelledError)
        assert self.inner.cancelled == 1
        assert self.clock.getDelayedCalls() == []
        self.resolver.ask(QUESTION)
        assert len(self.inner.asked) == 2

    def test_one_who_left_does_not_disturb_the_answer_to_the_others(self) -> None:
        first, second = self.resolver.ask(QUESTION), self.resolver.ask(QUESTION)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.inner.answer(found())
        assert self.successResultOf(second) == found()

    def test_one_who_makes_another_leave_by_what_he_read_keeps_the_answer_from_nobody(self) -> None:
        """As an inquiry does that ends, and gives up the same question it had asked ahead."""
        first, second, third = (self.resolver.ask(QUESTION) for _ in range(3))
        first.addCallback(lambda _: second.cancel())
        self.inner.answer(found())
        self.failureResultOf(second, CancelledError)
        assert (self.successResultOf(first), self.successResultOf(third)) == (None, found())

    def test_every_wait_ends(self) -> None:
        self.resolver = self.make(timeout=5)
        waiting = self.resolver.ask(QUESTION)
        self.clock.advance(4.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        answer = self.successResultOf(waiting)
        assert (answer.status, answer.reason) == (AnswerStatus.FAILED, "no answer within 5 s")
        assert self.inner.cancelled == 1

    def test_only_so_many_questions_travel_at_once(self) -> None:
        self.resolver = self.make(concurrency=2, timeout=5)
        waiting = [self.resolver.ask(Question(f"n{number}.test", "A")) for number in range(3)]
        assert len(self.inner.asked) == 2
        self.inner.answer(found())
        assert len(self.inner.asked) == 3
        self.inner.answer(found())
        self.inner.answer(found())
        assert all(self.successResultOf(each) == found() for each in waiting)

    def test_who_waits_in_line_gives_the_place_back(self) -> None:
        self.resolver = self.make(concurrency=1, timeout=5)
        first = self.resolver.ask(QUESTION)
        second = self.resolver.ask(Question("n.test", "A"))
        self.clock.advance(5)
        assert self.successResultOf(first).status is AnswerStatus.FAILED
        assert self.successResultOf(second).status is AnswerStatus.FAILED
        self.resolver.ask(Question("m.test", "A"))
        assert self.inner.asked[-1] == Question("m.test", "A")

    def test_a_resolver_that_raises_has_failed_for_now(self) -> None:
        waiting = self.resolver.ask(QUESTION)
        self.inner.open.pop(0).errback(ZeroDivisionError("oops"))
        assert self.successResultOf(waiting).reason == "ZeroDivisionError: oops"

    def test_closing_answers_all_who_wait(self) -> None:
        waiting = self.resolver.ask(QUESTION)
        self.resolver.close()
        assert self.successResultOf(waiting).status is AnswerStatus.FAILED
        assert self.clock.getDelayedCalls() == []
        assert not self.is_cached()

    def test_asking_again_from_an_answer_finds_it_in_the_cache(self) -> None:
        again: list[Deferred[Answer]] = []
        waiting = self.resolver.ask(QUESTION)
        waiting.addCallback(lambda _: again.append(self.resolver.ask(QUESTION)))
        self.inner.answer(found())
        assert self.successResultOf(again[0]) == found()
        assert len(self.inner.asked) == 1


class DeadlineTests(SynchronousTestCase):
    """All questions of one inquiry together get so much time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = Slow()
        self.resolver = DeadlineResolver(self.inner, self.clock, 5.0)

    def test_an_answer_in_time_is_the_answer(self) -> None:
        waiting = Deferred.fromCoroutine(self.resolver.ask(QUESTION))
        self.clock.advance(4.9)
        self.inner.answer(found())
        assert self.successResultOf(waiting) == found()
        assert self.clock.getDelayedCalls() == []

    def test_when_time_is_up_the_open_question_and_all_later_ones_fail(self) -> None:
        def inquiry():  # type: ignore[no-untyped-def]
            answers = []
            for _ in range(3):
                answers.append((yield QUESTION).status)
            return answers

        waiting = Deferred.fromCoroutine(consult(inquiry(), self.resolver))
        self.clock.advance(3)
        self.inner.answer(found())
        self.clock.advance(2)
        assert self.successResultOf(waiting) == [AnswerStatus.FOUND, AnswerStatus.FAILED, AnswerStatus.FAILED]
        assert (len(self.inner.asked), self.inner.cancelled) == (2, 1)


class ConsultTests(SynchronousTestCase):
    def test_an_inquiry_is_closed_when_who_asked_has_gone(self) -> None:
        closed: list[bool] = []
        inner = Slow()

        def inquiry():  # type: ignore[no-untyped-def]
            try:
                yield QUESTION
            finally:
                closed.append(True)

        waiting = Deferred.fromCoroutine(consult(inquiry(), inner))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        assert closed == [True]

    def test_an_inquiry_without_a_question_has_its_result_at_once(self) -> None:
        def inquiry():  # type: ignore[no-untyped-def]
            return 7
            yield

        assert self.successResultOf(Deferred.fromCoroutine(consult(inquiry(), Slow()))) == 7
