"""The transport that hands everything to hosts named by the operator, in their order, with a login if one is given."""

import random
from collections.abc import Awaitable, Sequence
from ipaddress import ip_address

import attrs
from zope.interface import implementer

from relaygw.config.schema import EgressConfig
from relaygw.core.address import Address, AddressError, normalize_domain
from relaygw.core.content import Content
from relaygw.core.mx import Found, Locality, Refusal, Target, targets_for_domain, targets_for_host
from relaygw.core.outcome import Outcome
from relaygw.core.record import Record, Route
from relaygw.core.turn import Weighted, in_turn
from relaygw.dns import consult
from relaygw.egress.credentials import read_login
from relaygw.egress.delivery import Courier, Stop
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.locality import folder_of, locality, refused
from relaygw.egress.parameters import Reader, families, manners, problems, read_hop, with_implicit_tls
from relaygw.egress.rehearsal import credentials, rehearse
from relaygw.egress.tls import is_address
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


@attrs.frozen(kw_only=True)
class Plan:
    """One route, read: where to go, in order, and what concurrency is counted by. `stops` are known already where all
    there is is one address."""

    hosts: tuple[Weighted[tuple[str, Hop]], ...]
    by_mx: bool
    destination: str
    here: Locality
    stops: tuple[Stop, ...] = ()


@implementer(ITransport, IOneDestination, IPreparer, IRouteChecker, IRehearser)
class SmarthostTransport:
    """Route parameters: `host` (and `port`) or `hosts` ("host:port", or tables with priority and weight), `mx` (look up
    their MX), those of `read_login` and `read_hop`, `implicit_tls`, `lmtp`."""

    def __init__(self, options: Options, services: Services) -> None:
        if options:
            raise ValueError(f"smarthost takes no options, but found {', '.join(sorted(options))}")
        self._egress: EgressConfig = services.settings.egress
        self._services = services
        self._courier = Courier(services, manners(services.hostname, self._egress))
        self._plans: dict[Route, Plan] = {}
        self._random = random.Random()  # noqa: S311  # whose turn it is need not be hidden

    def destination(self, route: Route, recipient: Address) -> str:
        return self.plan(route).destination

    def prepare(self, record: Record, content: Content) -> object:
        return self._courier.prepare(record, content)

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        plan = self.plan(attempt.route)
        if plan.stops:
            return await self._courier.carry(attempt, plan.stops)
        stops, refusals = await self._stops(plan)
        if not stops:
            return refused(attempt, _reason(refusals))
        return await self._courier.carry(attempt, stops)

    async def rehearse(self, route: Route, recipient: Address, connect: bool) -> Rehearsal:
        plan = self.plan(route)
        stops, refusals = await self._stops(plan)
        named = credentials(plan.hosts[0].item[1].login)
        if not stops:
            reason = _reason(refusals)
            return Rehearsal(
                credentials=named, refusal=f"{reason.enhanced} {reason.reason}", permanent=reason.permanent
            )
        return Rehearsal(hosts=await rehearse(self._courier, stops, connect), credentials=named)

    async def _stops(self, plan: Plan) -> tuple[list[Stop], list[Refusal]]:
        """Everything to try, in order, and why there is not more."""
        stops: list[Stop] = []
        refusals: list[Refusal] = []
        for place, (host, hop) in enumerate(in_turn(plan.hosts, self._random.random)):
            found = await self._find(host, plan)
            if isinstance(found, Refusal):
                refusals.append(found)
            else:
                domain = host if plan.by_mx else ""
                stops += [Stop(target=_placed(target, place), hop=hop, domain=domain) for target in found.targets]
        return stops, refusals

    def stop(self) -> Awaitable[None]:
        return self._courier.pool.stop()

    def check(self, route: Route) -> tuple[str, ...]:
        return problems(self._read, route)

    async def _find(self, host: str, plan: Plan) -> Found:
        if plan.by_mx:
            return await consult(targets_for_domain(host, plan.here), self._services.resolver)
        return await consult(targets_for_host(host, plan.here), self._services.resolver)

    def plan(self, route: Route) -> Plan:
        """Read once: routes are few and messages many."""
        plan = self._plans.get(route)
        if plan is None:
            plan = self._plans[route] = self._read(route)
        return plan

    def _read(self, route: Route) -> Plan:
        reader = Reader(route, folder_of(self._services))
        login = read_login(reader)
        # A password goes only to a host that proved its name, unless the route asks for less by name.
        tls = TlsMode.VERIFY if login is not None and not login.in_clear else TlsMode(self._egress.tls)
        hop = with_implicit_tls(read_hop(reader, self._egress, tls), reader.flag("implicit_tls"))
        hop = attrs.evolve(hop, login=login, lmtp=reader.flag("lmtp"), by_route=hop.by_route or login is not None)
        hosts = _hosts(reader, hop)
        by_mx = reader.flag("mx")
        if hop.login is not None and hop.tls is TlsMode.NONE and not hop.login.in_clear:
            reader.problems.append('a login needs TLS: say tls = "encrypt" or "verify", or login_in_clear = true')
        reader.finish()
        here = locality(self._services, families(hop, self._egress), hop.port, self._random)
        names = ",".join(f"{host}:{each.port}" for host, each in (entry.item for entry in hosts))
        stops = () if by_mx else _address(hosts)
        return Plan(hosts=hosts, by_mx=by_mx, destination=names, here=here, stops=stops)


