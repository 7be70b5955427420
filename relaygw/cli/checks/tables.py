"""Tables and aliases: read anew, each followed to its end, so that circles and dead ends are found before mail is."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from relaygw.aliases import Aliases
from relaygw.cli.answer import CommandError
from relaygw.cli.checks.finding import Finding, error, warning
from relaygw.config.schema import Config
from relaygw.core.aliasing import UNKNOWN
from relaygw.gateway.addresses import Followed, follow_all

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
        yield from _aliases(config, parts.aliases)


def _aliases(config: Config, aliases: Aliases) -> Iterator[Finding]:
    places = {each.name: place for place, each in enumerate(config.tables, 1)}
    told: Counter[str] = Counter()
    for each in follow_all(config, aliases, MAX_FOLLOWED):
        finding = _judged(f"table[{places[each.table]}]", each)
        if finding is not None and told[each.table] < MAX_TOLD:
            told[each.table] += 1
            yield finding


def _judged(path: str, each: Followed) -> Finding | None:
    """What is wrong with an entry; None where it is sound, or nobody can tell now."""
    if each.found is None:
        message = f"{each.key}: {each.address.domain} is no domain of ours, so that this entry is never looked up"
        return warning(path, message, "add the domain to domains, relay_domains or aliases.domains")
    if each.found.reply is None or (each.key.startswith("@") and each.found.reply is UNKNOWN):
        return None  # a whole domain leads to others in another one
    make = warning if each.found.reply.permanent else error
    return make(path, f"{each.key}: {each.found.reason}")
