"""What is changed at every attempt, before a message is signed: by the rewriters of its route, and by SRS where mail of
others goes on to others. What is stored stays as it came, so that our own reports find the sender without a detour.

A transport is wrapped only where something may be changed. It gets the attempt as changed and knows nothing of it; the
outcomes come back for the recipients as stored.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from zope.interface import directlyProvides, providedBy

from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.envelope import Envelope, path
from relaygw.core.events import Event, Rewritten
from relaygw.core.facts import read_facts
from relaygw.core.outcome import Outcome, deferred
from relaygw.core.permission import Domains
from relaygw.core.record import Origin, RecipientState, Record, Route
from relaygw.core.srs import Refusal, Srs
from relaygw.interfaces import Attempt, ILocator, IPreparer, IRewriter, ITransport

SRS = "srs"
"""The name under which return addresses are journaled."""

STAYS = frozenset({"maildir", "lmtp", "hold", "reject", "discard"})
"""Transports that hand nothing on to strangers: SPF is asked by nobody behind them."""


class OutgoingError(ValueError):
    """A rewriter made something that cannot be sent; the message says what."""


@attrs.frozen(kw_only=True)
class ReturnPolicy:
    """Whose mail gets a return address: of senders outside `ours`, to recipients outside `ours` and `exempt`; of
    clients that `trusts` does not know, or of `everybody`."""

    srs: Srs
    ours: Domains
    exempt: Domains
    trusts: Callable[[str], bool]
    everybody: bool = False

    def concerns(self, record: Record, recipient: Address) -> bool:
        sender = record.envelope.sender
        if sender is None or sender.domain in self.ours or sender.domain == self.srs.domain:
            return False
        if recipient.domain in self.ours or recipient.domain in self.exempt:
            return False
        return record.origin is Origin.RECEIVED and (self.everybody or not (record.login or self.trusts(record.client)))


@attrs.frozen(eq=False)
class Reheaded:
    """A content with another header section, of which no octet is copied."""

    head: bytes
    inner: Content

    @property
    def size(self) -> int:
        return self.inner.size + len(self.head) - len(self.inner.head)

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        if start < len(self.head):
            yield self.head[start:]
        yield from self.inner.chunks(max(start - len(self.head), 0) + len(self.inner.head))


@attrs.frozen(kw_only=True)
class Prepared:
    """A message as it is sent to some of its recipients, by their positions among those that were given. `recipients`
    are as sent; `changes` say what was changed."""

    record: Record
    content: Content
    positions: tuple[int, ...]
    recipients: tuple[RecipientState, ...]
    changes: tuple[Rewritten, ...] = ()


@attrs.frozen(kw_only=True)
class Outgoing:
    """`rewriters` by the names of routes, each with its name in the configuration. `returns` None: no SRS."""

    rewriters: Mapping[str, Sequence[tuple[str, IRewriter]]]
    returns: ReturnPolicy | None = None

    def prepare(
        self, record: Record, states: Sequence[RecipientState], route: Route, content: Content
    ) -> tuple[Prepared, ...]:
        """In as many parts as there are senders. Raises what rewriters raise, and OutgoingError."""
        return tuple(self._part(record, states, places, route, content) for places in self._apart(record, states))

    def _apart(self, record: Record, states: Sequence[RecipientState]) -> list[tuple[int, ...]]:
        """Recipients who get a return address travel apart from those who get the sender's own."""
        concerned = [self.returns is not None and self.returns.concerns(record, state.address) for state in states]
        parts = [tuple(at for at, each in enumerate(concerned) if each is wanted) for wanted in (False, True)]
        return [part for part in parts if part]

    def _part(
        self, record: Record, states: Sequence[RecipientState], places: tuple[int, ...], route: Route, content: Content
    ) -> Prepared:
        before = tuple(states[place].recipient for place in places)
        envelope = attrs.evolve(record.envelope, recipients=before)
        head, changes = content.head, list[Rewritten]()
        for name, rewriter in self.rewriters.get(route.name, ()):
            whole = head if not head or head.endswith(b"\r\n") else head + b"\r\n"
            made, new = rewriter.rewrite(envelope, whole)
            if len(made.recipients) != len(before):
                raise OutgoingError(f"the rewriter {name} adds or removes recipients, which only works on listeners")
            if made != envelope or new != whole:
                envelope, head = made, new
                changes.append(_change(record, name, route, envelope, head))
        if self.returns is not None and self.returns.concerns(record, states[places[0]].address):
            envelope, change = self._returning(record, route, envelope)
            changes += [change] if change is not None else []
        if not changes:
            return Prepared(record=record, content=content, positions=places, recipients=_chosen(states, places))
        sent = tuple(
            attrs.evolve(states[place], recipient=recipient)
            for place, recipient in zip(places, envelope.recipients, strict=True)
        )
        return Prepared(
            record=_with(record, envelope, head, head is not content.head),
            content=Reheaded(head, content) if head is not content.head else content,
            positions=places,
            recipients=sent,
            changes=tuple(changes),
        )

    def _returning(self, record: Record, route: Route, envelope: Envelope) -> tuple[Envelope, Rewritten | None]:
        """The envelope from a return address; the day in it is that of arrival, so that every attempt has the same."""
        sender, returns = envelope.sender, self.returns
        if returns is None or sender is None or sender.domain in returns.ours:
            return envelope, None  # a rewriter has made it ours
        made = returns.srs.forward(sender, record.arrived)
        if isinstance(made, Refusal):
            return envelope, attrs.evolve(_change(record, SRS, route, envelope, b""), reason=made.reason)
        envelope = attrs.evolve(envelope, sender=made)
        return envelope, _change(record, SRS, route, envelope, b"")


