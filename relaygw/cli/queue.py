"""`relaygw queue`: through the service when it runs, on the spool itself when it does not."""

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import Any

from relaygw.cli import queue_text
from relaygw.cli.answer import DONE, NO, Answer, CommandError, UsageError
from relaygw.cli.conditions import add_conditions, conditions, said
from relaygw.cli.context import Context
from relaygw.cli.queue_access import Queue, reach
from relaygw.cli.verbs import add_verb
from relaygw.control import asked, queue
from relaygw.control.shapes import Json

ORDERS = {
    "hold": "attempt nothing until they are released",
    "release": "end a hold",
    "retry": "attempt now",
    "reroute": "send them another way than the routing table says",
    "remove": "remove without telling anybody",
    "bounce": "return to the sender as undeliverable",
}

TRASH = {
    "undo": "bring back what was removed",
    "purge": "let go for good of what was removed",
}

STEP = 500
"""Messages per request: an interrupted order has done what was said, and no more."""

_DESTINATIONS = """The destinations mail goes to: attempts that run, messages that wait, how many attempts it bears at
once, and what holds it back."""


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="queue_verb", metavar="VERB", required=True)
    listing = add_verb(verbs, "list", "the messages that wait")
    listing.set_defaults(run=list_)
    add_conditions(listing)
    listing.add_argument("--limit", type=int, default=0, metavar="N", help="at most N messages (default: all)")
    for name, sentence, run, what in (
        ("show", "everything about messages", show, "ID"),
        ("why", "what messages or destinations wait for", why, "ID|DESTINATION"),
    ):
        verb = add_verb(verbs, name, sentence)
        verb.set_defaults(run=run)
        add_conditions(verb, what=what)
        verb.add_argument("--all", action="store_true", help="every message in the queue")
    places = add_verb(verbs, "destinations", "where mail goes, and what holds it back", _DESTINATIONS)
    places.set_defaults(run=destinations)
    places.add_argument("--all", action="store_true", help="also those with nothing to do")
    for name, sentence in {**ORDERS, **TRASH}.items():
        verb = add_verb(verbs, name, sentence)
        verb.set_defaults(run=change_trash if name in TRASH else order, order=name)
        _add_order(verb, name)


def _add_order(verb: argparse.ArgumentParser, name: str) -> None:
    add_conditions(verb)
    verb.add_argument(
        "--all", action="store_true", help=f"every message in the {'trash' if name in TRASH else 'queue'}"
    )
    verb.add_argument("--dry-run", action="store_true", help="only count what is meant")
    verb.add_argument("--yes", action="store_true", help="do not ask on a terminal")
    if name in TRASH:
        within = 'removed in the last "10m", "4h" …'
        verb.add_argument("--removed-within", type=said, default=None, metavar="TIME", help=within)
        verb.add_argument("--list", action="store_true", dest="listed", help="only list what could be brought back")
        return
    verb.add_argument("--reason", default="", metavar="TEXT", help="for the journal")
    if name == "remove":
        verb.add_argument("--forever", action="store_true", help="not into the trash: it cannot be undone")
    if name == "reroute":
        to = "a route of the configuration, or hosts (HOST[:PORT]) in their order"
        verb.add_argument("--to", nargs="+", default=[], metavar="ROUTE|HOST", help=to)
        verb.add_argument("--back", action="store_true", help="by the routing table again")


def list_(options: argparse.Namespace, context: Context) -> Answer:
    with reach(context) as there:
        messages = _pages(there.list_, conditions(options), options.limit)
    return Answer(document=messages, text=queue_text.listing(messages), status=_all_found(options.ids, messages))


def _pages(ask: Callable[[asked.Asked], Json], given: asked.Asked, limit: int = 0) -> list[Json]:
    """All of a list that comes in parts, or `limit` of it."""
    messages: list[Json] = []
    after: Any = ""
    while True:
        most = min(limit - len(messages), queue.DEFAULT_LIMIT) if limit else queue.DEFAULT_LIMIT
        part = ask({**given, **({"after": after} if after else {}), "limit": most})
        messages += part["messages"]
        after = part["after"]
        if not after or (limit and len(messages) >= limit):
            return messages


def show(options: argparse.Namespace, context: Context) -> Answer:
    given = _said(options)
    with reach(context) as there:
        if set(given) - {"id"} or options.all:
            documents, missing = _pages(there.list_, {**given, "as": "details"}), []
        else:
            found = {queue_id: there.show(queue_id) for queue_id in dict.fromkeys(options.ids)}
            documents = [document for document in found.values() if document is not None]
            missing = [_absent(there, name, "no message") for name, each in found.items() if each is None]
    text = "\n\n".join(map(queue_text.details, documents))
    return Answer(document=documents, text=text, notes="\n".join(missing), status=NO if missing else DONE)


