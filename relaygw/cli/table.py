"""`relaygw table`: the tables that addresses are looked up in, as the gateway asks them; of the service, or here."""

import argparse
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from relaygw.cli.answer import (
    DONE,
    NO,
    Answer,
    MissingError,
    NotRunningError,
    UsageError,
    printable_lines,
    shown,
    table,
)
from relaygw.cli.context import Context
from relaygw.cli.verbs import add_verb
from relaygw.control.shapes import Json

if TYPE_CHECKING:
    from relaygw.config.schema import Config
    from relaygw.control.collaborators import AddressOperations

NOT_RUNNING = "the service is not running: this is what the files say"

_ARGUMENTS = {
    "name": "the table's name in the configuration",
    "key": "what is looked up in it, as it stands there",
    "address": "the recipient, as RCPT would name it",
}

Asking = Callable[["AddressOperations"], Coroutine[Any, Any, Json]]


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="table_verb", metavar="VERB", required=True)
    for name, sentence, run, more in (
        ("list", "the tables, who uses them, and how much is in them", list_, ()),
        ("show", "what a table holds", show, ("name",)),
        ("lookup", "what a table has under a key", lookup, ("name", "key")),
        ("expand", "where mail to an address of ours leads, by all tables, as at RCPT", expand, ("address",)),
        ("check", "read all tables anew, and say what is wrong and which aliases lead nowhere", check, ()),
    ):
        verb = add_verb(verbs, name, sentence)
        verb.set_defaults(run=run)
        for argument in more:
            verb.add_argument(argument, metavar=argument.upper(), help=_ARGUMENTS[argument])
        if name == "expand":
            told = 'the reverse-path; "<>", the null one, where nothing is said'
            verb.add_argument("--sender", default="", metavar="S", help=told)


def list_(_: argparse.Namespace, context: Context) -> Answer:
    document, notes = _ask(context, ("tables",), {}, lambda addresses: _tables().list_(addresses))
    rows = [
        (each["name"], each["use"], "?" if each["entries"] is None else each["entries"], shown(each["used_by"]))
        for each in document["tables"]
    ]
    lines = [table(("NAME", "KIND", "ENTRIES", "USED BY"), rows) if rows else "There are no tables."]
    lines += [
        f"{each['name']}: a change is not used: {each['trouble']}" for each in document["tables"] if each["trouble"]
    ]
    return Answer(document=document["tables"], text="\n".join(lines), notes=notes)


def show(options: argparse.Namespace, context: Context) -> Answer:
    document, notes = _ask(
        context, ("tables", options.name), {}, lambda addresses: _tables().look_up(addresses, options.name, {})
    )
    rows = [(each["key"], ", ".join(each["values"])) for each in document["entries"]]
    more = document["count"] - len(rows)
    text = table(("KEY", "VALUES"), rows) if rows else "It is empty."
    return Answer(document=document, text=f"{text}\nand {more} more" if more > 0 else text, notes=notes)


def lookup(options: argparse.Namespace, context: Context) -> Answer:
    given = {"key": options.key}
    document, notes = _ask(
        context, ("tables", options.name), given, lambda addresses: _tables().look_up(addresses, options.name, given)
    )
    lines = document["values"] or [f"{document['key']} is not in {options.name}"]
    status = DONE if document["values"] else NO
    return Answer(document=document, text=printable_lines(lines), notes=notes, status=status)


def expand(options: argparse.Namespace, context: Context) -> Answer:
    given = {"address": options.address, "sender": options.sender}
    document, notes = _ask(context, ("expand",), given, lambda addresses: _tables().expand(addresses, given))
    lines = [
        f"<{step['address']}> leads to {', '.join(step['targets'])} ({step['table']}: {step['key']})"
        for step in document["steps"]
    ]
    if document["refused"]:
        lines.append(f"refused: {document['refused']} ({document['reason']})")
    elif not document["expanded"]:
        lines.append(f"<{document['address']}> is no alias")
    lines += [f"-> <{each['address']}>{_from(each['sender'])}" for each in document["finals"]]
    status = NO if document["refused"] else DONE
    return Answer(document=document, text=printable_lines(lines), notes=notes, status=status)


def _from(sender: str) -> str:
    return f", from {sender}" if sender else ""


def check(_: argparse.Namespace, context: Context) -> Answer:
    """The files as they are now: the service may still use what was there before."""
    from relaygw.cli.checks.tables import judge

    found = [{"path": each.path, "level": each.level.value, "message": each.message} for each in judge(context.config)]
    bad = any(each["level"] == "error" for each in found)
    found_lines = [": ".join(filter(None, (each["level"], each["path"], each["message"]))) for each in found]
    lines = found_lines or ["All tables are sound."]
    document = {"ok": not bad, "findings": found}
    return Answer(document=document, text=printable_lines(lines), status=NO if bad else DONE)


def _ask(context: Context, place: tuple[str, ...], given: dict[str, str], ask: Asking) -> tuple[Json, str]:
    """The answer of the service, or of these files, with a word on that."""
    try:
        return context.client.get(*place, **given), ""
    except NotRunningError:
        return _here(context.config, ask), NOT_RUNNING


def _here(config: "Config", ask: Asking) -> Json:
    from relaygw.cli.borrowed import run_with_parts
    from relaygw.control.asked import BadRequest
    from relaygw.control.web import Refused

    try:
        return run_with_parts(config, lambda parts: ask(parts.addresses))
    except BadRequest as error:
        raise UsageError(str(error)) from None
    except Refused as error:
        raise MissingError(str(error)) from None


def _tables() -> Any:
    from relaygw.control import tables

    return tables
