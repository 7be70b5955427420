"""Who travels with whom: the recipients that are due, grouped by route and destination, as large as it takes them.

Who is due for a destination that rests does not travel, and is postponed without an attempt.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Protocol

import attrs

from relaygw.core.detour import route_of
from relaygw.core.header_match import NOTHING, Found
from relaygw.core.lifecycle import Postponed
from relaygw.core.outcome import Outcome, deferred
from relaygw.core.record import Progress, Record, Route
from relaygw.core.routing import Routing
from relaygw.core.shaping import Destination
from relaygw.interfaces import ITransport
from relaygw.queue.work import Group

NO_ROUTE = Route(transport="", name="")


class Destinations(Protocol):
    """What a plan must know of destinations (relaygw.core.lanes)."""

    def outlook(self, destination: Destination, now: float) -> tuple[float, str, int]:
        """Until when it rests (0: it does not) and why, and how many recipients it takes in one message (0: any)."""


@attrs.frozen(kw_only=True)
class Plan:
    """The groups, and those who cannot travel with the reason; `errors` are for the journal."""

    groups: tuple[Group, ...]
    stuck: tuple[tuple[int, Outcome], ...] = ()
    postponed: tuple[Postponed, ...] = ()
    errors: tuple[str, ...] = ()


def make_plan(
    record: Record,
    now: float,
    planned: Set[int],
    routing: Routing,
    transports: Mapping[str, ITransport],
    locators: Set[str],
    destinations: Destinations,
    found: Found = NOTHING,
) -> Plan:
    """The plan for all that wait, are due, and are not `planned` already. A held record has none.

    `locators` names the transports of which recipients of two domains never travel together; `found` is what the
    routing table finds in the header section."""
    if record.held:
        return Plan(groups=())
    grouped: dict[tuple[Route, Destination, str], list[int]] = {}
    stuck: list[tuple[int, Outcome]] = []
    errors: list[str] = []
    for position, state in enumerate(record.recipients):
        if state.progress is not Progress.WAITING or state.due > now or position in planned:
            continue
        route = (
            routing.choose(record, state.recipient, found)
            if state.detour is None
            else route_of(state.detour, routing.named)
        )
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
        domain = state.address.domain if route.transport in locators else ""
        grouped.setdefault((route, (route.transport, destination), domain), []).append(position)
    groups: list[Group] = []
    postponed: list[Postponed] = []
    for (route, place, _), positions in grouped.items():
        until, reason, most = destinations.outlook(place, now)
        if until > now:
            # As if it had been tried in vain: rules on what cannot be reached hold for those who wait, too.
            postponed += postpone(record, positions, until, "4.4.1", f"{place[1]} is not tried for now: {reason}")
        else:
            groups += split(Group(tuple(positions), route, place, record.recipients[positions[0]].detour), most)
    return Plan(groups=tuple(groups), stuck=tuple(stuck), postponed=tuple(postponed), errors=tuple(errors))


def postpone(record: Record, positions: Sequence[int], until: float, enhanced: str, reason: str) -> list[Postponed]:
    """These recipients, put off without an attempt."""
    return [
        Postponed(
            position=position,
            until=until,
            outcome=deferred(record.recipients[position].address, enhanced, reason),
        )
        for position in positions
    ]


def booked(plan: Plan, record: Record, until: float) -> Plan:
    """The plan, all that could travel being put off until then."""
    positions = [position for group in plan.groups for position in group.positions]
    late = postpone(record, positions, until, "4.4.5", "other messages to this destination are before it")
    return attrs.evolve(plan, groups=(), postponed=(*plan.postponed, *late))


def split(group: Group, most: int) -> list[Group]:
    """As many as the destination takes in one message (0: any) travel together."""
    positions = group.positions
    if not most or len(positions) <= most:
        return [group]
    parts = (positions[at : at + most] for at in range(0, len(positions), most))
    return [Group(part, group.route, group.destination, group.detour) for part in parts]
