"""What the outcomes of one attempt say about its destination, and what the rules on replies make of them."""

from collections.abc import Mapping, Sequence

import attrs

from relaygw.core.outcome import Outcome, Status
from relaygw.core.remote_rules import Action, RemoteRules, ReplyRule, changed
from relaygw.core.trouble import UNREACHABLE, Trouble, trouble_of

Outcomes = tuple[tuple[int, Outcome], ...]


@attrs.frozen(kw_only=True)
class Advice:
    """What a reply asks of us for the destination, for so many seconds."""

    action: Action
    seconds: float
    reason: str


@attrs.frozen(kw_only=True)
class Judgement:
    """`outcomes` as they are to be understood; `waits` until the next attempt, by position; `unreachable` says why
    the attempt did not get through, "" where it did or nothing is known (`answered` tells these apart)."""

    outcomes: Outcomes
    waits: Mapping[int, float]
    answered: bool
    unreachable: str = ""
    advice: Advice | None = None


_SAYS_NOTHING = frozenset({Trouble.LOCAL, Trouble.LOGIN})
"""Troubles of our own."""

NO_WAITS: Mapping[int, float] = {}


def judge(destination: str, outcomes: Outcomes, rules: RemoteRules, *, wants_proof: bool = False) -> Judgement:
    """`wants_proof`: this message asks for more TLS than others (RFC 8689), so that its lack says nothing of them."""
    if all(outcome.status is Status.DELIVERED for _, outcome in outcomes):  # as nearly always
        return Judgement(outcomes=outcomes, waits=NO_WAITS, answered=bool(outcomes))
    troubles = [trouble_of(outcome) for _, outcome in outcomes]
    found = [rules.rule(destination, outcome) for _, outcome in outcomes]
    return Judgement(
        outcomes=tuple(
            (position, changed(outcome, rule) if rule is not None else outcome)
            for (position, outcome), rule in zip(outcomes, found, strict=True)
        ),
        waits={
            position: rule.time
            for (position, _), rule in zip(outcomes, found, strict=True)
            if rule is not None and rule.action is Action.RETRY
        },
        answered=any(trouble not in _SAYS_NOTHING and trouble not in UNREACHABLE for trouble in troubles),
        unreachable=_unreachable(outcomes, troubles, wants_proof),
        advice=_advice(outcomes, found),
    )


def _unreachable(outcomes: Outcomes, troubles: Sequence[Trouble], wants_proof: bool) -> str:
    """The reply of an attempt in which nothing got through."""
    if not all(trouble in UNREACHABLE for trouble in troubles) or (wants_proof and Trouble.TLS in troubles):
        return ""
    return str(outcomes[0][1].reply)


def _advice(outcomes: Outcomes, found: Sequence[ReplyRule | None]) -> Advice | None:
    """The first rule about the destination; a rest counts more than slowness."""
    about = [(rule, outcome) for rule, (_, outcome) in zip(found, outcomes, strict=True) if rule is not None]
    for action in (Action.REST, Action.SLOW):
        for rule, outcome in about:
            if rule.action is action:
                reason = f"{rule.name} ({outcome.host or destination_of(outcome)} said: {outcome.reply})"
                return Advice(action=action, seconds=rule.time, reason=reason)
    return None


def destination_of(outcome: Outcome) -> str:
    return outcome.address or "it"
