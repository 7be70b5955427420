"""The filter `spf`: may this client send for its HELO name and for the reverse-path (RFC 7208)?

Asked in phase mail; the HELO identity first, and where that decides, the MAIL FROM one costs nothing any more (2.3).
Clients that may relay (trusted networks, logins) are not checked: they are senders, not forwarders. The result →
action tables are the operator's; the time of all DNS questions together is bounded, and running out is a temperror.
A finding holds for as long as the answers it was made from.
"""

from collections.abc import Awaitable, Mapping
from functools import lru_cache

import attrs
from zope.interface import implementer

from relaygw.bridge import follow
from relaygw.config.kinds import AnyNetwork, Duration
from relaygw.core.address import Address
from relaygw.core.client import IPAddress, among, parse_client
from relaygw.core.question import Inquiry
from relaygw.core.session import Transaction
from relaygw.core.spf import Finding, Identity, Memory, Result, received_spf
from relaygw.core.spf.policy import DEFAULT_ACTIONS, Actions, action_for, auth_result, decides, reply_for, summary
from relaygw.core.spf.result import Findings
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.dns import consult_now
from relaygw.filters.allowance import asker
from relaygw.interfaces import IAuthenticating, IFilter, Options, Services
from relaygw.plugins import structure_options

KEPT = 20_000
"""Findings that are remembered, each of about 1 KB."""

_VERDICTS = 1024
"""What is said of the same findings, as a client has them that sends again and again."""


@attrs.frozen(kw_only=True)
class SpfOptions:
    """`mail_from` and `hello` map results to actions, over the defaults (fail → reject, temperror → defer).

    `timeout` is for all questions of one transaction (RFC 7208 4.6.4: at least 20 s); keep it below the use's own.
    Clients in `skip` are not checked, and those in trusted networks only where `trusted` says so. `received_spf` adds
    the Received-SPF field.
    """

    mail_from: Mapping[Result, Action] = attrs.field(factory=dict)
    hello: Mapping[Result, Action] = attrs.field(factory=dict)
    timeout: Duration = 20.0
    skip: tuple[AnyNetwork, ...] = ()
    trusted: bool = False
    received_spf: bool = True


def actions_of(options: SpfOptions) -> Actions:
    """The operator's tables over the defaults."""
    return {
        Identity.HELO: {**DEFAULT_ACTIONS, **options.hello},
        Identity.MAIL_FROM: {**DEFAULT_ACTIONS, **options.mail_from},
    }


@implementer(IFilter, IAuthenticating)
class SpfFilter:
    """Leaves `Findings` as its result, for DMARC and others."""

    phases = frozenset({Phase.MAIL})
    methods = ("spf",)

    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(SpfOptions, options)
        self._services = services
        self._actions = actions_of(self._options)
        self._memory = Memory(services.hostname, KEPT)
        self._skips = among(self._options.skip)
        self._judge = lru_cache(maxsize=_VERDICTS)(self._make_verdict)

    def check(self, phase: Phase, transaction: Transaction) -> Verdict | Awaitable[Verdict]:
        session = transaction.session
        client = parse_client(session.client)
        if client is None or (session.trusted and not self._options.trusted) or session.login:
            return PASS
        if self._skips(session.client):
            return PASS
        resolver = asker(self._services, transaction, self._options.timeout)
        now = self._services.reactor.seconds()
        inquiry = self._inquire(client, session.hello, transaction.envelope.sender, now)
        return follow(consult_now(inquiry, resolver), self._verdict)

    def _inquire(self, client: IPAddress, hello: str, sender: Address | None, now: float) -> Inquiry[Findings]:
        checked = None
        if hello:
            checked = yield from self._memory.check_hello(client=client, hello=hello, now=now)
            # The null reverse-path stands for postmaster at HELO (RFC 7208 2.4): nothing else to ask.
            if sender is None or decides(checked, self._actions):
                return Findings(hello=checked)
        if sender is None:
            return Findings()
        found = yield from self._memory.check_mail_from(client=client, sender=sender, hello=hello, now=now)
        return Findings(hello=checked, mail_from=found)

    def _verdict(self, findings: Findings) -> Verdict:
        return self._judge(findings.hello, findings.mail_from)

    def _make_verdict(self, hello: Finding | None, mail_from: Finding | None) -> Verdict:
        findings = Findings(hello=hello, mail_from=mail_from)
        decisive = findings.decisive
        if decisive is None:
            return PASS
        action = action_for(findings, self._actions)
        told = findings.told
        hostname = self._services.hostname
        return Verdict(
            action=action,
            reply=reply_for(decisive, action),
            reason=f"spf {summary(findings)}",
            fields=tuple(received_spf(finding, hostname) for finding in told) if self._options.received_spf else (),
            auth=tuple(map(auth_result, told)),
            result=findings,
        )
