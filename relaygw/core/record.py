"""The record: what the spool keeps of a message beside its content. Frozen; the lifecycle evolves it.

Times are POSIX seconds (float, UTC).
"""

import enum

import attrs

from relaygw.core.address import Address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.outcome import Outcome


class Progress(enum.Enum):
    """Where one recipient stands. All but WAITING are final."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    REPORTED = "reported"  # failed or expired, and the sender was told (or must not be)
    REMOVED = "removed"  # by an operator
    EXPANDED = "expanded"  # a list or alias: others stand in its place (RFC 3461 5.2.7)


@attrs.frozen(kw_only=True)
class Detour:
    """Where an operator sends a recipient instead of where the routing table would: the route of this name, or these
    hosts (relaygw.core.detour)."""

    route: str = ""
    hosts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"route {self.route}" if self.route else ", ".join(self.hosts)


@attrs.frozen(kw_only=True)
class RecipientState:
    """`due` is when the next attempt may start; `last` the latest outcome; `warned` when a delay DSN was sent last;
    `tried` when the last attempt ended.

    `owed`: the sender is to be told where it stands, in a report with others of the message that is not made yet.
    `detour`: an operator sent it another way than the routing table would.
    """

    recipient: Recipient
    progress: Progress = Progress.WAITING
    attempts: int = 0
    due: float = 0.0
    last: Outcome | None = None
    warned: float | None = None
    owed: bool = False
    detour: Detour | None = None
    tried: float | None = None

    @property
    def address(self) -> Address:
        return self.recipient.address


@attrs.frozen(kw_only=True)
class Intent:
    """What an operator ordered for recipients, by position, who were being attempted then: to be carried out when that
    has ended without delivery. The words are those of an order (relaygw.core.orders)."""

    verb: str
    positions: tuple[int, ...]
    reason: str = ""
    keep: bool = False
    to: Detour | None = None

    def __str__(self) -> str:
        if self.verb == "reroute":
            return f"reroute to {self.to}" if self.to is not None else "reroute back"
        return self.verb


class Origin(enum.Enum):
    """How a message came into the spool."""

    RECEIVED = "received"
    REPORT = "report"  # a DSN of ours
    LOCAL = "local"  # injected by an operator or a plugin


@attrs.frozen(kw_only=True)
class Record:
    """`queue_id` names the message in the journal for its whole life; `session_id` the session that brought it.

    `envelope.recipients` is as received; `recipients` holds each one's state, in the same order.
    `held` is the reason nothing is attempted, "" when free. `message_id` is the Message-ID field's value or "".
    `header_from` is the domain of the From field in lower case, or "" (DKIM signing is chosen by it).
    `size` counts all octets of the content, our fields on top included. `findings` is what filters found out about the
    sender when it came, each as "dmarc=fail". `released`: somebody released it, and no rule holds it again. `intents`
    are in the order in which they were ordered.
    """

    queue_id: str
    envelope: Envelope
    arrived: float
    recipients: tuple[RecipientState, ...]
    size: int = 0
    session_id: str = ""
    client: str = ""
    hello: str = ""
    listener: str = ""
    login: str = ""
    message_id: str = ""
    header_from: str = ""
    origin: Origin = Origin.RECEIVED
    held: str = ""
    quarantined: bool = False
    findings: tuple[str, ...] = ()
    released: bool = False
    intents: tuple[Intent, ...] = ()

    @property
    def waiting(self) -> tuple[RecipientState, ...]:
        return tuple(state for state in self.recipients if state.progress is Progress.WAITING)

    @property
    def finished(self) -> bool:
        for state in self.recipients:  # noqa: SIM110 - asked of every message several times, and a generator costs more
            if state.progress is Progress.WAITING or state.owed:
                return False
        return True

    @property
    def owing(self) -> bool:
        """Whether a report is to be made that is not made yet."""
        return any(state.owed for state in self.recipients)

    @property
    def due(self) -> float:
        """The earliest time any recipient, or a report, is due; infinity when held or finished. What was ordered for
        somebody is due from the beginning: where nobody works on the record, it only has to be carried out."""
        if self.intents and self._meant:
            return self.arrived
        if self.held:
            return float("inf")
        moments = [state.due for state in self.recipients if state.progress is Progress.WAITING or state.owed]
        return min(moments) if moments else float("inf")

    @property
    def _meant(self) -> bool:
        """Whether somebody waits of those for whom something was ordered."""
        meant = {position for each in self.intents for position in each.positions}
        return any(at in meant and state.progress is Progress.WAITING for at, state in enumerate(self.recipients))


@attrs.frozen(kw_only=True, cache_hash=True)
class Route:
    """`transport` names a configured transport; `parameters` are its own, as the configuration gave them, sorted
    by name (hashable: recipients with equal routes travel together). `name` is the rule that chose it."""

    transport: str
    parameters: tuple[tuple[str, object], ...] = ()
    name: str = ""
