"""A process that commits, settles and prints what was acknowledged, until it is killed: `spool_child.py DIR SESSIONS`.

Each line is one write: `+ID SEED SIZE` committed, `?ID` about to be finished, `-ID` finished, `*ID SEED SIZE`
finished with a report, `~ID` changed, each right after the acknowledgement; `!ID WHY` refused. A content follows from
its seed.
"""

import os
import random
import sys

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from relaygw.core.record import Progress
from relaygw.interfaces import NewMessage, Settlement, SpoolError
from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.spool import fill, make_record, progressed

INLINE_LIMIT = 20_000
CHECKPOINT = 500_000
SIZES = (300, 2_000, 9_000, 30_000, 100_000)


def make_data(seed: int, size: int) -> bytes:
    """A content that can be known again."""
    return b"Subject: seed\r\n\r\n" + random.Random(seed).randbytes(size)


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


class Session:
    """One client of the spool, with ids of its own."""

    def __init__(self, spool: SqliteSpool, name: str, limit: int) -> None:
        self.spool = spool
        self.name = name
        self.limit = limit
        self.chance = random.Random(name)

    async def run(self) -> None:
        for number in range(self.limit):
            try:
                await self.step(f"{self.name}-{number:06}")
            except SpoolError as error:
                say(f"!{self.name}-{number:06} {error}")

    async def step(self, queue_id: str) -> None:
        seed, size = self.chance.randrange(1 << 30), self.chance.choice(SIZES)
        record = make_record(queue_id)
        sink = fill(self.spool.sink(), make_data(seed, size))
        await self.spool.commit(record, sink, b"", record.arrived + 3600)
        say(f"+{queue_id} {seed} {size}")
        fate = self.chance.random()
        if fate < 0.6:
            say(f"?{queue_id}")
        if fate < 0.5:
            await self.spool.settle(Settlement(record=progressed(record, Progress.DELIVERED)))
            say(f"-{queue_id}")
        elif fate < 0.6:
            report = make_record(f"{queue_id}-report")
            added = NewMessage(record=report, content=make_data(seed, size))
            await self.spool.settle(Settlement(record=progressed(record, Progress.REPORTED), added=(added,)))
            say(f"*{queue_id} {seed} {size}")
        elif fate < 0.7:
            state = attrs.evolve(record.recipients[0], attempts=1)
            await self.spool.settle(Settlement(record=attrs.evolve(record, recipients=(state,))))
            say(f"~{queue_id}")


async def run(path: str, sessions: int, prefix: str, limit: int) -> None:
    spool = SqliteSpool(path, reactor, inline_limit=INLINE_LIMIT, checkpoint=CHECKPOINT)  # type: ignore[arg-type]
    spool.open()
    say("ready")
    runs = [Deferred.fromCoroutine(Session(spool, f"{prefix}{number}", limit).run()) for number in range(sessions)]
    await gatherResults(runs)
    await spool.close()
    reactor.stop()  # type: ignore[attr-defined]


def main() -> None:
    path, sessions, prefix, limit = sys.argv[1:]
    running = Deferred.fromCoroutine(run(path, int(sessions), prefix, int(limit)))
    running.addErrback(lambda failure: (failure.printTraceback(), os._exit(1)))
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
