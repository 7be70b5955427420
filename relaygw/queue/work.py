"""The queue's objects with a life: a record while it is worked on, and the deliveries made for it."""

from collections.abc import Mapping, Set
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from relaygw.core.content import Content
from relaygw.core.lifecycle import NO_WAITS, Postponed
from relaygw.core.orders import Order, ripe_order
from relaygw.core.outcome import Outcome
from relaygw.core.record import Detour, Record, Route
from relaygw.core.shaping import Destination
from relaygw.interfaces import ITransport


@attrs.define(eq=False)
class Group:
    """Recipients of one record, by position, that travel together."""

    positions: tuple[int, ...]
    route: Route
    destination: Destination
    detour: Detour | None = None


@attrs.define(eq=False)
class Delivery:
    """One attempt: in line while `started` is None, then running until `over`, forgotten when its result is settled.

    `lane` is the destination whose room it takes: what was known of its destination when it got in line. `asked`: it
    was looked whether more can be known. `prepared` is what a transport did for it while it waited."""

    active: "Active"
    group: Group
    lane: Destination
    owner: str
    asked: bool = False
    started: float | None = None
    over: bool = False
    transport: ITransport | None = None
    prepared: tuple[ITransport, object] | None = None
    running: Deferred[Any] | None = None
    timer: IDelayedCall | None = None


@attrs.define(eq=False)
class Result:
    """What a delivery brought back, or what was decided without one (`delivery` None), by position. `waits` are
    seconds until the next attempt where the next hop's answer says so. `reports`: those owed are made."""

    delivery: Delivery | None
    route: Route
    outcomes: tuple[tuple[int, Outcome], ...]
    seconds: float = 0.0
    waits: Mapping[int, float] = NO_WAITS
    postponed: tuple[Postponed, ...] = ()
    reports: bool = False


@attrs.frozen
class Effect:
    """What an order did: the record after it (None: there is no such record, or another process holds it), how many
    recipients it reached, and how many that it means it could not reach yet because they are being attempted."""

    record: Record | None
    reached: int = 0
    busy: int = 0


@attrs.define(eq=False)
class Request:
    """An operator's order for a record in hand."""

    order: Order
    answer: Deferred[Effect]


@attrs.define(eq=False)
class Opening:
    """A claimed record whose content is being read; `destination` is where the line gets longer then. `until`: it is
    only put off until then (0: it is worked on)."""

    destination: Destination | None
    until: float = 0.0
    requests: list[Request] = attrs.Factory(list)


@attrs.define(eq=False)
class Active:
    """A claimed record with its content, and whose it is. `record` is as settled, or being settled; what comes next
    stands in the lists.

    `trouble` says why a settlement is late. `collecting` ends the wait of a report for more of its message.
    """

    record: Record
    content: Content
    owner: str = ""
    deliveries: list[Delivery] = attrs.Factory(list)
    results: list[Result] = attrs.Factory(list)
    requests: list[Request] = attrs.Factory(list)
    settling: bool = False
    trouble: str = ""
    pause: Deferred[None] | None = None
    collecting: IDelayedCall | None = None

    def collect_no_more(self) -> None:
        """Whatever is owed is reported now, or when the record is opened again."""
        collecting, self.collecting = self.collecting, None
        if collecting is not None and collecting.active():
            collecting.cancel()

    @property
    def planned(self) -> Set[int]:
        """The positions in line, attempted, or attempted and not settled."""
        return {position for delivery in self.deliveries for position in delivery.group.positions}

    @property
    def busy(self) -> Set[int]:
        """The positions being attempted, or attempted and not settled."""
        return {
            position
            for delivery in self.deliveries
            if delivery.started is not None
            for position in delivery.group.positions
        }

    @property
    def ripe(self) -> bool:
        """Whether an order waits for an attempt that has ended."""
        return bool(self.record.intents) and ripe_order(self.record, self.busy) is not None

    @property
    def idle(self) -> bool:
        """Nothing runs, waits in line or is left to settle."""
        return not (self.settling or self.deliveries or self.results or self.requests)
