"""`relaygw spool damaged`: the messages that were set aside because what is stored of them cannot be read."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from relaygw.cli.answer import DONE, NO, Answer, CommandError, UsageError, printable, table
from relaygw.cli.context import Context
from relaygw.cli.newfiles import where_it_was_said
from relaygw.cli.queue_text import amount
from relaygw.cli.spool_access import desk_of, reading_of
from relaygw.cli.verbs import Verbs, add_verb
from relaygw.control.shapes import Json
from relaygw.core.content import split_head

if TYPE_CHECKING:
    from relaygw.spool.reading import Reading, Row

ACTS = ("list", "show", "export", "retry", "remove")


def arguments(verbs: Verbs) -> None:
    sentence = "what was set aside because it cannot be read"
    verb = add_verb(verbs, "damaged", sentence)
    verb.set_defaults(run=run)
    verb.add_argument("act", nargs="?", default="list", choices=ACTS, help="default: list")
    verb.add_argument("ids", nargs="*", metavar="ID", help="queue ids")
    verb.add_argument("--to", default="", metavar="DIR", help="for export: where ID.record and ID.eml go")
    verb.add_argument("--yes", action="store_true", help="do not ask on a terminal")


def run(options: argparse.Namespace, context: Context) -> Answer:
    if options.act == "list":
        return _list(context)
    if not options.ids:
        raise UsageError(f"say which: {options.act} wants queue ids")
    if options.act in ("show", "export"):
        return _show(options, context)
    if options.act == "remove" and not options.yes and sys.stdin.isatty() and sys.stderr.isatty():
        print(f"{amount(len(options.ids), 'message')} will be gone for good. Go on? [y/N] ", end="", file=sys.stderr)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("nothing was changed")
    with desk_of(context) as ask:
        document = ask(options.act, {"id": options.ids})
    lines = [f"{each['id']}: {printable(each['message'])}" for each in document["messages"]]
    status = DONE if all(each["done"] for each in document["messages"]) else NO
    return Answer(document=document, text="\n".join(lines), status=status)


def _list(context: Context) -> Answer:
    with reading_of(context) as reading:
        found = [_document(reading, row) for row in reading.damaged()]
    rows = [(each["id"], each["size"], each["file"] or "-", each["error"]) for each in found]
    text = table(("ID", "SIZE", "FILE", "WHY"), rows) if rows else "Nothing was set aside."
    return Answer(document=found, text=text)


def _document(reading: "Reading", row: "Row") -> Json:
    return {
        "id": row.queue_id,
        "error": row.damage,
        "size": len(row.prefix) + row.size,
        "file": reading.file(row.file) if row.file else "",
    }


def _show(options: argparse.Namespace, context: Context) -> Answer:
    """As much as is there: the text of the record, and the content."""
    with reading_of(context) as reading:
        rows = {row.queue_id: row for row in reading.damaged()}
        found = [
            (_document(reading, rows[each]), rows[each].raw, b"".join(reading.content(rows[each]).chunks()))
            for each in dict.fromkeys(options.ids)
            if each in rows
        ]
    documents = []
    for document, raw, content in found:
        head = split_head(content).decode("utf-8", "replace")
        document |= {"record": raw.decode("utf-8", "replace"), "head": head}
        if options.act == "export":
            with where_it_was_said():
                document["files"] = _write(options.to or ".", document["id"], raw, content)
        documents.append(document)
    missing = [f"{each!r} is not among those set aside" for each in options.ids if each not in rows]
    text = "\n\n".join(map(_text, documents))
    return Answer(document=documents, text=text, notes="\n".join(missing), status=NO if missing else DONE)


def _text(document: Json) -> str:
    lines = [f"{document['id']}: {printable(document['error'])}", f"record: {printable(document['record'])}"]
    lines += [f"  {printable(line)}" for line in document["head"].splitlines()]
    return "\n".join(lines + [f"written: {path}" for path in document.get("files", ())])


def _write(folder: str, queue_id: str, raw: bytes, content: bytes) -> list[str]:
    """The octets as they are, in new files: for whoever can make something of them."""
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in queue_id)[:64] or "_"
    written = []
    for suffix, data in (("record", raw), ("eml", content)):
        path = os.path.join(folder, f"{name}.{suffix}")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
        written.append(path)
    return written
