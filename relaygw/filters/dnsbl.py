"""The filter `dnsbl`: what lists in the DNS say of the client, its HELO name and the sender's domain, weighed.

All lists are asked at one time; the resolver keeps their answers. A list that does not answer, or answers what no list
may, never refuses anybody and is left alone for a while. Without lists in its options the filter does nothing.
Clients that may relay, and clients with private addresses, are not asked about.
"""

import enum
import math
from collections.abc import Awaitable, Mapping, Sequence

import attrs
from zope.interface import implementer

from relaygw.config.kinds import AnyNetwork, Count, Domain, Duration
from relaygw.core.address import AddressError, normalize_domain
from relaygw.core.client import is_in, is_inside, parse_client
from relaygw.core.dnsbl import (
    Health,
    Hit,
    Listing,
    Reputation,
    Rule,
    Subject,
    ask_list,
    label,
    parse_code,
    weigh,
)
from relaygw.core.question import Question
from relaygw.core.reply import Reply
from relaygw.core.session import Transaction
from relaygw.core.verdict import PASS, Action, AuthResult, Phase, Verdict
from relaygw.dns import DeadlineResolver
from relaygw.filters.gather import consult_all
from relaygw.interfaces import IFilter, IResolver, Options, Services
from relaygw.plugins import structure_options

_MAX_TEXT = 200
"""Characters of a list's own words that go into a reply."""


class Of(enum.Enum):
    """Whom a list is asked about."""

    CLIENT = "client"
    HELLO = "hello"
    SENDER = "sender"


class When(enum.Enum):
    """In which phase the lists are asked, and mail refused."""

    CONNECT = "connect"
    MAIL = "mail"


@attrs.frozen(kw_only=True)
class ListOptions:
    """One list. `weight` below 0 is for a list of the good. `codes` are patterns of the answers that count; none: all
    count. A zone may stand several times, with other codes and weights; it is asked once."""

    zone: Domain
    weight: float = 1.0
    codes: tuple[str, ...] = ()
    of: Of = Of.CLIENT

    def rule(self) -> Rule:
        """Raises ValueError."""
        if not math.isfinite(self.weight) or not self.weight:
            raise ValueError(f"list {self.zone!r}: a weight of {self.weight} makes no sense")
        return Rule(zone=self.zone, weight=self.weight, codes=tuple(map(parse_code, self.codes)))


@attrs.frozen(kw_only=True)
class DnsblOptions:
    """`thresholds`: action → score from which it is taken; of several, that with the highest score. `timeout` is for
    all lists together. A list is left alone for `rest` after nonsense, or after `patience` silences in a row. Clients
    in `skip` are not asked about. `explain` asks the list that counted most for its own words, for the reply."""

    lists: tuple[ListOptions, ...] = ()
    thresholds: Mapping[Action, float] = attrs.field(factory=lambda: {Action.REJECT: 1.0})
    phase: When = When.MAIL
    timeout: Duration = 5.0
    rest: Duration = 600.0
    patience: Count = 3
    skip: tuple[AnyNetwork, ...] = ()
    explain: bool = False

    def __attrs_post_init__(self) -> None:
        for entry in self.lists:
            entry.rule()
            if self.phase is When.CONNECT and entry.of is not Of.CLIENT:
                raise ValueError(
                    f"list {entry.zone!r} is of {entry.of.value!r}, which phase 'connect' does not know yet"
                )
        if Action.PASS in self.thresholds:
            raise ValueError("option 'thresholds': 'pass' needs none")
        if not all(score > 0 and math.isfinite(score) for score in self.thresholds.values()):
            raise ValueError("option 'thresholds': allowed are numbers above 0")


Asked = list[tuple[Rule, Subject]]


