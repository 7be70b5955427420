"""The parts that follow from the configuration and are made anew when it is read again: who exists, what is asked of
mail, where it goes, how it is signed. Making them opens no socket and no spool, so that a configuration that cannot
work is refused before anything changes.
"""

import os
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

import attrs
from twisted.cred.portal import Portal

from relaygw.aliases import Aliases
from relaygw.bans import BanBook
from relaygw.config.schema import Config, RewriterConfig, TableConfig
from relaygw.core.address import Address, AddressError, parse_address
from relaygw.core.detour import SMARTHOST
from relaygw.core.events import Event, TaskFailed
from relaygw.core.ids import new_id
from relaygw.core.permission import Permission
from relaygw.core.routing import Routing, compile_routes
from relaygw.dns import ZoneError, make_resolver
from relaygw.egress.dkim import DkimSigner, make_signer
from relaygw.egress.outgoing import Outgoing
from relaygw.egress.signatories import DkimError
from relaygw.filters.allowance import Allowance
from relaygw.filters.chain import Chain
from relaygw.filters.uses import build_uses
from relaygw.gateway.addresses import behind, make_aliases, make_outgoing, permission_of, tell_circles
from relaygw.interfaces import IDirectory, IRewriter, IRouteChecker, ITable, ITransport, Services
from relaygw.keybook import in_use
from relaygw.mailbox.store import Store
from relaygw.plugins import PluginError, load_plugin
from relaygw.queue.reports import Reports, reports_for
from relaygw.realm import account_portal
from relaygw.rounds import Rounds
from relaygw.tls import ServerTls, TlsError


class PartsError(Exception):
    """The configuration reads well and still cannot work; `problems` has a sentence for each reason."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@attrs.frozen(kw_only=True)
class Lasting:
    """What stays as it is while the service runs, and the parts need."""

    reactor: Any
    rounds: Rounds
    write_event: Callable[[Event], None]
    spawn: Callable[[str, Awaitable[Any]], None]
    store: Store
    bans: BanBook
    secret: Callable[[], bytes]


@attrs.frozen(kw_only=True)
class Parts:
    """One configuration, made real."""

    config: Config
    services: Services
    directory: IDirectory
    portal: Portal
    permission: Permission
    aliases: Aliases | None
    postmaster: Address
    chain: Chain
    rewriters: tuple[tuple[RewriterConfig, IRewriter], ...]
    routing: Routing
    transports: Mapping[str, ITransport]
    outgoing: Outgoing | None
    reports: Reports
    signer: DkimSigner
    tls: Mapping[str, ServerTls]
    bans: BanBook
    secret: Callable[[], bytes]

    def close(self) -> None:
        """Let go of threads and questions in flight; the transports are stopped by the queue."""
        self.signer.stop()
        close = getattr(self.services.resolver, "close", None)
        if close is not None:
            close()
        for table in self.services.tables.values():
            getattr(table, "close", lambda: None)()


def make_parts(config: Config, lasting: Lasting) -> Parts:
    """All parts of a configuration; raises PartsError with everything that is wrong."""
    attempt = _Attempt()
    resolver = attempt.of(lambda: make_resolver(config.dns, lasting.reactor))
    signer = attempt.of(lambda: make_signer(config, lasting.reactor, in_use(config)))
    services = Services(
        hostname=config.hostname,
        resolver=resolver,
        reactor=lasting.reactor,
        state=config.state,
        spawn=lasting.spawn,
        settings=config,
        signer=signer,
        store=lasting.store,
        write_event=lasting.write_event,
        at_round_end=lasting.rounds.join,
    )
    services = attrs.evolve(services, allowance=_allowance(config, lasting))
    directory = attempt.of(lambda: _directory(config, services))
    tables = {each.name: attempt.of(partial(_table, each, services)) for each in config.tables}
    services = attrs.evolve(services, directory=directory, tables=tables)
    aliases = attempt.of(lambda: make_aliases(config, services, lasting.secret))
    uses = attempt.of(lambda: build_uses(config.filters, services))
    rewriters = tuple((use, attempt.of(partial(_rewriter, use, services))) for use in config.rewriters)
    transports = {name: attempt.of(partial(_transport, name, services)) for name in _transports(config)}
    outgoing = None if attempt.problems else make_outgoing(config, rewriters, aliases)
    reports = attempt.of(lambda: reports_for(config, lambda: fresh_id(lasting.reactor.seconds())))
    tls = attempt.of(lambda: _tls(config, lasting.write_event))
    routing = compile_routes(config.routes, config.local_domains, config.relay_domains)
    attempt.problems.extend(_route_problems(routing, transports))
    if attempt.problems:
        raise PartsError(*attempt.problems)
    tell_circles(config, aliases)
    return Parts(
        config=config,
        services=services,
        directory=directory,
        portal=account_portal(directory),
        permission=permission_of(config),
        aliases=aliases,
        postmaster=_postmaster(config),
        chain=Chain(uses, lasting.reactor, lasting.write_event),
        rewriters=rewriters,
        routing=routing,
        transports=behind(outgoing, routing, transports, lasting.write_event),
        outgoing=outgoing,
        reports=reports if aliases is None else attrs.evolve(reports, lead=aliases.leads_to),
        signer=signer,
        tls=tls,
        bans=lasting.bans,
        secret=lasting.secret,
    )


class _Attempt:
    """Makes things and gathers why they could not be made."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def of(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except (PluginError, DkimError) as error:
            self.problems.extend(error.problems)
        except (ZoneError, TlsError, ValueError, OSError) as error:
            self.problems.append(str(error))
        return None


