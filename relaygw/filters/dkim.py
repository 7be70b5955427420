"""The filter `dkim`: who has signed this message, and does it hold (RFC 6376)?

Asked in phase data. The keys are asked for all together while the body is hashed; a large body is hashed in a thread.
By itself it refuses nothing unless its table says so: a signature that fails is like none (RFC 6376 6.3), and what it
means is for DMARC to say. Mail from those who may relay is ours to sign, not to check.
"""

from collections.abc import Awaitable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults
from zope.interface import implementer

from relaygw.bridge import as_deferred, follow
from relaygw.config.kinds import AnyNetwork, Count, Duration
from relaygw.core.client import among
from relaygw.core.content import Content
from relaygw.core.dkim import Check, Findings, Policy, Result
from relaygw.core.dkim.finding import auth_results, summary
from relaygw.core.question import Answer
from relaygw.core.reply import Reply
from relaygw.core.session import Transaction
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.dns import known
from relaygw.filters.allowance import asker
from relaygw.filters.content import read_body
from relaygw.interfaces import IAuthenticating, IFilter, IResolver, Options, Services
from relaygw.plugins import structure_options


@attrs.frozen(kw_only=True)
class DkimOptions:
    """`actions` maps the result of the best signature ("none" where there is none) to an action; all others pass.

    `signatures` is how many are looked at; `partial_body` takes a signature that covers only the beginning of the body
    (l=) for good; `clock_skew` is how far in the future one may have been made; `timeout` is for all keys together.
    Clients in `skip` are not looked at.
    """

    actions: Mapping[Result, Action] = attrs.field(factory=dict)
    signatures: Count = 8
    partial_body: bool = False
    clock_skew: Duration = 300.0
    timeout: Duration = 20.0
    skip: tuple[AnyNetwork, ...] = ()

    def policy(self) -> Policy:
        """What signatures are judged by."""
        return Policy(signatures=self.signatures, partial_body=self.partial_body, clock_skew=int(self.clock_skew))


@implementer(IFilter, IAuthenticating)
class DkimFilter:
    """Leaves `Findings` as its result, for DMARC and others."""

    phases = frozenset({Phase.DATA})
    methods = ("dkim",)

    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(DkimOptions, options)
        self._skips = among(self._options.skip)
        self._services = services
        self._policy = self._options.policy()

    def check(self, phase: Phase, transaction: Transaction) -> Verdict | Awaitable[Verdict]:
        session, content = transaction.session, transaction.content
        if session.trusted or session.login or content is None or self._skips(session.client):
            return PASS
        resolver = asker(self._services, transaction, self._options.timeout)
        return follow(find_signatures(content, resolver, self._services.reactor, self._policy), self._verdict)

    def _verdict(self, findings: Findings) -> Verdict:
        action = self._options.actions.get(findings.result, Action.PASS)
        return Verdict(
            action=action,
            reply=_reply(findings, action),
            reason=f"dkim {summary(findings)}",
            auth=auth_results(findings),
            result=findings,
        )


def _reply(findings: Findings, action: Action) -> Reply | None:
    """RFC 7372 3.1: X.7.20 no signature passed, X.7.21 none acceptable did."""
    if action not in (Action.REJECT, Action.DEFER):
        return None
    number = 21 if findings.result is Result.POLICY else 20
    code, category = (550, "5.7") if action is Action.REJECT else (451, "4.7")
    return Reply(
        code, f"{category}.{number}", f"DKIM: no signature of this message is good enough: {findings.result.value}"
    )


def find_signatures(
    content: Content, resolver: IResolver, clock: Any, policy: Policy
) -> Findings | Awaitable[Findings]:
    """All signatures of a message judged, at once where the keys are known and the body is small; else the keys and
    the body are waited for together. `clock` provides IReactorTime and IReactorThreads."""
    check = Check(content.head, clock.seconds(), policy)
    asked = [as_deferred(resolver.ask(question)) for question in check.questions]
    try:
        reading = read_body(content, check.bodies, clock) if check.bodies.needed else None
    except BaseException:
        _cancel(asked)
        raise
    answers = list(filter(None, map(known, asked)))
    if reading is None and len(answers) == len(asked):
        return check.conclude(dict(zip(check.questions, answers, strict=True)))
    return _find_later(check, asked, reading)


async def _find_later(check: Check, asked: list[Deferred[Answer]], reading: Awaitable[None] | None) -> Findings:
    try:
        if reading is not None:
            await reading
        answers: list[Answer] = await gatherResults(asked, consumeErrors=True)
    except BaseException:
        _cancel(asked)
        raise
    return check.conclude(dict(zip(check.questions, answers, strict=True)))


def _cancel(asked: list[Deferred[Answer]]) -> None:
    """Nobody waits for the keys any more."""
    gatherResults(asked, consumeErrors=True).addErrback(lambda failure: None).cancel()
