"""The filter `hello`: judges the name a client gives in EHLO or HELO.

By default only who claims to be us is refused. Who we are: our host name, and what the option `own` adds. Clients on
this host, those in trusted networks and those that have logged in may call themselves what they like.
"""

from collections.abc import Awaitable, Mapping

import attrs
from zope.interface import implementer

from relaygw.config.kinds import AnyNetwork, Duration
from relaygw.core.client import is_in, parse_client
from relaygw.core.hello import Flaw, hello_flaw
from relaygw.core.question import AnswerStatus, Question
from relaygw.core.reply import Reply
from relaygw.core.session import Transaction
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.filters.allowance import asker
from relaygw.interfaces import IFilter, Options, Services
from relaygw.plugins import structure_options

_WORDS = {
    Flaw.OWN_NAME: "this is our own name, not yours",
    Flaw.OWN_DOMAIN: "this is our own domain, not your host",
    Flaw.BARE_ADDRESS: "an address stands in brackets (RFC 5321 4.1.3)",
    Flaw.WRONG_LITERAL: "this is not the address you come from",
    Flaw.SYNTAX: "this is not a fully qualified host name",
    Flaw.UNRESOLVABLE: "the DNS does not know this name",
}


@attrs.frozen(kw_only=True)
class HelloOptions:
    """`actions` maps flaws to actions, over the default (own_name → reject, all others pass). `own`: further names and
    addresses of ours. `timeout` is for the DNS, which is asked only where unresolvable names do not pass."""

    actions: Mapping[Flaw, Action] = attrs.field(factory=dict)
    own: tuple[str, ...] = ()
    skip: tuple[AnyNetwork, ...] = ()
    timeout: Duration = 10.0


@implementer(IFilter)
class HelloFilter:
    phases = frozenset({Phase.HELLO})

    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(HelloOptions, options)
        self._services = services
        self._actions = {Flaw.OWN_NAME: Action.REJECT, **self._options.actions}
        self._names = frozenset(name.lower() for name in (services.hostname, *self._options.own))
        self._domains = frozenset(services.settings.domains if services.settings is not None else ())

    def check(self, phase: Phase, transaction: Transaction) -> Verdict | Awaitable[Verdict]:
        session = transaction.session
        client = parse_client(session.client)
        if client is None or session.trusted or session.login or client.is_loopback:
            return PASS
        if is_in(client, self._options.skip):
            return PASS
        flaw, name = hello_flaw(session.hello, client, self._names, self._domains)
        if flaw is not None:
            return self._verdict(flaw, session.hello)
        if name and self._actions.get(Flaw.UNRESOLVABLE, Action.PASS) is not Action.PASS:
            return self._look_up(name, transaction)
        return PASS

    async def _look_up(self, name: str, transaction: Transaction) -> Verdict:
        """A DNS that cannot tell is nobody's fault."""
        resolver = asker(self._services, transaction, self._options.timeout)
        for kind in ("A", "AAAA", "MX"):
            answer = await resolver.ask(Question(name, kind))
            if answer.status in (AnswerStatus.FOUND, AnswerStatus.FAILED):
                return PASS
        return self._verdict(Flaw.UNRESOLVABLE, name)

    def _verdict(self, flaw: Flaw, hello: str) -> Verdict:
        action = self._actions.get(flaw, Action.PASS)
        reply = None
        shown = hello[:200].encode("ascii", "replace").decode("ascii")  # replies are ASCII (RFC 5321 4.2)
        text = f"{shown}: {_WORDS[flaw]}"
        if action is Action.REJECT:
            reply = Reply(550, "5.7.1", text)
        elif action is Action.DEFER:
            reply = Reply(450, "4.7.1", text)
        return Verdict(action=action, reply=reply, reason=f"hello {flaw.value}: {hello[:200]}")
