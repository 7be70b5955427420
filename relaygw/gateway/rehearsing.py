"""How a route's transport would hand mail on, where it can tell."""

from collections.abc import Awaitable, Mapping

from relaygw.core.address import Address
from relaygw.core.record import Route
from relaygw.interfaces import IRehearser, ITransport, Rehearsal


def rehearse(
    transports: Mapping[str, ITransport], route: Route, recipient: Address, connect: bool
) -> Awaitable[Rehearsal] | None:
    """None where the transport has nothing to tell."""
    transport = transports.get(route.transport)
    rehearser = IRehearser(transport, None)
    if rehearser is None:
        return None
    answer: Awaitable[Rehearsal] = rehearser.rehearse(route, recipient, connect)
    return answer
