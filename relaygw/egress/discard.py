"""The transport that takes everything and keeps nothing: for mail that is to end here, and for measurements."""

from zope.interface import implementer

from relaygw.core.address import Address
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Route
from relaygw.core.reply import Reply
from relaygw.interfaces import Attempt, IOneDestination, IRouteChecker, ITransport, Options, Services

_REPLY = Reply(250, "2.0.0", "discarded by configuration")


@implementer(ITransport, IOneDestination, IRouteChecker)
class DiscardTransport:
    """Every recipient is delivered at once, to nowhere."""

    def __init__(self, options: Options, services: Services) -> None:
        if options:
            raise ValueError(f"discard takes no options, but found {', '.join(sorted(options))}")

    def destination(self, route: Route, recipient: Address) -> str:
        return "discard"

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        return tuple(
            Outcome(recipient=state.address, status=Status.DELIVERED, reply=_REPLY) for state in attempt.recipients
        )

    async def stop(self) -> None:
        """Nothing is open."""

    def check(self, route: Route) -> tuple[str, ...]:
        return tuple(f"unknown parameter {name!r}" for name, _ in route.parameters)
