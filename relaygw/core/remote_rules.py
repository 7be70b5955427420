"""Rules on what next hops answer: the first that fits decides what follows, for the destination or the message.

A rule's patterns are plain: a code or its first digit ("421", "4"), an enhanced code with "*" for the rest ("4.7.*"),
and texts of which one must be found, in any case, where "*" stands for anything in between. No pattern can run away.
"""

import enum
from collections.abc import Iterable, Sequence
from typing import Protocol

import attrs

from relaygw.core.outcome import Outcome, Status
from relaygw.core.trouble import MAX_TEXT


class Action(enum.Enum):
    """What a reply leads to; the value is the configuration's word."""

    REST = "rest"  # nothing goes to the destination for a time
    SLOW = "slow"  # half as much at once, and no more than that for a time
    RETRY = "retry"  # this message is tried again after a time
    DEFER = "defer"  # a refusal that is none: try again
    FAIL = "fail"  # a deferral that is none: give up


class Entry(Protocol):
    """A rule as the configuration has it; empty conditions hold for all."""

    @property
    def name(self) -> str: ...
    @property
    def destination(self) -> tuple[str, ...]: ...
    @property
    def code(self) -> tuple[str, ...]: ...
    @property
    def enhanced(self) -> tuple[str, ...]: ...
    @property
    def text(self) -> tuple[str, ...]: ...
    @property
    def action(self) -> str: ...
    @property
    def time(self) -> float: ...


@attrs.frozen(kw_only=True)
class ReplyRule:
    """A compiled rule; a rule of ours is written as one. `time` in seconds."""

    name: str
    action: Action
    time: float = 300.0
    destination: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    enhanced: tuple[str, ...] = ()
    text: tuple[str, ...] = ()

    def matches(self, destination: str, outcome: Outcome) -> bool:
        reply = outcome.reply
        return (
            (not self.destination or destination in self.destination)
            and (not self.code or any(str(reply.code).startswith(code) for code in self.code))
            and (not self.enhanced or any(_enhanced(reply.enhanced, each) for each in self.enhanced))
            and (not self.text or _found(reply.text[:MAX_TEXT].casefold(), self.text))
        )


@attrs.frozen(kw_only=True)
class RemoteRules:
    """The rules in order; the first that matches decides."""

    rules: tuple[ReplyRule, ...]

    def rule(self, destination: str, outcome: Outcome) -> ReplyRule | None:
        """The rule for one outcome. Only next hops' own words count, and never their thanks."""
        if outcome.status is Status.DELIVERED or not outcome.remote:
            return None
        return next((rule for rule in self.rules if rule.matches(destination, outcome)), None)


def compile_rules(configured: Sequence[Entry], provided: Iterable[ReplyRule]) -> RemoteRules:
    """Configured rules are read before ours."""
    return RemoteRules(rules=(*(_rule(entry) for entry in configured), *provided))


def _rule(entry: Entry) -> ReplyRule:
    return ReplyRule(
        name=entry.name
        or f"{entry.action} on {' or '.join((*entry.code, *entry.enhanced, *entry.text)) or 'any reply'}",
        action=Action(entry.action),
        time=entry.time,
        destination=entry.destination,
        code=entry.code,
        enhanced=entry.enhanced,
        text=tuple(text.casefold() for text in entry.text),
    )


def changed(outcome: Outcome, rule: ReplyRule) -> Outcome:
    """The outcome as the rule wants it understood; the reply stays the next hop's own."""
    if rule.action is Action.FAIL and outcome.status is Status.DEFERRED:
        return attrs.evolve(outcome, status=Status.FAILED)
    if rule.action is Action.DEFER and outcome.status is Status.FAILED:
        return attrs.evolve(outcome, status=Status.DEFERRED)
    return outcome


def _enhanced(found: str, pattern: str) -> bool:
    return found.startswith(pattern[:-1]) if pattern.endswith("*") else found == pattern


def _found(text: str, patterns: Iterable[str]) -> bool:
    return any(_in_order(text, pattern.split("*")) for pattern in patterns)


def _in_order(text: str, parts: Sequence[str]) -> bool:
    place = 0
    for part in parts:
        found = text.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return True
