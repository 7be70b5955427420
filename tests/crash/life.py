"""What a disk is worth after a power cut: the spool is opened on it, read in full, judged, and worked off."""

import contextlib
import os
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import attrs
from simulation import INLINE, SOUND, Build, make_queue
from surroundings import NextHops
from truth import Found, Truth
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from relaygw.core.intents import REROUTE
from relaygw.core.orders import Order, Verb, ripe_order
from relaygw.core.record import Progress, Record
from relaygw.interfaces import SpoolError
from relaygw.spool.index_check import left_out
from relaygw.spool.reading import Reading
from relaygw.spool.sqlite import SqliteSpool


def result(awaitable: Any) -> Any:
    """What something answers at once."""
    answers: list[Any] = []
    Deferred.fromCoroutine(awaitable).addBoth(answers.append)
    assert answers, "it did not answer at once"
    if isinstance(answers[0], Failure):
        answers[0].raiseException()
    return answers[0]


def read_spool(spool: SqliteSpool, folder: Path) -> Found:
    """All that it holds, and what it complains of."""
    records: dict[str, Record] = {}
    contents: dict[str, bytes] = {}
    strange: list[str] = []
    for record in result(spool.records("", 1 << 30)):
        records[record.queue_id] = record
        try:
            content = result(spool.content(record.queue_id))
            contents[record.queue_id] = b"" if content is None else b"".join(content.chunks(0))
        except SpoolError as error:
            strange.append(f"{record.queue_id}: {error}")
    strange += [f"{each.queue_id} is damaged: {each.error}" for each in result(spool.damaged())]
    with Reading(str(folder)) as reading:
        strange += [f"{queue_id} is left out of the index" for queue_id in left_out(reading)]
    left = _files(folder) - _named(folder)
    strange += [f"{len(left)} content files belong to nobody"] if left else []
    return Found(records, contents, strange, _trash(folder))


def _trash(folder: Path) -> dict[str, bytes]:
    with contextlib.closing(sqlite3.connect(folder / "spool.sqlite")) as connection:
        rows = connection.execute("SELECT queue_id, file, size, prefix, data FROM trash").fetchall()
    found = {}
    for queue_id, file, size, prefix, data in rows:
        found[queue_id] = prefix + ((folder / "content" / file).read_bytes()[:size] if file else data)
    return found


def _files(folder: Path) -> set[str]:
    return set(os.listdir(folder / "content"))


def _named(folder: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(folder / "spool.sqlite")) as connection:
        query = "SELECT file FROM message WHERE file <> '' UNION SELECT file FROM trash WHERE file <> ''"
        return {row[0] for row in connection.execute(query)}


@attrs.define
class Judged:
    """What came out: what the spool held, and what is wrong."""

    found: Found
    problems: list[str]


def judge(folder: Path, truth: Truth, now: float, *, build: Build = SOUND, live: bool = True) -> Judged:
    """Open the spool as after a reboot; with `live` work through what it holds until it is empty."""
    spool = build.spool(str(folder), None, inline_limit=INLINE)
    try:
        spool.open()
        found = read_spool(spool, folder)
    except (SpoolError, OSError, sqlite3.Error) as error:
        with contextlib.suppress(Exception):
            spool._let_go()
        return Judged(Found({}, {}), [f"the spool cannot be opened: {type(error).__name__}: {error}"])
    problems = truth.problems(found)
    if live and not problems:
        problems = live_on(spool, build, found, truth, now)
    result(spool.close())
    return Judged(found, problems)


