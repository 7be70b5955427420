"""Whether a spool is sound: the database with its indexes, every record, every content with its digest, every file.

It changes nothing and may run beside the service. What looks wrong is looked at a second time, for mail goes on
meanwhile.
"""

import os
import time
from collections.abc import Callable, Iterator
from zlib import crc32

import attrs

from relaygw.core.owner import owner_of
from relaygw.interfaces import SpoolError
from relaygw.spool.codec import CodecError
from relaygw.spool.digest import WRONG, inline_fault
from relaygw.spool.index_check import left_out
from relaygw.spool.reading import Reading, Row

MOST = 1000
"""Problems that are told; more are counted."""

Progress = Callable[[int, int], None]
"""Told how many of how many are done."""

ON_ITS_WAY = 3600.0
"""Seconds after which a file that nothing names is not the content of a message that is just coming in."""


@attrs.frozen
class Problem:
    """Something wrong with one message ("" with none in particular)."""

    queue_id: str
    problem: str


@attrs.define
class Verified:
    """What was found. `undigested` are contents that older programs stored without a digest; `orphans` files that
    nothing names: harmless, and swept at the next start. `unlisted` counts further problems."""

    format: int = 0
    messages: int = 0
    octets: int = 0
    trash: int = 0
    set_aside: int = 0
    undigested: int = 0
    orphans: list[str] = attrs.Factory(list)
    problems: list[Problem] = attrs.Factory(list)
    unlisted: int = 0

    @property
    def sound(self) -> bool:
        return not self.problems

    def tell(self, problem: Problem) -> None:
        if len(self.problems) < MOST:
            self.problems.append(problem)
        else:
            self.unlisted += 1


def verify(reading: Reading, progress: Progress = lambda done, all_: None) -> Verified:
    """All of it; `progress` is told how many messages of how many are done. What cannot be read is a problem, too."""
    found = Verified(format=reading.format)
    for part in (_database, _messages, _leftovers, _left_out):
        try:
            part(reading, found, progress)
        except SpoolError as error:  # the other parts may tell more
            found.tell(Problem("", str(error)))
    return found


def _database(reading: Reading, found: Verified, progress: Progress) -> None:
    for (line,) in reading.execute("PRAGMA integrity_check(100)"):
        if line != "ok":
            found.tell(Problem("", f"the database: {line}"))


def _messages(reading: Reading, found: Verified, progress: Progress) -> None:
    total, done = reading.count(), 0
    for row in reading.messages():
        done += 1
        progress(done, total)
        _message(reading, row, found)
    for row in reading.trash():
        done += 1
        progress(done, total)
        found.trash += 1
        _content(reading, row, found, reading.trashed)


def _left_out(reading: Reading, found: Verified, progress: Progress) -> None:
    for queue_id in left_out(reading):
        found.tell(Problem(queue_id, "the index of the queue leaves it out: `relaygw spool reindex` makes it anew"))


def _message(reading: Reading, row: Row, found: Verified) -> None:
    found.messages += 1
    found.octets += len(row.prefix) + row.size
    if row.damage is not None:
        found.set_aside += 1
        return
    _content(reading, row, found, lambda _: reading.message(row.queue_id))


def _content(reading: Reading, row: Row, found: Verified, again: Callable[[int], Row | None]) -> None:
    if row.stored and row.crc is None:
        found.undigested += 1
    if not next(faults(reading, row), ""):
        return
    try:
        second = again(row.number)
    except SpoolError as error:
        found.tell(Problem(row.queue_id, str(error)))
        return
    if second is None and row.trouble:
        second = row
    if second is None or second.damage is not None:
        return
    for problem in faults(reading, second):
        found.tell(Problem(second.queue_id, problem))


def faults(reading: Reading, row: Row) -> Iterator[str]:
    """What is wrong with one message, in sentences."""
    if row.trouble:
        yield row.trouble
        return
    try:
        record = row.record()
    except CodecError as error:
        yield str(error)
        record = None
    if record is not None and row.owner and (record.due, owner_of(record)) != (row.due, row.owner):
        yield "the indexes say something else than the record about its due time or its owner"
    if not row.stored:
        yield "the content is missing"
        return
    if record is not None and record.size and record.size != len(row.prefix) + row.size:
        yield f"the content has {len(row.prefix) + row.size} octets, and the record says {record.size}"
    yield from _file_faults(reading, row) if row.file else _inline_faults(row)


def _inline_faults(row: Row) -> Iterator[str]:
    if fault := inline_fault(row.size, row.prefix, row.data, row.crc):
        yield f"the content {fault}"


def _file_faults(reading: Reading, row: Row) -> Iterator[str]:
    size = crc = 0
    try:
        for chunk in reading.file_chunks(row):
            size += len(chunk)
            crc = crc32(chunk, crc)
    except FileNotFoundError:
        yield f"the content file {row.file} is missing"
        return
    except OSError as error:
        yield f"the content file {row.file} cannot be read: {error.strerror or error}"
        return
    if size != row.size:
        yield f"the content file {row.file} has {size} of {row.size} octets"
    elif row.crc is not None and crc32(row.prefix, crc) != row.crc:
        yield f"the content file {row.file} {WRONG}"


def _leftovers(reading: Reading, found: Verified, progress: Progress) -> None:
    """Contents without a message, and files that nothing names."""
    query = "SELECT count(*) FROM content WHERE id NOT IN (SELECT id FROM message)"
    ((number,),) = reading.execute(query)
    if number:
        found.tell(Problem("", f"{number} contents belong to no message"))
    try:
        files = [entry for entry in os.scandir(os.path.join(reading.path, "content")) if entry.is_file()]
    except OSError as error:
        found.tell(Problem("", f"the folder of contents cannot be read: {error.strerror or error}"))
        return
    now = time.time()
    for entry in files:
        if not entry.name.endswith(".content") or _is_named(reading, entry.name):
            continue
        try:
            if now - entry.stat().st_mtime > ON_ITS_WAY:
                found.orphans.append(entry.name)
        except FileNotFoundError:
            continue


def _is_named(reading: Reading, name: str) -> bool:
    query = "SELECT 1 FROM message WHERE file = ? UNION ALL SELECT 1 FROM trash WHERE file = ?"
    return bool(reading.execute(query, (name, name)))
