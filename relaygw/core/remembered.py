"""What inquiries came to, kept for as long as the DNS answers that it was made from: the next message from the same
hands costs no evaluation. Time is an argument. The number is bounded, the least used go first.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from relaygw.core.question import AnswerStatus, Inquiry

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Remembered(Generic[K, T]):
    """At most `size` results by what they were made for."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[K, tuple[T, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def recall(self, key: K, now: float) -> T | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        result, until = kept
        if now >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return result

    def keep(self, key: K, result: T, until: float) -> None:
        self._kept[key] = (result, until)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)


def timed(inquiry: Inquiry[T]) -> Inquiry[tuple[T, int]]:
    """The result, and for how many seconds all answers hold; 0 where nothing was asked, or one of them failed."""
    lifetime: int | None = None
    try:
        question = next(inquiry)
        while True:
            answer = yield question
            ttl = 0 if answer.status is AnswerStatus.FAILED else answer.ttl
            lifetime = ttl if lifetime is None else min(lifetime, ttl)
            question = inquiry.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result, lifetime or 0
