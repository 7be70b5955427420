"""What is remembered holds as long as the DNS answers it was made from, no longer; and never grows beyond its size."""

import pytest

from relaygw.core.question import Answer, AnswerStatus, Inquiry, Question, settle
from relaygw.core.remembered import Remembered, timed


def asking(*names: str) -> Inquiry[tuple[str, ...]]:
    for name in names:
        yield Question(name, "TXT")
    return names


def answer(question: Question) -> Answer:
    if question.name == "down":
        return Answer(status=AnswerStatus.FAILED, reason="no answer")
    return Answer(status=AnswerStatus.FOUND, records=(b"x",), ttl=int(question.name))


@pytest.mark.parametrize(
    ("names", "lifetime"), [((), 0), (("300",), 300), (("300", "60", "90"), 60), (("300", "down", "60"), 0)]
)
def test_a_result_lives_as_long_as_the_first_of_its_answers(names: tuple[str, ...], lifetime: int) -> None:
    assert settle(timed(asking(*names)), answer) == (names, lifetime)


def test_it_is_recalled_until_its_time_and_not_at_it() -> None:
    memory: Remembered[str, str] = Remembered(10)
    memory.keep("a", "found", 100.0)
    assert memory.recall("a", 99.9) == "found"
    assert memory.recall("a", 100.0) is None
    assert len(memory) == 0


def test_the_least_used_goes_first() -> None:
    memory: Remembered[str, int] = Remembered(2)
    memory.keep("a", 1, 100.0)
    memory.keep("b", 2, 100.0)
    assert memory.recall("a", 0.0) == 1
    memory.keep("c", 3, 100.0)
    assert [memory.recall(key, 0.0) for key in "abc"] == [1, None, 3]
