"""One attempt at an ordered list of targets: the next one is tried for whoever has no final answer yet.

Final are delivered, failed by a server that looked at the message or the recipient, and an answer lost after the end
of data (another host now might make a second copy). A server that refuses to talk at all says nothing about the
message: its 5xx counts only when every other target said the same.
"""

from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred

from relaygw.bridge import as_deferred
from relaygw.core import outcome
from relaygw.core.content import Content
from relaygw.core.envelope import Recipient
from relaygw.core.mx import Target
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Record
from relaygw.core.stuffing import BareLineEnd
from relaygw.egress.broken import Broken, Phase
from relaygw.egress.client import Session
from relaygw.egress.failing import FailingHosts
from relaygw.egress.hop import Hop, Manners, TlsMode
from relaygw.egress.keyring import make_keyring
from relaygw.egress.message import Message, in_thread, prepare
from relaygw.egress.opener import Opener
from relaygw.egress.policy import Ruling, make_policies, ruling_of
from relaygw.egress.pool import Pool
from relaygw.egress.racing import Failed
from relaygw.egress.reported import tls_checked, tls_failed
from relaygw.egress.suitability import another_may
from relaygw.egress.transaction import Interrupted, Unstarted, send
from relaygw.interfaces import Attempt, Services

MAX_VISITS = 5
"""Conversations about one message in one attempt."""

MAX_TARGETS = 20
"""Addresses tried in one attempt, those that do not answer included."""

FRESH = 300.0
"""Seconds for which a signature made beforehand is used: its time stands in it, and keys are changed in the end."""


@attrs.frozen(kw_only=True)
class Stop:
    """One target and how to talk to it; smart-hosts may differ in their ports. `domain` is whose host it is by MX, ""
    where the operator named it."""

    target: Target
    hop: Hop
    domain: str = ""


@attrs.define(eq=False)
class _Visit:
    """One host: its stops, whom it is about, how many messages one connection there may take (0: as many as any), and
    those of its addresses that are done with."""

    queue_id: str
    most_messages: int
    stops: Sequence[Stop]
    recipients: Sequence[Recipient]
    done: set[Target] = attrs.field(factory=set)


@attrs.frozen(eq=False)
class Signed:
    """What was signed while it waited in line, and when. None: that failed, and is to be tried again."""

    at: float
    prefix: Deferred[bytes | None]


