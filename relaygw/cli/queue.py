"""`relaygw queue`: through the service when it runs, on the spool itself when it does not."""

import argparse
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from relaygw.cli.answer import DONE, NO, Answer, MissingError, NotRunningError, UsageError, printable, shown, table
from relaygw.cli.client import Client
from relaygw.cli.context import Context
from relaygw.control import asked, queue
from relaygw.control.collaborators import QueueOperations
from relaygw.control.shapes import Json

T = TypeVar("T")

ORDERS = {
    "hold": "attempt nothing until they are released",
    "release": "end a hold",
    "retry": "attempt now",
    "remove": "remove without telling anybody",
    "bounce": "return to the sender as undeliverable",
}


_DESTINATIONS = """The destinations mail goes to: attempts that run, messages that wait, how many attempts it bears at
once, and what holds it back."""


class Queue(Protocol):
    """The queue, near or far; documents as in relaygw.control.queue."""

    def list_(self, given: asked.Asked) -> Json: ...

    def show(self, queue_id: str) -> Json | None: ...

    def why(self, queue_id: str) -> Json | None: ...

    def destinations(self, given: asked.Asked) -> Json: ...

    def order(self, verb: str, given: asked.Asked) -> Json: ...


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="queue_verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="the messages that wait", description="The messages that wait.")
    listing.set_defaults(run=list_)
    _add_conditions(listing)
    listing.add_argument("--limit", type=int, default=0, metavar="N", help="at most N messages (default: all)")
    for name, sentence, run, what in (
        ("show", "everything about messages", show, "ID"),
        ("why", "what messages or destinations wait for", why, "ID|DESTINATION"),
    ):
        verb = verbs.add_parser(name, help=sentence, description=f"{sentence.capitalize()}.")
        verb.set_defaults(run=run)
        verb.add_argument("ids", nargs="+", metavar=what)
    places = verbs.add_parser("destinations", help="where mail goes, and what holds it back", description=_DESTINATIONS)
    places.set_defaults(run=destinations)
    places.add_argument("--all", action="store_true", help="also those with nothing to do")
    for name, sentence in ORDERS.items():
        verb = verbs.add_parser(name, help=f"{sentence}", description=f"{sentence.capitalize()}.")
        verb.set_defaults(run=order, order=name)
        _add_conditions(verb)
        verb.add_argument("--all", action="store_true", help="every message in the queue")
        verb.add_argument("--reason", default="", metavar="TEXT", help="for the journal")


def _add_conditions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="queue ids")
    add = parser.add_argument_group("conditions, all of which must hold").add_argument
    pattern = 'an address, a domain or ".example.com"; repeatable, one must match'
    add("--sender", action="append", default=[], metavar="P", help=f'{pattern}; "<>" is the null one')
    add("--recipient", action="append", default=[], metavar="P", help=f"{pattern}, among those that wait")
    for name in ("held", "quarantined"):
        add(f"--{name}", action=argparse.BooleanOptionalAction, help=f"only what is {name}, or is not")
    add("--origin", default="", choices=("received", "report", "local"), help="how it came into the queue")
    add("--older-than", default="", metavar="TIME", help='in the queue for at least "5m", "4h", "2d" …')
    add("--younger-than", default="", metavar="TIME", help="in the queue for less")
    add("--min-attempts", type=int, default=0, metavar="N", help="attempted at least N times")
    add("--login", action="append", default=[], metavar="NAME", help="sent by this login; repeatable, one must match")
    add("--client", action="append", default=[], metavar="CIDR", help="sent from this address or network; repeatable")
    add("--reply", default="", metavar="TEXT", help="the last reply has this in it")


def list_(options: argparse.Namespace, context: Context) -> Answer:
    messages: list[Json] = []
    after = ""
    with _queue(context) as there:
        while True:
            limit = min(options.limit - len(messages), queue.DEFAULT_LIMIT) if options.limit else queue.DEFAULT_LIMIT
            part = there.list_({**_conditions(options), "after": after, "limit": limit})
            messages += part["messages"]
            after = part["after"]
            if not after or (options.limit and len(messages) >= options.limit):
                break
    return Answer(document=messages, text=_table(messages), status=_all_found(options.ids, messages))


