"""What must hold of keys and of the table that says whose keys sign what."""

from collections.abc import Iterator

from relaygw.config.problem import Fault, repeated
from relaygw.config.schema import Config
from relaygw.core import routing, signing_table
from relaygw.core.patterns import PatternError, compile_patterns


def dkim(config: Config) -> Iterator[Fault]:
    for place, before in repeated((key.domain, key.selector) for key in config.dkim):
        key = config.dkim[place]
        message = f'selector "{key.selector}" of {key.domain} is already that of dkim[{before + 1}]'
        yield ("dkim", place, "selector"), message, ""
    sealing = [place for place, key in enumerate(config.dkim) if key.seals]
    for place in sealing[1:]:
        yield ("dkim", place, "seals"), f"dkim[{sealing[0] + 1}] seals already, and one key is enough", ""
    if sealing and not any(each.use == "arc" for each in config.filters):
        message = "nothing can be sealed that has not been checked"
        yield ("dkim", sealing[0], "seals"), message, 'add a [[filter]] with use = "arc"'


def signing(config: Config) -> Iterator[Fault]:
    groups: routing.Groups = {"local": config.local_domains, "relay": config.relay_domains}
    for place, before in repeated(rule.name for rule in config.signing):
        message = f'"{config.signing[place].name}" is already the name of signing[{before + 1}]'
        yield ("signing", place, "name"), message, ""
    for place, rule in enumerate(config.signing):
        try:
            patterns = compile_patterns(rule.header_from, groups)
        except PatternError as error:
            yield ("signing", place, "header_from"), str(error), ""
        else:
            if patterns.addresses or patterns.null:
                yield ("signing", place, "header_from"), "it is compared with a domain, never with an address", ""
    for place, key, message in signing_table.problems(config.signing):
        yield ("signing", place, key), message, ""
