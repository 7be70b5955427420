"""The fake transports pass the suite that real ones pass, and the suite sees each way to break the contract."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred
from zope.interface.exceptions import Invalid

from relaygw.core.address import Address, parse_address
from relaygw.core.outcome import Outcome
from relaygw.core.record import Route
from relaygw.core.reply import Reply
from relaygw.interfaces import Attempt
from relaygw.testing.transport import ManualTransport, ScriptedTransport, check_transport, delivered, in_turn

ROUTE = Route(transport="t")
PEOPLE = tuple(parse_address(text) for text in ("a@example.com", "b@example.com", "c@example.net"))


def check(transport: Any) -> list[Any]:
    """What the suite answered, or the failure it ended with."""
    results: list[Any] = []
    Deferred.fromCoroutine(check_transport(transport, ROUTE, PEOPLE)).addBoth(results.append)
    return results


def test_the_scripted_transport_passes() -> None:
    transport = ScriptedTransport()
    (outcomes,) = check(transport)
    assert [outcome.recipient for outcome in outcomes] == list(PEOPLE)
    assert transport.stopped


def test_the_manual_transport_passes_when_it_is_answered() -> None:
    transport = ManualTransport()
    results = check(transport)
    while transport.pending:
        transport.pending[0].finish()
    assert len(results[0]) == 3


def failing(break_it: Callable[[ScriptedTransport], None]) -> BaseException:
    transport = ScriptedTransport()
    break_it(transport)
    (failure,) = check(transport)
    return failure.value  # type: ignore[no-any-return]  # a Failure of Twisted's


def forgets(transport: ScriptedTransport) -> None:
    async def deliver(attempt: Attempt) -> tuple[Outcome, ...]:
        return (delivered(attempt.recipients[0].address),)

    transport.deliver = deliver  # type: ignore[method-assign]  # on purpose


def lists(transport: ScriptedTransport) -> None:
    async def deliver(attempt: Attempt) -> Any:
        return [delivered(state.address) for state in attempt.recipients]

    transport.deliver = deliver  # type: ignore[method-assign]  # on purpose


def contradicts(transport: ScriptedTransport) -> None:
    def wrong(recipient: Address) -> Outcome:
        return attrs.evolve(delivered(recipient), reply=Reply(550, "5.0.0", "no"))

    transport.answer = in_turn([wrong])


def has_no_destination(transport: ScriptedTransport) -> None:
    transport.destination = lambda route, recipient: ""  # type: ignore[method-assign]  # on purpose


def changes_its_mind(transport: ScriptedTransport) -> None:
    answers = iter(str(number) for number in range(100))
    transport.destination = lambda route, recipient: next(answers)  # type: ignore[method-assign]  # on purpose


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (forgets, "outcomes about"),
        (lists, "not a tuple"),
        (contradicts, "delivered with the reply 550"),
        (has_no_destination, "is empty"),
        (changes_its_mind, "changes"),
    ],
)
def test_the_suite_names_what_is_broken(break_it: Callable[[ScriptedTransport], None], words: str) -> None:
    error = failing(break_it)
    assert isinstance(error, AssertionError)
    assert words in str(error)


def test_the_suite_refuses_what_is_no_transport() -> None:
    (failure,) = check(object())
    assert isinstance(failure.value, Invalid)
