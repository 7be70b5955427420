"""What is known of each recipient of one attempt at one next hop: outcomes by position, each written once."""

from collections.abc import Iterable, Sequence

import attrs

from relaygw.core import outcome
from relaygw.core.envelope import Recipient
from relaygw.core.outcome import Outcome, Status
from relaygw.core.reply import Reply
from relaygw.egress.broken import Broken
from relaygw.egress.client import Session

_WANTS_LOGIN = frozenset({530, 534, 535, 538})
"""What a server says that does not think us logged in, or not well enough (RFC 4954 6)."""


@attrs.define(eq=False)
class Ledger:
    """By position, because an address may stand in the list twice."""

    session: Session
    recipients: Sequence[Recipient]
    outcomes: dict[int, Outcome] = attrs.field(factory=dict)

    def open(self) -> list[int]:
        """The recipients of which nothing is known yet."""
        return [number for number in range(len(self.recipients)) if number not in self.outcomes]

    def answered(self, number: int, reply: Reply) -> None:
        """The server's own reply decides. A DSN-aware server that takes a message takes the duty to report over."""
        offered, hop = self.session.offered, self.session.hop
        made = self._made(number, reply, dsn=offered.dsn, final=hop.lmtp)
        if hop.login is not None and reply.code in _WANTS_LOGIN:
            made = attrs.evolve(made, status=Status.DEFERRED)  # our credentials are at fault, not the mail
        self.outcomes[number] = made

    def decided(self, numbers: Iterable[int], reply: Reply, *, uncertain: bool = False) -> None:
        """We decide, without asking this server or because it did not answer."""
        for number in numbers:
            self.outcomes[number] = attrs.evolve(self._made(number, reply), remote=False, uncertain=uncertain)

    def ended(self, failure: Broken, *, uncertain: bool = False) -> None:
        """The conversation is over: what is open follows from its end."""
        if not failure.remote:
            self.decided(self.open(), failure.reply, uncertain=uncertain)
        for number in self.open():
            self.answered(number, failure.reply)

    def all(self) -> tuple[Outcome, ...]:
        """One outcome per recipient, in order."""
        return tuple(self.outcomes[number] for number in range(len(self.recipients)))

    def _made(self, number: int, reply: Reply, *, dsn: bool = False, final: bool = False) -> Outcome:
        session = self.session
        return outcome.from_reply(
            self.recipients[number].address,
            reply,
            host=session.target.host,
            address=session.target.address,
            tls=session.tls_version,
            dsn=dsn,
            final=final,
        )
