"""The filter `dkim`: who has signed this message, and does it hold (RFC 6376)?

Asked in phase data. The keys are asked for all together while the body is hashed; a large body is hashed in a thread.
By itself it refuses nothing unless its table says so: a signature that fails is like none (RFC 6376 6.3), and what it
means is for DMARC to say. Mail from those who may relay is ours to sign, not to check.
"""

from collections.abc import Mapping

import attrs
from twisted.internet.defer import Deferred, gatherResults
from zope.interface import implementer

from relaygw.bridge import as_deferred
from relaygw.config.kinds import Count, Duration
from relaygw.core.content import Content
from relaygw.core.dkim import Check, Findings, Policy, Result
from relaygw.core.dkim.finding import auth_results, summary
from relaygw.core.question import Answer, Question
from relaygw.core.reply import Reply
from relaygw.core.session import Transaction
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.dns import DeadlineResolver
from relaygw.filters.content import read_body
from relaygw.interfaces import IFilter, IResolver, Options, Services
from relaygw.plugins import structure_options


@attrs.frozen(kw_only=True)
class DkimOptions:
    """`actions` maps the result of the best signature ("none" where there is none) to an action; all others pass.

    `signatures` is how many are looked at; `partial_body` takes a signature that covers only the beginning of the body
    (l=) for good; `clock_skew` is how far in the future one may have been made; `timeout` is for all keys together.
    """

    actions: Mapping[Result, Action] = attrs.field(factory=dict)
    signatures: Count = 8
    partial_body: bool = False
    clock_skew: Duration = 300.0
    timeout: Duration = 20.0


@implementer(IFilter)
class DkimFilter:
    """Leaves `Findings` as its result, for DMARC and others."""

    phases = frozenset({Phase.DATA})

    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(DkimOptions, options)
        self._services = services
        self._policy = Policy(
            signatures=self._options.signatures,
            partial_body=self._options.partial_body,
            clock_skew=int(self._options.clock_skew),
        )

    async def _judge(self, content: Content) -> Verdict:
        findings = await find_signatures(content, self._services, self._policy, self._options.timeout)
        return self._verdict(findings)

    def check(self, phase: Phase, transaction: Transaction) -> "Verdict | Deferred[Verdict]":
        session, content = transaction.session, transaction.content
        if session.trusted or session.login or content is None:
            return PASS
        return Deferred.fromCoroutine(self._judge(content))

    def _verdict(self, findings: Findings) -> Verdict:
        action = self._options.actions.get(findings.result, Action.PASS)
        # RFC 6376 3.6.1: whoever tests is treated as if he did not sign.
        if findings.result is not Result.PASS and any(finding.testing for finding in findings.signatures):
            action = Action.PASS
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


async def find_signatures(content: Content, services: Services, policy: Policy, timeout: float) -> Findings:
    """All signatures of a message judged; the keys and the body are waited for together."""
    clock = services.reactor
    check = Check(content.head, clock.seconds(), policy)
    answers = _ask_all(check.questions, DeadlineResolver(services.resolver, clock, timeout))
    try:
        if check.bodies.needed:
            reading = read_body(content, check.bodies.feed, clock)
            if reading is not None:
                await reading
    except BaseException:
        answers.cancel()
        raise
    return check.conclude(dict(zip(check.questions, await answers, strict=True)))


def _ask_all(questions: tuple[Question, ...], resolver: IResolver) -> Deferred[list[Answer]]:
    asked = [as_deferred(resolver.ask(question)) for question in questions]
    return gatherResults(asked, consumeErrors=True)
