"""Tables and aliases: read anew, each followed to its end, so that circles and dead ends are found before mail is."""

from collections.abc import Awaitable, Iterator
from typing import Any

from relaygw.aliases import Aliases
from relaygw.cli.answer import CommandError
from relaygw.cli.checks.finding import Finding, error, warning
from relaygw.config.schema import Config
from relaygw.core.address import Address, AddressError, parse_address
from relaygw.core.aliasing import UNKNOWN, Expansion
from relaygw.interfaces import IEntries

MAX_FOLLOWED = 20_000
"""Entries that are followed."""

MAX_TOLD = 50
"""Findings about one table."""


def check(config: Config) -> Iterator[Finding]:
    """What makes a table unusable is told among the parts."""
    return judge(config, broken=False)


def judge(config: Config, broken: bool = True) -> Iterator[Finding]:
    """`broken`: also what makes a table unusable."""
    if not (config.tables or config.aliases.tables or config.srs.domain):
        return
    from twisted.internet import reactor

    from relaygw.cli.borrowed import address_parts, services

    clock: Any = reactor
    try:
        parts = address_parts(config, services(config, clock))
    except CommandError as failure:
        yield from (error("", line) for line in str(failure).splitlines() if broken)
        return
    used = {*config.aliases.tables, *(str(name) for use in config.rewriters for name in use.options.get("tables", ()))}
    for place, each in enumerate(config.tables, 1):
        if each.name not in used:
            message = f"{each.name} is in use nowhere"
            yield warning(f"table[{place}]", message, "name it in aliases.tables or in the options of a rewriter")
    if parts.aliases is not None:
        yield from _aliases(config, parts.aliases.at_once())


def _aliases(config: Config, aliases: Aliases) -> Iterator[Finding]:
    places = {each.name: place for place, each in enumerate(config.tables, 1)}
    for named in aliases.tables:
        told = 0
        table: Any = named.table
        for key, _ in list(table.entries())[:MAX_FOLLOWED] if IEntries.providedBy(table) else ():
            finding = _followed(f"table[{places[named.name]}]", key, config, aliases)
            if finding is not None and told < MAX_TOLD:
                told += 1
                yield finding


def _followed(path: str, key: str, config: Config, aliases: Aliases) -> Finding | None:
    """What is wrong with an entry; None where it is sound, or nobody can tell now."""
    address = _address(key, config)
    if address is None:
        return None
    if not aliases.rules.ours(address.domain):
        message = f"{key}: {address.domain} is no domain of ours, so that this entry is never looked up"
        return warning(path, message, "add the domain to domains, relay_domains or aliases.domains")
    found = aliases.expand(address)
    if isinstance(found, Awaitable):
        return None
    if key.startswith("@") and found.reply is UNKNOWN:
        return None  # it leads to others in another domain
    return _judged(path, key, found)


def _judged(path: str, key: str, found: Expansion) -> Finding | None:
    if found.reply is None:
        return None
    make = warning if found.reply.permanent else error
    return make(path, f"{key}: {found.reason}")


def _address(key: str, config: Config) -> Address | None:
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
