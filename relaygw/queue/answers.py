"""What became of an order, and what a record waits for, in words an operator can read."""

import attrs

from relaygw.core.lane import duration
from relaygw.core.orders import Order, Verb
from relaygw.core.record import Progress, RecipientState, Record
from relaygw.queue.work import Effect

NEEDS_SOMEBODY = (Verb.REMOVE, Verb.BOUNCE, Verb.RETRY, Verb.REROUTE, Verb.UNDO)
"""Orders that are nothing where they reach nobody."""


@attrs.frozen(kw_only=True)
class Done:
    """The answer to an order for one message: whether it was carried out, and what that means now."""

    queue_id: str
    done: bool
    message: str


def answer(queue_id: str, order: Order, effect: Effect, there: bool = False) -> Done:
    """`there`: the record is in the spool, for an effect that reached none."""
    record = effect.record
    if record is None:
        message = "another process works on it: try again later" if there else "there is no such message"
        return Done(queue_id=queue_id, done=False, message=message)
    if order.verb in NEEDS_SOMEBODY and not effect.reached and not effect.busy:
        return Done(queue_id=queue_id, done=False, message="no recipient waits any more")
    return Done(queue_id=queue_id, done=True, message=_outcome(record, order, effect.reached, effect.busy))


def _outcome(record: Record, order: Order, reached: int, busy: int) -> str:
    """What the order came to, in words."""
    attempted = f"{people(busy)} being attempted now" if busy else ""
    match order.verb:
        case Verb.HOLD:
            return f"held: {record.held}" + (f"; {attempted} all the same" if busy else "")
        case Verb.RELEASE:
            return "released"
        case Verb.RETRY:
            words = f"due now, but held: {record.held}" if record.held else f"due now: {people(reached)}"
            return words + (f"; {attempted} anyway" if busy else "")
        case Verb.REROUTE:
            where = f"rerouted to {order.to}" if order.to is not None else "routed by the table again"
            held = f"; held: {record.held}" if record.held else ""
            later = f"; {attempted}: {where} when that ends without delivery" if busy else ""
            return f"{where}: {people(reached)}{held}{later}"
        case Verb.UNDO:
            return f"brought back: {people(reached)}" + (f"; held: {record.held}" if record.held else "")
        case Verb.REMOVE | Verb.BOUNCE:
            what = "removed" if order.verb is Verb.REMOVE else "returned to the sender"
            later = f"; {attempted}: {what} when that ends without delivery" if busy else ""
            return f"{what}: {people(reached)}{later}"


def people(number: int) -> str:
    return "1 recipient" if number == 1 else f"{number} recipients"


def waits_for(record: Record, now: float, *, runs: bool = True) -> str:
    """What a record in nobody's hands waits for. `runs`: a queue does."""
    if record.held:
        held = f"It is held: {record.held}. Nothing is attempted until it is released."
        ordered = _ordered(record)
        return f"{held} What was ordered during an attempt comes at once: {ordered}." if ordered else held
    waiting = [state for state in record.recipients if state.progress is Progress.WAITING]
    if not waiting:
        return "It waits for nothing: every recipient has reached an end."
    first = min(waiting, key=lambda state: state.due)
    rerouted = _rerouted(waiting)
    if first.last is None:
        reason = "It has not been attempted yet."
    elif not first.attempts:
        reason = f"It has not been attempted yet, and was put off: {first.last.reply.text}"
    else:
        said = f"{first.last.host or 'the next hop'} said" if first.last.remote else "we found"
        reason = f"Attempt {first.attempts} for <{first.address}> was put off: {said}: {first.last.reply}"
    soon = "as soon as there is room" if runs else "as soon as the service runs"
    when = f"in {duration(first.due - now)}" if first.due > now else soon
    reason = reason if reason.endswith(".") else f"{reason}."
    if ordered := _ordered(record):
        return f"{reason} An attempt ended when the service did. Before another, what was ordered during it: {ordered}."
    return f"{reason}{rerouted} The next attempt is {when}."


def _ordered(record: Record) -> str:
    """What waits to be carried out."""
    return ", then ".join(f"{each} ({people(len(each.positions))})" for each in record.intents)


def _rerouted(waiting: list[RecipientState]) -> str:
    """Where an operator sent those that wait."""
    places: dict[str, int] = {}
    for state in waiting:
        if state.detour is not None:
            places[str(state.detour)] = places.get(str(state.detour), 0) + 1
    if not places:
        return ""
    if list(places.values()) == [len(waiting)]:
        return f" It is rerouted to {next(iter(places))}."
    return "".join(f" {people(number)} rerouted to {place}." for place, number in places.items())
