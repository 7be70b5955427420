"""The filter `arc`: through whose hands has this message come, and is that chain whole (RFC 8617)?

Asked in phase data. What a whole chain is worth depends on who sealed it: filter `dmarc` has a list of those it trusts.
"""

from collections.abc import Mapping

import attrs
from twisted.internet.defer import Deferred
from zope.interface import implementer

from relaygw.config.kinds import Duration
from relaygw.core.arc import Check, Findings, Result
from relaygw.core.arc.finding import auth_result, summary
from relaygw.core.content import Content
from relaygw.core.reply import Reply
from relaygw.core.session import Transaction
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.dns import DeadlineResolver, consult
from relaygw.filters.content import read_body
from relaygw.interfaces import IFilter, Options, Services
from relaygw.plugins import structure_options


@attrs.frozen(kw_only=True)
class ArcOptions:
    """`actions` maps the result (none, pass, fail) to an action; all others pass. A chain that fails says nothing bad
    about a message (RFC 8617 5.2.2), so nothing is refused by default. `timeout` is for all keys together."""

    actions: Mapping[Result, Action] = attrs.field(factory=dict)
    timeout: Duration = 20.0


@implementer(IFilter)
class ArcFilter:
    """Leaves `Findings` as its result, for DMARC, sealing and others."""

    phases = frozenset({Phase.DATA})

    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(ArcOptions, options)
        self._services = services

    def check(self, phase: Phase, transaction: Transaction) -> "Verdict | Deferred[Verdict]":
        session, content = transaction.session, transaction.content
        if session.trusted or session.login or content is None:
            return PASS
        return Deferred.fromCoroutine(self._judge(content, session.client))

    async def _judge(self, content: Content, client: str) -> Verdict:
        clock = self._services.reactor
        check = Check(content.head)
        if check.bodies.needed:
            reading = read_body(content, check.bodies.feed, clock)
            if reading is not None:
                await reading
        resolver = DeadlineResolver(self._services.resolver, clock, self._options.timeout)
        return self._verdict(await consult(check.run(), resolver), client)

    def _verdict(self, findings: Findings, client: str) -> Verdict:
        action = self._options.actions.get(findings.result, Action.PASS)
        return Verdict(
            action=action,
            # RFC 8617 10.3: X.7.29 the chain did not validate.
            reply=Reply(550, "5.7.29", "ARC: the chain of this message is broken") if action is Action.REJECT else None,
            reason=f"arc {summary(findings)}",
            auth=(auth_result(findings, client),),
            result=findings,
        )
