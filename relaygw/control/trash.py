"""What operators removed, as requests and JSON answers: to list, to bring back, to let go of for good."""

from relaygw.control.asked import FILTERS, MAX_LIMIT, Asked, BadRequest, known, meant, number, seconds, yes_or_no
from relaygw.control.collaborators import TrashOperations
from relaygw.control.shapes import Json, done, trashed

DEFAULT_LIMIT = 1000

NOT_KEPT = ("held_for", "destination")
"""Conditions that say nothing of what is removed."""

_FILTERS = tuple(name for name in FILTERS if name not in NOT_KEPT)


async def list_(trash: TrashOperations, asked: Asked) -> Json:
    """The entries that are meant, from the one after `after`; `until` is when each goes for good."""
    known(asked, *_FILTERS, "removed_within", "after", "limit")
    limit = number(asked, "limit", DEFAULT_LIMIT, MAX_LIMIT) or DEFAULT_LIMIT
    part = await trash.listing(
        meant(asked).selection,
        within=seconds(asked, "removed_within"),
        after=number(asked, "after", 0, 1 << 62),
        limit=limit,
    )
    entries = [trashed(each, trash.age) for each in part.entries]
    return {"messages": entries, "after": part.after, "age": trash.age}


async def change(trash: TrashOperations, verb: str, asked: Asked) -> Json:
    """`undo` or `purge`, for what is meant; without any condition only where `all` is true."""
    known(asked, *_FILTERS, "all", "dry_run", "removed_within", "after", "limit")
    if verb not in ("undo", "purge"):
        raise BadRequest(f"there is no verb {verb[:50]!r}; known are undo, purge")
    chosen, within = meant(asked), seconds(asked, "removed_within")
    if chosen.unconditional and within is None and not yes_or_no(asked, "all"):
        raise BadRequest("say which messages: ids, conditions, or all")
    if yes_or_no(asked, "dry_run"):
        return {"verb": verb, "dry_run": True, **await _counted(trash, asked)}
    after, limit = number(asked, "after", 0, 1 << 62), number(asked, "limit", 0, MAX_LIMIT) or DEFAULT_LIMIT
    act = trash.undo if verb == "undo" else trash.purge
    part = await act(chosen.selection, within=within, after=after, limit=limit)
    return {"verb": verb, "messages": [done(answer) for answer in part.answers], "after": part.after}


async def _counted(trash: TrashOperations, asked: Asked) -> Json:
    messages = recipients = after = 0
    while True:
        part = await trash.listing(meant(asked).selection, within=seconds(asked, "removed_within"), after=after)
        messages += len(part.entries)
        recipients += sum(len(each.record.waiting) for each in part.entries)
        after = part.after
        if not after:
            return {"messages": messages, "recipients": recipients}
