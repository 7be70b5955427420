"""The filter `arc`: through whose hands has this message come, and is that chain whole (RFC 8617)?

Asked in phase data. What a whole chain is worth depends on who sealed it: filter `dmarc` has a list of those it trusts.
"""

from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Any

import attrs
from zope.interface import implementer

from relaygw.bridge import follow
from relaygw.config.kinds import AnyNetwork, Duration
from relaygw.core.arc import Check, Findings, Result
from relaygw.core.arc.finding import auth_result, summary
from relaygw.core.client import among
from relaygw.core.content import Content
from relaygw.core.reply import Reply
from relaygw.core.session import Transaction
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.dns import consult, consult_now
from relaygw.filters.allowance import asker
from relaygw.filters.content import read_body
from relaygw.interfaces import IAuthenticating, IFilter, IResolver, Options, Services
from relaygw.plugins import structure_options


@attrs.frozen(kw_only=True)
class ArcOptions:
    """`actions` maps the result (none, pass, fail) to an action; all others pass. A chain that fails says nothing bad
    about a message (RFC 8617 5.2.2), so nothing is refused by default. `timeout` is for all keys together. Clients in
    `skip` are not looked at."""

    actions: Mapping[Result, Action] = attrs.field(factory=dict)
    timeout: Duration = 20.0
    skip: tuple[AnyNetwork, ...] = ()


@implementer(IFilter, IAuthenticating)
class ArcFilter:
    """Leaves `Findings` as its result, for DMARC, sealing and others."""

    phases = frozenset({Phase.DATA})
    methods = ("arc",)

    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(ArcOptions, options)
        self._skips = among(self._options.skip)
        self._services = services

    def check(self, phase: Phase, transaction: Transaction) -> Verdict | Awaitable[Verdict]:
        session, content = transaction.session, transaction.content
        if session.trusted or session.login or content is None or self._skips(session.client):
            return PASS
        resolver = asker(self._services, transaction, self._options.timeout)
        return follow(find_chain(content, resolver, self._services.reactor), partial(self._verdict, session.client))

    def _verdict(self, client: str, findings: Findings) -> Verdict:
        action = self._options.actions.get(findings.result, Action.PASS)
        if action is Action.REJECT and findings.temporary:
            action = Action.DEFER  # RFC 8617 5.2.1 makes it a failure; that refuses nobody for good
        return Verdict(
            action=action,
            reply=_reply(action),
            reason=f"arc {summary(findings)}",
            auth=(auth_result(findings, client),),
            result=findings,
        )


def _reply(action: Action) -> Reply | None:
    """RFC 8617 10.3: X.7.29, the chain did not validate."""
    if action is Action.REJECT:
        return Reply(550, "5.7.29", "ARC: the chain of this message is broken")
    if action is Action.DEFER:
        return Reply(451, "4.7.29", "ARC: the chain of this message did not validate")
    return None


def find_chain(content: Content, resolver: IResolver, reactor: Any) -> Findings | Awaitable[Findings]:
    """The chain judged, at once where its keys are known and the body is small. `reactor` provides IReactorTime and
    IReactorThreads."""
    check = Check(content.head, reactor.seconds())
    reading = read_body(content, check.bodies, reactor) if check.bodies.needed else None
    if reading is None:
        return consult_now(check.run(), resolver)
    return _find_later(reading, check, resolver)


async def _find_later(reading: Awaitable[None], check: Check, resolver: IResolver) -> Findings:
    await reading
    return await consult(check.run(), resolver)
