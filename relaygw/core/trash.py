"""What operators removed, as it is kept for a while: the record before the removal, in which only those removed
wait. Brought back, it goes on where it was. Pure; where it is kept is the spool's business (ITrash).
"""

from collections.abc import Iterable

import attrs

from relaygw.core.record import Progress, RecipientState, Record


@attrs.frozen(kw_only=True)
class Trashed:
    """One removal. `entry` numbers it in the spool that keeps it (0: not yet kept); `record` is what comes back, with
    its content; `removed` is when (POSIX seconds), `reason` the operator's."""

    record: Record
    removed: float
    reason: str = ""
    entry: int = 0


@attrs.frozen(kw_only=True)
class Aside:
    """What a settlement does to the trash: `put` comes in, the entries `taken` are no more."""

    put: Trashed | None = None
    taken: tuple[int, ...] = ()


def throw_away(before: Record, after: Record, *, now: float, reason: str) -> Trashed | None:
    """What must be kept of a removal, to undo it; None where nobody was removed by it.

    Whoever is not part of it counts as removed in what is kept: his message is another one.
    """
    states = tuple(map(_kept, before.recipients, after.recipients))
    record = attrs.evolve(before, recipients=states, intents=())
    return Trashed(record=record, removed=now, reason=reason) if record.waiting else None


def _kept(old: RecipientState, new: RecipientState) -> RecipientState:
    """What is owed of a report stays owed where it is: it is not to be told twice."""
    if old.progress is Progress.WAITING and new.progress is not Progress.REMOVED:
        return attrs.evolve(old, progress=Progress.REMOVED, owed=False)
    return attrs.evolve(old, owed=False) if old.owed else old


def bring_back(record: Record, kept: Iterable[Record]) -> Record:
    """The record with those waiting again whom removals took from it, each as he stood then."""
    states = list(record.recipients)
    for before in kept:
        for position, then in enumerate(before.recipients):
            if then.progress is Progress.WAITING and states[position].progress is Progress.REMOVED:
                states[position] = then
    return attrs.evolve(record, recipients=tuple(states))
