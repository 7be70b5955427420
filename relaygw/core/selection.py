"""Which records an operator means: one set of conditions for every verb, so that what is listed is what is changed.

Some conditions are about the message, others about its recipients that wait: who is removed, returned, retried or
rerouted is then only those.
"""

from collections.abc import Callable, Collection, Iterable

import attrs

from relaygw.core.client import Network, is_in, parse_client
from relaygw.core.patterns import Patterns, compile_patterns
from relaygw.core.record import Origin, Progress, RecipientState, Record

Places = Callable[[Record, RecipientState], Collection[str]]
"""The names under which a recipient's destination is known: its own and those of its hosts."""


def nowhere(record: Record, state: RecipientState) -> Collection[str]:
    """Where nobody knows the destinations."""
    return ()


@attrs.frozen(kw_only=True)
class Selection:
    """All given conditions must hold; none given selects every record.

    `logins`, `clients` and `listeners` are those that sent it; `findings` what filters found ("dmarc=fail");
    `held_for` is a part of the reason it is held. `recipient`, `min_attempts`, `reply` (a part of the last reply, in
    any case) and `destinations` (by `places`) are about recipients that still wait. Ages are seconds since arrival.
    `sources`, where they are known, match all recipients that go to the destinations, but for those that an operator
    sent another way, and those that were tried there before.
    """

    ids: frozenset[str] = frozenset()
    sender: Patterns | None = None
    recipient: Patterns | None = None
    held: bool | None = None
    held_for: str = ""
    quarantined: bool | None = None
    origin: Origin | None = None
    older_than: float | None = None
    younger_than: float | None = None
    min_attempts: int = 0
    reply: str = ""
    logins: frozenset[str] = frozenset()
    clients: tuple[Network, ...] = ()
    listeners: frozenset[str] = frozenset()
    message_id: str = ""
    header_from: Patterns | None = None
    findings: frozenset[str] = frozenset()
    larger_than: int = 0
    smaller_than: int = 0
    destinations: frozenset[str] = frozenset()
    places: Places = nowhere
    sources: Patterns | None = None

    @property
    def chooses_recipients(self) -> bool:
        """Whether it may mean some recipients of a message and not others."""
        return self.recipient is not None or bool(self.min_attempts or self.reply or self.destinations)

    def matches(self, record: Record, now: float) -> bool:
        """Whether the record is meant."""
        age = now - record.arrived
        return (
            (not self.ids or record.queue_id in self.ids)
            and (not self.logins or record.login in self.logins)
            and (not self.clients or self._matches_client(record.client))
            and (not self.listeners or record.listener in self.listeners)
            and (self.sender is None or self.sender.match(record.envelope.sender) != "")
            and (self.header_from is None or self.header_from.match_domain(record.header_from) != "")
            and (not self.message_id or record.message_id == self.message_id)
            and (not self.findings or not self.findings.isdisjoint(record.findings))
            and (self.held is None or self.held == bool(record.held))
            and (not self.held_for or self.held_for.casefold() in record.held.casefold())
            and (self.quarantined is None or self.quarantined == record.quarantined)
            and (self.origin is None or self.origin is record.origin)
            and (self.older_than is None or age >= self.older_than)
            and (self.younger_than is None or age < self.younger_than)
            and (not self.larger_than or record.size > self.larger_than)
            and (not self.smaller_than or record.size < self.smaller_than)
            and any(self.reaches(record, state) for state in record.recipients)
        )

    def _matches_client(self, client: str) -> bool:
        address = parse_client(client)
        return address is not None and is_in(address, self.clients)

    def reaches(self, record: Record, state: RecipientState) -> bool:
        """Whether this recipient of a record that is meant is meant himself."""
        return (
            state.progress is Progress.WAITING
            and (self.recipient is None or self.recipient.match(state.address) != "")
            and state.attempts >= self.min_attempts
            and (not self.reply or _has(state, self.reply))
            and (not self.destinations or not self.destinations.isdisjoint(self.places(record, state)))
        )


def _has(state: RecipientState, text: str) -> bool:
    return state.last is not None and text.casefold() in str(state.last.reply).casefold()


def patterns(texts: Iterable[str]) -> Patterns | None:
    """Patterns as in a route's match, without "local" and "relay"; None for no text. Raises PatternError."""
    listed = tuple(texts)
    return compile_patterns(listed, {}) if listed else None
