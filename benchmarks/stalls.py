"""How long a commit takes in the spool itself, with and without the log being copied into the database meanwhile.

    python benchmarks/stalls.py [--messages 20000] [--sessions 100] [--size 2048] [--deep 0]

So many sessions commit one message after another, and remove each once it is committed, as delivery does. Prints JSON:
milliseconds to the answer at p50 and p99, the p99 of those commits during which a checkpoint ran, and the longest
checkpoint. `--deep`: so many messages wait in the spool already.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import attrs
import filling
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from relaygw.bridge import deferred
from relaygw.core.address import Address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.ids import new_id
from relaygw.core.lifecycle import begin
from relaygw.core.record import Progress
from relaygw.interfaces import Settlement
from relaygw.spool.sqlite import SqliteSpool
from relaygw.spool.store import Store

ENVELOPE = Envelope(
    sender=Address("sender", "example.test"), recipients=(Recipient(address=Address("rcpt", "dest.test")),)
)


class Watched:
    """When checkpoints ran: the spool's thread writes, the reactor reads when all is over."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        copy = Store.checkpoint

        def checkpoint(store: Store, mode: str = "PASSIVE") -> bool:
            began = time.perf_counter()
            done = copy(store, mode)
            self.spans.append((began, time.perf_counter()))
            return done

        Store.checkpoint = checkpoint  # type: ignore[method-assign]  # this process is the benchmark's own


class Load:
    def __init__(self, spool: SqliteSpool, options: argparse.Namespace) -> None:
        self.spool, self.options = spool, options
        self.content = filling.content(1, options.size)
        self.left = options.messages
        self.spans: list[tuple[float, float]] = []

    @deferred
    async def session(self) -> None:
        while self.left > 0:
            self.left -= 1
            now = time.time()
            record = begin(queue_id=new_id(now, random.getrandbits(35)), envelope=ENVELOPE, now=now)
            sink = self.spool.sink()
            sink.write(self.content)
            began = time.perf_counter()
            await self.spool.commit(record, sink, filling.PREFIX, now + 300)
            self.spans.append((began, time.perf_counter()))
            done = tuple(attrs.evolve(state, progress=Progress.DELIVERED) for state in record.recipients)
            await self.spool.settle(Settlement(record=attrs.evolve(record, recipients=done)))

    @deferred
    async def run(self) -> None:
        await gatherResults([self.session() for _ in range(self.options.sessions)])


def figures(commits: list[tuple[float, float]], checkpoints: list[tuple[float, float]]) -> dict[str, float]:
    everything = sorted(end - began for began, end in commits)
    during = sorted(
        end - began
        for began, end in commits
        if any(began < their_end and their_begin < end for their_begin, their_end in checkpoints)
    )
    return {
        "p50": 1000 * everything[len(everything) // 2],
        "p99": 1000 * everything[int(len(everything) * 0.99)],
        "p99 during checkpoints": 1000 * during[int(len(during) * 0.99)] if during else 0.0,
        "longest checkpoint": 1000 * max((end - began for began, end in checkpoints), default=0.0),
        "checkpoints": len(checkpoints),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("messages", 20_000), ("sessions", 100), ("size", 2048), ("deep", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-stalls-") as folder:
        path = str(Path(folder) / "spool")
        if options.deep:
            filling.fill(path, filling.options_of(messages=options.deep))
        spool = SqliteSpool(path, reactor)  # type: ignore[arg-type]  # the reactor has no type
        spool.open()
        watched, load = Watched(), Load(spool, options)

        def run() -> None:
            load.run().addCallback(lambda _: Deferred.fromCoroutine(spool.close())).addBoth(end)

        def end(result: object) -> None:
            results.append(result)
            reactor.stop()  # type: ignore[attr-defined]  # the reactor has no type

        results: list[object] = []
        reactor.callWhenRunning(run)  # type: ignore[attr-defined]  # the reactor has no type
        reactor.run()  # type: ignore[attr-defined]  # the reactor has no type
        if results != [None]:
            raise SystemExit(f"the load failed: {results}")
    print(json.dumps(figures(load.spans, watched.spans)))


if __name__ == "__main__":
    main()
