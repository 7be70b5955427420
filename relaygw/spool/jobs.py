"""What waits for the spool's thread: one kind of value per kind of work, so that work of a kind can go together.

A batch is one transaction. Messages to add, to remove and to change are each done by few statements for the whole
batch, which is what makes a message cheap; all else is done in the order it came.
"""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from relaygw.spool.batcher import Haste
from relaygw.spool.entries import Entry, RecordChange
from relaygw.spool.store import Store


@attrs.frozen(eq=False, kw_only=True)
class Job:
    """`files` must be synced before the job is done; they go where it fails. `answer` fires in the reactor's thread."""

    answer: Deferred[Any] = attrs.field(factory=Deferred)
    files: tuple[str, ...] = ()


@attrs.frozen(eq=False, kw_only=True)
class Insert(Job):
    """Add one message."""

    entry: Entry


@attrs.frozen(eq=False, kw_only=True)
class Remove(Job):
    """Remove one message."""

    queue_id: str


@attrs.frozen(eq=False, kw_only=True)
class Change(Job):
    """Change one message's record."""

    change: RecordChange


@attrs.frozen(eq=False, kw_only=True)
class Call(Job):
    """Anything else; its result is the answer."""

    action: Callable[[Store], object]
    haste: Haste = Haste.NOW


def may_be_lost(job: Job) -> bool:
    """Whether it need not survive power loss: it reads, or claims, and claims end with their owner."""
    return isinstance(job, Call) and job.haste is Haste.ASIDE


def perform(store: Store, jobs: Sequence[Job]) -> list[object]:
    """Do the jobs of one batch within the caller's transaction; their results, in the same order."""
    inserts = [job.entry for job in jobs if isinstance(job, Insert)]
    if inserts:
        store.insert(inserts)
    removed = [job.queue_id for job in jobs if isinstance(job, Remove)]
    if removed:
        store.remove(removed)
    changed = [job.change for job in jobs if isinstance(job, Change)]
    if changed:
        store.change(changed)
    return [job.action(store) if isinstance(job, Call) else None for job in jobs]
