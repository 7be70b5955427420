"""The filter `iprev`: does the client's address have a name that leads back to it (RFC 8601 3)?

By default it only finds out: the result stands in Authentication-Results and is there for other filters, and nobody is
refused. Clients that may relay, and clients with private addresses, are not asked about.
"""

import enum
from collections.abc import Awaitable, Mapping
from functools import partial

import attrs
from zope.interface import implementer

from relaygw.bridge import follow
from relaygw.config.kinds import AnyNetwork, Duration
from relaygw.core.client import IPAddress, is_in, is_inside, parse_client
from relaygw.core.iprev import IprevFinding, IprevResult, auth_result, check_iprev
from relaygw.core.reply import Reply
from relaygw.core.session import Transaction
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.dns import consult_now
from relaygw.filters.allowance import asker
from relaygw.interfaces import IAuthenticating, IFilter, Options, Services
from relaygw.plugins import structure_options


class When(enum.Enum):
    """In which phase the DNS is asked, and mail refused."""

    CONNECT = "connect"
    MAIL = "mail"


@attrs.frozen(kw_only=True)
class IprevOptions:
    """`actions` maps results to actions; those not named pass. `timeout` is for all questions together."""

    actions: Mapping[IprevResult, Action] = attrs.field(factory=dict)
    phase: When = When.MAIL
    timeout: Duration = 10.0
    skip: tuple[AnyNetwork, ...] = ()


@implementer(IFilter, IAuthenticating)
class IprevFilter:
    """Leaves an `IprevFinding` as its result."""

    methods = ("iprev",)

    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(IprevOptions, options)
        self._services = services
        self.phases = frozenset({Phase(self._options.phase.value)})

    def check(self, phase: Phase, transaction: Transaction) -> Verdict | Awaitable[Verdict]:
        session = transaction.session
        client = parse_client(session.client)
        if client is None or session.trusted or session.login or is_inside(client):
            return PASS
        return PASS if is_in(client, self._options.skip) else self._judge(phase, transaction, client)

    def _judge(self, phase: Phase, transaction: Transaction, client: IPAddress) -> Verdict | Awaitable[Verdict]:
        resolver = asker(self._services, transaction, self._options.timeout)
        return follow(consult_now(check_iprev(client), resolver), partial(self._verdict, phase))

    def _verdict(self, phase: Phase, finding: IprevFinding) -> Verdict:
        action = self._options.actions.get(finding.result, Action.PASS)
        return Verdict(
            action=action,
            reply=_reply(phase, finding, action),
            reason=f"iprev {finding.result.value}: {finding.name or finding.reason}",
            auth=(auth_result(finding),),
            result=finding,
        )


def _reply(phase: Phase, finding: IprevFinding, action: Action) -> Reply | None:
    """RFC 7372 3.3: X.7.25, the reverse DNS did not prove right."""
    text = f"Reverse DNS check: {finding.result.value}, {finding.reason}"
    if action is Action.REJECT:
        return Reply(554 if phase is Phase.CONNECT else 550, "5.7.25", text)
    if action is Action.DEFER:
        return Reply(421 if phase is Phase.CONNECT else 451, "4.7.25", text)
    return None