def _address(hosts: Sequence[Weighted[tuple[str, Hop]]]) -> tuple[Stop, ...]:
    """The only host, where it is an address: nothing is to be looked up for any message."""
    host, hop = hosts[0].item if len(hosts) == 1 else ("", None)
    if hop is None or not is_address(host):
        return ()
    return (Stop(target=Target(host=host, address=str(ip_address(host))), hop=hop),)


def _reason(refusals: Sequence[Refusal]) -> Refusal:
    """Why there is nothing to try: what may be better tomorrow counts first."""
    return next((refusal for refusal in refusals if not refusal.permanent), refusals[0])


def _placed(target: Target, place: int) -> Target:
    """All of the first host's targets are tried before the second's."""
    return attrs.evolve(target, preference=place * 65536 + target.preference) if place else target


def _hosts(reader: Reader, hop: Hop) -> tuple[Weighted[tuple[str, Hop]], ...]:
    """From `host` with the common port, or `hosts`: texts, or tables with `host`, `port`, `priority` and `weight`."""
    single, several = reader.text("host"), reader.entries("hosts")
    if bool(single) == bool(several):
        reader.problems.append("either host or hosts must be given")
        return ()
    if single:
        name = _name(reader, single, hop.port)
        return (Weighted((name, hop)),) if name else ()
    found = [_entry(reader, place, each, hop) for place, each in enumerate(several, 1)]
    return tuple(entry for entry in found if entry is not None)


def _entry(reader: Reader, place: int, entry: "str | Reader", hop: Hop) -> Weighted[tuple[str, Hop]] | None:
    """One of `hosts`. What says no priority comes in the order of the list."""
    if isinstance(entry, str):
        host, port = split_host(entry, hop.port)
        name = _name(reader, host, port)
        return Weighted((name, attrs.evolve(hop, port=port)), place) if name else None
    host, port = entry.text("host"), entry.number("port", hop.port, 65535)
    priority, weight = entry.number("priority", place, 65535), entry.number("weight", 1, 65535)
    reader.close(f"hosts[{place}]", entry)
    name = _name(reader, host, port)
    return Weighted((name, attrs.evolve(hop, port=port)), priority, weight) if name else None


def _name(reader: Reader, host: str, port: int) -> str:
    """The host as the DNS knows it, "" after a complaint."""
    if not 1 <= port <= 65535:
        reader.problems.append(f"the port of the host {host!r} must be a number from 1 to 65535")
        return ""
    try:
        return host if is_address(host) else normalize_domain(host.rstrip("."))
    except AddressError as error:
        reader.problems.append(f"the host {host!r} is {error}")
        return ""


def split_host(text: str, default: int) -> tuple[str, int]:
    """`host`, `host:port`, `[address]:port` or a bare IPv6 address; a port that is none becomes 0."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else rest
    elif text.count(":") > 1:
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    if not port:
        return host, default if not text.endswith(":") or text.count(":") > 1 else 0
    return host, int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
