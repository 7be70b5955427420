"""Plans records by the routing and the transports in use: what can be attempted now, and where recipients are to go."""

import contextlib
from collections.abc import Callable, Sequence, Set

import attrs
from twisted.internet.interfaces import IReactorTime

from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.detour import route_of
from relaygw.core.header_match import NOTHING
from relaygw.core.lifecycle import Postponed
from relaygw.core.patterns import Patterns, any_of, of_domains
from relaygw.core.record import Record, Route
from relaygw.core.retry import JITTER
from relaygw.core.routing import Routing
from relaygw.core.shaping import Destination
from relaygw.interfaces import IOneDestination, ISources, ITransport
from relaygw.queue.deliveries import Deliveries
from relaygw.queue.plan import Plan, make_plan
from relaygw.queue.work import Active

ANYBODY = Address("postmaster", "localhost")
NOBODY = of_domains(())


class Planner:
    """`routing` is that of the configuration in use; the transports are those of the deliveries."""

    def __init__(
        self, *, routing: Routing, deliveries: Deliveries, clock: IReactorTime, random: Callable[[], float]
    ) -> None:
        self.routing = routing
        self._deliveries = deliveries
        self._clock = clock
        self._random = random

    def plan(self, record: Record, content: Content | None = None, active: Active | None = None) -> Plan:
        """Without the content, a rough one: routes that ask for header fields are passed over."""
        planned = active.planned if active is not None and active.deliveries else frozenset()
        headers = self.routing.headers
        return make_plan(
            record,
            self._clock.seconds(),
            planned,
            self.routing,
            self._deliveries.transports,
            self._deliveries.locators,
            self._deliveries.lanes,
            headers.find(content.head) if headers and content is not None else NOTHING,
        )

    def spread(self, postponed: tuple[Postponed, ...]) -> tuple[Postponed, ...]:
        """A little later, so that not all come back in the same moment."""
        now, random = self._clock.seconds(), self._random()
        return tuple(attrs.evolve(late, until=late.until + (late.until - now) * JITTER * random) for late in postponed)

    def sources(self, names: Set[str]) -> Patterns | None:
        """Patterns of the recipients whose mail goes to destinations of these names; None where that may be any. Those
        that an operator sent another way, and those tried there before, are not among them."""
        found: list[Patterns] = []
        for rule in self.routing.rules:
            transport = self._deliveries.transports.get(rule.route.transport)
            sources = _sources(transport, rule.route, names) if transport is not None else NOBODY
            sources = rule.recipient if sources is None else sources
            if sources is None:
                return None
            found.append(sources)
        return any_of(found)

    def places(self, record: Record) -> Sequence[Destination]:
        """Where the recipients that wait are to go, as far as that is known."""
        found: dict[Destination, None] = {}
        for state in record.waiting:
            detour = state.detour
            route = (
                self.routing.choose(record, state.recipient) if detour is None else route_of(detour, self.routing.named)
            )
            transport = self._deliveries.transports.get(route.transport) if route is not None else None
            if route is not None and transport is not None:
                with contextlib.suppress(Exception):  # a plugin's fault is told when the record is planned
                    found[route.transport, transport.destination(route, state.address)] = None
        return tuple(found)


def _sources(transport: ITransport, route: Route, names: Set[str]) -> Patterns | None:
    """What a transport tells of one route; None where it does not, or its faults do not let it."""
    with contextlib.suppress(Exception):
        if ISources.providedBy(transport):
            return of_domains(ISources(transport).domains_of(names))
        if IOneDestination.providedBy(transport):
            place = transport.destination(route, ANYBODY)
            return NOBODY if names.isdisjoint((place, *place.split(","))) else None
    return None
