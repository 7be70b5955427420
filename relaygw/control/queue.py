"""The queue's verbs as requests and JSON answers, for whoever asks: the socket, the console, the command line itself.

Knows nothing of HTTP: `Asked` in, JSON documents out, BadRequest for what cannot be meant.
"""

from relaygw.control.asked import FILTERS, MAX_LIMIT, Asked, BadRequest, known, meant, number, text, texts, yes_or_no
from relaygw.control.collaborators import QueueOperations
from relaygw.control.shapes import Json, destination, details, done, summary
from relaygw.core.lifecycle import Order, Verb

DEFAULT_LIMIT = 1000

ORDERS = {verb.value: verb for verb in (Verb.HOLD, Verb.RELEASE, Verb.RETRY, Verb.REMOVE, Verb.BOUNCE)}
"""The verbs that change messages."""


async def list_(queue: QueueOperations, asked: Asked, now: float) -> Json:
    """The messages that are meant, from the one after `after`."""
    known(asked, *FILTERS, "after", "limit")
    limit = number(asked, "limit", DEFAULT_LIMIT, MAX_LIMIT) or DEFAULT_LIMIT
    listing = await queue.listing(meant(asked).selection, after=text(asked, "after"), limit=limit)
    return {"messages": [summary(listed, now) for listed in listing.messages], "after": listing.after}


async def show(queue: QueueOperations, queue_id: str, now: float) -> Json | None:
    """Everything about one message; None when there is none of this id."""
    listed = await queue.show(queue_id)
    return None if listed is None else details(listed, now)


async def why(queue: QueueOperations, queue_id: str) -> Json | None:
    """What one message waits for; None when there is none of this id."""
    listed = await queue.show(queue_id)
    if listed is None:
        return None
    return {"id": queue_id, "state": listed.state, "why": await queue.why(queue_id)}


def destinations(queue: QueueOperations, asked: Asked) -> Json:
    """The destinations that do something or are held back, the busiest first; with `all`, every one in memory; with
    `name` those of that name, host or domain, whatever they do."""
    known(asked, "name", "all", "limit")
    name, limit = text(asked, "name"), number(asked, "limit", DEFAULT_LIMIT, MAX_LIMIT) or DEFAULT_LIMIT
    every = bool(name) or yes_or_no(asked, "all")
    found = [each for each in queue.destinations(name) if every or each.running or each.waiting or each.why]
    return {"destinations": [destination(each) for each in found[:limit]], "left_off": max(0, len(found) - limit)}


async def order(queue: QueueOperations, verb: str, asked: Asked) -> Json:
    """Carry an order out for the messages that are meant; without any condition only where `all` is true."""
    known(asked, *FILTERS, "all", "reason")
    if verb not in ORDERS:
        raise BadRequest(f"there is no verb {verb[:50]!r}; known are {', '.join(ORDERS)}")
    chosen = meant(asked)
    if chosen.unconditional and not yes_or_no(asked, "all"):
        raise BadRequest("say which messages: ids, conditions, or all")
    given = Order(verb=ORDERS[verb], reason=text(asked, "reason") or _reason(verb))
    if chosen.only_ids:
        answers = [await queue.order(queue_id, given) for queue_id in dict.fromkeys(texts(asked, "id", MAX_LIMIT))]
    else:
        answers = list(await queue.order_all(chosen.selection, given))
    return {"verb": verb, "messages": [done(answer) for answer in answers]}


def _reason(verb: str) -> str:
    """A held message tells why it is held."""
    return "by an operator" if verb == "hold" else ""
