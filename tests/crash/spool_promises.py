"""What children of `spool_child.py` acknowledged, and whether a spool keeps it."""

import os
from collections.abc import Iterable
from pathlib import Path

import attrs
from spool_child import make_data

from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.spool import read


@attrs.define
class Promised:
    """What was acknowledged so far: contents by queue id, which are finished or changed, and which were about to be
    finished: those may be there or not, but where a report was to take their place, one of both is."""

    there: dict[str, bytes] = attrs.field(factory=dict)
    leaving: set[str] = attrs.field(factory=set)
    settled: set[str] = attrs.field(factory=set)
    changed: set[str] = attrs.field(factory=set)

    def learn(self, lines: Iterable[str]) -> None:
        for line in lines:
            kind, words = line[0], line[1:].split()
            if kind == "+":
                self.there[words[0]] = make_data(int(words[1]), int(words[2]))
            elif kind == "?":
                self.leaving.add(words[0])
            elif kind in "-*":
                self.settled.add(words[0])
                if kind == "*":
                    self.there[f"{words[0]}-report"] = make_data(int(words[1]), int(words[2]))
            elif kind == "~":
                self.changed.add(words[0])


async def check(path: Path, promised: Promised) -> None:
    """All that was promised holds, nothing is damaged, no file is left over or missing."""
    spool = SqliteSpool(str(path), None)
    spool.open()
    found = {record.queue_id: record for record in await spool.records("", 1 << 30)}
    for queue_id, data in promised.there.items():
        if queue_id in promised.settled:
            assert queue_id not in found, f"{queue_id} was finished and came back"
        elif queue_id in found:
            assert read(await spool.content(queue_id)) == data, f"the content of {queue_id} changed"
        else:
            assert queue_id in promised.leaving, f"{queue_id} was acknowledged and is gone"
    for queue_id in promised.changed:
        assert found[queue_id].recipients[0].attempts == 1, f"the change of {queue_id} is lost"
    for queue_id in found:
        if queue_id.endswith("-report"):
            original = queue_id.removesuffix("-report")
            assert original not in found, f"{original} is there and reported, too"
            assert original in promised.leaving
    files = set(os.listdir(path / "content"))
    assert files == set(spool._engine.open().named_files()), "files were left over or are missing"
    assert await spool.damaged() == ()
    await spool.close()
