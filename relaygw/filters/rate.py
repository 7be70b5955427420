"""The filter `rate`: how much may come from one client, block of clients, login or sender, or in all, within a time.

Counted in memory, in a bounded number of keys, and forgotten when the service stops or reads its configuration again.
Errors are commands answered 5xx, as the journal's events tell them. What exceeds a limit is deferred, or held for the
operator; nothing is ever refused for good. Trusted clients, and those on this host, are not counted unless the options
say so.
"""

import enum
import math
from collections.abc import Callable, Iterator, Mapping

import attrs
from zope.interface import implementer

from relaygw.config.kinds import AnyNetwork, Count, Duration, Size
from relaygw.core.client import block_of, is_in, parse_client
from relaygw.core.events import Connected, Disconnected, Event, LoggedIn, Refused
from relaygw.core.rate import Counters, Counting, Limit
from relaygw.core.reply import Reply
from relaygw.core.session import Session, Transaction
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.core.words import Word
from relaygw.interfaces import IFilter, IObserver, Options, Services
from relaygw.plugins import structure_options


class Measure(Word):
    """What is counted."""

    CONNECTIONS = "connections"
    MESSAGES = "messages"
    RECIPIENTS = "recipients"
    BYTES = "bytes"
    ERRORS = "errors"


class Per(Word):
    """Whose doings are counted together. NETWORK is the client's /24, or its /64 for IPv6."""

    CLIENT = "client"
    NETWORK = "network"
    LOGIN = "login"
    SENDER = "sender"
    ALL = "all"


class Excess(enum.Enum):
    """What is done with what exceeds a limit."""

    DEFER = "defer"
    HOLD = "hold"


_PHASES: Mapping[Measure, frozenset[Phase]] = {
    Measure.CONNECTIONS: frozenset({Phase.CONNECT}),
    Measure.MESSAGES: frozenset({Phase.MAIL}),
    Measure.RECIPIENTS: frozenset({Phase.RCPT}),
    # The size a client declares is looked at before it has sent it all; counted is what came.
    Measure.BYTES: frozenset({Phase.MAIL, Phase.DATA}),
    Measure.ERRORS: frozenset({Phase.CONNECT, Phase.MAIL}),
}


@attrs.frozen(kw_only=True)
class LimitOptions:
    """`count` of `of` `per` key `within` a time; `counting` as in `relaygw.core.rate`."""

    count: Size = attrs.field(validator=attrs.validators.gt(0))
    of: Measure
    per: Per = Per.CLIENT
    within: Duration
    counting: Counting = Counting.LEAKY
    action: Excess = Excess.DEFER

    def __str__(self) -> str:
        return f"{self.count} {self.of.value} per {self.per.value} within {self.within:g} s"


DEFAULTS = (
    LimitOptions(count=200, of=Measure.CONNECTIONS, within=60.0),
    LimitOptions(count=100, of=Measure.ERRORS, within=600.0),
)
"""What no honest client comes near."""


@attrs.frozen(kw_only=True)
class RateOptions:
    """`keys` bounds what is remembered for one limit. Clients in `skip` are not counted, trusted ones and those on this
    host only where `trusted` says so."""

    limits: tuple[LimitOptions, ...] = DEFAULTS
    keys: Count = 50_000
    skip: tuple[AnyNetwork, ...] = ()
    trusted: bool = False


@attrs.frozen
class _Counted:
    """One limit and its counters."""

    limit: LimitOptions
    counters: Counters


@attrs.frozen
class _Use:
    """One limit that applies now: to which key, and how much of it is asked for. `counts`: or only looked at."""

    counted: _Counted
    key: str
    weight: float
    counts: bool


