"""Which records an operator means: one set of conditions for every verb, so that what is listed is what is changed."""

from collections.abc import Iterable

import attrs

from relaygw.core.client import Network, is_in, parse_client
from relaygw.core.patterns import Patterns, compile_patterns
from relaygw.core.record import Origin, Progress, Record


@attrs.frozen(kw_only=True)
class Selection:
    """All given conditions must hold; none given selects every record.

    `logins` and `clients` are those that sent it. `recipient` is about recipients that still wait. Ages are seconds
    since arrival; `reply` is a part of the last reply of a waiting recipient, in any case.
    """

    ids: frozenset[str] = frozenset()
    sender: Patterns | None = None
    recipient: Patterns | None = None
    held: bool | None = None
    quarantined: bool | None = None
    origin: Origin | None = None
    older_than: float | None = None
    younger_than: float | None = None
    min_attempts: int = 0
    reply: str = ""
    logins: frozenset[str] = frozenset()
    clients: tuple[Network, ...] = ()

    def matches(self, record: Record, now: float) -> bool:
        """Whether the record is meant."""
        age = now - record.arrived
        return (
            (not self.ids or record.queue_id in self.ids)
            and (not self.logins or record.login in self.logins)
            and (not self.clients or self._matches_client(record.client))
            and (self.sender is None or self.sender.match(record.envelope.sender) != "")
            and (self.held is None or self.held == bool(record.held))
            and (self.quarantined is None or self.quarantined == record.quarantined)
            and (self.origin is None or self.origin is record.origin)
            and (self.older_than is None or age >= self.older_than)
            and (self.younger_than is None or age < self.younger_than)
            and self._matches_recipient(record)
        )

    def _matches_client(self, client: str) -> bool:
        address = parse_client(client)
        return address is not None and is_in(address, self.clients)

    def _matches_recipient(self, record: Record) -> bool:
        return any(
            (self.recipient is None or self.recipient.match(state.address) != "")
            and state.attempts >= self.min_attempts
            and (
                not self.reply or (state.last is not None and self.reply.casefold() in str(state.last.reply).casefold())
            )
            for state in record.recipients
            if state.progress is Progress.WAITING
        )


def patterns(texts: Iterable[str]) -> Patterns | None:
    """Patterns as in a route's match, without "local" and "relay"; None for no text. Raises PatternError."""
    listed = tuple(texts)
    return compile_patterns(listed, {}) if listed else None
