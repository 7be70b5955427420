"""The routing table: the configured routes compiled to frozen rules, read from the top; the first that matches wins.

Pure and total: a message for which no rule matches has no route, which is an answer of its own. `problems` finds,
before anything runs, what would surprise an operator: no default, a rule that can never be reached, a wrong pattern.
"""

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from relaygw.core.address import Address
from relaygw.core.envelope import Recipient, path
from relaygw.core.header_match import (
    NO_LOOK,
    NOTHING,
    Found,
    HeaderCondition,
    HeaderLook,
    HeaderMatchError,
    compile_conditions,
    look_for,
)
from relaygw.core.patterns import PatternError, Patterns, compile_patterns
from relaygw.core.record import Record, Route

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
HOLD = "hold"
"""The transport whose rules hold mail once."""

Groups = dict[str, Collection[str]]


class Match(Protocol):
    """The conditions of a route as the configuration has them; each a list of which one must match."""

    @property
    def recipient(self) -> tuple[str, ...]: ...
    @property
    def sender(self) -> tuple[str, ...]: ...
    @property
    def login(self) -> tuple[str, ...]: ...
    @property
    def listener(self) -> tuple[str, ...]: ...
    @property
    def client(self) -> tuple[Network, ...]: ...
    @property
    def finding(self) -> tuple[str, ...]: ...
    @property
    def header_from(self) -> tuple[str, ...]: ...
    @property
    def header(self) -> Mapping[str, object]: ...
    @property
    def larger_than(self) -> int: ...
    @property
    def smaller_than(self) -> int: ...
    @property
    def quarantined(self) -> str: ...


