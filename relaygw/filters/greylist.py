"""The filter `greylist`: asks strangers to come back, once (RFC 6647).

Asked in phase rcpt, after SPF and the DNS lists have spoken: whom they vouch for does not wait, nor do logins and
trusted networks. Where the file that remembers cannot be used, mail passes, and the journal says so.
"""

import math
import os
from collections.abc import Awaitable

import attrs
from zope.interface import implementer

from relaygw.config.kinds import AnyNetwork, Count, Duration
from relaygw.core.client import is_in, parse_client
from relaygw.core.dnsbl import Reputation
from relaygw.core.greylist import Policy, Ruling, Triplet, triplet_of
from relaygw.core.patterns import Patterns, compile_patterns
from relaygw.core.reply import Reply
from relaygw.core.session import Transaction
from relaygw.core.spf import Result
from relaygw.core.spf.result import Findings
from relaygw.core.verdict import PASS, Action, Phase, Verdict, defer
from relaygw.filters.greylist_store import GreylistFile, GreylistStore, StoreError
from relaygw.interfaces import IFilter, Options, Services
from relaygw.plugins import structure_options

FILE = "greylist.sqlite"
"""Its name below the state directory, unless the options say another."""

_DAY = 86_400.0


@attrs.frozen(kw_only=True)
class GreylistOptions:
    """`delay`, `window`, `remember` and `passes` as in `relaygw.core.greylist.Policy`; `passes` 0: no client is ever
    known as such. Who passes SPF (`spf_pass`) or stands on lists of the good (`welcome`) does not wait, nor do clients
    in `skip` and what is sent to `skip_recipients` (patterns). `entries` bounds the file, named by `file`."""

    delay: Duration = 300.0
    window: Duration = 2 * _DAY
    remember: Duration = 35 * _DAY
    passes: int = attrs.field(default=5, validator=attrs.validators.ge(0))
    spf_pass: bool = True
    welcome: bool = True
    skip: tuple[AnyNetwork, ...] = ()
    skip_recipients: tuple[str, ...] = ()
    entries: Count = 250_000
    file: str = FILE

    def __attrs_post_init__(self) -> None:
        if self.delay >= self.window:
            raise ValueError("option 'window': it ends before the delay does, so that nobody could ever pass")
        self.patterns()

    def patterns(self) -> Patterns:
        """Raises ValueError."""
        return compile_patterns(self.skip_recipients, {})


@implementer(IFilter)
class GreylistFilter:
    phases = frozenset({Phase.RCPT})

    def __init__(self, options: Options, services: Services) -> None:
        self._options = given = structure_options(GreylistOptions, options)
        self._patterns = given.patterns()
        policy = Policy(delay=given.delay, window=given.window, remember=given.remember, passes=given.passes)
        path = os.path.join(services.state, given.file)
        self.store = GreylistStore(GreylistFile(path, policy, given.entries), services.reactor)

    def check(self, phase: Phase, transaction: Transaction) -> Verdict | Awaitable[Verdict]:
        session, recipient = transaction.session, transaction.recipient
        client = parse_client(session.client)
        if client is None or recipient is None or session.trusted or session.login or is_in(client, self._options.skip):
            return PASS
        if self._patterns.match(recipient.address) or self._vouched_for(transaction):
            return PASS
        return self._ask(triplet_of(client, transaction.envelope.sender, recipient.address))

    def _vouched_for(self, transaction: Transaction) -> bool:
        """Whether another filter has found something that speaks for the client, under whatever name it is used."""
        return any(
            (isinstance(result, Reputation) and self._options.welcome and result.welcome)
            or (isinstance(result, Findings) and self._options.spf_pass and _passed(result))
            for result in transaction.results.values()
        )

    async def _ask(self, triplet: Triplet) -> Verdict:
        try:
            ruling = await self.store.ask(triplet)
        except StoreError as error:
            return Verdict(action=Action.PASS, reason=f"greylist cannot be asked: {error}")
        return _verdict(ruling)


def _passed(findings: Findings) -> bool:
    decisive = findings.decisive
    return decisive is not None and decisive.result is Result.PASS


def _verdict(ruling: Ruling) -> Verdict:
    if ruling.wait <= 0:
        return Verdict(reason=f"greylist: {ruling.reason}") if ruling.seen is not None else PASS
    seconds = math.ceil(ruling.wait)
    return defer(
        f"greylist: {ruling.reason}, {seconds} s to wait",
        Reply(451, "4.7.1", f"Greylisted, please try again in {seconds} second{'s' if seconds != 1 else ''}"),
    )
