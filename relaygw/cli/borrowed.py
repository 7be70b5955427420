"""Parts of the service that a command borrows while the service is down: a resolver, a directory, a reactor's time.

The reactor runs once in a process, for one question.
"""

import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from twisted.internet import defer
from twisted.internet.defer import Deferred

from relaygw.bridge import deferred
from relaygw.cli.answer import CommandError
from relaygw.config.schema import Config
from relaygw.control.collaborators import Rehearse, Signing
from relaygw.control.shapes import Json
from relaygw.core.address import Address
from relaygw.core.record import Record
from relaygw.dns import ZoneError, make_resolver
from relaygw.egress.dkim import make_signer
from relaygw.egress.signatories import DkimError
from relaygw.gateway.address_desk import AddressDesk, AddressParts
from relaygw.gateway.addresses import SecretError, make_aliases, make_outgoing
from relaygw.gateway.rehearsing import rehearse, signing
from relaygw.interfaces import Account, IDirectory, IResolver, ITransport, Services
from relaygw.keybook import BookError, in_use
from relaygw.plugins import PluginError, load_plugin
from relaygw.secret import KeptSecret

if TYPE_CHECKING:
    from relaygw.control.explain import Case

T = TypeVar("T")

TIMEOUT = 60.0
"""Seconds a question may take in all."""


@attrs.frozen(kw_only=True)
class Parts:
    """`services` are what plugins are made with; `account` finds who receives a local address."""

    services: Services
    resolver: IResolver
    account: Callable[[Address], Account | None | Awaitable[Account | None]]
    rehearse: Rehearse
    signing: Signing
    addresses: AddressDesk


async def explain(case: "Case", config: Config, parts: Parts) -> Json:
    """Where a message would go, and why, as the running service would tell it."""
    from relaygw.control import explain

    known = explain.Parts(
        config=config,
        resolver=parts.resolver,
        account=parts.account,
        rehearse=parts.rehearse,
        signing=parts.signing,
        addresses=parts.addresses,
    )
    return await explain.explain_route(case, known)


def services(config: Config, reactor: Any) -> Services:
    """What plugins are made with; nothing is spawned by a command. Raises CommandError."""
    try:
        resolver = make_resolver(config.dns, reactor)
    except (ZoneError, ValueError) as error:
        raise CommandError(str(error)) from None
    return Services(
        hostname=config.hostname,
        resolver=resolver,
        reactor=reactor,
        state=config.state,
        spawn=lambda _name, awaitable: _forget(awaitable),
        settings=config,
    )


def _forget(awaitable: Awaitable[Any]) -> None:
    if isinstance(awaitable, Coroutine):
        awaitable.close()


def run_with_parts(config: Config, ask: Callable[[Parts], Coroutine[Any, Any, T]]) -> T:
    """What `ask` answers, run under the reactor; raises what it raises, and CommandError after TIMEOUT."""
    return run_with_reactor(lambda reactor: ask(_parts(config, reactor)))


def run_with_reactor(ask: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """What `ask` answers to the running reactor; raises what it raises, and CommandError after TIMEOUT."""
    from twisted.internet import reactor

    running: Any = reactor
    results: list[T] = []
    failures: list[Exception] = []

    @deferred
    async def begin() -> None:
        try:
            results.append(await Deferred.fromCoroutine(ask(running)).addTimeout(TIMEOUT, running))
        except defer.TimeoutError:
            failures.append(CommandError(f"there was no answer within {TIMEOUT:g} seconds"))
        except Exception as error:
            failures.append(error)
        running.stop()

    running.callWhenRunning(begin)
    running.run()
    if failures:
        raise failures[0]
    if not results:
        raise CommandError("it was interrupted before there was an answer")
    return results[0]


def _parts(config: Config, reactor: Any) -> Parts:
    made = services(config, reactor)
    return Parts(
        services=made,
        resolver=made.resolver,
        account=lambda address: _account(config, made, address),
        rehearse=lambda route, recipient, connect: rehearse(
            _transports(route.transport, made), route, recipient, connect
        ),
        signing=lambda record: _signing(config, reactor, record),
        addresses=AddressDesk(cache(lambda: address_parts(config, made))),
    )


def address_parts(config: Config, made: Services) -> AddressParts:
    """Made where somebody asks of addresses. Raises CommandError."""
    try:
        tables = {
            each.name: load_plugin("relaygw.tables", each.use, each.options, made, where=f"table {each.name!r}")
            for each in config.tables
        }
        made = attrs.evolve(made, tables=tables, directory=_directory(config, made))
        rewriters = tuple(
            (use, load_plugin("relaygw.rewriters", use.use, use.options, made, where=f"rewriter {use.name!r}"))
            for use in config.rewriters
        )
        aliases = make_aliases(config, made, KeptSecret(os.path.join(config.state, "secret")).known)
    except PluginError as error:
        raise CommandError(str(error)) from None
    except SecretError as error:
        raise CommandError(str(error)) from None
    return AddressParts(
        config=config,
        tables=tables,
        aliases=aliases,
        rewriters=rewriters,
        outgoing=make_outgoing(config, rewriters, aliases),
        transports=lambda name: _transports(name, made).get(name),
    )


def _signing(config: Config, reactor: Any, record: Record) -> list[dict[str, Any]]:
    """Keys are read only where somebody asks for them; those that cannot be are for `relaygw check` to tell."""
    try:
        return signing(make_signer(config, reactor, in_use(config)), record)
    except (DkimError, BookError) as error:
        raise CommandError(str(error)) from None


def _transports(name: str, made: Services) -> Mapping[str, ITransport]:
    """The transport of a route, where it can be made without a service around it."""
    try:
        return {name: load_plugin("relaygw.transports", name, {}, made, where=f"transport {name!r}")}
    except PluginError:
        return {}


def _directory(config: Config, made: Services) -> IDirectory:
    found: IDirectory = load_plugin("relaygw.directories", config.directory.kind, config.directory.options, made)
    return found


def _account(config: Config, made: Services, address: Address) -> Account | None | Awaitable[Account | None]:
    """The directory is made only where somebody asks for an account."""
    try:
        directory = _directory(config, made)
    except PluginError as error:
        raise CommandError(str(error)) from None
    found: Account | None | Awaitable[Account | None] = directory.account(address)
    return found