class Courier:
    """Carries attempts to next hops, over kept sessions where there are any."""

    def __init__(self, services: Services, manners: Manners) -> None:
        self.pool = Pool(services.reactor, manners)
        self.policies = make_policies(services)
        self.failing = FailingHosts(services.reactor)
        self.clock: Any = services.reactor
        self.opener = Opener(services.reactor, manners, make_keyring(services), at_round_end=services.at_round_end)
        self._manners = manners
        self._signer: Any = services.signer
        self._write_event = services.write_event
        self._run = in_thread(services.reactor)

    def prepare(self, record: Record, content: Content) -> Signed | None:
        """Sign it now, for an attempt that comes later."""
        if self._signer is None:
            return None
        prefix: Deferred[bytes | None] = as_deferred(self._signer.sign(record, content))
        # A failure is met again by the attempt. That it was cancelled must reach it: it is the attempt that was.
        _ = prefix.addErrback(lambda failure: failure if failure.check(CancelledError) else None)
        return Signed(self.clock.seconds(), prefix)

    async def _prefix(self, attempt: Attempt) -> bytes:
        """Our signatures."""
        signed = attempt.prepared
        if isinstance(signed, Signed) and self.clock.seconds() - signed.at < FRESH:
            prefix = await signed.prefix
            if prefix is not None:
                return prefix
        signature: bytes = await self._signer.sign(attempt.record, attempt.content)
        return signature

    async def carry(self, attempt: Attempt, stops: Sequence[Stop]) -> tuple[Outcome, ...]:
        """One outcome per recipient of the attempt, in order."""
        recipients = tuple(state.recipient for state in attempt.recipients)
        prefix = await self._prefix(attempt) if self._signer is not None else b""
        try:
            message = await prepare(attempt.record.envelope, prefix, attempt.content, self._run)
        except BareLineEnd as error:
            return tuple(outcome.failed(recipient.address, "5.6.11", str(error)) for recipient in recipients)
        round_ = _Round(recipients)
        await self._visit_all(attempt, round_, message, self._in_order(stops))
        return round_.outcomes()

    async def _visit_all(self, attempt: Attempt, round_: "_Round", message: Message, left: Sequence[Stop]) -> None:
        queue_id, most = attempt.record.queue_id, attempt.messages_per_connection
        visits = tried = 0
        while left and (open_ := round_.open()):
            if visits == MAX_VISITS or tried >= MAX_TARGETS:
                round_.untried = True
                return
            recipients = [round_.recipients[number] for number in open_]
            visit = _Visit(queue_id, most, _together(left)[: MAX_TARGETS - tried], recipients)
            try:
                round_.talked(open_, await self._visit(visit, message, partial(round_.not_talked, open_)))
                visits += 1
            except Broken:
                pass  # each address has been told of by itself
            except Interrupted as interrupted:
                round_.talked(open_, interrupted.outcomes)
                round_.stopped_by(interrupted.cause)
                return
            except Exception as error:
                round_.stopped_by(error)
                return
            done = visit.done or {left[0].target}  # whatever happens, the list gets shorter
            tried += len(done)
            left = [stop for stop in left if stop.target not in done]

    async def _visit(self, visit: _Visit, message: Message, not_talked: Failed) -> tuple[Outcome, ...]:
        """A kept session first. That it died meanwhile is no fault of the message: then a fresh one, once."""
        first = visit.stops[0]
        whereto = first.domain, first.target.host, first.hop
        waived = self.policies.waived(*whereto) if message.waives_tls else None
        ruling = waived or await ruling_of(self.policies, *whereto)
        if message.envelope.requiretls:
            ruling = await self.policies.proven(ruling, first.domain, first.target.host)
        hop = ruling.hop
        if ruling.refusal:
            self._refused(visit, ruling, not_talked)
            raise ruling.refused()
        kept = next(filter(None, (self.pool.take(stop.target, hop) for stop in visit.stops)), None)
        if kept is not None:
            try:
                return await self._send(kept, visit, message)
            except Unstarted:
                visit.done.clear()
        return await self._send(await self._open(visit, ruling, hop, not_talked), visit, message)

    async def _open(self, visit: _Visit, ruling: Ruling, hop: Hop, not_talked: Failed) -> Session:
        def failed(target: Target, failure: Broken) -> None:
            visit.done.add(target)
            if failure.phase is not Phase.AUTH and not failure.ours:  # else the host is well
                self.failing.failed((target.address, hop.port))
            not_talked(target, failure)
            if failure.result:
                self._write_event(tls_failed(visit.queue_id, ruling, target, failure))

        for stop in visit.stops:
            self.failing.probing((stop.target.address, hop.port))
        session = await self.opener.open_any([stop.target for stop in visit.stops], hop, failed)
        self.failing.answered((session.target.address, hop.port))
        if session.target is not visit.stops[0].target:
            self._outrun(visit, session.target, hop.port)
        if hop.tls is not TlsMode.NONE:
            self._write_event(tls_checked(visit.queue_id, ruling, session))
        return session

    def _outrun(self, visit: _Visit, winner: Target, port: int) -> None:
        """What began before the winner did not answer in time: the next message need not wait for it again."""
        for stop in takewhile(lambda stop: stop.target != winner, visit.stops):
            self.failing.failed((stop.target.address, port))

    def _refused(self, visit: _Visit, ruling: Ruling, not_talked: Failed) -> None:
        """No host of ours to talk to, before a word is said."""
        failure = ruling.refused()
        visit.done.update(stop.target for stop in visit.stops)
        not_talked(visit.stops[0].target, failure)
        if failure.result:
            self._write_event(tls_failed(visit.queue_id, ruling, visit.stops[0].target, failure))

    async def _send(self, session: Session, visit: _Visit, message: Message) -> tuple[Outcome, ...]:
        visit.done.add(session.target)
        outcomes = await send(session, message, visit.recipients, self._manners)
        self.pool.give(session, visit.most_messages)
        return outcomes

    def _in_order(self, stops: Sequence[Stop]) -> Sequence[Stop]:
        """As given, but those that did not answer lately last, and of the most preferred those with a kept session
        first."""
        if len(stops) < 2:
            return stops
        best = stops[0].target.preference
        return sorted(
            stops,
            key=lambda stop: (
                self.failing.avoided((stop.target.address, stop.hop.port)),
                stop.target.preference,
                stop.target.preference == best and not self._has_session(stop),
            ),
        )

    def _has_session(self, stop: Stop) -> bool:
        ruling = self.policies.known(stop.domain, stop.target.host, stop.hop)
        return ruling is not None and self.pool.has(stop.target, ruling.hop)


def _together(left: Sequence[Stop]) -> Sequence[Stop]:
    """The next host, with all its addresses that would follow at once."""
    first = left[0]
    wanted = (first.target.host, first.target.preference, first.hop)
    return tuple(takewhile(lambda stop: (stop.target.host, stop.target.preference, stop.hop) == wanted, left))


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
