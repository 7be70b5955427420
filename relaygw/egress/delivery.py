"""One attempt at an ordered list of targets: the next one is tried for whoever has no final answer yet.

Final are delivered, failed by a server that looked at the message or the recipient, and an answer lost after the end
of data (another host now might make a second copy). A server that refuses to talk at all says nothing about the
message: its 5xx counts only when every other target said the same.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from relaygw.core import outcome
from relaygw.core.envelope import Recipient
from relaygw.core.mx import Target
from relaygw.core.outcome import Outcome, Status
from relaygw.core.stuffing import BareLineEnd
from relaygw.egress.broken import Broken
from relaygw.egress.client import Session
from relaygw.egress.hop import Hop, Manners, TlsMode
from relaygw.egress.message import Message, in_thread, prepare
from relaygw.egress.opener import Opener
from relaygw.egress.pool import Pool
from relaygw.egress.suitability import another_may
from relaygw.egress.transaction import Interrupted, Unstarted, send
from relaygw.interfaces import Attempt, Services

MAX_VISITS = 5
"""Conversations about one message in one attempt."""

MAX_TARGETS = 20
"""Addresses tried in one attempt, those that do not answer included."""


@attrs.frozen(kw_only=True)
class Stop:
    """One target and how to talk to it; smart-hosts may differ in their ports."""

    target: Target
    hop: Hop


def _verified(stop: Stop) -> Stop:
    """RFC 8689 4.2.1: whatever the route is content with, this message wants the host's name proven."""
    return attrs.evolve(stop, hop=attrs.evolve(stop.hop, tls=TlsMode.VERIFY))


class Courier:
    """Carries attempts to next hops, over kept sessions where there are any."""

    def __init__(self, services: Services, manners: Manners) -> None:
        self.pool = Pool(services.reactor, manners)
        self._opener = Opener(services.reactor, manners)
        self._manners = manners
        self._signer: Any = services.signer
        self._run = in_thread(services.reactor)

    async def carry(self, attempt: Attempt, stops: Sequence[Stop]) -> tuple[Outcome, ...]:
        """One outcome per recipient of the attempt, in order."""
        recipients = tuple(state.recipient for state in attempt.recipients)
        prefix = await self._signer.sign(attempt.record, attempt.content) if self._signer is not None else b""
        try:
            message = await prepare(attempt.record.envelope, prefix, attempt.content, self._run)
        except BareLineEnd as error:
            return tuple(outcome.failed(recipient.address, "5.6.11", str(error)) for recipient in recipients)
        if message.envelope.requiretls:
            stops = [_verified(stop) for stop in stops]
        round_ = _Round(recipients)
        await self._visit_all(round_, message, self._in_order(stops))
        return round_.outcomes()

    async def _visit_all(self, round_: "_Round", message: Message, stops: Iterable[Stop]) -> None:
        visits = 0
        for tried, stop in enumerate(stops):
            open_ = round_.open()
            if not open_:
                return
            if visits == MAX_VISITS or tried == MAX_TARGETS:
                round_.untried = True
                return
            try:
                outcomes = await self._visit(stop, message, [round_.recipients[number] for number in open_])
            except Broken as failure:
                round_.not_talked(open_, stop.target, failure)
            except Interrupted as interrupted:
                round_.talked(open_, interrupted.outcomes)
                round_.stopped_by(interrupted.cause)
                return
            except Exception as error:
                round_.stopped_by(error)
                return
            else:
                visits += 1
                round_.talked(open_, outcomes)

    async def _visit(self, stop: Stop, message: Message, recipients: Sequence[Recipient]) -> tuple[Outcome, ...]:
        """A kept session first. That it died meanwhile is no fault of the message: then a fresh one, once."""
        kept = self.pool.take(stop.target, stop.hop)
        if kept is not None:
            try:
                return await self._send(kept, message, recipients)
            except Unstarted:
                pass
        return await self._send(await self._opener.open(stop.target, stop.hop), message, recipients)

    async def _send(self, session: Session, message: Message, recipients: Sequence[Recipient]) -> tuple[Outcome, ...]:
        outcomes = await send(session, message, recipients, self._manners)
        self.pool.give(session)
        return outcomes

    def _in_order(self, stops: Sequence[Stop]) -> Sequence[Stop]:
        """As given, but of the most preferred targets those with a kept session first."""
        if len(stops) < 2:
            return stops
        best = stops[0].target.preference
        return sorted(
            stops,
            key=lambda stop: (
                stop.target.preference,
                stop.target.preference == best and not self.pool.has(stop.target, stop.hop),
            ),
        )


class _Round:
    """What an attempt has come to so far, by position of the recipient."""

    def __init__(self, recipients: tuple[Recipient, ...]) -> None:
        self.recipients = recipients
        self.untried = False
        self._outcomes: list[Outcome | None] = [None] * len(recipients)
        self._final: set[int] = set()

    def open(self) -> list[int]:
        return [number for number in range(len(self.recipients)) if number not in self._final]

    def talked(self, numbers: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        for number, found in zip(numbers, outcomes, strict=True):
            before = self._outcomes[number]
            if another_may(found):  # also one that could not be reached this time
                self._outcomes[number] = before if before is not None and before.status is Status.DEFERRED else found
                continue
            self._outcomes[number] = found
            if found.status is not Status.DEFERRED or found.uncertain:
                self._final.add(number)

    def not_talked(self, numbers: Sequence[int], target: Target, failure: Broken) -> None:
        """No conversation came about. A temporary outcome of before is not replaced by a permanent one."""
        for number in numbers:
            before = self._outcomes[number]
            if before is not None and before.status is Status.DEFERRED and failure.reply.permanent:
                continue
            made = outcome.from_reply(
                self.recipients[number].address, failure.reply, host=target.host, address=target.address
            )
            self._outcomes[number] = attrs.evolve(made, remote=failure.remote)

    def stopped_by(self, error: Exception) -> None:
        """The attempt cannot go on. What is final for anybody is told; where nothing is, the error says it all."""
        self.untried = True
        if not self._final:
            raise error

    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(self._outcome(number) for number in range(len(self.recipients)))

    def _outcome(self, number: int) -> Outcome:
        found = self._outcomes[number]
        if found is None:
            return outcome.deferred(self.recipients[number].address, "4.4.4", "no host was tried")
        if number not in self._final and self.untried and found.status is Status.FAILED:
            return attrs.evolve(found, status=Status.DEFERRED)
        return found
