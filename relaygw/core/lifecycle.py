"""What a message may become: outcomes folded into the next record and what follows from it (orders: core/orders.py).

Sans-IO. Every recipient ends exactly once: delivered, reported or removed. A Step holds all that must be committed
together: the next record and the reports owed for the change. Nobody is told about a message without a sender
(RFC 5321 4.5.5), nor against NOTIFY (RFC 3461 4.1); a delay is told once for each moment of warning. What is to be told
while other recipients are being attempted is owed, in the record, and told with them in one report.

A report of ours that fails is a double bounce: the postmaster is told instead (RFC 5321 6.1), by a message about which
nobody is ever told.
"""

import enum
from collections.abc import Iterable, Mapping

import attrs

from relaygw.core.envelope import Envelope, Notify
from relaygw.core.events import Completed, Event, Unreported
from relaygw.core.intents import prune
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Origin, Progress, RecipientState, Record
from relaygw.core.retry import Schedule, Schedules, next_due
from relaygw.core.session import Session
from relaygw.core.trash import Aside


class Kind(enum.Enum):
    """What a report tells; the words of the event Reported. DOUBLE is a double bounce, for the postmaster."""

    FAILURE = "failure"
    DELAY = "delay"
    SUCCESS = "success"
    EXPANSION = "expansion"
    DOUBLE = "double"


@attrs.frozen(kw_only=True)
class Report:
    """A DSN that is due about these recipients, as they stand after the step: to the sender, or to the postmaster."""

    kind: Kind
    recipients: tuple[RecipientState, ...]


@attrs.frozen(kw_only=True)
class Step:
    """The next record, and what must become durable with it. The events are true once it is."""

    record: Record
    reports: tuple[Report, ...] = ()
    events: tuple[Event, ...] = ()
    aside: Aside | None = None


@attrs.frozen(kw_only=True)
class Postponed:
    """A recipient who was due and was not attempted: he waits until `until`. `outcome` says why, as a deferral."""

    position: int
    until: float
    outcome: Outcome


Change = tuple[RecipientState, RecipientState]
"""One recipient before and after."""


def begin(
    *,
    queue_id: str,
    envelope: Envelope,
    now: float,
    session: Session | None = None,
    origin: Origin = Origin.RECEIVED,
    size: int = 0,
    message_id: str = "",
    header_from: str = "",
    held: str = "",
    quarantined: bool = False,
    findings: tuple[str, ...] = (),
) -> Record:
    """The record of a message that enters the spool: every recipient waits and is due at once."""
    return Record(
        queue_id=queue_id,
        envelope=envelope,
        arrived=now,
        recipients=tuple(
            RecipientState(recipient=recipient, due=now)
            if not recipient.expanded
            else RecipientState(
                recipient=recipient, due=now, progress=Progress.EXPANDED, owed=envelope.sender is not None
            )
            for recipient in envelope.recipients
        ),
        size=size,
        session_id=session.id if session else "",
        client=session.client if session else "",
        hello=session.hello if session else "",
        listener=session.listener if session else "",
        login=session.login if session else "",
        message_id=message_id,
        header_from=header_from,
        origin=origin,
        held=held,
        quarantined=quarantined,
        findings=findings,
    )


NO_WAITS: Mapping[int, float] = {}


def fold(
    record: Record,
    outcomes: Iterable[tuple[int, Outcome]],
    *,
    now: float,
    schedule: Schedules,
    random: float,
    waits: Mapping[int, float] = NO_WAITS,
    postponed: Iterable[Postponed] = (),
    more: bool = False,
) -> Step:
    """The step that the outcomes of one attempt make, each given with its recipient's position in the record.

    `random` in [0, 1) is one for all of them, so that they stay together at the next attempt. `waits` are seconds
    that stand above the schedule, by position. Who is `postponed` was not attempted; warnings and expiry come all
    the same. `more`: others of the message are still attempted, and what is to be told is told with them.
    """
    states = list(record.recipients)
    changes: list[Change] = []
    for position, outcome in outcomes:
        before = states[position]
        if before.progress is not Progress.WAITING:
            continue
        attempts = before.attempts + 1
        if outcome.status is Status.DELIVERED:
            after = ended(before, Progress.DELIVERED, attempts, outcome, now)
        elif outcome.status is Status.FAILED:
            after = ended(before, Progress.REPORTED, attempts, outcome, now)
        else:
            chosen = schedule.chosen(record, before, outcome)
            wait = waits.get(position)
            until = now + (chosen.wait(attempts, random) if wait is None else wait)
            until = now if outcome.holds else until  # at once when it is released
            after = _deferred(record, before, outcome, now, until, chosen, attempts)
        states[position] = after
        changes.append((before, after))
        if outcome.holds and after.progress is Progress.WAITING and not record.held:
            quarantined = record.quarantined or outcome.quarantines
            record = attrs.evolve(record, held=outcome.reply.text, quarantined=quarantined)
    for late in postponed:
        before = states[late.position]
        if before.progress is Progress.WAITING:
            chosen = schedule.chosen(record, before, late.outcome)
            after = _deferred(record, before, late.outcome, now, late.until, chosen, before.attempts)
            states[late.position] = after
            changes.append((before, after))
    return step_of(record, states, changes, now, more)


