"""`relaygw hold`: the rules that hold mail as it comes in, or put it into quarantine; operators make and end them while
the service runs. Where it does not, its file is changed instead, for the next start.
"""

import argparse
import os
import time
from collections.abc import Mapping
from typing import Any

from relaygw.cli.answer import DONE, NO, Answer, CommandError, NotRunningError, UsageError, printable, table
from relaygw.cli.conditions import said
from relaygw.cli.context import Context
from relaygw.cli.verbs import add_verb
from relaygw.config.schema import Config
from relaygw.control.asked import BadRequest

_LISTS = (
    ("sender", "P", 'an address, a domain or ".example.com"; "<>" is the null one'),
    ("recipient", "P", "the same, of one of its recipients"),
    ("login", "NAME", "sent by this login"),
    ("listener", "NAME", "came in over this listener"),
    ("client", "CIDR", "sent from this address or network"),
    ("finding", "WORDS", 'what filters found, such as "dmarc=fail"'),
    ("header-from", "P", "the domain of the From field"),
    ("destination", "NAME", "is to go to this destination, or a host of it"),
)
_SIZES = (("larger-than", "more octets than this"), ("smaller-than", "fewer octets than this"))


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="hold_verb", metavar="VERB", required=True)
    for name, sentence, run in (
        ("list", "the rules in force, in their order", list_),
        ("add", "hold what matches from now on", add),
        ("remove", "end a rule; what it has held stays held", remove),
    ):
        verb = add_verb(verbs, name, sentence)
        verb.set_defaults(run=run)
        if name != "list":
            verb.add_argument("name", metavar="NAME", help="the rule's name")
        if name == "add":
            _add_options(verb)


def _add_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--quarantine", action="store_true", help="mark it as quarantined besides")
    verb.add_argument("--reason", default="", metavar="TEXT", help="why, for operators")
    verb.add_argument("--for", dest="duration", type=said, default=None, metavar="TIME", help="how long the rule lasts")
    verb.add_argument("--all", action="store_true", help="hold everything")
    group = verb.add_argument_group("conditions, all of which must hold; repeatable, one must match")
    for name, value, sentence in _LISTS:
        group.add_argument(f"--{name}", type=said, action="append", default=[], metavar=value, help=sentence)
    for name, sentence in _SIZES:
        group.add_argument(f"--{name}", type=said, default=None, metavar="SIZE", help=sentence)
    group.add_argument("--quarantined", action=argparse.BooleanOptionalAction, help="a filter's verdict, or not")


def list_(_: argparse.Namespace, context: Context) -> Answer:
    document = _asked(context, "list", {})
    rows = [
        (each["name"], each["action"], each["by"], (each["until"] or "")[:19], _words(each["match"]), each["reason"])
        for each in document["rules"]
    ]
    titles = ("NAME", "ACTION", "BY", "UNTIL", "MATCH", "REASON")
    return Answer(document=document, text=table(titles, rows) if rows else "No rule holds mail.")


def _words(match: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{name}={', '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in match.items()
    )


def add(options: argparse.Namespace, context: Context) -> Answer:
    match: dict[str, Any] = {}
    for name, _, _ in _LISTS:
        key = name.replace("-", "_")
        match |= {key: getattr(options, key)} if getattr(options, key) else {}
    for name, _ in _SIZES:
        key = name.replace("-", "_")
        text = getattr(options, key)
        match |= {key: int(text) if text.isascii() and text.isdigit() else text} if text else {}
    if options.quarantined is not None:
        match["quarantined"] = "yes" if options.quarantined else "no"
    if bool(match) == options.all:
        raise UsageError("give conditions, or --all to hold everything")
    given = {
        "name": options.name,
        "action": "quarantine" if options.quarantine else "hold",
        "reason": options.reason,
        "match": match,
        "for": options.duration or "",
        "all": options.all,
    }
    document = _asked(context, "add", given)
    until = document["rules"][0]["until"]
    text = f"{printable(options.name)}: holds what matches" + (f" until {until}." if until else ".")
    return Answer(document=document, text=text)


def remove(options: argparse.Namespace, context: Context) -> Answer:
    document = _asked(context, "remove", {"name": options.name})
    name = printable(options.name)
    ended = f"{name}: ended. What it has held is let go by `relaygw queue release --held-for 'rule {name}'`."
    text = ended if document["done"] else f"There is no rule {name}."
    return Answer(document=document, text=text, status=DONE if document["done"] else NO)


def _asked(context: Context, verb: str, given: Mapping[str, object]) -> Any:
    try:
        return context.client.get("holds") if verb == "list" else context.client.post("holds", verb, body=given)
    except NotRunningError:
        return _alone(context.config, verb, given)


def _alone(config: Config, verb: str, given: Mapping[str, object]) -> Any:
    """Nobody else has the file now."""
    from relaygw.cli.direct import as_owner, write_event
    from relaygw.control.holds import change, list_
    from relaygw.holds import FILE, HoldBook

    if not os.path.isdir(config.state):
        raise CommandError(f"there is no state directory {config.state} yet: start the service once")
    path = os.path.join(config.state, FILE)
    with as_owner(config.state):
        book = HoldBook(
            path,
            config,
            now=time.time,
            write_event=lambda event: write_event(config, event),
        )
        try:
            book.read()
        except ValueError as error:
            raise CommandError(
                f"{path} does not hold rules: {error}; the service puts it aside when it starts"
            ) from None
        try:
            return list_(book) if verb == "list" else change(book, verb, given)
        except BadRequest as error:
            raise UsageError(str(error)) from None