@implementer(IFilter, IObserver)
class RateFilter:
    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(RateOptions, options)
        self._seconds: Callable[[], float] = services.reactor.seconds
        self._counted = tuple(
            _Counted(limit, Counters(_limit(limit), self._options.keys)) for limit in self._options.limits
        )
        self._errors = tuple(each for each in self._counted if each.limit.of is Measure.ERRORS)
        self._sessions: dict[str, dict[Per, str]] = {}
        self.phases = frozenset(phase for each in self._counted for phase in _PHASES[each.limit.of])

    def check(self, phase: Phase, transaction: Transaction) -> Verdict:
        if self._exempt(transaction.session):
            return PASS
        now = self._seconds()
        uses = list(self._uses(phase, transaction))
        # Nothing is counted of what is deferred, by whichever limit.
        waits = [(use.counted.counters.wait(use.key, now, use.weight), use) for use in uses]
        exceeded = [(wait, use) for wait, use in waits if wait > 0]
        deferring = [each for each in exceeded if each[1].counted.limit.action is Excess.DEFER]
        if deferring:
            wait, use = max(deferring, key=lambda each: each[0])
            return _defer(phase, use, wait)
        for use in uses:
            if use.counts:
                use.counted.counters.take(use.key, now, use.weight)
        return _hold(exceeded[0][1]) if exceeded else PASS

    def _exempt(self, session: Session) -> bool:
        client = parse_client(session.client)
        known = session.trusted or (client is not None and client.is_loopback)
        return (known and not self._options.trusted) or (client is not None and is_in(client, self._options.skip))

    def _uses(self, phase: Phase, transaction: Transaction) -> Iterator[_Use]:
        keys = _keys(transaction)
        for counted in self._counted:
            key = keys.get(counted.limit.per, "")
            if key and phase in _PHASES[counted.limit.of]:
                weight, counts = _amount(counted.limit.of, phase, transaction)
                if weight:
                    yield _Use(counted, key, weight, counts)

    def observe(self, event: Event) -> None:
        """Errors are learnt from the journal's events, as is whose they are."""
        if not self._errors:
            return
        if isinstance(event, Connected):
            self._sessions[event.session] = _address_keys(event.client)
        elif isinstance(event, LoggedIn) and event.session in self._sessions:
            self._sessions[event.session][Per.LOGIN] = event.login
        elif isinstance(event, Disconnected):
            self._sessions.pop(event.session, None)
        elif isinstance(event, Refused) and event.reply.startswith("5"):
            self._count_error(event)

    def _count_error(self, event: Refused) -> None:
        sender = event.sender.strip("<>").casefold()
        keys = {**self._sessions.get(event.session, {}), Per.SENDER: sender}
        now = self._seconds()
        for counted in self._errors:
            if key := keys.get(counted.limit.per, ""):
                counted.counters.add(key, now)


def _limit(options: LimitOptions) -> Limit:
    return Limit(count=options.count, period=options.within, counting=options.counting)


def _address_keys(text: str) -> dict[Per, str]:
    client = parse_client(text)
    if client is None:
        return {Per.ALL: "all"}
    return {Per.ALL: "all", Per.CLIENT: str(client), Per.NETWORK: block_of(client)}


def _keys(transaction: Transaction) -> dict[Per, str]:
    """Whose doing it is; "" where nobody is known for it. The null reverse-path is nobody's."""
    sender = transaction.envelope.sender
    return {
        **_address_keys(transaction.session.client),
        Per.LOGIN: transaction.session.login,
        Per.SENDER: str(sender).casefold() if sender is not None else "",
    }


def _amount(measure: Measure, phase: Phase, transaction: Transaction) -> tuple[float, bool]:
    """How much is asked for, and whether it is counted or only looked at."""
    if measure is Measure.BYTES:
        if phase is Phase.MAIL:
            return transaction.envelope.size, False
        return (transaction.content.size if transaction.content is not None else 0), True
    return 1.0, measure is not Measure.ERRORS


def _defer(phase: Phase, use: _Use, wait: float) -> Verdict:
    limit, seconds = use.counted.limit, math.ceil(wait)
    closing = phase is Phase.CONNECT or limit.of is Measure.ERRORS
    text = f"Too many {limit.of.value}, please try again in {seconds} second{'s' if seconds != 1 else ''}"
    return Verdict(
        action=Action.DEFER,
        reason=f"rate: more than {limit} for {use.key[:300]}, {seconds} s to wait",
        reply=Reply(421 if closing else 450, "4.7.1", text),
    )


def _hold(use: _Use) -> Verdict:
    return Verdict(action=Action.HOLD, reason=f"rate: more than {use.counted.limit} for {use.key[:300]}")
