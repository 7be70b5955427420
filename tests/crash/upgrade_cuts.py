"""Power cuts while a spool of an older program is brought up to date: `python upgrade_cuts.py DIR SEED`, the shim being
preloaded.

The old spool is opened once, and noted call by call; the power is cut at every moment of it. Each disk that is left is
opened, and everything that was in the old spool must be there. Prints what was found wrong.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

from disk import FATES, Disk, read_image, read_log, write_image
from shim import Shim

from relaygw.cli.direct import run_now
from relaygw.interfaces import SpoolError
from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.spool import HEAD, PREFIX, SMALL, make_record

GOLDEN = Path(__file__).parents[1] / "data" / "spool" / "format_1"
CONTENTS = {
    "0small000000000a": SMALL,
    "0large000000000b": HEAD + b"\r\n" + bytes(range(256)) * 16,
    "0held0000000000c": SMALL,
    "0tried000000000d": SMALL,
}


def judge(folder: Path) -> Iterator[str]:
    spool = SqliteSpool(str(folder), None)
    try:
        spool.open()
    except SpoolError as error:
        yield f"it cannot be opened: {error}"
        return
    records = {record.queue_id: record for record in run_now(spool.records("", 100))}
    if records.keys() != CONTENTS.keys():
        yield f"it holds {sorted(records)}"
    if records.get("0small000000000a") != make_record("0small000000000a", recipients=2):
        yield "a record changed"
    for queue_id, data in CONTENTS.items():
        content = run_now(spool.content(queue_id))
        if content is None or b"".join(content.chunks()) != PREFIX + data:
            yield f"the content of {queue_id} changed"
    if [each.queue_id for each in run_now(spool.damaged())] != ["0torn0000000000e"]:
        yield "another message is set aside"
    run_now(spool.close())


def main(folder: Path, seed: int) -> None:
    live, log, image = folder / "live", folder / "log", folder / "image"
    shutil.copytree(GOLDEN, live)
    before = read_image(live)
    shim, chance = Shim(), Random(seed)
    shim.start(live, log)
    spool = SqliteSpool(str(live), None)
    spool.open()
    run_now(spool.close())
    shim.stop()
    calls = read_log(log.read_bytes())
    disk = Disk(str(live), before, Random(seed))
    problems: list[str] = []
    cuts = 0
    for step in disk.play(calls):
        shutil.rmtree(image, ignore_errors=True)
        write_image(disk.cut(chance.choice(FATES), chance), image)
        problems += [f"cut {step}: {problem}" for problem in judge(image)]
        cuts += 1
    print(json.dumps({"cuts": cuts, "problems": problems}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