def _deferred(
    record: Record,
    state: RecipientState,
    outcome: Outcome,
    now: float,
    until: float,
    schedule: Schedule,
    attempts: int,
) -> RecipientState:
    """The recipient to be tried again at `until`. A deferral at or after the expiry is final."""
    tried = now if attempts != state.attempts else state.tried
    expiry = schedule.expiry(record.arrived, record.envelope.sender is None)
    if now >= expiry:
        return ended(state, Progress.REPORTED, attempts, outcome, tried)
    warned, warning = state.warned, float("inf")
    if tells(record, state, Kind.DELAY):
        warning = schedule.warning(record.arrived, warned)
        if now >= warning:
            warned, warning = now, schedule.warning(record.arrived, now)
    return RecipientState(
        recipient=state.recipient,
        attempts=attempts,
        due=next_due(now, until, warning, expiry),
        last=outcome,
        warned=warned,
        owed=state.owed,
        detour=state.detour,
        tried=tried,
    )


def ended(
    state: RecipientState, progress: Progress, attempts: int, last: Outcome | None, tried: float | None
) -> RecipientState:
    """The recipient at an end."""
    return RecipientState(
        recipient=state.recipient,
        progress=progress,
        attempts=attempts,
        due=state.due,
        last=last,
        warned=state.warned,
        detour=state.detour,
        tried=tried,
    )


def tells(record: Record, state: RecipientState, kind: Kind) -> bool:
    """Whether this is told about the recipient: to the sender as he wants it (RFC 3461 4.1: by default failures and
    delays), and a double bounce to the postmaster."""
    if record.envelope.sender is None:
        return kind is Kind.DOUBLE
    notify = state.recipient.notify
    if not notify:
        return kind is Kind.FAILURE or kind is Kind.DELAY
    return _WORDS[kind] in notify


_WORDS = {
    Kind.FAILURE: Notify.FAILURE,
    Kind.DELAY: Notify.DELAY,
    Kind.SUCCESS: Notify.SUCCESS,
    Kind.EXPANSION: Notify.SUCCESS,
    Kind.DOUBLE: Notify.FAILURE,
}


def step_of(
    record: Record, states: list[RecipientState], changes: list[Change], now: float, more: bool = False
) -> Step:
    """The step that changes of recipients make. `more`: nothing is reported yet, but written down as owed."""
    telling = [_telling(record, change) for change in changes]
    reports: tuple[Report, ...] = ()
    if not more:
        if any(telling) or [each for each in states if each.owed]:
            reports = _reports(record, states, changes, telling)
            states = [attrs.evolve(each, owed=False) if each.owed else each for each in states]
    elif any(telling):
        owing = {id(after) for (_, after), kind in zip(changes, telling, strict=True) if kind is not None}
        states = [_owed(each, now) if id(each) in owing else each for each in states]
    step = attrs.evolve(record, recipients=tuple(states))
    if record.intents:
        step = prune(step)
    events = _silences(record, changes)
    if (changes or reports) and step.finished:
        events += (Completed(queue_id=record.queue_id, session=record.session_id, seconds=now - record.arrived),)
    return Step(record=step, reports=reports, events=events)


def _owed(state: RecipientState, now: float) -> RecipientState:
    """A report of an end is due at once, should we not come to it; that of a delay with the next attempt."""
    return attrs.evolve(state, owed=True, due=state.due if state.progress is Progress.WAITING else now)


def _reports(
    record: Record, states: list[RecipientState], changes: list[Change], telling: list[Kind | None]
) -> tuple[Report, ...]:
    """At most one report of each kind, so that a message brings its sender one report and not one per recipient: what
    this step tells, and what was owed before."""
    owed: dict[Kind, list[RecipientState]] = {}
    for state in states:
        kind = _standing(record, state) if state.owed else None
        if kind is not None:
            owed.setdefault(kind, []).append(attrs.evolve(state, owed=False))
    for (_, after), kind in zip(changes, telling, strict=True):
        if kind is not None:
            owed.setdefault(kind, []).append(after)
    return tuple(Report(kind=kind, recipients=tuple(owed[kind])) for kind in Kind if kind in owed)


def _telling(record: Record, change: Change) -> Kind | None:
    """What this change is told as; None where it is not, or nobody wants to know."""
    before, after = change
    if after.progress is Progress.DELIVERED and not after.recipient.notify:  # as nearly always
        return None
    if after.progress is Progress.WAITING and before.warned == after.warned:
        return None
    kind = _standing(record, after)
    return kind if kind is not None and tells(record, after, kind) else None


def _standing(record: Record, state: RecipientState) -> Kind | None:
    """What a report says of a recipient in this state."""
    match state.progress:
        case Progress.DELIVERED:  # RFC 3461 5.2.2: a next hop that knows DSN tells it itself
            return None if state.last is not None and state.last.relayed_dsn else Kind.SUCCESS
        case Progress.REPORTED:
            return Kind.DOUBLE if record.origin is Origin.REPORT else Kind.FAILURE
        case Progress.WAITING:
            return Kind.DELAY
        case Progress.EXPANDED:  # RFC 3461 5.2.7.1: what a list takes to hand it to its members is delivered
            return Kind.SUCCESS if state.recipient.listed else Kind.EXPANSION
        case Progress.REMOVED:
            return None


def _silences(record: Record, changes: list[Change]) -> tuple[Event, ...]:
    """Failures that nobody is told about are at least written down."""
    silent = tuple(
        str(after.address)
        for _, after in changes
        if after.progress is Progress.REPORTED and _telling(record, (after, after)) is None
    )
    if not silent:
        return ()
    reason = "the message has no sender" if record.envelope.sender is None else "the sender wants no failure report"
    return (Unreported(queue_id=record.queue_id, session=record.session_id, recipients=silent, reason=reason),)
