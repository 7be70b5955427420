"""How a route's transport would hand mail on, where it can tell, and whose keys would sign it."""

from collections.abc import Awaitable, Mapping
from typing import Any

from relaygw.core.address import Address
from relaygw.core.record import Record, Route
from relaygw.egress.dkim import DkimSigner
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


def signing(signer: DkimSigner, record: Record) -> list[dict[str, Any]]:
    """The keys that sign such a message where it is ours."""
    return [
        {"domain": key.domain, "selector": key.selector, "algorithm": key.algorithm} for key in signer.keys_for(record)
    ]
