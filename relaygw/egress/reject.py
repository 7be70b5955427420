"""The transport that gives mail back: every recipient fails with the operator's own words."""

import re

from zope.interface import implementer

from relaygw.core.address import Address
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Route
from relaygw.core.reply import Reply
from relaygw.egress.parameters import Reader, problems
from relaygw.interfaces import Attempt, IOneDestination, IRouteChecker, ITransport, Options, Services

WORDS = "mail to this address is not accepted here"
_ENHANCED = re.compile(r"5\.[0-9]{1,3}\.[0-9]{1,3}\Z")


@implementer(ITransport, IOneDestination, IRouteChecker)
class RejectTransport:
    """Route parameters: `reason` (for the sender) and `enhanced` (RFC 3463, such as "5.7.1")."""

    def __init__(self, options: Options, services: Services) -> None:
        if options:
            raise ValueError(f"reject takes no options, but found {', '.join(sorted(options))}")

    def destination(self, route: Route, recipient: Address) -> str:
        return "reject"

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        reply = _read(attempt.route)
        return tuple(
            Outcome(recipient=state.address, status=Status.FAILED, reply=reply) for state in attempt.recipients
        )

    async def stop(self) -> None:
        """Nothing is open."""

    def check(self, route: Route) -> tuple[str, ...]:
        return problems(_read, route)


def _read(route: Route) -> Reply:
    reader = Reader(route)
    reason, enhanced = reader.text("reason") or WORDS, reader.text("enhanced") or "5.7.1"
    if not _ENHANCED.match(enhanced):
        reader.problems.append(f'enhanced must be a code such as "5.7.1", not {enhanced!r}')
    if not reason.isprintable():
        reader.problems.append("reason must be one line of text")
    reader.finish()
    return Reply(550, enhanced, reason)
