"""What is named somewhere else in the file, or by a package: listeners and plugins."""

import importlib.metadata
from collections.abc import Iterator

from relaygw.config.problem import Fault, Path
from relaygw.config.schema import Config
from relaygw.config.structure import listed, meant


def references(config: Config) -> Iterator[Fault]:
    listeners = {listener.name: listener for listener in config.listeners}
    places: list[tuple[Path, tuple[str, ...]]]
    places = [(("filter", number, "listeners"), use.listeners) for number, use in enumerate(config.filters)]
    places += [(("rewriter", number, "listeners"), use.listeners) for number, use in enumerate(config.rewriters)]
    places += [(("quota", number, "listeners"), quota.listeners) for number, quota in enumerate(config.quotas)]
    places += [(("hold", number, "match"), rule.match.listener) for number, rule in enumerate(config.holds)]
    places += [(("route", number, "match"), route.match.listener) for number, route in enumerate(config.routes)]
    places += [(("signing", number, "listener"), rule.listener) for number, rule in enumerate(config.signing)]
    for path, names in places:
        for name in names:
            if name not in listeners:
                hint = meant(name, listeners) or f"known are {listed(sorted(listeners))}"
                yield path, f'no [[listener]] is named "{name}"', hint
            elif listeners[name].protocol not in ("smtp", "lmtp"):
                yield path, f'the listener "{name}" does not speak SMTP', ""


def plugins(config: Config) -> Iterator[Fault]:
    uses: list[tuple[Path, str, str]]
    uses = [(("filter", place, "use"), "relaygw.filters", use.use) for place, use in enumerate(config.filters)]
    uses += [
        (("route", place, "transport"), "relaygw.transports", route.transport)
        for place, route in enumerate(config.routes)
    ]
    uses += [(("rewriter", place, "use"), "relaygw.rewriters", use.use) for place, use in enumerate(config.rewriters)]
    uses += [(("table", place, "use"), "relaygw.tables", table.use) for place, table in enumerate(config.tables)]
    if config.directory.kind != "file":
        uses.append((("directory", "kind"), "relaygw.directories", config.directory.kind))
    for path, group, name in uses:
        known = sorted({point.name for point in importlib.metadata.entry_points(group=group)})
        if ":" not in name and name not in known:
            hint = meant(name, known) or f'known are {listed(known)}, or write "module:object"'
            yield path, f'no {group.removeprefix("relaygw.")[:-1]} "{name}" is installed', hint
