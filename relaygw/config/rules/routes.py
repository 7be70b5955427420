"""What must hold of the routing table and of the rules that hold mail."""

import re
from collections.abc import Iterator

from relaygw.config.problem import Fault, Path
from relaygw.config.schema import Config, RouteConfig
from relaygw.core import holds, routing

_ROUTE = re.compile(r"route (\d+) \([^)]*\):? ")


def route_name(number: int, route: RouteConfig) -> str:
    return route.name or f"route {number}"


def routes(config: Config) -> Iterator[Fault]:
    """The routing table judges itself; its sentences begin with the route they are about."""
    for sentence in routing.problems(config.routes, config.local_domains, config.relay_domains):
        about = _ROUTE.match(sentence)
        path: Path = ("route", int(about[1]) - 1) if about else ("route",)
        yield path, sentence[about.end() :] if about else sentence, ""


def hold_rules(config: Config) -> Iterator[Fault]:
    groups: routing.Groups = {"local": config.local_domains, "relay": config.relay_domains}
    for place, sentence in holds.problems(config.holds, groups):
        yield ("hold", place), sentence, ""
    for place, rule in enumerate(config.holds):
        if not rule.reason.isprintable():
            yield ("hold", place, "reason"), "it must be one line of text", ""
