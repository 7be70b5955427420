"""What surrounds queue and spool in a simulation: threads and a reactor that do a step when told, a witness of what is
handed in and said to be stored, and next hops that answer when the simulation says so.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

import attrs
from truth import Truth
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from relaygw.core.address import Address
from relaygw.core.outcome import Outcome, deferred, from_reply
from relaygw.core.record import Route
from relaygw.core.reply import Reply
from relaygw.interfaces import Attempt, ISpool, ITransport, Settlement, SpoolError
from relaygw.spool.batcher import Haste


@attrs.define(eq=False)
class Steps:
    """What Batcher does with a thread, step by step. `serve` gets the batches; as there, what is read aside goes before
    what nobody waits for."""

    name: str
    serve: Callable[[list[Any]], None]
    limit: int
    haste: Callable[[Any], Haste] = lambda item: Haste.NOW
    chores: Any = None
    waiting: deque[Any] = attrs.field(factory=deque)

    def start(self) -> None:
        """There is nothing to start."""

    def put(self, item: Any) -> None:
        self.waiting.append(item)

    def step(self, most: int) -> None:
        """One batch."""
        came = [self.waiting.popleft() for _ in range(min(most, self.limit, len(self.waiting)))]
        hastes = [self.haste(item) for item in came]
        aside = [item for item, haste in zip(came, hastes, strict=True) if haste is Haste.ASIDE]
        others = [item for item, haste in zip(came, hastes, strict=True) if haste is not Haste.ASIDE]
        if aside and Haste.NOW not in hastes:
            self.waiting.extendleft(reversed(others))
            self.serve(aside)
        elif came:
            self.serve(others + aside)

    def tidy(self) -> None:
        """One piece of what nobody waits for."""
        if self.chores is not None and self.chores.overdue() is not None:
            self.chores.piece()

    def stop(self) -> None:
        while self.waiting:
            self.step(self.limit)


class Reactor(Clock):
    """A clock, and what the threads said and nobody has heard yet."""

    def __init__(self) -> None:
        super().__init__()
        self.said: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def callFromThread(self, function: Callable[..., object], *arguments: Any) -> None:
        self.said.append((function, arguments))

    def hear(self) -> None:
        while self.said:
            function, arguments = self.said.popleft()
            function(*arguments)


Note = Callable[..., None]


class Witness:
    """The spool as the queue sees it; tells what is handed in and what is said to be stored."""

    def __init__(self, spool: ISpool, note: Note) -> None:
        self._spool = spool
        self._note = note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spool, name)

    async def settle(self, settlement: Settlement) -> None:
        await self._watched([settlement], self._spool.settle(settlement))

    async def settle_all(self, settlements: Sequence[Settlement]) -> None:
        await self._watched(settlements, self._spool.settle_all(settlements))

    async def _watched(self, settlements: Sequence[Settlement], settling: Awaitable[None]) -> None:
        for each in settlements:
            self._note("submitted", each.record, tuple((new.record, new.content) for new in each.added))
        try:
            await settling
        except SpoolError:
            for each in settlements:
                self._note("failed", each.record)
            raise
        for each in settlements:
            self._note("stored", each.record, tuple(new.record.queue_id for new in each.added))


@attrs.define(eq=False)
class Conversation:
    """An attempt that waits for the next hop's answer."""

    attempt: Attempt
    positions: tuple[int, ...]
    answer: Deferred[tuple[Outcome, ...]] = attrs.field(factory=Deferred)


@implementer(ITransport)
class NextHops:
    """All next hops; they answer when the simulation says so. `violations` are attempts that should not have been."""

    def __init__(self, note: Note, truth: Truth) -> None:
        self.open: list[Conversation] = []
        self.violations: list[str] = []
        self._note = note
        self._truth = truth

    def destination(self, route: Route, recipient: Address) -> str:
        return recipient.domain

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        return await self._begin(attempt).answer

    def _begin(self, attempt: Attempt) -> Conversation:
        addresses = [state.address for state in attempt.record.recipients]
        talk = Conversation(attempt, tuple(addresses.index(state.address) for state in attempt.recipients))
        self._check(talk)
        self.open.append(talk)
        return talk

    def _check(self, talk: Conversation) -> None:
        queue_id = talk.attempt.record.queue_id
        story = self._truth.stories.get(queue_id)
        if story is None:
            self.violations.append(f"{queue_id} was never sent, and is attempted")
            return
        story.begun = True
        busy = {at for other in self.open if other.attempt.record.queue_id == queue_id for at in other.positions}
        for position in talk.positions:
            if story.ended(position):
                self.violations.append(f"{queue_id}: recipient {position} is attempted though its end is recorded")
            if position in busy:
                self.violations.append(f"{queue_id}: recipient {position} is attempted twice at once")
        if b"".join(talk.attempt.content.chunks(0)) != story.content:
            self.violations.append(f"{queue_id}: the content that goes out is not what came in")

    def finish(self, talk: Conversation, chance: Random) -> None:
        """Answer, recipient by recipient; sometimes the connection is lost with the answer on its way."""
        self.open.remove(talk)
        lost = chance.random() < 0.1
        outcomes = []
        for position, state in zip(talk.positions, talk.attempt.recipients, strict=True):
            outcome = chance.choice((_taken, _taken, _taken, _busy, _refused))(state.address)
            if outcome.reply.positive:
                self._note("taken", talk.attempt.record.queue_id, position)
            outcomes.append(deferred(state.address, "4.4.2", "the connection was lost") if lost else outcome)
        if not talk.answer.called:
            talk.answer.callback(tuple(outcomes))

    async def stop(self) -> None:
        """Nothing is open but conversations."""


def _taken(recipient: Address) -> Outcome:
    return from_reply(recipient, Reply(250, "2.0.0", "taken"), host="mx.example", address="192.0.2.1")


def _busy(recipient: Address) -> Outcome:
    return from_reply(recipient, Reply(451, "4.3.0", "come back later"), host="mx.example", address="192.0.2.1")


def _refused(recipient: Address) -> Outcome:
    return from_reply(recipient, Reply(550, "5.1.1", "no such user"), host="mx.example", address="192.0.2.1")
