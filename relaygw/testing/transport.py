"""Transports without a network, and the suite that every transport passes.

`ScriptedTransport` answers at once from a script; `ManualTransport` answers when the test says so. `check_transport`
is for the authors of transports: it raises AssertionError with a sentence where one breaks the contract of ITransport.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

import attrs
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from relaygw.bridge import as_deferred
from relaygw.core.address import Address
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.lifecycle import begin
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Route
from relaygw.core.reply import Reply
from relaygw.interfaces import Attempt, ITransport

Answer = Callable[[Attempt, Address], Outcome]
"""What a script says about one recipient of one attempt. It may raise, as a broken transport would."""


def delivered(recipient: Address, text: str = "ok") -> Outcome:
    """The outcome of a next hop that took the message."""
    reply = Reply(250, "2.0.0", text)
    return Outcome(recipient=recipient, status=Status.DELIVERED, reply=reply, remote=True, host="mx.example")


def everything_delivered(attempt: Attempt, recipient: Address) -> Outcome:
    """The script of a next hop that takes all."""
    return delivered(recipient)


def in_turn(outcomes: Iterable[Callable[[Address], Outcome]]) -> Answer:
    """A script that uses these one after the other, whoever is asked about; then everything is delivered."""
    left = iter(outcomes)

    def answer(attempt: Attempt, recipient: Address) -> Outcome:
        return next(left, delivered)(recipient)

    return answer


@implementer(ITransport)
class ScriptedTransport:
    """Every attempt is answered at once, and kept in `attempts`. The destination is the recipient's domain."""

    def __init__(self, answer: Answer = everything_delivered) -> None:
        self.answer = answer
        self.attempts: list[Attempt] = []
        self.stopped = False

    def destination(self, route: Route, recipient: Address) -> str:
        return recipient.domain

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        self.attempts.append(attempt)
        return tuple(self.answer(attempt, state.address) for state in attempt.recipients)

    async def stop(self) -> None:
        self.stopped = True


@attrs.define(eq=False)
class Pending:
    """One attempt of a ManualTransport that waits for its answer. `cancelled`: the queue gave it up."""

    attempt: Attempt
    answer: Deferred[tuple[Outcome, ...]]
    cancelled: bool = False

    def finish(self, outcome: Callable[[Address], Outcome] = delivered) -> None:
        """Answer the same for every recipient."""
        self.answer.callback(tuple(outcome(state.address) for state in self.attempt.recipients))


@implementer(ITransport)
class ManualTransport:
    """Attempts wait in `pending`, in order, until the test finishes them; finished and cancelled ones leave it.

    With `deaf` a cancelled attempt does not end, as in a transport that swallows the cancellation.
    """

    def __init__(self, *, deaf: bool = False) -> None:
        self.pending: list[Pending] = []
        self.started = 0
        self.stopped = False
        self._deaf = deaf

    def destination(self, route: Route, recipient: Address) -> str:
        return recipient.domain

    def deliver(self, attempt: Attempt) -> Awaitable[tuple[Outcome, ...]]:
        return self._deliver(attempt)

    async def _deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        pending = Pending(attempt, Deferred())
        self.started += 1
        self.pending.append(pending)
        try:
            return await pending.answer
        except CancelledError:
            pending.cancelled = True
            if self._deaf:
                return await Deferred()
            raise
        finally:
            self.pending.remove(pending)

    async def stop(self) -> None:
        self.stopped = True


async def check_transport(
    transport: ITransport, route: Route, recipients: Sequence[Address], *, content: bytes = b"Subject: x\r\n\r\nx\r\n"
) -> tuple[Outcome, ...]:
    """Try the transport with the recipients one by one, all together, and one of them twice; then stop it.

    Use recipients whose next hops answer in the test. Returns the outcomes of the attempt with all of them.
    """
    verifyObject(ITransport, transport)
    for recipient in recipients:
        destination = transport.destination(route, recipient)
        assert isinstance(destination, str), f"the destination of {recipient} is not a str"
        assert destination, f"the destination of {recipient} is empty"
        assert destination == transport.destination(route, recipient), f"the destination of {recipient} changes"
        await _check_attempt(transport, route, (recipient,), content)
    outcomes = await _check_attempt(transport, route, tuple(recipients), content)
    await _check_attempt(transport, route, (recipients[0], recipients[0]), content)
    await as_deferred(transport.stop())
    return outcomes


async def _check_attempt(
    transport: ITransport, route: Route, recipients: Sequence[Address], content: bytes
) -> tuple[Outcome, ...]:
    envelope = Envelope(
        sender=Address("sender", "example.org"), recipients=tuple(Recipient(address=a) for a in recipients)
    )
    record = begin(queue_id="0check000000000a", envelope=envelope, now=0.0, size=len(content))
    attempt = Attempt(
        record=record, recipients=record.recipients, route=route, content=BytesContent(content), started=0.0
    )
    outcomes = await as_deferred(transport.deliver(attempt))
    assert isinstance(outcomes, tuple), f"deliver answered {outcomes!r}, not a tuple"
    told = sorted(str(outcome.recipient) for outcome in outcomes)
    assert told == sorted(map(str, recipients)), f"outcomes about {told} for recipients {list(map(str, recipients))}"
    for outcome in outcomes:
        _check_outcome(outcome)
    return outcomes


def _check_outcome(outcome: Outcome) -> None:
    assert isinstance(outcome, Outcome), f"{outcome!r} is not an Outcome"
    wanted = {Status.DELIVERED: "positive", Status.DEFERRED: "temporary", Status.FAILED: "permanent"}[outcome.status]
    assert getattr(outcome.reply, wanted), f"{outcome.status.value} with the reply {outcome.reply}"