@implementer(IFilter)
class DnsblFilter:
    """Leaves a `Reputation` as its result where any list counted."""

    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(DnsblOptions, options)
        self._services = services
        self._rules = tuple((entry.of, entry.rule()) for entry in self._options.lists)
        self._health = Health(self._options.rest, self._options.patience)
        # The most severe first; where two share a score, in the order in which the file names them.
        self._thresholds = sorted(self._options.thresholds.items(), key=lambda item: -item[1])
        self.phases = frozenset({Phase(self._options.phase.value)})

    def check(self, phase: Phase, transaction: Transaction) -> Verdict | Awaitable[Verdict]:
        asked = self._asked(transaction)
        return self._judge(asked) if asked else PASS

    def _asked(self, transaction: Transaction) -> Asked:
        """The rules to ask about, each with its subject."""
        session = transaction.session
        client = parse_client(session.client)
        if client is None or session.trusted or session.login or is_inside(client):
            return []
        if is_in(client, self._options.skip):
            return []
        now = self._services.reactor.seconds()
        sender = transaction.envelope.sender
        subjects: dict[Of, Subject] = {
            Of.CLIENT: client,
            Of.HELLO: _domain(session.hello),
            Of.SENDER: _domain(sender.domain) if sender is not None else "",
        }
        return [(rule, subjects[of]) for of, rule in self._rules if subjects[of] and self._health.well(rule.zone, now)]

    async def _judge(self, asked: Asked) -> Verdict:
        resolver = DeadlineResolver(self._services.resolver, self._services.reactor, self._options.timeout)
        questions = dict.fromkeys((rule.zone, subject) for rule, subject in asked)
        listings = await consult_all([ask_list(zone, subject) for zone, subject in questions], resolver)
        now = self._services.reactor.seconds()
        rested = [listing for listing in listings if self._health.heard(listing, now)]
        reputation = weigh(asked, listings)
        if not reputation.hits:
            return Verdict(reason=self._reason(reputation, rested)) if rested else PASS
        action = next((action for action, score in self._thresholds if reputation.score >= score), Action.PASS)
        return Verdict(
            action=action,
            reply=await self._reply(reputation, action, resolver),
            reason=self._reason(reputation, rested),
            auth=tuple(_auth_result(hit) for hit in reputation.hits if hit.weight < 0),
            result=reputation,
        )

    def _reason(self, reputation: Reputation, rested: Sequence[Listing]) -> str:
        told = [f"dnsbl score {reputation.score:g}: {', '.join(map(str, reputation.hits))}"] if reputation.hits else []
        told += [f"{each.zone} is left alone for {self._options.rest:g} s: {each.reason}" for each in rested]
        return "; ".join(told)

    async def _reply(self, reputation: Reputation, action: Action, resolver: IResolver) -> Reply | None:
        worst = reputation.worst
        if action not in (Action.REJECT, Action.DEFER) or worst is None:
            return None
        text = f"{worst.subject} is listed by {worst.zone}"
        words = await _words(worst, resolver) if self._options.explain else ""
        if words:
            text += f"\nThe list explains: {words}"
        code, enhanced = (554, "5.7.1") if action is Action.REJECT else (451, "4.7.1")
        if action is Action.DEFER and self._options.phase is When.CONNECT:
            code = 421
        return Reply(code, enhanced, text)


def _domain(name: str) -> str:
    """The name where it is one that a list of domains can know, else ""."""
    try:
        domain = normalize_domain(name.removesuffix("."))
    except AddressError:
        return ""
    return "" if domain.startswith("[") or "." not in domain or domain.rpartition(".")[2].isdigit() else domain


async def _words(hit: Hit, resolver: IResolver) -> str:
    """What the list itself says of its entry: printable, bounded, "" where it says nothing."""
    answer = await resolver.ask(Question(f"{label(hit.subject)}.{hit.zone}", "TXT"))
    text = next((record for record in answer.records if isinstance(record, bytes)), b"").decode("ascii", "replace")
    return "".join(c if " " <= c <= "~" else "?" for c in text[:_MAX_TEXT])


def _auth_result(hit: Hit) -> AuthResult:
    """A list of the good, for Authentication-Results (RFC 8904)."""
    return AuthResult(
        method="dnswl",
        result="pass",
        properties=(("dns.zone", hit.zone), ("policy.ip", str(hit.code))),
    )