def show(options: argparse.Namespace, context: Context) -> Answer:
    return _each(options.ids, context, lambda there, queue_id: there.show(queue_id), _shown)


def why(options: argparse.Namespace, context: Context) -> Answer:
    """Of messages, and of destinations where there is no message of that id."""
    with _queue(context) as there:
        found = {name: _why(there, name) for name in dict.fromkeys(options.ids)}
    documents = [document for each in found.values() for document in each]
    missing = [
        f"there is no message and no destination {name!r} in the queue" for name, each in found.items() if not each
    ]
    text = "\n\n".join(_standing(each) if "destination" in each else _reason(each) for each in documents)
    return Answer(document=documents, text=text, notes="\n".join(missing), status=NO if missing else DONE)


def _why(there: Queue, name: str) -> list[Json]:
    message = there.why(name)
    return [message] if message is not None else list(there.destinations({"name": name})["destinations"])


def destinations(options: argparse.Namespace, context: Context) -> Answer:
    with _queue(context) as there:
        answer = there.destinations({"all": "true" if options.all else "", "limit": asked.MAX_LIMIT})
    rows = [
        (
            each["destination"],
            each["transport"],
            each["running"],
            each["waiting"],
            each["limit"],
            (each["resting_until"] or "")[:19],
            each["why"],
        )
        for each in answer["destinations"]
    ]
    titles = ("DESTINATION", "BY", "RUNNING", "WAITING", "LIMIT", "RESTS UNTIL", "WHY")
    text = table(titles, rows) if rows else "Nothing is on its way, and nothing is held back."
    notes = f"{answer['left_off']} more" if answer["left_off"] else ""
    return Answer(document=answer["destinations"], text=text, notes=notes)


def order(options: argparse.Namespace, context: Context) -> Answer:
    given = {**_conditions(options), "all": options.all, "reason": options.reason}
    if options.all and len(_conditions(options)) > 0:
        raise UsageError("--all is for every message; ids and conditions choose some of them")
    if not options.all and not _conditions(options):
        raise UsageError("say which messages: ids, conditions, or --all")
    with _queue(context) as there:
        document = there.order(options.order, given)
    messages = document["messages"]
    lines = [f"{each['id']}: {printable(each['message'])}" for each in messages]
    failed = any(not each["done"] for each in messages)
    return Answer(document=document, text="\n".join(lines) or "No message is meant.", status=NO if failed else DONE)


def _each(
    ids: list[str], context: Context, ask: Callable[[Queue, str], Json | None], tell: Callable[[Json], str]
) -> Answer:
    """One document for each id that is there; a note, and exit code 1, for each that is not."""
    with _queue(context) as there:
        found = {queue_id: ask(there, queue_id) for queue_id in dict.fromkeys(ids)}
    documents = [document for document in found.values() if document is not None]
    missing = [f"there is no message {queue_id!r} in the queue" for queue_id, each in found.items() if each is None]
    text = "\n\n".join(map(tell, documents))
    return Answer(document=documents, text=text, notes="\n".join(missing), status=NO if missing else DONE)


def _conditions(options: argparse.Namespace) -> dict[str, Any]:
    """What was given, under the names of relaygw.control.asked.FILTERS."""
    given = {"id": options.ids, **{name: getattr(options, name) for name in asked.FILTERS if name != "id"}}
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in given.items()
        if value not in (None, "", [], 0) or value is False
    }


def _all_found(ids: list[str], messages: list[Json]) -> int:
    return DONE if {each["id"] for each in messages} >= set(ids) else NO


