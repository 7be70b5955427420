"""Who travels with whom: the recipients that are due, grouped by route and destination."""

from collections.abc import Mapping, Set

import attrs

from relaygw.core.outcome import Outcome, deferred
from relaygw.core.record import Progress, Record, Route
from relaygw.core.routing import Routing
from relaygw.interfaces import ITransport
from relaygw.queue.work import Destination, Group

NO_ROUTE = Route(transport="", name="")


@attrs.frozen(kw_only=True)
class Plan:
    """The groups, and those who cannot travel with the reason; `errors` are for the journal."""

    groups: tuple[Group, ...]
    stuck: tuple[tuple[int, Outcome], ...] = ()
    errors: tuple[str, ...] = ()


def make_plan(
    record: Record, now: float, planned: Set[int], routing: Routing, transports: Mapping[str, ITransport]
) -> Plan:
    """The plan for all that wait, are due, and are not `planned` already. A held record has none."""
    if record.held:
        return Plan(groups=())
    grouped: dict[tuple[Route, Destination], list[int]] = {}
    stuck: list[tuple[int, Outcome]] = []
    errors: list[str] = []
    for position, state in enumerate(record.recipients):
        if state.progress is not Progress.WAITING or state.due > now or position in planned:
            continue
        route = routing.choose(record, state.recipient)
        transport = transports.get(route.transport) if route is not None else None
        if route is None or transport is None:
            stuck.append((position, deferred(state.address, "4.3.5", "the mail system has no route to this address")))
            errors.append(f"no transport {route.transport!r}" if route is not None else f"no route for {state.address}")
            continue
        try:
            destination = transport.destination(route, state.address)
        except Exception as error:
            stuck.append((position, deferred(state.address, "4.3.0", "the mail system failed; it tries again")))
            errors.append(f"destination of {state.address} by {route.transport}: {type(error).__name__}: {error}")
            continue
        grouped.setdefault((route, (route.transport, destination)), []).append(position)
    groups = tuple(Group(tuple(positions), route, destination) for (route, destination), positions in grouped.items())
    return Plan(groups=groups, stuck=tuple(stuck), errors=tuple(errors))
