"""The filter `spf`: may this client send for its HELO name and for the reverse-path (RFC 7208)?

Asked in phase mail; the HELO identity first, and where that decides, the MAIL FROM one costs nothing any more (2.3).
Clients that may relay (trusted networks, logins) are not checked: they are senders, not forwarders. The result →
action tables are the operator's; the time of all DNS questions together is bounded, and running out is a temperror.
"""

import ipaddress
from collections.abc import Awaitable, Mapping

import attrs
from zope.interface import implementer

from relaygw.config.kinds import AnyNetwork, Duration
from relaygw.core.session import Transaction
from relaygw.core.spf import Finding, Identity, Result, check_hello, check_mail_from, received_spf
from relaygw.core.spf.check import IPAddress
from relaygw.core.spf.policy import DEFAULT_ACTIONS, auth_result, reply_for, summary
from relaygw.core.spf.result import Findings
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.dns import DeadlineResolver, consult
from relaygw.interfaces import IFilter, Options, Services
from relaygw.plugins import structure_options


@attrs.frozen(kw_only=True)
class SpfOptions:
    """`mail_from` and `hello` map results to actions, over the defaults (fail → reject, temperror → defer).

    `timeout` is for all questions of one transaction (RFC 7208 4.6.4: at least 20 s); keep it below the use's own.
    Clients in `skip` are not checked. `received_spf` adds the Received-SPF field.
    """

    mail_from: Mapping[Result, Action] = attrs.field(factory=dict)
    hello: Mapping[Result, Action] = attrs.field(factory=dict)
    timeout: Duration = 20.0
    skip: tuple[AnyNetwork, ...] = ()
    received_spf: bool = True


@implementer(IFilter)
class SpfFilter:
    """Leaves `Findings` as its result, for DMARC and others."""

    phases = frozenset({Phase.MAIL})

    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(SpfOptions, options)
        self._services = services
        self._actions = {
            Identity.HELO: {**DEFAULT_ACTIONS, **self._options.hello},
            Identity.MAIL_FROM: {**DEFAULT_ACTIONS, **self._options.mail_from},
        }

    def check(self, phase: Phase, transaction: Transaction) -> Verdict | Awaitable[Verdict]:
        session = transaction.session
        if session.trusted or session.login or not session.client:
            return PASS
        client = ipaddress.ip_address(session.client)
        if isinstance(client, ipaddress.IPv6Address):
            client = client.ipv4_mapped or client
        if any(client in network for network in self._options.skip):
            return PASS
        return self._judge(client, transaction)

    async def _judge(self, client: IPAddress, transaction: Transaction) -> Verdict:
        clock, hello = self._services.reactor, transaction.session.hello
        resolver = DeadlineResolver(self._services.resolver, clock, self._options.timeout)
        now, receiver = clock.seconds(), self._services.hostname
        checked = None
        if hello:
            checked = await consult(check_hello(client=client, hello=hello, receiver=receiver, now=now), resolver)
            # The null reverse-path stands for postmaster at HELO (RFC 7208 2.4): nothing else to ask.
            if transaction.envelope.sender is None or self._decides(checked):
                return self._verdict(Findings(hello=checked), checked)
        sender = transaction.envelope.sender
        if sender is None:
            return PASS
        inquiry = check_mail_from(client=client, sender=sender, hello=hello, receiver=receiver, now=now)
        found = await consult(inquiry, resolver)
        return self._verdict(Findings(hello=checked, mail_from=found), found)

    def _decides(self, finding: Finding) -> bool:
        return self._actions[finding.identity][finding.result] in (Action.REJECT, Action.DEFER, Action.DISCARD)

    def _verdict(self, findings: Findings, decisive: Finding) -> Verdict:
        action = self._actions[decisive.identity][decisive.result]
        if action is Action.PASS and findings.hello is not None:
            action = self._actions[Identity.HELO][findings.hello.result]  # such as quarantine
        told = [finding for finding in findings.all if finding is decisive or finding.result is not Result.NONE]
        hostname = self._services.hostname
        return Verdict(
            action=action,
            reply=reply_for(decisive, action),
            reason=f"spf {summary(findings)}",
            fields=tuple(received_spf(finding, hostname) for finding in told) if self._options.received_spf else (),
            auth=tuple(map(auth_result, told)),
            result=findings,
        )
