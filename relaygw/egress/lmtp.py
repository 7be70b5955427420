"""The transport that hands mail to a mailbox server next door over LMTP (RFC 2033): by TCP, or a UNIX socket."""

import posixpath

import attrs
from zope.interface import implementer

from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.mx import Target
from relaygw.core.outcome import Outcome
from relaygw.core.record import Record, Route
from relaygw.egress.delivery import Courier, Stop
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.locality import folder_of
from relaygw.egress.parameters import Reader, manners, problems, read_hop
from relaygw.egress.rehearsal import rehearse
from relaygw.egress.smarthost import SmarthostTransport
from relaygw.interfaces import (
    Attempt,
    IOneDestination,
    IPreparer,
    IRehearser,
    IRouteChecker,
    ITransport,
    Options,
    Rehearsal,
    Services,
)

LOCAL = "localhost"


@implementer(ITransport, IOneDestination, IPreparer, IRouteChecker, IRehearser)
class LmtpTransport:
    """Route parameters: `socket` (the path of a UNIX socket) and `eight_bit`, or those of smarthost over TCP."""

    def __init__(self, options: Options, services: Services) -> None:
        if options:
            raise ValueError(f"lmtp takes no options, but found {', '.join(sorted(options))}")
        self._services = services
        self._smarthost = SmarthostTransport({}, services)
        self._courier = Courier(services, manners(services.hostname, services.settings.egress))
        self._stops: dict[Route, Stop] = {}

    def destination(self, route: Route, recipient: Address) -> str:
        if _is_local(route):
            return self._stop(route).target.address
        return self._smarthost.destination(_over_tcp(route), recipient)

    def prepare(self, record: Record, content: Content) -> object:
        return self._courier.prepare(record, content)

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        if _is_local(attempt.route):
            return await self._courier.carry(attempt, [self._stop(attempt.route)])
        return await self._smarthost.deliver(attrs.evolve(attempt, route=_over_tcp(attempt.route)))

    async def rehearse(self, route: Route, recipient: Address, connect: bool) -> Rehearsal:
        if _is_local(route):
            return Rehearsal(hosts=await rehearse(self._courier, [self._stop(route)], connect))
        return await self._smarthost.rehearse(_over_tcp(route), recipient, connect)

    async def stop(self) -> None:
        await self._courier.pool.stop()
        await self._smarthost.stop()

    def check(self, route: Route) -> tuple[str, ...]:
        if not _is_local(route):
            return self._smarthost.check(_over_tcp(route))
        return problems(self._read, route)

    def _stop(self, route: Route) -> Stop:
        """Read once: routes are few and messages many."""
        if route not in self._stops:
            self._stops[route] = self._read(route)
        return self._stops[route]

    def _read(self, route: Route) -> Stop:
        reader = Reader(route, folder_of(self._services))
        path = reader.path("socket")
        hop = read_hop(reader, self._services.settings.egress, TlsMode.NONE)
        if hop.tls is not TlsMode.NONE:
            reader.problems.append("nobody listens in on a UNIX socket: tls is not for it")
        if not posixpath.isabs(path):
            reader.problems.append("socket must be a path")
        reader.finish()
        local = Hop(lmtp=True, tls=TlsMode.NONE, by_route=True, eight_bit=hop.eight_bit)
        return Stop(target=Target(host=LOCAL, address=path), hop=local)


def _is_local(route: Route) -> bool:
    return any(name == "socket" for name, _ in route.parameters)


def _over_tcp(route: Route) -> Route:
    return attrs.evolve(route, parameters=tuple(sorted((*route.parameters, ("lmtp", True)))))
