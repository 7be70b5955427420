"""Inquiries cost no waiting where every answer is known, and end in order where one is not."""

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from relaygw.bridge import as_deferred, resolve
from relaygw.core.question import Answer, AnswerStatus, Inquiry, Question
from relaygw.dns import consult_now, known
from relaygw.interfaces import IResolver

YES = Answer(status=AnswerStatus.FOUND, records=("192.0.2.1",))
NO = Answer(status=AnswerStatus.NO_NAME)


@implementer(IResolver)
class Desk:
    """Answers what was put on it, one after the other."""

    def __init__(self, *answers: Awaitable[Answer]) -> None:
        self.answers = list(answers)

    def ask(self, question: Question) -> Awaitable[Answer]:
        return self.answers.pop(0)


def both(ended: list[str]) -> Inquiry[list[str]]:
    """Two questions; `ended` hears when it is over, however that comes."""
    try:
        first = yield Question("a.test", "A")
        second = yield Question("b.test", "A")
        return [first.status.value, second.status.value]
    finally:
        ended.append("over")


class ConsultingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ended: list[str] = []

    def test_known_answers_give_the_result_itself(self) -> None:
        assert consult_now(both(self.ended), Desk(succeed(YES), succeed(NO))) == ["found", "no name"]
        assert self.ended == ["over"]

    def test_an_answer_that_comes_later_gives_an_awaitable(self) -> None:
        for known_first in (True, False):
            late: Deferred[Answer] = Deferred()
            answers: list[Awaitable[Answer]] = [succeed(YES), late] if known_first else [late, succeed(YES)]
            result = consult_now(both(self.ended), Desk(*answers))
            assert isinstance(result, Awaitable)
            waiting = as_deferred(result)
            self.assertNoResult(waiting)
            late.callback(YES)
            assert self.successResultOf(waiting) == ["found", "found"]

    def test_an_inquiry_that_nobody_waits_for_any_more_is_closed(self) -> None:
        cancelled: list[Any] = []
        result = consult_now(both(self.ended), Desk(Deferred(cancelled.append)))
        assert isinstance(result, Awaitable)
        waiting = as_deferred(result)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        assert (len(cancelled), self.ended) == (1, ["over"])

    def test_a_failure_is_for_who_awaits_it(self) -> None:
        result = consult_now(both(self.ended), Desk(fail(ValueError("a bug"))))
        assert isinstance(result, Awaitable)
        self.failureResultOf(as_deferred(result), ValueError)
        assert self.ended == ["over"]

    def test_what_is_chained_to_something_open_is_not_known(self) -> None:
        inner: Deferred[Answer] = Deferred()
        outer: Deferred[Answer] = succeed(YES)
        chained = outer.addCallback(lambda _: inner)
        assert known(chained) is None
        inner.callback(NO)
        assert known(chained) == NO


FOUR, SIX = Question("h.test", "A"), Question("h.test", "AAAA", (Question("h.test", "A"),))


def host() -> Inquiry[list[AnswerStatus]]:
    """Both families of one host; what the first came to decides whether the second is asked."""
    first = yield SIX
    if first.status is AnswerStatus.NO_NAME:
        return [first.status]
    second = yield FOUR
    return [first.status, second.status]


@implementer(IResolver)
class Slow:
    """Every question waits until it is answered by the test."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.waiting: dict[str, Deferred[Answer]] = {}

    def ask(self, question: Question) -> Deferred[Answer]:
        self.asked.append(question.type)
        self.waiting[question.type] = Deferred(lambda _: self.cancelled.append(question.type))
        return self.waiting[question.type]


class AskingAheadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = Slow()
        self.result = as_deferred(resolve(consult_now(host(), self.resolver)))

    def test_what_is_asked_soon_is_on_its_way_with_the_first_and_asked_once(self) -> None:
        assert self.resolver.asked == ["AAAA", "A"]
        self.resolver.waiting["AAAA"].callback(YES)
        self.assertNoResult(self.result)
        self.resolver.waiting["A"].callback(NO)
        assert self.successResultOf(self.result) == [AnswerStatus.FOUND, AnswerStatus.NO_NAME]
        assert self.resolver.asked == ["AAAA", "A"]

    def test_the_second_may_answer_first(self) -> None:
        self.resolver.waiting["A"].callback(YES)
        self.assertNoResult(self.result)
        self.resolver.waiting["AAAA"].callback(YES)
        assert self.successResultOf(self.result) == [AnswerStatus.FOUND, AnswerStatus.FOUND]
        assert self.resolver.asked == ["AAAA", "A"]

    def test_what_is_not_needed_in_the_end_is_given_up(self) -> None:
        self.resolver.waiting["AAAA"].callback(NO)
        assert self.successResultOf(self.result) == [AnswerStatus.NO_NAME]
        assert self.resolver.cancelled == ["A"]

    def test_both_are_given_up_with_the_inquiry(self) -> None:
        self.result.cancel()
        self.failureResultOf(self.result, CancelledError)
        assert sorted(self.resolver.cancelled) == ["A", "AAAA"]

    def test_a_bug_met_ahead_is_for_who_awaits_the_inquiry(self) -> None:
        self.resolver.waiting["A"].errback(ValueError("a bug"))
        self.assertNoResult(self.result)
        self.resolver.waiting["AAAA"].callback(YES)
        self.failureResultOf(self.result, ValueError)


@implementer(IResolver)
class OneAfterTheOther:
    """A resolver whose `ask` is a coroutine: nothing begins before it is awaited."""

    def __init__(self) -> None:
        self.slow = Slow()

    async def ask(self, question: Question) -> Answer:
        return await self.slow.ask(question)


class AskingACoroutineAheadTests(SynchronousTestCase):
    def test_the_first_question_leaves_first(self) -> None:
        resolver = OneAfterTheOther()
        result = as_deferred(resolve(consult_now(host(), resolver)))
        assert resolver.slow.asked == ["AAAA", "A"]
        resolver.slow.waiting["AAAA"].callback(YES)
        resolver.slow.waiting["A"].callback(YES)
        assert self.successResultOf(result) == [AnswerStatus.FOUND, AnswerStatus.FOUND]
