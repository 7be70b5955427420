"""What the operators' side of the queue asks of a running queue about the records it holds in its own hands, and the
answers where no queue runs.
"""

from collections.abc import Awaitable, Collection, Sequence, Set
from typing import Protocol

from relaygw.core.lane import Standing
from relaygw.core.orders import Order
from relaygw.core.patterns import Patterns
from relaygw.core.record import RecipientState, Record
from relaygw.core.shaping import Destination
from relaygw.queue.work import Effect


class Hands(Protocol):
    """The records a running queue holds in its own hands."""

    def state(self, queue_id: str) -> str:
        """As in Listed, "" for a record it does not hold."""

    def waits_for(self, queue_id: str) -> str:
        """What a record it holds waits for, in a sentence; "" for others."""

    def order(self, queue_id: str, order: Order) -> Awaitable[Effect] | None:
        """Carry it out; None for a record it does not hold."""

    def take(self, queue_id: str) -> bool:
        """Hand over the claim on a record that it holds without working on it; False for others."""

    def probe(self, record: Record) -> None:
        """Attempt it now, also where its destinations rest."""

    def changed(self, due: float) -> None:
        """Something outside its hands is due then now."""

    def throttles(self, record: Record) -> str:
        """What holds back the destinations of a record, in sentences; "" for nothing."""

    def destinations(self) -> Sequence[Standing]:
        """The destinations of which something is known."""

    def places(self, domain: str) -> Sequence[Destination]:
        """Where mail for a domain goes, as far as that is known."""

    def sources(self, names: Set[str]) -> Patterns | None:
        """The recipients whose mail goes to destinations of these names, as in Selection."""

    def names(self, record: Record, state: RecipientState) -> Collection[str]:
        """The names of a recipient's destination: its own, and those of its hosts."""


class NoHands:
    """Where no queue runs."""

    def state(self, queue_id: str) -> str:
        return ""

    def waits_for(self, queue_id: str) -> str:
        return ""

    def order(self, queue_id: str, order: Order) -> Awaitable[Effect] | None:
        return None

    def take(self, queue_id: str) -> bool:
        return False

    def probe(self, record: Record) -> None:
        pass

    def changed(self, due: float) -> None:
        return None

    def throttles(self, record: Record) -> str:
        return ""

    def destinations(self) -> Sequence[Standing]:
        return ()

    def places(self, domain: str) -> Sequence[Destination]:
        return ()

    def sources(self, names: Set[str]) -> Patterns | None:
        return None

    def names(self, record: Record, state: RecipientState) -> Collection[str]:
        return ()
