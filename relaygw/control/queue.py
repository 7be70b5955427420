"""The queue's verbs as requests and JSON answers, for whoever asks: the socket, the console, the command line itself.

Knows nothing of HTTP: `Asked` in, JSON documents out, BadRequest for what cannot be meant.
"""

from collections.abc import Collection

from relaygw.control.asked import (
    FILTERS,
    MAX_LIMIT,
    Asked,
    BadRequest,
    Meant,
    known,
    meant,
    number,
    text,
    texts,
    yes_or_no,
)
from relaygw.control.collaborators import Listed, QueueOperations
from relaygw.control.shapes import Json, destination, details, done, summary
from relaygw.core.detour import DetourError, parse_detour
from relaygw.core.orders import Order, Verb

DEFAULT_LIMIT = 1000

ORDERS = {verb.value: verb for verb in (Verb.HOLD, Verb.RELEASE, Verb.RETRY, Verb.REROUTE, Verb.REMOVE, Verb.BOUNCE)}
"""The verbs that change messages."""

VIEWS = ("summary", "details", "why")
"""What may be told of each message that is meant."""


async def list_(queue: QueueOperations, asked: Asked, now: float) -> Json:
    """The messages that are meant, from the one after `after`."""
    known(asked, *FILTERS, "after", "limit", "as")
    view = text(asked, "as") or "summary"
    if view not in VIEWS:
        raise BadRequest(f"as: one of {', '.join(VIEWS)} is wanted")
    limit = number(asked, "limit", DEFAULT_LIMIT, MAX_LIMIT) or DEFAULT_LIMIT
    listing = await queue.listing(_chosen(queue, asked).selection, after=text(asked, "after"), limit=limit)
    messages = [_viewed(queue, view, listed, now) for listed in listing.messages]
    return {"messages": messages, "after": listing.after}


def _chosen(queue: QueueOperations, asked: Asked) -> Meant:
    chosen = meant(asked)
    if chosen.selection.destinations and not queue.runs:
        raise BadRequest("destination: destinations are known only while the service runs")
    return chosen


def _viewed(queue: QueueOperations, view: str, listed: Listed, now: float) -> Json:
    if view == "why":
        return {"id": listed.record.queue_id, "state": listed.state, "why": queue.reason(listed.record)}
    return details(listed, now) if view == "details" else summary(listed, now)


async def show(queue: QueueOperations, queue_id: str, now: float) -> Json | None:
    """Everything about one message; None when there is none of this id."""
    listed = await queue.show(queue_id)
    return None if listed is None else details(listed, now)


async def why(queue: QueueOperations, queue_id: str) -> Json | None:
    """What one message waits for; None when there is none of this id."""
    listed = await queue.show(queue_id)
    return None if listed is None else _viewed(queue, "why", listed, 0.0)


def destinations(queue: QueueOperations, asked: Asked) -> Json:
    """The destinations that do something or are held back, the busiest first; with `all`, every one in memory; with
    `name` those of that name, host or domain, whatever they do."""
    known(asked, "name", "all", "limit")
    name, limit = text(asked, "name"), number(asked, "limit", DEFAULT_LIMIT, MAX_LIMIT) or DEFAULT_LIMIT
    every = bool(name) or yes_or_no(asked, "all")
    found = [each for each in queue.destinations(name) if every or each.running or each.waiting or each.why]
    return {"destinations": [destination(each) for each in found[:limit]], "left_off": max(0, len(found) - limit)}


async def order(queue: QueueOperations, verb: str, asked: Asked, routes: Collection[str] = ()) -> Json:
    """Carry an order out for the messages that are meant; without any condition only where `all` is true.

    With `limit`, for at most so many of them, from the one after `after`; with `dry_run` for none: they are counted.
    `routes` are the names a reroute may give.
    """
    own = ("to", "back") if verb == "reroute" else ("forever",) if verb == "remove" else ()
    known(asked, *FILTERS, "all", "reason", "dry_run", "after", "limit", *own)
    if verb not in ORDERS:
        raise BadRequest(f"there is no verb {verb[:50]!r}; known are {', '.join((*ORDERS, 'undo'))}")
    chosen = _chosen(queue, asked)
    if chosen.unconditional and not yes_or_no(asked, "all"):
        raise BadRequest("say which messages: ids, conditions, or all")
    given = _order(verb, asked, routes)
    if yes_or_no(asked, "dry_run"):
        amount = await queue.count(chosen.selection)
        return {"verb": verb, "dry_run": True, "messages": amount.messages, "recipients": amount.recipients}
    if chosen.only_ids:
        ids = list(dict.fromkeys(texts(asked, "id", MAX_LIMIT)))
        return {"verb": verb, "messages": [done(await queue.order(each, given)) for each in ids], "after": ""}
    after, limit = text(asked, "after"), number(asked, "limit", 0, MAX_LIMIT) or 1 << 62
    part = await queue.order_some(chosen.selection, given, after=after, limit=limit)
    return {"verb": verb, "messages": [done(answer) for answer in part.answers], "after": part.after}


def _order(verb: str, asked: Asked, routes: Collection[str]) -> Order:
    reason = text(asked, "reason") or _reason(verb)
    if verb == "remove":
        return Order(verb=Verb.REMOVE, reason=reason, keep=not yes_or_no(asked, "forever"))
    if verb != "reroute":
        return Order(verb=ORDERS[verb], reason=reason)
    words, back = texts(asked, "to"), yes_or_no(asked, "back")
    if bool(words) == bool(back):
        raise BadRequest("to: say where to, a route or hosts; or back, for the way the routing table says")
    try:
        return Order(verb=Verb.REROUTE, reason=reason, to=parse_detour(words, routes) if words else None)
    except DetourError as error:
        raise BadRequest(f"to: {error}") from None


def _reason(verb: str) -> str:
    """A held message tells why it is held."""
    return "by an operator" if verb == "hold" else ""