def _allowance(config: Config, lasting: Lasting) -> Allowance:
    return Allowance(
        message=config.dns.questions_per_message,
        client=config.dns.questions_per_client,
        clock=lasting.reactor,
        write_event=lasting.write_event,
    )


def _directory(config: Config, services: Services) -> IDirectory:
    use, options = config.directory.kind, config.directory.options
    directory: IDirectory = load_plugin("relaygw.directories", use, options, services, where="directory")
    return directory


def _table(table: TableConfig, services: Services) -> ITable:
    found: ITable = load_plugin("relaygw.tables", table.use, table.options, services, where=f"table {table.name!r}")
    return found


def _rewriter(use: RewriterConfig, services: Services) -> IRewriter:
    where = f"rewriter {use.name!r}"
    rewriter: IRewriter = load_plugin("relaygw.rewriters", use.use, use.options, services, where=where)
    return rewriter


def _transports(config: Config) -> list[str]:
    """Those of the routes, and the one that operators reroute mail to hosts by."""
    return sorted({SMARTHOST, *(route.transport for route in config.routes)})


def _transport(name: str, services: Services) -> ITransport:
    transport: ITransport = load_plugin("relaygw.transports", name, {}, services, where=f"transport {name!r}")
    return transport


def _route_problems(routing: Routing, transports: Mapping[str, Any]) -> Iterator[str]:
    """What the transports say against the parameters of their routes."""
    for rule in routing.rules:
        transport = transports[rule.route.transport]
        if IRouteChecker.providedBy(transport):
            yield from (f"{rule.label}: {problem}" for problem in transport.check(rule.route))


def _tls(config: Config, write_event: Callable[[Event], None]) -> Mapping[str, ServerTls]:
    """The TLS of each listener that has it; those of one policy share theirs."""

    def report(text: str) -> None:
        write_event(TaskFailed(task="read the certificate again", error=text))

    shared: dict[tuple[str, str], ServerTls] = {}
    found: dict[str, ServerTls] = {}
    for listener in config.listeners if config.tls.certificate is not None else ():
        policy = (listener.tls_minimum_version or config.tls.minimum_version, listener.client_certificates)
        if listener.tls != "none" and policy not in shared:
            shared[policy] = ServerTls(attrs.evolve(config.tls, minimum_version=policy[0]), report, policy[1])
        if listener.tls != "none":
            found[listener.name] = shared[policy]
    return found


def _postmaster(config: Config) -> Address:
    """Who a bare `<postmaster>` is (RFC 5321 4.5.1)."""
    try:
        return parse_address(config.postmaster)
    except AddressError:
        return Address("postmaster", config.domains[0] if config.domains else config.hostname)


class _Reservoir:
    """Random numbers of 40 bits, asked of the system for many names at a time."""

    def __init__(self) -> None:
        self._numbers: list[int] = []

    def take(self) -> int:
        if not self._numbers:
            octets = os.urandom(5 * 256)
            self._numbers = [int.from_bytes(octets[at : at + 5], "big") for at in range(0, len(octets), 5)]
        return self._numbers.pop()


_reservoir = _Reservoir()


def fresh_id(now: float) -> str:
    """A new name for a session or message."""
    return new_id(now, _reservoir.take())


jitter = random.Random().random  # noqa: S311  # nothing is kept from anybody by it
"""A number in [0, 1) for what should not happen at the same moment everywhere."""