class Survivors(NextHops):
    """Next hops that take everything, and count it."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(lambda *fact: None, truth)
        self.taken: list[tuple[str, int]] = []

    def _check(self, talk: Any) -> None:
        if talk.attempt.record.queue_id in self._truth.stories:
            super()._check(talk)

    def _begin(self, attempt: Any) -> Any:
        talk = super()._begin(attempt)
        self.taken += [(attempt.record.queue_id, position) for position in talk.positions]
        self.finish(talk, _Yes())  # type: ignore[arg-type]
        return talk


class _Yes:
    """The chance that everything is taken and no connection is lost."""

    def random(self) -> float:
        return 1.0

    def choice(self, these: Any) -> Any:
        return these[0]


def live_on(spool: SqliteSpool, build: Build, found: Found, truth: Truth, now: float) -> list[str]:
    """Deliver what is left: each recipient who waits is served once, each who had ended, or was to end with an attempt
    that ran, never."""
    clock = Clock()
    clock.advance(1.0 + max((record.arrived for record in found.records.values()), default=now))
    hops = Survivors(truth.after_cut(found))
    around: Any = build.around(spool)  # type: ignore[arg-type]
    queue = make_queue(around, hops, clock, iter(range(1 << 34, 1 << 35)), lambda: 0.0)
    queue.startService()
    clock.advance(2.0)  # nobody who was put off is due yet
    meant = [result(spool.record(record.queue_id)) for record in found.records.values() if record.intents]
    waits = [each.queue_id for each in meant if each is not None and ripe_order(each, frozenset()) is not None]
    clock.advance(now - clock.seconds())
    for record in found.records.values():
        if record.held:
            result(queue.operations.order(record.queue_id, Order(verb=Verb.RELEASE)))
    for _ in range(40):
        if not result(spool.count()):
            break
        clock.advance(20.0)
    waiting = {
        (record.queue_id, position)
        for record in found.records.values()
        for position, state in enumerate(record.recipients)
        if state.progress is Progress.WAITING and not _is_to_end(record, position)
    }
    served = [each for each in hops.taken if each[0] in found.records]
    problems = [f"{each} was served though it had ended" for each in set(served) - waiting]
    problems += [f"{each} was never served" for each in waiting - set(served)]
    problems += [f"{queue_id}: what was ordered waits though nobody is attempted" for queue_id in waits]
    problems += ["somebody was served twice"] if len(served) != len(set(served)) else []
    problems += [f"{result(spool.count())} messages stay for ever"] if result(spool.count()) else []
    clock.calls.clear()
    return problems + hops.violations


def _is_to_end(record: Record, position: int) -> bool:
    return any(position in each.positions for each in record.intents if each.verb != REROUTE)


def damage_one(folder: Path, chance: Random, build: Build = SOUND) -> tuple[str, str]:
    """Let one stored message rot, as a bad disk does: its queue id and what was done ("" when there is none)."""
    with contextlib.closing(sqlite3.connect(folder / "spool.sqlite")) as connection, connection:
        rows = connection.execute("SELECT queue_id, file FROM message").fetchall()
        if not rows:
            return "", ""
        queue_id, file = chance.choice(rows)
        if file and chance.random() < 0.7:
            path = folder / "content" / file
            if chance.random() < 0.5:
                path.unlink()
                return queue_id, "its content file is missing"
            os.truncate(path, chance.randrange(path.stat().st_size))
            return queue_id, "its content file is cut short"
        record = connection.execute("SELECT record FROM message WHERE queue_id = ?", (queue_id,)).fetchone()[0]
        place = chance.randrange(len(record))
        rotten = chance.choice((record[:place], "", record[:place] + "\x00\ufffd" + record[place + 2 :], "[1]"))
        connection.execute("UPDATE message SET record = ? WHERE queue_id = ?", (rotten, queue_id))
        return queue_id, "its record is rotten"


def judge_damage(folder: Path, truth: Truth, now: float, chance: Random, build: Build = SOUND) -> list[str]:
    """One message is damaged on a disk that is well otherwise: it is set aside and named, and stops nothing else."""
    queue_id, what = damage_one(folder, chance)
    if not queue_id:
        return []
    told: list[Any] = []
    spool = build.spool(str(folder), None, inline_limit=INLINE, report=told.append)
    try:
        spool.open()
        found = read_spool(spool, folder)
        named = {each.queue_id for each in result(spool.damaged())}
        problems = _damage_problems(queue_id, found, named, {event.queue_id for event in told}, truth)
        rest = {each: record for each, record in found.records.items() if each != queue_id}
        problems = problems or live_on(spool, build, Found(rest, found.contents), truth, now)
    except (SpoolError, OSError, sqlite3.Error, ValueError) as error:
        problems = [f"it stopped everything: {type(error).__name__}: {error}"]
    with contextlib.suppress(Exception):
        result(spool.close())
    return [f"{what}, {problem}" for problem in problems]


def _damage_problems(queue_id: str, found: Found, named: set[str], told: set[str], truth: Truth) -> list[str]:
    """A content that rots in place keeps its length and is not noticed; all else is."""
    story = truth.stories[queue_id]
    intact = queue_id in found.records and found.contents.get(queue_id) == story.content
    problems = []
    if not intact and queue_id not in named:
        problems.append("and it is not named among the damaged")
    if queue_id in named and queue_id not in told:
        problems.append("and the journal was not told")
    if named - {queue_id}:
        problems.append("and others were set aside")
    for each, other in truth.stories.items():
        if each in found.records and each != queue_id and found.contents.get(each) != other.content:
            problems.append(f"and {each} cannot be read")
    return problems
