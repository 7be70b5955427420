"""What must hold of the uses of filters and rewriters."""

from collections.abc import Iterator

from relaygw.config.problem import Fault, repeated
from relaygw.config.rules.routes import route_name
from relaygw.config.schema import Config
from relaygw.config.structure import listed, meant


def filter_names(config: Config) -> Iterator[Fault]:
    for place, before in repeated(use.name for use in config.filters):
        hint = "give this use a name of its own"
        name = config.filters[place].name
        yield ("filter", place, "name"), f'"{name}" is already the name of filter[{before + 1}]', hint


def rewriters(config: Config) -> Iterator[Fault]:
    routes = {route_name(place, route) for place, route in enumerate(config.routes, 1)}
    for place, use in enumerate(config.rewriters):
        if not (use.listeners or use.routes):
            message = "this option must be given (or routes): mail is changed only where that is asked for by name"
            yield ("rewriter", place, "listeners"), message, ""
        if use.listeners and use.routes:
            message = "listeners are for mail that comes in and routes for mail that goes out: not both in one entry"
            yield ("rewriter", place, "routes"), message, "write two entries"
        if use.routes and use.use == "copy":
            message = "copies are made of mail that comes in, as recipients of it: name listeners instead"
            yield ("rewriter", place, "routes"), message, ""
        for name in use.routes:
            if name not in routes:
                hint = meant(name, routes) or f"known are {listed(sorted(routes))}"
                yield ("rewriter", place, "routes"), f'no [[route]] is named "{name}"', hint
