"""A time limit for all questions of one inquiry together: once it has passed, every question is answered FAILED.
Somebody may also count the questions that cost something, refuse them, and have them wait for their turn.

So an inquiry that runs out of time ends by its own rules for a failing DNS, with a result and not an exception.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from twisted.internet import defer
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from relaygw.bridge import as_deferred
from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.interfaces import IResolver


@implementer(IResolver)
class DeadlineResolver:
    """Asks `inner` until `seconds` have passed since it was made.

    `spend` is called before each question that `inner` cannot answer for nothing; it says why it must not be asked, or
    "". `in_turn` is given what asks it, and may call that later; waiting takes of the time. Where `inner` does not tell
    what is for nothing, neither is called.
    """

    def __init__(
        self,
        inner: IResolver,
        clock: IReactorTime,
        seconds: float,
        spend: Callable[[], str] | None = None,
        in_turn: Callable[[Callable[[], Awaitable[Answer]]], Awaitable[Answer]] | None = None,
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._seconds = seconds
        self._spend = spend
        self._in_turn = in_turn
        self._known: Callable[[Question], Answer | None] = getattr(inner, "known", _nothing)
        self._is_asked: Callable[[Question], bool] = getattr(inner, "is_asked", _always)
        self._deadline = clock.seconds() + seconds

    def ask(self, question: Question) -> Awaitable[Answer]:
        left = self._deadline - self._clock.seconds()
        if left <= 0:
            return succeed(self._late())
        known = self._known(question)
        if known is not None:  # costs neither a timer nor a coroutine
            return succeed(known)
        if self._spend is None or self._is_asked(question):
            answer: Deferred[Answer] = as_deferred(self._inner.ask(question))
        elif refusal := self._spend():
            return succeed(Answer(status=AnswerStatus.FAILED, reason=refusal))
        elif self._in_turn is None:
            answer = as_deferred(self._inner.ask(question))
        else:
            answer = as_deferred(self._in_turn(partial(self._inner.ask, question)))
        return answer if answer.called else self._wait(answer, left)

    async def _wait(self, answer: Deferred[Answer], left: float) -> Answer:
        try:
            return await answer.addTimeout(left, self._clock)
        except defer.TimeoutError:
            return self._late()

    def _late(self) -> Answer:
        reason = f"no time left: all questions together got {self._seconds:g} s"
        return Answer(status=AnswerStatus.FAILED, reason=reason)


def _nothing(question: Question) -> Answer | None:
    return None


def _always(question: Question) -> bool:
    return True