@contextmanager
def _queue(context: Context) -> Iterator[Queue]:
    """The service's, or the spool's own where nobody serves it."""
    far = FarQueue(context.client)
    try:
        far.probe()
    except NotRunningError:
        from relaygw.cli.direct import operations

        try:
            with operations(context.config) as near:
                yield NearQueue(near)
        except asked.BadRequest as error:
            raise UsageError(str(error)) from None
        return
    yield far


class FarQueue:
    """The running service's queue."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def probe(self) -> None:
        """Raises NotRunningError where there is no service."""
        self._client.get("filters")

    def list_(self, given: asked.Asked) -> Json:
        document: Json = self._client.get("queue", **given)
        return document

    def show(self, queue_id: str) -> Json | None:
        return self._found("queue", queue_id)

    def why(self, queue_id: str) -> Json | None:
        return self._found("queue", queue_id, "why")

    def destinations(self, given: asked.Asked) -> Json:
        document: Json = self._client.get("destinations", **given)
        return document

    def order(self, verb: str, given: asked.Asked) -> Json:
        document: Json = self._client.post("queue", verb, body=given)
        return document

    def _found(self, *parts: str) -> Json | None:
        try:
            document: Json = self._client.get(*parts)
        except MissingError:
            return None
        return document


class NearQueue:
    """A spool of our own for the time being; every question is answered at once."""

    def __init__(self, near: QueueOperations) -> None:
        self._operations = near

    def list_(self, given: asked.Asked) -> Json:
        return _now(queue.list_(self._operations, given, time.time()))

    def show(self, queue_id: str) -> Json | None:
        return _now(queue.show(self._operations, queue_id, time.time()))

    def why(self, queue_id: str) -> Json | None:
        return _now(queue.why(self._operations, queue_id))

    def destinations(self, given: asked.Asked) -> Json:
        return queue.destinations(self._operations, given)

    def order(self, verb: str, given: asked.Asked) -> Json:
        return _now(queue.order(self._operations, verb, given))


def _now(awaitable: Awaitable[T]) -> T:
    """Loads what needs Twisted only where there is no service to ask."""
    from relaygw.cli.direct import run_now

    return run_now(awaitable)


def _table(messages: list[Json]) -> str:
    if not messages:
        return "The queue is empty, or nothing in it is meant."
    titles = ("ID", "STATE", "AGE", "SIZE", "SENDER", "WAITING FOR", "LAST REPLY")
    rows = [
        (
            each["id"],
            each["state"],
            _age(each["age"]),
            each["size"],
            each["sender"],
            _some(each["recipients"]),
            each["held"] or each["reply"],
        )
        for each in messages
    ]
    total = f"{len(messages)} message{'' if len(messages) == 1 else 's'}"
    return f"{table(titles, rows)}\n{total}"


def _some(addresses: list[str]) -> str:
    return addresses[0] + (f" +{len(addresses) - 1}" if len(addresses) > 1 else "") if addresses else ""


def _age(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _attempts(number: int) -> str:
    return f"{number} attempt{'' if number == 1 else 's'}"


def _shown(message: Json) -> str:
    lines = [
        f"{key}: {shown(value)}" for key, value in message.items() if key != "recipients" and value not in ("", None)
    ]
    for each in message["recipients"]:
        due = f", due {each['due']}" if each["due"] else ""
        lines.append(f"to <{printable(each['address'])}>: {each['progress']}, {_attempts(each['attempts'])}{due}")
        if last := each["last"]:
            host = f" by {last['host']} [{last['address']}]" if last["host"] else ""
            lines.append(f"    {last['status']}{printable(host)}: {printable(last['reply'])}")
    return "\n".join(lines)


def _reason(document: Json) -> str:
    return f"{document['id']} ({document['state']}): {printable(document['why'])}"


def _standing(document: Json) -> str:
    numbers = f"{document['running']} attempts run, {document['waiting']} wait, at most {document['limit']} at once."
    why = printable(document["why"]) or "Nothing holds it back."
    return f"{printable(document['destination'])} (by {document['transport']}): {why} {numbers}"
