"""Rules that hold mail as it is accepted, or put it into quarantine: the same conditions as those of routes, and the
destination. The first rule that matches one of the recipients decides about the message. Pure.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

import attrs

from relaygw.core.address import Address
from relaygw.core.events import HeldByRule
from relaygw.core.header_match import NO_LOOK, HeaderLook, HeaderMatchError, look_for
from relaygw.core.outcome import Outcome, deferred
from relaygw.core.patterns import PatternError
from relaygw.core.record import RecipientState, Record
from relaygw.core.routing import Entry, Groups, Match, Rule, make_rule, matches

Places = Callable[[Record, RecipientState], Collection[str]]
"""The names under which a recipient's destination is known."""


class HoldMatch(Match, Protocol):
    """The conditions of a route, and `destination`: names, of which one must match."""

    @property
    def destination(self) -> tuple[str, ...]: ...


class HoldEntry(Protocol):
    """A rule as the configuration has it."""

    @property
    def name(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def match(self) -> HoldMatch: ...


@attrs.frozen(kw_only=True)
class HoldRule:
    """One rule. `since` is when it was made (0: the configuration has it), `until` when it ends (infinity: never)."""

    name: str
    reason: str
    quarantine: bool
    conditions: Rule
    destinations: frozenset[str] = frozenset()
    since: float = 0.0
    until: float = float("inf")

    @property
    def words(self) -> str:
        """For what a message is held."""
        said = f"rule {self.name}" + (f": {self.reason}" if self.reason else "")
        return f"quarantine: {said}" if self.quarantine else said

    def event(self, record: Record) -> HeldByRule:
        """That it holds this message."""
        return HeldByRule(
            session=record.session_id,
            queue_id=record.queue_id,
            rule=self.name,
            reason=self.reason,
            quarantined=self.quarantine,
        )

    def outcome(self, recipient: Address) -> Outcome:
        """What an attempt comes to that it ends before it has begun."""
        return attrs.evolve(deferred(recipient, "4.7.0", self.words), holds=True, quarantines=self.quarantine)


@attrs.frozen(kw_only=True)
class HoldTable:
    """The rules in their order."""

    rules: tuple[HoldRule, ...] = ()
    headers: HeaderLook = NO_LOOK

    def judge(self, record: Record, head: bytes, places: Places, *, late: bool = False) -> HoldRule | None:
        """The rule that holds the message; None where none does. `late`: it came before, perhaps before the rule."""
        found = self.headers.find(head) if self.headers else frozenset()
        for rule in self.rules:
            if record.arrived >= rule.until or (late and record.arrived < rule.since):
                continue
            for state in record.recipients:
                if matches(rule.conditions, record, state.address, found) and (
                    not rule.destinations or not rule.destinations.isdisjoint(places(record, state))
                ):
                    return rule
        return None


@attrs.frozen(kw_only=True)
class _AsRoute:
    """What the routing table compiles."""

    match: Match
    name: str
    transport: str = ""
    parameters: dict[str, object] = attrs.field(factory=dict)


def compile_hold(
    number: int, entry: HoldEntry, groups: Groups, until: float = float("inf"), since: float = 0.0
) -> HoldRule:
    """The rule; raises PatternError or HeaderMatchError for a pattern that is none."""
    as_route: Entry = _AsRoute(match=entry.match, name=entry.name)
    return HoldRule(
        name=entry.name,
        reason=entry.reason,
        quarantine=entry.action == "quarantine",
        conditions=make_rule(number, as_route, groups),
        destinations=frozenset(entry.match.destination),
        since=since,
        until=until,
    )


def make_table(rules: Sequence[HoldRule]) -> HoldTable:
    """The rules as one table, of which the header section is looked at once."""
    return HoldTable(
        rules=tuple(rules), headers=look_for(condition for rule in rules for condition in rule.conditions.header)
    )


def problems(entries: Sequence[HoldEntry], groups: Groups) -> Iterable[tuple[int, str]]:
    """What is wrong with the rules, each with its place."""
    names: dict[str, int] = {}
    for place, entry in enumerate(entries):
        if names.setdefault(entry.name, place) != place:
            yield place, f'"{entry.name}" is already the name of hold[{names[entry.name] + 1}]'
        try:
            rule = compile_hold(place + 1, entry, groups)
        except (PatternError, HeaderMatchError) as error:
            yield place, str(error)
            continue
        if rule.conditions.unconditional and not rule.destinations:
            yield place, "it has no condition: all mail would be held"
        if "<>" in entry.match.recipient:
            yield place, "'<>' is a sender, never a recipient"
