"""Power cuts while operators remove and bring back: `python trash_cuts.py DIR SEED CUTS`, the shim being preloaded.

One life of a spool is noted call by call; then the power is cut at many moments of it, and each disk that is left is
opened. Every message is where the last acknowledged order put it, or where the one under way would: in the queue or in
the trash, each recipient in exactly one of them, with the octets it came with. Prints what was found wrong.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import attrs
from disk import FATES, Disk, read_log, write_image
from shim import Shim

from relaygw.cli.direct import run_now
from relaygw.core.record import Progress, Record
from relaygw.core.trash import Aside, bring_back
from relaygw.interfaces import Settlement
from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.spool import fill, make_record
from relaygw.testing.trash import removal

PEOPLE = 3
State = str
"""For each recipient of a message: q (waits in the queue), t (in the trash), or all of it "-": not there."""


def data_of(number: int) -> bytes:
    return b"Subject: x\r\n\r\n" + Random(number).randbytes(400 if number % 2 else 9000)


@attrs.define
class Life:
    """What is done, one order after the other; `told` is the state of each message after each acknowledgement."""

    spool: SqliteSpool
    shim: Shim
    chance: Random
    states: dict[str, State] = attrs.Factory(dict)
    told: list[tuple[str, State]] = attrs.Factory(list)

    def run(self, steps: int) -> None:
        for number in range(steps):
            queue_id = f"m{number % 7}"
            state = self.states.get(queue_id, "-")
            if state == "-":
                record = make_record(queue_id, recipients=PEOPLE)
                run_now(self.spool.commit(record, fill(self.spool.sink(), data_of(number % 7)), b"", 0.0))
                self.tell(queue_id, "q" * PEOPLE)
            elif "q" in state and self.chance.random() < 0.6:
                self.remove(queue_id, state)
            elif "t" in state:
                self.undo(queue_id)
            else:
                self.remove(queue_id, state)

    def tell(self, queue_id: str, state: State) -> None:
        self.states[queue_id] = state
        self.told.append((queue_id, state))
        self.shim.mark(str(len(self.told) - 1).encode())

    def remove(self, queue_id: str, state: State) -> None:
        waiting = [place for place, where in enumerate(state) if where == "q"]
        gone = self.chance.sample(waiting, self.chance.randint(1, len(waiting)))
        record = run_now(self.spool.record(queue_id))
        assert record is not None
        run_now(self.spool.settle(removal(record, *gone)))
        self.tell(queue_id, "".join("t" if place in gone else where for place, where in enumerate(state)))

    def undo(self, queue_id: str) -> None:
        kept = run_now(self.spool.trashed_of([queue_id]))
        record = run_now(self.spool.record(queue_id))
        if record is None:
            run_now(self.spool.restore([kept[0].entry]))
            kept, record = kept[1:], run_now(self.spool.record(queue_id))
            assert record is not None
            self.tell(queue_id, "".join(places(record, kept)))
        if kept:
            back = bring_back(record, [each.record for each in kept])
            taken = tuple(each.entry for each in kept)
            run_now(self.spool.settle(Settlement(record=back, aside=Aside(taken=taken))))
            self.tell(queue_id, "q" * PEOPLE)


def places(record: Record | None, kept: tuple[object, ...]) -> Iterator[str]:
    """Where each recipient is; "?" where he is nowhere or twice."""
    for place in range(PEOPLE):
        found = "q" if record is not None and record.recipients[place].progress is Progress.WAITING else ""
        found += "t" * sum(each.record.recipients[place].progress is Progress.WAITING for each in kept)  # type: ignore[attr-defined]
        yield found if len(found) == 1 else "?"


def seen(spool: SqliteSpool, queue_id: str) -> State:
    record = run_now(spool.record(queue_id))
    kept = run_now(spool.trashed_of([queue_id]))
    return "".join(places(record, kept)) if record is not None or kept else "-"


def judge(folder: Path, states: dict[str, State], later: tuple[str, State] | None) -> Iterator[str]:
    spool = SqliteSpool(str(folder), None, inline_limit=1000)
    spool.open()
    for number in range(7):
        queue_id = f"m{number}"
        allowed = {states.get(queue_id, "-")} | ({later[1]} if later is not None and later[0] == queue_id else set())
        found = seen(spool, queue_id)
        if found not in allowed:
            yield f"{queue_id} is {found}, and should be {' or '.join(sorted(allowed))}"
            continue
        kept = run_now(spool.trashed_of([queue_id]))
        if "t" in found and "q" not in found:
            run_now(spool.restore([kept[0].entry]))
        if found != "-":
            content = run_now(spool.content(queue_id))
            if content is None or b"".join(content.chunks()) != data_of(number):
                yield f"{queue_id} came back with other octets"
    for damage in run_now(spool.damaged()):
        yield f"{damage.queue_id} was set aside: {damage.error}"
    run_now(spool.close())


def main(folder: Path, seed: int, cuts: int) -> None:
    live, log, image = folder / "live", folder / "log", folder / "image"
    live.mkdir()
    shim, chance = Shim(), Random(seed)
    shim.start(live, log)
    spool = SqliteSpool(str(live), None, inline_limit=1000, checkpoint=60_000)
    spool.open()
    life = Life(spool, shim, chance)
    life.run(120)
    shim.stop()
    run_now(spool.close())
    calls = read_log(log.read_bytes())
    moments = set(chance.sample(range(len(calls)), min(cuts, len(calls))))
    disk = Disk(str(live), {}, Random(seed))
    states: dict[str, State] = {}
    told = 0
    problems: list[str] = []
    for step in disk.play(calls):
        for mark in disk.marks:
            queue_id, state = life.told[int(mark)]
            states[queue_id] = state
            told = int(mark) + 1
        disk.marks.clear()
        if step in moments:
            shutil.rmtree(image, ignore_errors=True)
            write_image(disk.cut(chance.choice(FATES), chance), image)
            later = life.told[told] if told < len(life.told) else None
            problems += [f"cut {step}: {problem}" for problem in judge(image, states, later)]
    print(json.dumps({"cuts": len(moments), "orders": len(life.told), "problems": problems}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
