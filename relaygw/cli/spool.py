"""`relaygw spool`: is it sound, out of it and into it, up to date, and what was set aside.

Looking needs nobody's leave: verify, export and the list of what was set aside read beside the running service. What
changes the spool goes through the service, or is done here where nobody serves it.
"""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from relaygw.cli import damaged
from relaygw.cli.answer import DONE, NO, Answer, CommandError, NotRunningError, UsageError, printable
from relaygw.cli.conditions import add_conditions, conditions
from relaygw.cli.context import Context
from relaygw.cli.queue_text import amount
from relaygw.cli.spool_access import desk_of, near_desk, reading_of
from relaygw.cli.verbs import add_verb
from relaygw.control.shapes import Json
from relaygw.durable import sync_directory

if TYPE_CHECKING:
    from relaygw.core.record import Record

REFRESH = 0.2
"""Seconds between two words about the progress."""


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="spool_verb", metavar="VERB", required=True)
    for name, sentence, run in (
        ("verify", "look at every record, content and index; changes nothing", verify),
        ("export", "write messages into an archive; they stay in the queue", export),
        ("import", "take in the messages of an archive, each once", import_),
        ("upgrade", "bring a spool of an older program up to date now, while no service runs", upgrade),
        ("reindex", "make the index anew by which the queue's verbs find messages", reindex),
    ):
        verb = add_verb(verbs, name, sentence)
        verb.set_defaults(run=run)
        if name == "export":
            verb.add_argument("file", metavar="FILE", help='the archive, a new file; "-" is standard output')
            add_conditions(verb)
        if name == "import":
            verb.add_argument("file", metavar="FILE", help="the archive")
    damaged.arguments(verbs)


def verify(options: argparse.Namespace, context: Context) -> Answer:
    from relaygw.spool.verify import verify as look

    with reading_of(context) as reading:
        found = look(reading, _Progress(not options.json))
    document: Json = {
        "ok": found.sound,
        "format": found.format,
        "messages": found.messages,
        "octets": found.octets,
        "trash": found.trash,
        "set_aside": found.set_aside,
        "undigested": found.undigested,
        "orphans": found.orphans,
        "problems": [{"id": each.queue_id, "problem": each.problem} for each in found.problems],
        "unlisted": found.unlisted,
    }
    lines = [f"{each.queue_id or 'spool'}: {printable(each.problem)}" for each in found.problems]
    lines += [f"{found.unlisted} more problems"] if found.unlisted else []
    lines.append(
        f"{amount(found.messages, 'message')} with {found.octets} octets, {found.trash} in the trash, "
        f"{found.set_aside} set aside, {amount(len(found.orphans), 'file')} that nothing names: "
        + ("all is sound." if found.sound else f"{amount(len(found.problems), 'problem')}.")
    )
    return Answer(document=document, text="\n".join(lines), status=DONE if found.sound else NO)


