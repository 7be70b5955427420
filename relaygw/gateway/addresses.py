"""What the configuration says of addresses, made real: whose domains are ours, which of our addresses lead to others,
and what proves our return addresses.
"""

import hmac
import os
import stat
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

import attrs
from twisted.logger import Logger

from relaygw.aliases import Aliases, NamedTable
from relaygw.config.schema import Config, RewriterConfig, SrsConfig
from relaygw.core.address import Address, AddressError, parse_address
from relaygw.core.aliasing import Expansion, Rules
from relaygw.core.events import Event
from relaygw.core.permission import Permission, domains_of
from relaygw.core.routing import Routing
from relaygw.core.srs import Srs
from relaygw.egress.outgoing import STAYS, Outgoing, OutgoingTransport, ReturnPolicy
from relaygw.interfaces import IRewriter, ITransport, Services

PURPOSE = b"return addresses (SRS)"
"""What is made of the installation's secret here is good for nothing else."""

FOLLOWED = 2000
"""Entries of each table that are followed when it is read."""

MOST_TOLD = 10
"""Circles that are told in the log; `relaygw table check` tells all."""

MIN_SECRET = 16
"""Octets of a secret."""

DAY = 86400


_log = Logger()


class SecretError(ValueError):
    """A secret cannot be used; the message says which and why, and never what it is."""


def permission_of(config: Config) -> Permission:
    """Addresses of [aliases] domains and return addresses are ours as those in mailboxes are."""
    return Permission(
        local=domains_of(config.local_domains), relay=domains_of(config.relay_domains), trusted=config.trusted_networks
    )


def make_aliases(config: Config, services: Services, secret: Callable[[], bytes]) -> Aliases | None:
    """None where no address leads to another. `secret` is that of the installation. Raises SecretError."""
    srs = make_srs(config.srs, secret)
    if not config.aliases.tables and srs is None:
        return None
    return Aliases(
        tables=tuple(NamedTable(name, services.tables[name]) for name in config.aliases.tables),
        directory=services.directory,
        rules=rules_of(config),
        srs=srs,
        now=services.reactor.seconds,
    )


def rules_of(config: Config) -> Rules:
    return Rules(
        local=frozenset(config.domains),
        virtual=frozenset(config.aliases.domains),
        relay=domains_of(config.relay_domains),
        delimiter=config.aliases.delimiter,
        depth=config.aliases.depth,
        most=config.aliases.recipients,
    )


def make_srs(config: SrsConfig, secret: Callable[[], bytes]) -> Srs | None:
    """None where there is no domain for return addresses. Raises SecretError."""
    if not config.domain:
        return None
    secrets = tuple(map(_read, config.secret_files)) or (hmac.digest(secret(), PURPOSE, "sha256"),)
    return Srs(
        domain=config.domain,
        secrets=secrets,
        separator=config.separator,
        hash_length=config.hash_length,
        max_age=max(1, round(config.max_age / DAY)),
    )


def make_outgoing(
    config: Config, rewriters: Sequence[tuple[RewriterConfig, IRewriter]], aliases: Aliases | None
) -> Outgoing | None:
    """What is changed at every attempt; None where nothing is."""
    by_route: dict[str, list[tuple[str, IRewriter]]] = {}
    for use, rewriter in rewriters:
        for route in use.routes:
            by_route.setdefault(route, []).append((use.name, rewriter))
    srs = aliases.srs if aliases is not None else None
    if not by_route and srs is None:
        return None
    return Outgoing(rewriters=by_route, returns=_returns(config, srs) if srs is not None else None)


def _returns(config: Config, srs: Srs) -> ReturnPolicy:
    permission = permission_of(config)
    return ReturnPolicy(
        srs=srs,
        ours=domains_of((*config.local_domains, *config.relay_domains)),
        exempt=domains_of(config.srs.exempt),
        trusts=permission.trusts,
        everybody=config.srs.senders == "all",
    )


def behind(
    outgoing: Outgoing | None,
    routing: Routing,
    transports: Mapping[str, ITransport],
    write_event: Callable[[Event], None],
) -> Mapping[str, ITransport]:
    """The transports, those of which something is changed on the way wrapped."""
    if outgoing is None:
        return transports
    changed = {rule.route.transport for rule in routing.rules if rule.route.name in outgoing.rewriters}
    if outgoing.returns is not None:
        changed |= transports.keys() - STAYS
    return {
        name: cast(ITransport, OutgoingTransport(each, outgoing, write_event)) if name in changed else each
        for name, each in transports.items()
    }


@attrs.frozen(kw_only=True)
class Followed:
    """An entry of a table that aliases are looked up in, and where an address that it is for leads; `found` None: no
    address of ours ever comes to it."""

    table: str
    key: str
    address: Address
    found: Expansion | None


def follow_all(config: Config, aliases: Aliases, most: int) -> Iterator[Followed]:
    """The entries of tables in memory, at most so many of each, followed to their ends without waiting for anybody."""
    aliases = aliases.at_once()
    for named in aliases.tables:
        table: Any = named.table
        for key, _ in islice(tuple(table.entries()), most):
            address = _example(key, config)
            if address is None:
                continue
            if not aliases.rules.ours(address.domain):
                yield Followed(table=named.name, key=key, address=address, found=None)
                continue
            found = aliases.expand(address)
            if not isinstance(found, Awaitable):
                yield Followed(table=named.name, key=key, address=address, found=found)


def _example(key: str, config: Config) -> Address | None:
    """An address that the entry is for."""
    if key.startswith("@"):
        key = f"nobody-in-particular{key}"
    if "@" not in key:
        if not config.domains:
            return None
        key = f"{key}@{config.domains[0]}"
    try:
        return parse_address(key)
    except AddressError:
        return None


def tell_circles(config: Config, aliases: Aliases | None) -> None:
    """Name what will make mail wait, in the log of the process, before the first of it does."""
    told = 0
    for each in follow_all(config, aliases, FOLLOWED) if aliases is not None else ():
        if each.found is not None and each.found.reply is not None and each.found.reply.temporary:
            _log.error(
                "table {table}, {key}: {reason}; mail for it will wait",
                table=each.table,
                key=each.key,
                reason=each.found.reason,
            )
            told += 1
            if told == MOST_TOLD:
                return


def _read(path: str) -> bytes:
    """The file's content without white space at its ends."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read(4096).strip()
    except OSError as error:
        raise SecretError(f"srs.secret_files: {path}: {error.strerror}") from None
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SecretError(f"srs.secret_files: {path}: others can read it (mode {mode & 0o777:o}); make it 600")
    if len(secret) < MIN_SECRET:
        raise SecretError(f"srs.secret_files: {path}: a secret has at least {MIN_SECRET} octets")
    return secret
