"""A resolver that remembers every question with its answer and the time it took: for reports to people.

One question asked several times is written down as often; what `inner` has in its cache shows as no time.
"""

from collections.abc import Callable

import attrs
from zope.interface import implementer

from relaygw.core.question import Answer, Question
from relaygw.interfaces import IResolver


@attrs.frozen(kw_only=True)
class Asked:
    """`milliseconds` from the question to its answer."""

    question: Question
    answer: Answer
    milliseconds: float


@implementer(IResolver)
class RecordingResolver:
    """Asks `inner`; `seconds` is a clock; `told` is called after each answer."""

    def __init__(
        self, inner: IResolver, seconds: Callable[[], float], told: Callable[[Asked], None] = lambda asked: None
    ) -> None:
        self._inner = inner
        self._seconds = seconds
        self._told = told
        self.asked: list[Asked] = []

    async def ask(self, question: Question) -> Answer:
        began = self._seconds()
        answer = await self._inner.ask(question)
        asked = Asked(question=question, answer=answer, milliseconds=(self._seconds() - began) * 1000)
        self.asked.append(asked)
        self._told(asked)
        return answer