class _Progress:
    """One line on the terminal, written over again and gone at the end."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._last = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._shown and (now - self._last > REFRESH or done == total):
            self._last = now
            text = f"{done} of {total}" if done < total else ""
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)


def export(options: argparse.Namespace, context: Context) -> Answer:
    """The archive has its name only when it is whole and synced."""
    given = _meant(options)
    if options.file == "-" and options.json:
        raise UsageError("standard output cannot be the archive and the JSON document")
    if options.file == "-":
        document = _write_archive(sys.stdout.buffer, context, given, _Progress(not options.json))
        sys.stdout.buffer.flush()
    else:
        document = _write_file(options.file, context, given, _Progress(not options.json))
    document["file"] = options.file
    notes = "\n".join(f"{each['id']}: {printable(each['problem'])}" for each in document["skipped"])
    text = "" if options.file == "-" else f"{options.file}: {amount(document['messages'], 'message')}."
    return Answer(document=document, text=text, notes=notes, status=NO if document["skipped"] else DONE)


def _write_file(path: str, context: Context, given: "Callable[[Record], bool]", progress: _Progress) -> Json:
    """What another export left behind goes; what somebody else put there, a link perhaps, is not written through."""
    if not path:
        raise UsageError("the archive has no name")
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already, and nothing is overwritten")
    part = f"{path}.part"
    try:
        with suppress(FileNotFoundError):
            os.unlink(part)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with open(descriptor, "wb") as file:
            document = _write_archive(file, context, given, progress)
            file.flush()
            os.fsync(descriptor)
        os.rename(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    sync_directory(os.path.dirname(os.path.abspath(path)))
    return document


def _meant(options: argparse.Namespace) -> "Callable[[Record], bool]":
    from relaygw.control.asked import BadRequest, meant

    try:
        selection = meant(conditions(options)).selection
    except BadRequest as error:
        raise UsageError(str(error)) from None
    if selection.destinations:
        raise UsageError("destination: destinations are known to the running service only")
    return lambda record: selection.matches(record, time.time())


def _write_archive(file: IO[bytes], context: Context, meant: "Callable[[Record], bool]", progress: _Progress) -> Json:
    from relaygw.interfaces import SpoolError
    from relaygw.spool.archive import ArchiveError, Writer
    from relaygw.spool.verify import faults

    archive, skipped, done = secrets.token_hex(16), [], 0
    with reading_of(context) as reading:
        total = 0
        with suppress(SpoolError):  # where a page is damaged, what can be read is exported all the same
            total = reading.count()
        writer = Writer(file, archive=archive, hostname=context.config.hostname, created=time.time())
        for row in reading.messages():
            done += 1
            progress(done, total)
            wrong = row.damage or next(faults(reading, row), "")
            if wrong and not row.trouble and reading.message(row.queue_id) is None:
                continue  # it was delivered meanwhile
            if wrong:
                skipped.append({"id": row.queue_id, "problem": wrong})
            elif meant(record := row.record()):
                try:
                    writer.put(record, reading.content(row))
                except ArchiveError as error:
                    raise CommandError(f"{error}; the archive is not whole: say it again") from None
        writer.close()
        progress(total, total)
    return {"archive": archive, "messages": writer.messages, "octets": writer.octets, "skipped": skipped}


def import_(options: argparse.Namespace, context: Context) -> Answer:
    path = os.path.abspath(options.file)
    if not os.path.isfile(path):
        raise UsageError(f"{options.file or path}: " + ("not a file" if os.path.exists(path) else "no such file"))
    total = os.path.getsize(path)
    progress = _Progress(not options.json)
    document: Json = {"archive": "", "imported": [], "present": [], "refused": [], "problem": ""}
    offset = 0
    with desk_of(context) as ask:
        while True:
            try:
                part = ask("import", {"path": path, "offset": offset})
            except UsageError as error:
                raise UsageError(f"{options.file}: {str(error).removeprefix('path: ')}") from None
            document["archive"], document["problem"] = part["archive"], part["problem"]
            for name in ("imported", "present", "refused"):
                document[name] += part[name]
            offset = part["offset"]
            progress(offset or total, total)
            if not offset:
                break
    lines = [f"{each['id'] or 'archive'}: refused: {printable(each['problem'])}" for each in document["refused"]]
    lines.append(
        f"{amount(len(document['imported']), 'message')} taken in, {len(document['present'])} were there already, "
        f"{len(document['refused'])} refused."
    )
    failed = bool(document["refused"] or document["problem"])
    notes = printable(document["problem"])
    return Answer(document=document, text="\n".join(lines), notes=notes, status=NO if failed else DONE)


def upgrade(options: argparse.Namespace, context: Context) -> Answer:
    """Opening it is what brings it up to date."""
    from relaygw.spool.schema import MIGRATIONS

    try:
        context.client.get("filters")
    except NotRunningError:
        with near_desk(context):
            pass
    document = {"format": len(MIGRATIONS)}
    return Answer(document=document, text=f"The spool has format {len(MIGRATIONS)}, which is this program's.")


def reindex(options: argparse.Namespace, context: Context) -> Answer:
    with desk_of(context) as ask:
        document = ask("reindex", {})
    return Answer(
        document=document, text="The index is made anew while the service runs; until then more is gone over."
    )
