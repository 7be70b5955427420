"""The transport that hands nothing on: the whole message is held until an operator releases it, and then goes on by the
rules after this one.
"""

import attrs
from zope.interface import implementer

from relaygw.core.address import Address
from relaygw.core.outcome import Outcome, deferred
from relaygw.core.record import Route
from relaygw.egress.parameters import Reader, problems
from relaygw.interfaces import Attempt, IOneDestination, IRouteChecker, ITransport, Options, Services


@implementer(ITransport, IOneDestination, IRouteChecker)
class HoldTransport:
    """Route parameter: `reason`, for operators; by default the route's name."""

    def __init__(self, options: Options, services: Services) -> None:
        if options:
            raise ValueError(f"hold takes no options, but found {', '.join(sorted(options))}")

    def destination(self, route: Route, recipient: Address) -> str:
        return "hold"

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        reason = _reason(attempt.route)
        return tuple(attrs.evolve(deferred(state.address, "4.7.0", reason), holds=True) for state in attempt.recipients)

    async def stop(self) -> None:
        """Nothing is open."""

    def check(self, route: Route) -> tuple[str, ...]:
        return problems(_reason, route)


def _reason(route: Route) -> str:
    reader = Reader(route)
    reason = reader.text("reason") or f"held by {route.name}"
    if not reason.isprintable():
        reader.problems.append("reason must be one line of text")
    reader.finish()
    return reason
