"""What must hold between the options about addresses: tables that are named, domains that are ours once, return
addresses that can be read back.
"""

from collections.abc import Iterator

from relaygw.config.problem import Fault, repeated
from relaygw.config.schema import Config
from relaygw.config.structure import listed, meant


def tables(config: Config) -> Iterator[Fault]:
    for place, before in repeated(table.name for table in config.tables):
        name = config.tables[place].name
        yield ("table", place, "name"), f'"{name}" is already the name of table[{before + 1}]', ""
    known = {table.name for table in config.tables}
    for place, name in enumerate(config.aliases.tables):
        if name not in known:
            hint = meant(name, known) or (f"known are {listed(sorted(known))}" if known else "add a [[table]]")
            yield ("aliases", "tables", place), f'no [[table]] is named "{name}"', hint


def alias_domains(config: Config) -> Iterator[Fault]:
    for place, domain in enumerate(config.aliases.domains):
        for key in ("domains", "relay_domains"):
            if domain in getattr(config, key):
                message = f'"{domain}" is also one of {key}; it can be only one of the two'
                yield ("aliases", "domains", place), message, ""
    if config.aliases.domains and not config.aliases.tables:
        yield ("aliases", "tables"), "this option must be given: nobody would exist in the domains of [aliases]", ""


def srs(config: Config) -> Iterator[Fault]:
    given = config.srs
    if given.domain and given.domain in config.relay_domains:
        message = f'"{given.domain}" is one of relay_domains: reports would go on without being read back'
        yield ("srs", "domain"), message, "name one of domains, or a domain that is for nothing else"
    if given.secret_files and not given.domain:
        yield ("srs", "domain"), "this option must be given: without it no return addresses are made", ""
    if given.max_age > 500 * 86400:
        yield ("srs", "max_age"), "days are counted up to 1024 only; allowed are at most 500d", ""


def domains(config: Config) -> Iterator[Fault]:
    for key, domains in (("domains", config.domains), ("relay_domains", config.relay_domains)):
        for place, _ in repeated(domains):
            yield (key, place), f'"{domains[place]}" is given twice', ""
    for place, domain in enumerate(config.relay_domains):
        if domain in config.domains:
            yield ("relay_domains", place), f'"{domain}" is also one of domains; it can be only one of the two', ""
