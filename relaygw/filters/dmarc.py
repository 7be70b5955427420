"""The filter `dmarc`: does the owner of the domain in From stand behind this message (RFC 9989)?

Asked in phase data, after `spf`, `dkim` and `arc`, whose findings it takes; what it misses (not configured, broken, or
in shadow mode) it finds out itself, of ARC where there are sealers who might vouch. Which result leads to what is the
operator's table. Mail that fails is let through where it came from a forwarder, or through sealers, that the operator
trusts. Every evaluation is kept for aggregate reports.
"""

from collections.abc import Awaitable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs
from zope.interface import implementer

from relaygw.bridge import follow
from relaygw.config.kinds import AnyNetwork, DomainOrBelow, Duration
from relaygw.core import arc, dkim, spf
from relaygw.core.author import Authors, read_authors
from relaygw.core.client import among, parse_client
from relaygw.core.dmarc import Evaluation, Result, evaluate
from relaygw.core.dmarc.policy import (
    DEFAULT_ACTIONS,
    Case,
    Trust,
    auth_result,
    case,
    is_open,
    line_of,
    override,
    reply_for,
    summary,
)
from relaygw.core.dmarc.record import Policy
from relaygw.core.dmarc.report import Circumstances, Override, OverrideType, entry
from relaygw.core.permission import domains_of
from relaygw.core.question import Inquiry
from relaygw.core.remembered import Remembered, timed
from relaygw.core.session import Transaction
from relaygw.core.spf import check_hello, check_mail_from
from relaygw.core.spf.result import Findings as SpfFindings
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.dns import consult_now
from relaygw.filters.allowance import asker
from relaygw.filters.arc import find_chain
from relaygw.filters.dkim import find_signatures
from relaygw.filters.evaluations import EvaluationLog
from relaygw.interfaces import IAuthenticating, IFilter, Options, Services
from relaygw.plugins import structure_options

KEPT = 20_000
"""Conclusions that are remembered, each of about 2 KB."""

_OFTEN = 1024
"""Characters of a record of ordinary length."""

_Key = tuple[tuple[str, ...], str, tuple[str, spf.Result] | None, tuple[tuple[str, str, dkim.Result], ...]]

FOLDER = "dmarc"
"""Below the state directory: the evaluations."""

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class DmarcOptions:
    """`actions` maps the case to an action, over the defaults: reject, quarantine and none are messages that fail, by
    the policy to be applied; the others are pass, absent, unreadable, crowded, temperror and permerror.

    Clients in `forwarders` and chains sealed by `sealers` may send on what fails. `timeout` is for all DNS questions of
    one evaluation. `keep` is for how long evaluations are kept for reports; with `record` false they are not. Clients
    in `skip` are not judged.
    """

    actions: Mapping[Case, Action] = attrs.field(factory=dict)
    forwarders: tuple[AnyNetwork, ...] = ()
    sealers: tuple[DomainOrBelow, ...] = ()
    timeout: Duration = 20.0
    record: bool = True
    keep: Duration = 14 * 86400.0
    skip: tuple[AnyNetwork, ...] = ()

    def table(self) -> Mapping[Case, Action]:
        """The actions over the defaults."""
        return {**DEFAULT_ACTIONS, **self.actions}

    def trust(self) -> Trust:
        """Who may send on what fails."""
        return Trust(forwarders=self.forwarders, sealers=domains_of(self.sealers))


@attrs.frozen(kw_only=True)
class _Basis:
    """What one message is evaluated by."""

    authors: Authors
    spf: spf.Finding | None
    signatures: dkim.Findings

    @property
    def key(self) -> _Key:
        """All that an evaluation depends on but for the DNS."""
        finding = self.spf
        return (
            self.authors.domains,
            self.authors.flaw,
            (finding.domain, finding.result) if finding is not None else None,
            tuple([(each.domain, each.selector, each.result) for each in self.signatures.signatures]),
        )


@attrs.frozen(kw_only=True)
class _Conclusion:
    """An evaluation, its line in the table of actions, and the verdict where nothing else has to be weighed."""

    evaluation: Evaluation
    case: Case
    verdict: Verdict