class Entry(Protocol):
    """A route as the configuration has it."""

    @property
    def transport(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def match(self) -> Match: ...
    @property
    def parameters(self) -> Mapping[str, object]: ...


@attrs.frozen(kw_only=True)
class Rule:
    """One route with its conditions; None or empty: no such condition. `label` is how people find it in the file."""

    label: str
    route: Route
    recipient: Patterns | None = None
    sender: Patterns | None = None
    login: frozenset[str] = frozenset()
    listener: frozenset[str] = frozenset()
    client: tuple[Network, ...] = ()
    finding: frozenset[str] = frozenset()
    header_from: Patterns | None = None
    header: tuple[HeaderCondition, ...] = ()
    larger_than: int = 0
    smaller_than: int = 0
    quarantined: str = "any"
    unconditional: bool = False


@attrs.frozen(kw_only=True)
class Tried:
    """One rule that was read, whether it matched, and because of what."""

    rule: str
    matched: bool
    why: str


@attrs.frozen(kw_only=True)
class Choice:
    """The route (None: no rule matches) and all steps that led there."""

    route: Route | None
    tried: tuple[Tried, ...]


@attrs.frozen
class Routing:
    """The compiled table."""

    rules: tuple[Rule, ...]
    headers: HeaderLook = NO_LOOK

    def choose(self, record: Record, recipient: Recipient, found: Found = NOTHING) -> Route | None:
        """The route of one recipient; None where no rule matches. `found` is what `headers` finds in its head."""
        address = recipient.address
        for rule in self.rules:
            if (rule.unconditional or matches(rule, record, address, found)) and not _released(rule, record, recipient):
                return rule.route
        return None

    def wants(self, record: Record, head: bytes) -> bool:
        """Whether all recipients of a message in quarantine have a route that asks for such: then it need not wait for
        somebody to look at it."""
        found = self.headers.find(head)
        for recipient in record.envelope.recipients:
            rule = next((each for each in self.rules if matches(each, record, recipient.address, found)), None)
            if rule is None or rule.quarantined != "yes":
                return False
        return True

    def named(self, name: str) -> Route | None:
        """The route of this name; None where there is none (any more)."""
        return next((rule.route for rule in self.rules if rule.route.name == name), None)

    def explain(self, record: Record, recipient: Recipient, found: Found = NOTHING) -> Choice:
        """The same decision with the rules that were tried."""
        tried: list[Tried] = []
        for rule in self.rules:
            conditions = list(_conditions(rule, record, recipient.address, found))
            if _released(rule, record, recipient):
                conditions.append((False, "it held the message before, and somebody released it"))
            missed = [why for matched, why in conditions if not matched]
            matched = [why for _, why in conditions]
            why = "; ".join(missed[:1] or matched) or "it matches everything"
            tried.append(Tried(rule=rule.label, matched=not missed, why=why))
            if not missed:
                return Choice(route=rule.route, tried=tuple(tried))
        return Choice(route=None, tried=tuple(tried))


def _released(rule: Rule, record: Record, recipient: Recipient) -> bool:
    """Whether the rule has held this message before: who released it wants it to go on by the rules after it."""
    if rule.route.transport != HOLD:
        return False
    return any(state.recipient == recipient and state.attempts for state in record.recipients)


def matches(rule: Rule, record: Record, recipient: Address, found: Found) -> bool:
    """Whether all conditions of a rule hold for one recipient of a message."""
    return (
        (rule.recipient is None or rule.recipient.match(recipient) != "")
        and (rule.sender is None or rule.sender.match(record.envelope.sender) != "")
        and (not rule.login or record.login in rule.login)
        and (not rule.listener or record.listener in rule.listener)
        and (not rule.client or _network(rule.client, record.client) is not None)
        and (not rule.finding or not rule.finding.isdisjoint(record.findings))
        and (rule.header_from is None or rule.header_from.match_domain(record.header_from) != "")
        and (not rule.larger_than or record.size > rule.larger_than)
        and (not rule.smaller_than or record.size < rule.smaller_than)
        and (rule.quarantined == "any" or record.quarantined == (rule.quarantined == "yes"))
        and (not rule.header or found.issuperset(rule.header))
    )


def _network(networks: Iterable[Network], client: str) -> Network | None:
    """The first network the client is in. An IPv4 client seen through IPv6 counts as IPv4."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:  # no client: a report of ours, a UNIX socket
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return next((network for network in networks if address in network or (mapped and mapped in network)), None)


def _conditions(rule: Rule, record: Record, recipient: Address, found: Found) -> Iterable[tuple[bool, str]]:
    """Each condition the rule has, whether it holds, in words."""
    if rule.recipient is not None:
        yield _worded("recipient", path(recipient), rule.recipient.match(recipient))
    if rule.sender is not None:
        yield _worded("sender", path(record.envelope.sender), rule.sender.match(record.envelope.sender))
    for noun, value, allowed in (("login", record.login, rule.login), ("listener", record.listener, rule.listener)):
        if allowed:
            yield _worded(noun, repr(value) if value else "(none)", value if value in allowed else "")
    if rule.client:
        yield _worded("client", record.client or "(none)", str(_network(rule.client, record.client) or ""))
    if rule.finding:
        finding = next((each for each in record.findings if each in rule.finding), "")
        yield _worded("finding", finding or ", ".join(record.findings) or "(none)", finding)
    if rule.header_from is not None:
        yield _worded("From", record.header_from or "(none)", rule.header_from.match_domain(record.header_from))
    if rule.larger_than:
        yield _compared(record.size > rule.larger_than, record.size, f"larger than {rule.larger_than}")
    if rule.smaller_than:
        yield _compared(record.size < rule.smaller_than, record.size, f"smaller than {rule.smaller_than}")
    if rule.quarantined != "any":
        state = "in quarantine" if record.quarantined else "not in quarantine"
        yield record.quarantined == (rule.quarantined == "yes"), f"the message is {state}"
    for condition in rule.header:
        held = condition in found
        yield held, f"the header section {'has' if held else 'has not'} {condition}"


def _compared(matched: bool, size: int, words: str) -> tuple[bool, str]:
    return matched, f"size {size} is {'' if matched else 'not '}{words}"


def _worded(noun: str, value: str, matched: str) -> tuple[bool, str]:
    if matched:
        return True, f"{noun} {value} matches {matched!r}"
    return False, f"{noun} {value} matches none of its patterns"


def compile_routes(
    routes: Sequence[Entry], domains: Collection[str] = (), relay_domains: Collection[str] = ()
) -> Routing:
    """The table for these routes; raises PatternError or HeaderMatchError (`problems` tells all of them)."""
    groups: Groups = {"local": domains, "relay": relay_domains}
    rules = tuple(make_rule(number, route, groups) for number, route in enumerate(routes, 1))
    return Routing(rules, look_for(condition for rule in rules for condition in rule.header))


def make_rule(number: int, config: Entry, groups: Groups) -> Rule:
    """One route compiled; raises PatternError or HeaderMatchError for a pattern that is none."""
    match = config.match
    parameters = tuple(sorted((name, _hashable(value)) for name, value in config.parameters.items()))
    return Rule(
        label=_label(number, config),
        route=Route(transport=config.transport, parameters=parameters, name=config.name or f"route {number}"),
        recipient=compile_patterns(match.recipient, groups) if match.recipient else None,
        sender=compile_patterns(match.sender, groups) if match.sender else None,
        login=frozenset(match.login),
        listener=frozenset(match.listener),
        client=match.client,
        finding=frozenset(match.finding),
        header_from=compile_patterns(match.header_from, groups) if match.header_from else None,
        header=compile_conditions(match.header),
        larger_than=match.larger_than,
        smaller_than=match.smaller_than,
        quarantined=match.quarantined,
        unconditional=not any(
            (match.recipient, match.sender, match.login, match.listener, match.client, match.finding, match.header_from)
        )
        and not match.header
        and not (match.larger_than or match.smaller_than or match.quarantined != "any"),
    )


def _label(number: int, config: Entry) -> str:
    return f"route {number} ({config.name or config.transport})"


def _hashable(value: object) -> object:
    if isinstance(value, dict):
        return tuple(sorted((key, _hashable(inner)) for key, inner in value.items()))
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def problems(
    routes: Sequence[Entry], domains: Collection[str] = (), relay_domains: Collection[str] = ()
) -> tuple[str, ...]:
    """All that is wrong with the table, each in one sentence that names the route; empty when it is sound."""
    groups: Groups = {"local": domains, "relay": relay_domains}
    rules: list[Rule] = []
    found: list[str] = []
    for number, config in enumerate(routes, 1):
        try:
            rules.append(make_rule(number, config, groups))
        except (PatternError, HeaderMatchError) as error:
            found.append(f"{_label(number, config)}: {error}")
        if "<>" in config.match.recipient:
            found.append(f"{_label(number, config)}: '<>' is a sender, never a recipient")
    return (*found, *_ambiguities(rules), *_dead(rules), *_default(rules, bool(found)))


def _ambiguities(rules: Sequence[Rule]) -> Iterable[str]:
    seen: dict[str, Rule] = {}
    for rule in rules:
        if rule.route.name in seen:
            yield f"{rule.label} has the same name as {seen[rule.route.name].label}"
        seen.setdefault(rule.route.name, rule)


def _dead(rules: Sequence[Rule]) -> Iterable[str]:
    """Rules that no message can ever reach."""
    for position, rule in enumerate(rules):
        if any(patterns is not None and patterns.empty for patterns in (rule.recipient, rule.sender, rule.header_from)):
            continue  # "local" or "relay" without such domains: harmless, and alive when one is added
        earlier = next((other for other in rules[:position] if _covers(other, rule)), None)
        if earlier is not None:
            yield f"{rule.label} can never be reached: {earlier.label} before it matches all that it matches"


def _default(rules: Sequence[Rule], unsure: bool) -> Iterable[str]:
    if not unsure and not any(rule.unconditional for rule in rules):
        yield "no route matches everything: a message that matches none could not be sent; put a default at the end"


def _covers(wide: Rule, narrow: Rule) -> bool:
    """Whether every message the narrow rule matches is matched by the wide one."""
    return (
        _covers_addresses(wide.recipient, narrow.recipient)
        and _covers_addresses(wide.sender, narrow.sender)
        and _covers_names(wide.login, narrow.login)
        and _covers_names(wide.listener, narrow.listener)
        and _covers_clients(wide.client, narrow.client)
        and _covers_names(wide.finding, narrow.finding)
        and _covers_addresses(wide.header_from, narrow.header_from)
        and _covers_sizes(wide, narrow)
        and (wide.quarantined in ("any", narrow.quarantined))
        and all(any(mine.covers(theirs) for theirs in narrow.header) for mine in wide.header)
    )


def _covers_sizes(wide: Rule, narrow: Rule) -> bool:
    lower = not wide.larger_than or narrow.larger_than >= wide.larger_than
    upper = not wide.smaller_than or 0 < narrow.smaller_than <= wide.smaller_than
    return lower and upper


def _covers_addresses(wide: Patterns | None, narrow: Patterns | None) -> bool:
    return wide is None or (narrow is not None and wide.covers(narrow))


def _covers_names(wide: frozenset[str], narrow: frozenset[str]) -> bool:
    return not wide or (bool(narrow) and narrow <= wide)


def _covers_clients(wide: tuple[Network, ...], narrow: tuple[Network, ...]) -> bool:
    return not wide or (bool(narrow) and all(any(_within(inner, outer) for outer in wide) for inner in narrow))


def _within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)