def _said(options: argparse.Namespace) -> dict[str, Any]:
    """The conditions; which messages are meant must have been said."""
    given = conditions(options)
    if options.all and given:
        raise UsageError("--all is for every message; ids and conditions choose some of them")
    if not options.all and not given and not getattr(options, "removed_within", ""):
        raise UsageError("say which messages: ids, conditions, or --all")
    return given


def why(options: argparse.Namespace, context: Context) -> Answer:
    """Of messages, and of destinations where there is no message of that id."""
    given = _said(options)
    with reach(context) as there:
        if set(given) - {"id"} or options.all:
            documents, missing = _pages(there.list_, {**given, "as": "why"}), []
        else:
            found = {name: _why(there, name) for name in dict.fromkeys(options.ids)}
            documents = [document for each in found.values() for document in each]
            missing = [_absent(there, name, "no message and no destination") for name in found if not found[name]]
    text = "\n\n".join(
        queue_text.standing(each) if "destination" in each else queue_text.reason(each) for each in documents
    )
    return Answer(document=documents, text=text, notes="\n".join(missing), status=NO if missing else DONE)


def _absent(there: Queue, name: str, what: str) -> str:
    """That it is not there; and where it is, if an operator removed it."""
    removed = there.trash({"id": [name]})["messages"]
    if removed:
        return f"{name!r} was removed at {removed[-1]['removed']}: `relaygw queue undo {name}` brings it back"
    return f"there is {what} {name!r} in the queue"


def _why(there: Queue, name: str) -> list[Json]:
    message = there.why(name)
    return [message] if message is not None else list(there.destinations({"name": name})["destinations"])


def destinations(options: argparse.Namespace, context: Context) -> Answer:
    with reach(context) as there:
        answer = there.destinations({"all": "true" if options.all else "", "limit": asked.MAX_LIMIT})
    notes = f"{answer['left_off']} more" if answer["left_off"] else ""
    text = queue_text.destinations(answer["destinations"])
    return Answer(document=answer["destinations"], text=text, notes=notes)


def order(options: argparse.Namespace, context: Context) -> Answer:
    given = {**_said(options), "all": options.all, "reason": options.reason}
    if options.order == "reroute":
        given |= {"to": options.to} if options.to else {}
        given |= {"back": True} if options.back else {}
    if options.order == "remove" and options.forever:
        given["forever"] = True
    with reach(context) as there:
        return _carry_out(options, given, lambda body: there.order(options.order, body))


def change_trash(options: argparse.Namespace, context: Context) -> Answer:
    if options.listed:
        given = {**conditions(options), "removed_within": options.removed_within or ""}
        with reach(context) as there:
            entries = _pages(there.trash, given)
        return Answer(document=entries, text=queue_text.trash(entries), status=_all_found(options.ids, entries))
    given = {**_said(options), "all": options.all}
    given |= {"removed_within": options.removed_within} if options.removed_within else {}
    with reach(context) as there:
        answer = _carry_out(options, given, lambda body: there.change_trash(options.order, body))
    missing = set() if options.dry_run else set(options.ids) - {each["id"] for each in answer.document["messages"]}
    if missing:
        notes = "\n".join(f"nothing of {queue_id!r} is in the trash" for queue_id in sorted(missing))
        return Answer(document=answer.document, text=answer.text, notes=notes, status=NO)
    return answer


def _carry_out(options: argparse.Namespace, given: dict[str, Any], ask: Callable[[asked.Asked], Json]) -> Answer:
    """Count, or ask whoever sits there and then do it, some messages at a time."""
    many = not (given.get("id") and not set(given) - {"id", "all", "reason", "to", "back", "forever"})
    if options.dry_run or (many and not options.yes and _is_watched()):
        counted = ask({**given, "dry_run": True})
        sentence = f"{queue_text.amount(counted['messages'], 'message')} with {_people(counted)}"
        if options.dry_run:
            return Answer(document=counted, text=f"{sentence} would be meant; nothing was changed.")
        if counted["messages"] > 1 and not _agreed(f"{options.order}: {sentence}."):
            raise CommandError("nothing was changed")
    messages: list[Json] = []
    after: Any = ""
    while True:
        part = ask({**given, **({"limit": STEP} if many else {}), **({"after": after} if after else {})})
        messages += part["messages"]
        after = part["after"]
        if not after:
            break
        _progress(len(messages))
    document = {"verb": options.order, "messages": messages}
    failed = any(not each["done"] for each in messages)
    text = queue_text.orders(messages) or "No message is meant."
    return Answer(document=document, text=text, status=NO if failed else DONE)


def _people(counted: Json) -> str:
    return (
        f"{queue_text.amount(counted['recipients'], 'recipient')} that wait{'s' if counted['recipients'] == 1 else ''}"
    )


def _is_watched() -> bool:
    """Somebody sits there who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _agreed(sentence: str) -> bool:
    print(f"{sentence} Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _progress(number: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{number} messages …\x1b[K", end="\r", file=sys.stderr, flush=True)


def _all_found(ids: Iterable[str], messages: list[Json]) -> int:
    return DONE if {each["id"] for each in messages} >= set(ids) else NO