@implementer(IFilter, IAuthenticating)
class DmarcFilter:
    """Leaves an `Evaluation` as its result, for routing and others."""

    phases = frozenset({Phase.DATA})
    methods = ("dmarc",)

    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(DmarcOptions, options)
        self._skips = among(self._options.skip)
        self._services = services
        self._actions = self._options.table()
        self._trust = self._options.trust()
        self._memory: Remembered[_Key, _Conclusion] = Remembered(KEPT)
        self._log = None
        if self._options.record and services.state:
            self._log = EvaluationLog(Path(services.state) / FOLDER, services, self._options.keep)

    def check(self, phase: Phase, transaction: Transaction) -> Verdict | Awaitable[Verdict]:
        session, content = transaction.session, transaction.content
        if session.trusted or session.login or content is None or self._skips(session.client):
            return PASS
        signatures: dkim.Findings | Awaitable[dkim.Findings] | None = _result(transaction, dkim.Findings)
        if signatures is None:
            resolver = asker(self._services, transaction, self._options.timeout)
            signatures = find_signatures(content, resolver, self._services.reactor, dkim.Policy())
        return follow(signatures, partial(self._judge, transaction, content.head))

    def _judge(self, transaction: Transaction, head: bytes, signatures: dkim.Findings) -> Verdict | Awaitable[Verdict]:
        authors, finding = read_authors(head), _spf_finding(transaction)
        if finding is not None:
            basis = _Basis(authors=authors, spf=finding, signatures=signatures)
            known = self._memory.recall(basis.key, self._services.reactor.seconds())
            if known is not None:
                return self._weigh(transaction, (basis, known))
        resolver = asker(self._services, transaction, self._options.timeout)
        inquiry = self._inquire(transaction, authors, finding, signatures)
        return follow(consult_now(inquiry, resolver), partial(self._weigh, transaction))

    def _inquire(
        self, transaction: Transaction, authors: Authors, finding: spf.Finding | None, signatures: dkim.Findings
    ) -> Inquiry[tuple[_Basis, _Conclusion]]:
        if finding is None:
            finding = yield from self._check_spf(transaction)
        basis = _Basis(authors=authors, spf=finding, signatures=signatures)
        evaluation, lifetime = yield from timed(evaluate(authors, finding, signatures))
        line = line_of(evaluation, self._actions)
        verdict = self._verdict(evaluation, self._actions[line])
        conclusion = _Conclusion(evaluation=evaluation, case=line, verdict=verdict)
        # What is wrong with a From field may be told at length, and never in the same words again; and so may a record.
        ordinary = not authors.flaw and (evaluation.record is None or len(evaluation.record.text) <= _OFTEN)
        if lifetime > 0 and ordinary and evaluation.result is not Result.TEMPERROR:
            self._memory.keep(basis.key, conclusion, self._services.reactor.seconds() + lifetime)
        return basis, conclusion

    def _check_spf(self, transaction: Transaction) -> Inquiry[spf.Finding | None]:
        """What nobody has found out before."""
        sender, session = transaction.envelope.sender, transaction.session
        client = parse_client(session.client)
        if client is None or (sender is None and not session.hello):
            return None
        now, receiver = self._services.reactor.seconds(), self._services.hostname
        if sender is None:
            return (yield from check_hello(client=client, hello=session.hello, receiver=receiver, now=now))
        return (
            yield from check_mail_from(client=client, sender=sender, hello=session.hello, receiver=receiver, now=now)
        )

    def _weigh(self, transaction: Transaction, found: tuple[_Basis, _Conclusion]) -> Verdict | Awaitable[Verdict]:
        """What fails may be spared; look for a chain where nobody has, and it matters."""
        basis, conclusion = found
        if conclusion.case not in (Case.REJECT, Case.QUARANTINE):
            return self._told(transaction, basis, conclusion.verdict, conclusion.case)
        chain, content = _result(transaction, arc.Findings), transaction.content
        if chain is None and self._options.sealers and content is not None:
            resolver = asker(self._services, transaction, self._options.timeout)
            looked = find_chain(content, resolver, self._services.reactor)
            return follow(looked, partial(self._decide, transaction, found))
        return self._decide(transaction, found, chain)

    def _decide(
        self, transaction: Transaction, found: tuple[_Basis, _Conclusion], chain: arc.Findings | None
    ) -> Verdict:
        basis, conclusion = found
        evaluation = conclusion.evaluation
        spared = override(evaluation, parse_client(transaction.session.client), chain, self._trust)
        opened = is_open(evaluation, chain, self._trust)
        line = Case.TEMPERROR if opened else conclusion.case
        action = Action.PASS if spared is not None else self._actions[line]
        why = f"let through: {spared.comment}" if spared is not None else ""
        if opened:
            why = "its chain (ARC) would let it through, and cannot be checked now"
        return self._told(transaction, basis, self._verdict(evaluation, action, why), line, spared)

    def _told(
        self, transaction: Transaction, basis: _Basis, verdict: Verdict, line: Case, spared: Override | None = None
    ) -> Verdict:
        """The verdict, kept for the owner's report; what is asked to come again is told when it has come."""
        evaluation = verdict.result
        assert isinstance(evaluation, Evaluation)
        if line is not Case.TEMPERROR or verdict.action is not Action.DEFER:
            self._keep(evaluation, basis, transaction, verdict.action, spared)
        return verdict

    def _keep(
        self,
        evaluation: Evaluation,
        basis: _Basis,
        transaction: Transaction,
        action: Action,
        spared: Override | None,
    ) -> None:
        if self._log is None or evaluation.record is None:
            return
        if self._services.shadow:
            action = Action.PASS  # a report tells what was done
        now = self._services.reactor.seconds()
        sender = transaction.envelope.sender
        around = Circumstances(
            time=now,
            queue_id=transaction.queue_id,
            client=transaction.session.client,
            envelope_from=sender.domain if sender is not None else "",
            envelope_to=tuple(recipient.address.domain for recipient in transaction.envelope.recipients),
            disposition=_disposition(evaluation, action),
            overrides=(spared,) if spared is not None else self._deviation(evaluation, action),
        )
        self._log.add(now, partial(entry, evaluation, around, basis.spf, basis.signatures))

    def _deviation(self, evaluation: Evaluation, action: Action) -> tuple[Override, ...]:
        """RFC 9989 5.4: where something else is done than was asked for, the owner is told why."""
        line = case(evaluation)
        if line not in (Case.REJECT, Case.QUARANTINE, Case.NONE, Case.PASS):
            return ()
        if _done(action) != ("none" if line is Case.PASS else evaluation.policy.value):
            return (Override(OverrideType.LOCAL_POLICY, f"our policy for {line.value} is {action.value}"),)
        if line is Case.PASS:
            return ()
        if evaluation.record is not None and evaluation.record.testing and evaluation.published is not Policy.NONE:
            return (Override(OverrideType.POLICY_TEST_MODE),)
        return ()

    def _verdict(self, evaluation: Evaluation, action: Action, why: str = "") -> Verdict:
        """`why` something else is done than the table says for the result."""
        return Verdict(
            action=action,
            reply=reply_for(evaluation, action),
            reason=f"dmarc {summary(evaluation)}" + (f"; {why}" if why else ""),
            auth=(auth_result(evaluation),),
            result=evaluation,
        )


def _disposition(evaluation: Evaluation, action: Action) -> str:
    """What was done, in the words of RFC 9990: "pass" is what was left alone for passing under a policy that asks for
    more than "none"."""
    enforced = evaluation.result is Result.PASS and evaluation.published is not Policy.NONE
    return "pass" if enforced and action is Action.PASS else _done(action)


def _done(action: Action) -> str:
    if action in (Action.REJECT, Action.DEFER, Action.DISCARD):
        return "reject"
    return "quarantine" if action in (Action.QUARANTINE, Action.HOLD) else "none"


def _spf_finding(transaction: Transaction) -> spf.Finding | None:
    """What filter `spf` found for the reverse-path; that for HELO stands for the null one (RFC 7208 2.4)."""
    findings = _result(transaction, SpfFindings)
    if findings is None:
        return None
    return findings.hello if transaction.envelope.sender is None else findings.mail_from


def _result(transaction: Transaction, kind: type[T]) -> T | None:
    """What an earlier filter left, whatever its use is called."""
    for found in transaction.results.values():
        if isinstance(found, kind):
            return found
    return None
