"""What was ordered for recipients while they were being attempted, as it stands in the record until it is carried out.

The record has it from the moment the operator is answered, so that neither a restart nor a kill takes it back. There
are at most two intents for a recipient, however often something is ordered: another way, and an end. Pure.
"""

from collections.abc import Callable, Collection, Set

import attrs

from relaygw.core.record import Intent, Progress, RecipientState, Record

REROUTE = "reroute"
"""The only verb of an intent that ends nobody."""


def intend(record: Record, intent: Intent, busy: Set[int]) -> Record:
    """The record after an order for recipients at all these positions: what is meant for those who are busy waits for
    outcomes. Of two other ways the later one counts, and of two ends: whoever ordered it read that it will be so."""
    record = _without(record, intent.positions, lambda verb: (verb == REROUTE) == (intent.verb == REROUTE))
    late = tuple(at for at in intent.positions if at in busy)
    return attrs.evolve(record, intents=(*record.intents, attrs.evolve(intent, positions=late))) if late else record


def prune(record: Record) -> Record:
    """The record without what is meant for recipients who wait no more."""
    return _without(record, [at for at, state in enumerate(record.recipients) if not _waits(state)])


def _without(record: Record, positions: Collection[int], meant: Callable[[str], bool] = lambda _: True) -> Record:
    """The record without the intents (of verbs that are meant) for recipients at these positions."""
    left = [
        attrs.evolve(each, positions=tuple(at for at in each.positions if at not in positions))
        if meant(each.verb)
        else each
        for each in record.intents
    ]
    return attrs.evolve(record, intents=tuple(each for each in left if each.positions))


def ripe(record: Record, busy: Set[int]) -> Intent | None:
    """The first intent that need not wait any more for all of its recipients, for those it can reach now."""
    for each in record.intents:
        states = enumerate(record.recipients)
        reached = tuple(at for at, state in states if at in each.positions and at not in busy and _waits(state))
        if reached:
            return attrs.evolve(each, positions=reached)
    return None


def _waits(state: RecipientState) -> bool:
    return state.progress is Progress.WAITING
