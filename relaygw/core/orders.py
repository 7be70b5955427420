"""What operators order, folded into the next record like an outcome (relaygw.core.lifecycle).

An order never disturbs an attempt: what it means for those who are being attempted is written down
(relaygw.core.intents) and carried out when that has ended without delivery.
"""

import enum
from collections.abc import Callable, Set

import attrs

from relaygw.core.events import Operated
from relaygw.core.intents import intend, ripe
from relaygw.core.lifecycle import Change, Step, ended, step_of
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Detour, Intent, Progress, RecipientState, Record
from relaygw.core.reply import Reply
from relaygw.core.selection import Selection
from relaygw.core.trash import Aside, Trashed, bring_back, throw_away


class Verb(enum.Enum):
    """What an operator may ask of a message."""

    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    REROUTE = "reroute"
    REMOVE = "remove"
    BOUNCE = "bounce"
    UNDO = "undo"


@attrs.frozen(kw_only=True)
class Order:
    """One verb with the operator's reason for it, which the journal (and for a bounce the sender) reads.

    `only`: of the recipients those it means (a hold and a release are the message's); `positions`: those of these.
    `keep`: what is removed goes into the trash. `to` is for a reroute, None ends one; `kept` for an undo."""

    verb: Verb
    reason: str = ""
    only: Selection | None = None
    positions: frozenset[int] | None = None
    keep: bool = False
    to: Detour | None = None
    kept: tuple[Trashed, ...] = ()


def operate(record: Record, order: Order, *, now: float, busy: Set[int] = frozenset()) -> Step:
    """The step an operator's order makes. Recipients at the positions `busy` are being attempted: only a hold and a
    release reach them (they are the record's). What ends them or sends them another way is written down as an intent,
    and waits for the outcome."""
    match order.verb:
        case Verb.HOLD:
            step = Step(record=attrs.evolve(record, held=order.reason or "held by an operator"))
        case Verb.RELEASE:
            released = record.released or bool(record.held)
            step = Step(record=attrs.evolve(record, held="", quarantined=False, released=released))
        case Verb.RETRY:
            step = _each(record, order, now, busy, lambda state: attrs.evolve(state, due=now))
        case Verb.REROUTE:
            step = _each(record, order, now, busy, lambda state: attrs.evolve(state, detour=order.to, due=now))
        case Verb.REMOVE:
            step = _each(
                record, order, now, busy, lambda state: attrs.evolve(state, progress=Progress.REMOVED, owed=False)
            )
            put = throw_away(record, step.record, now=now, reason=order.reason) if order.keep else None
            step = attrs.evolve(step, aside=Aside(put=put)) if put is not None else step
        case Verb.BOUNCE:
            step = _each(record, order, now, busy, lambda state: _returned(state, order.reason))
        case Verb.UNDO:
            step = Step(
                record=bring_back(record, [each.record for each in order.kept]),
                aside=Aside(taken=tuple(each.entry for each in order.kept)),
            )
    if order.verb in _LASTING and (busy or record.intents):
        step = attrs.evolve(step, record=intend(step.record, _intent(record, order), busy))
    return attrs.evolve(step, events=(_operated(record, step.record, order), *step.events))


_LASTING = (Verb.REROUTE, Verb.REMOVE, Verb.BOUNCE)
"""What is meant for recipients who are being attempted, too."""


def meant_late(record: Record, order: Order, busy: Set[int]) -> int:
    """How many recipients who are being attempted an order means, whatever comes of it."""
    match order.verb:
        case Verb.HOLD | Verb.RELEASE:  # they are the message's
            return len(busy)
        case Verb.UNDO:
            return 0
        case _:
            return len(busy & set(_intent(record, order).positions))


def ripe_order(record: Record, busy: Set[int]) -> Order | None:
    """What is to be carried out now of that which was ordered during attempts; None for nothing."""
    found = ripe(record, busy)
    if found is None:
        return None
    return Order(
        verb=Verb(found.verb),
        reason=found.reason,
        positions=frozenset(found.positions),
        keep=found.keep,
        to=found.to,
    )


def _intent(record: Record, order: Order) -> Intent:
    """The order, for all whom it reaches."""
    reached = tuple(at for at, state in enumerate(record.recipients) if _reaches(order, record, at, state))
    return Intent(verb=order.verb.value, positions=reached, reason=order.reason, keep=order.keep, to=order.to)


def _reaches(order: Order, record: Record, position: int, state: RecipientState) -> bool:
    return (
        state.progress is Progress.WAITING
        and (order.positions is None or position in order.positions)
        and (order.only is None or order.only.reaches(record, state))
    )


def _each(
    record: Record, order: Order, now: float, busy: Set[int], change: Callable[[RecipientState], RecipientState]
) -> Step:
    states = list(record.recipients)
    changes: list[Change] = []
    for position, before in enumerate(record.recipients):
        if position not in busy and _reaches(order, record, position, before):
            states[position] = change(before)
            changes.append((before, states[position]))
    return step_of(record, states, changes, now)


def _returned(state: RecipientState, reason: str) -> RecipientState:
    text = f"returned by the administrator: {reason}" if reason else "returned by the administrator"
    last = Outcome(recipient=state.address, status=Status.FAILED, reply=Reply(554, "5.0.0", text))
    return ended(state, Progress.REPORTED, state.attempts, last, state.tried)


def _operated(before: Record, after: Record, order: Order) -> Operated:
    touched = tuple(
        str(old.address) for old, new in zip(before.recipients, after.recipients, strict=True) if old is not new
    )
    return Operated(
        queue_id=before.queue_id,
        session=before.session_id,
        verb=order.verb.value,
        reason=order.reason,
        recipients=touched,
        to=str(order.to) if order.to is not None else "",
    )