def _chosen(states: Sequence[RecipientState], places: tuple[int, ...]) -> tuple[RecipientState, ...]:
    return tuple(states[place] for place in places)


def _change(record: Record, name: str, route: Route, envelope: Envelope, head: bytes) -> Rewritten:
    return Rewritten(
        session=record.session_id,
        queue_id=record.queue_id,
        rewriter=name,
        sender=path(envelope.sender),
        header_from=read_facts(head).header_from if head else "",
        route=route.name,
    )


def _with(record: Record, envelope: Envelope, head: bytes, reheaded: bool) -> Record:
    """The record as the transport sees it: signatures go by the From that is sent."""
    whole = attrs.evolve(envelope, recipients=record.envelope.recipients)
    if not reheaded:
        return attrs.evolve(record, envelope=whole)
    return attrs.evolve(record, envelope=whole, header_from=read_facts(head).header_from)


class OutgoingTransport:
    """A transport behind what is changed on the way to it; it provides whatever the transport does."""

    def __init__(self, inner: ITransport, outgoing: Outgoing, write_event: Callable[[Event], None]) -> None:
        self._inner: Any = inner
        self._write_event = write_event
        self._by_domain = ILocator.providedBy(inner)
        self.outgoing = outgoing
        directlyProvides(self, providedBy(inner) - IPreparer)  # what is sent is not known before the attempt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        """One outcome per recipient, in order. Who has an answer keeps it when something breaks for those after him."""
        found: dict[int, Outcome] = {}
        try:
            for part in self.outgoing.prepare(attempt.record, attempt.recipients, attempt.route, attempt.content):
                for change in part.changes:
                    self._write_event(change)
                for places in self._together(part):
                    await self._carry(attempt, part, places, found)
        except Exception:
            if not found:
                raise
        return tuple(
            found.get(place) or deferred(state.address, "4.3.0", "the attempt ended before it was their turn")
            for place, state in enumerate(attempt.recipients)
        )

    def _together(self, part: Prepared) -> list[tuple[int, ...]]:
        """Places in the part; a transport that goes by the recipient's domain gets one domain at a time."""
        domains: dict[str, list[int]] = {}
        for place, state in enumerate(part.recipients):
            domains.setdefault(state.address.domain if self._by_domain else "", []).append(place)
        return [tuple(places) for places in domains.values()]

    async def _carry(self, attempt: Attempt, part: Prepared, places: Sequence[int], found: dict[int, Outcome]) -> None:
        states = tuple(part.recipients[place] for place in places)
        changed = attrs.evolve(attempt, record=part.record, recipients=states, content=part.content)
        known = {outcome.recipient: outcome for outcome in await self._inner.deliver(changed)}
        for place, state in zip(places, states, strict=True):
            outcome = known.get(state.address)
            if outcome is not None:
                position = part.positions[place]
                found[position] = attrs.evolve(outcome, recipient=attempt.recipients[position].address)
