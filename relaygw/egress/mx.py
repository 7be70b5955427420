"""The transport that finds the next hop by the recipient's domain (RFC 5321 5.1)."""

import random
from collections.abc import Awaitable, Iterable, Set

from zope.interface import implementer

from relaygw.config.schema import EgressConfig
from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.mx import Found, Locality, Refusal, exchanges_of, targets_for_domain
from relaygw.core.outcome import Outcome
from relaygw.core.providers import PROVIDERS
from relaygw.core.record import Record, Route
from relaygw.core.shaping import compile_providers
from relaygw.dns import consult
from relaygw.egress.delivery import Courier, Stop
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.locality import folder_of, locality, refused
from relaygw.egress.parameters import Reader, families, manners, problems, read_hop
from relaygw.egress.rehearsal import rehearse
from relaygw.egress.sites import Sites
from relaygw.interfaces import (
    Attempt,
    ILocator,
    IPreparer,
    IRehearser,
    IRouteChecker,
    ISources,
    ITransport,
    Options,
    Rehearsal,
    Services,
)


@implementer(ITransport, ILocator, ISources, IPreparer, IRouteChecker, IRehearser)
class MxTransport:
    """Route parameters: those of `read_hop`. It takes no options."""

    def __init__(self, options: Options, services: Services) -> None:
        if options:
            raise ValueError(f"mx takes no options, but found {', '.join(sorted(options))}")
        self._egress: EgressConfig = services.settings.egress
        self._services = services
        self._courier = Courier(services, manners(services.hostname, self._egress))
        self._routes: dict[Route, tuple[Hop, Locality]] = {}
        self._random = random.SystemRandom()
        self._sites = Sites(compile_providers(services.settings.shaping, PROVIDERS), services.reactor.seconds)

    def destination(self, route: Route, recipient: Address) -> str:
        return self._sites.site(recipient.domain)

    def domains_of(self, names: Set[str]) -> Iterable[str]:
        return self._sites.domains_of(names)

    def locate(self, route: Route, recipient: Address) -> Awaitable[None] | None:
        return None if self._sites.fresh(recipient.domain) else self._find_site(recipient.domain)

    async def _find_site(self, domain: str) -> None:
        """The same question begins the search for hosts, so that its answer is in the resolver's cache by then."""
        exchanges = await consult(exchanges_of(domain), self._services.resolver)
        if exchanges is None:
            self._sites.missed(domain)
        else:
            self._sites.learn(domain, exchanges)

    def prepare(self, record: Record, content: Content) -> object:
        return self._courier.prepare(record, content)

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        hop, here = self._known(attempt.route)
        found: Found = await consult(targets_for_domain(_domain(attempt), here), self._services.resolver)
        if isinstance(found, Refusal):
            return refused(attempt, found)
        return await self._courier.carry(
            attempt, [Stop(target=target, hop=hop, domain=_domain(attempt)) for target in found.targets]
        )

    async def rehearse(self, route: Route, recipient: Address, connect: bool) -> Rehearsal:
        hop, here = self._known(route)
        found: Found = await consult(targets_for_domain(recipient.domain, here), self._services.resolver)
        if isinstance(found, Refusal):
            return Rehearsal(refusal=f"{found.enhanced} {found.reason}", permanent=found.permanent)
        stops = [Stop(target=target, hop=hop, domain=recipient.domain) for target in found.targets]
        return Rehearsal(hosts=await rehearse(self._courier, stops, connect))

    def stop(self) -> Awaitable[None]:
        return self._courier.pool.stop()

    def check(self, route: Route) -> tuple[str, ...]:
        return problems(self._read, route)

    def _known(self, route: Route) -> tuple[Hop, Locality]:
        """What the route's parameters mean; read once, because routes are few and messages many."""
        if route not in self._routes:
            hop = self._read(route)
            self._routes[route] = hop, locality(self._services, families(hop, self._egress), hop.port, self._random)
        return self._routes[route]

    def _read(self, route: Route) -> Hop:
        reader = Reader(route, folder_of(self._services))
        hop = read_hop(reader, self._egress, TlsMode(self._egress.tls))
        reader.finish()
        return hop


def _domain(attempt: Attempt) -> str:
    """All recipients of an attempt have one domain, because this transport is an ILocator."""
    return attempt.recipients[0].address.domain
