"""The real process under load, killed with SIGKILL at random moments again and again: what got 250 arrives, and what
was recorded as delivered is not delivered again.

    python kills.py --seed 7 --kills 300 --folder DIR       prints one JSON document

Between a kill and the next start a copy of the spool is read as the crash left it: what it does not hold any more must
have arrived before, and must not arrive after; what it holds must arrive.
"""

import argparse
import contextlib
import itertools
import json
import random
import re
import shutil
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import attrs

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from nursery import Child, Nursery
from real import eventually
from recording_hop import RecordingHop
from results import at_once

from relaygw.interfaces import SpoolError
from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.gateway import Gateway

CLIENTS = 4
MOST = 60
"""Messages from the start to the kill at most, so that a busy machine sees as many; one start in five is killed before
it greets."""

PATIENCE = 2.0
LONGEST = 0.4
"""Seconds that are waited for those messages, and at most for a start."""

_MARK = re.compile(rb"^X-Mark: ([0-9]+)\r?$", re.M)


@attrs.define
class Load:
    """Clients that send numbered messages as long as they are let; `accepted` are the numbers that got 250."""

    port: int
    accepted: set[int] = attrs.field(factory=set)
    running: bool = True
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count)
    _threads: list[threading.Thread] = attrs.field(factory=list)

    def skip(self, number: int) -> None:
        """Begin with this number."""
        self._numbers = itertools.count(number)

    def next_number(self) -> int:
        return next(self._numbers)

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, many: int) -> None:
        """Return soon after so many more have got 250."""
        many += len(self.accepted)
        end = time.monotonic() + PATIENCE
        while len(self.accepted) < many and time.monotonic() < end:
            time.sleep(0.001)

    def stop(self) -> None:
        self.running = False
        for thread in self._threads:
            thread.join(30)

    def _client(self) -> None:
        while self.running:
            with contextlib.suppress(OSError):
                self._session()
            time.sleep(0.02)

    def _session(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), 10) as link, link.makefile("rb") as lines:
            _expect(lines, b"220")
            link.sendall(b"EHLO load.test\r\n")
            _expect(lines, b"250")
            while self.running:
                number = next(self._numbers)
                for command, code in _dialogue(number):
                    link.sendall(command)
                    _expect(lines, code)
                self.accepted.add(number)


def content_of(number: int) -> bytes:
    """Every seventh message is too large to lie in the database."""
    body = b"%07d" % number + b"x" * 69 + b"\r\n"
    return f"From: <s@example.test>\r\nX-Mark: {number}\r\n\r\n".encode() + body * (4000 if number % 7 == 0 else 20)


def _dialogue(number: int) -> list[tuple[bytes, bytes]]:
    return [
        (b"MAIL FROM:<s@example.test>\r\n", b"250"),
        (b"RCPT TO:<r@elsewhere.test>\r\n", b"250"),
        (b"DATA\r\n", b"354"),
        (content_of(number) + b".\r\n", b"250"),
    ]


def _expect(lines: object, code: bytes) -> None:
    while True:
        line = lines.readline()  # type: ignore[attr-defined]
        if not line.startswith(code):
            raise OSError(f"answered {line!r}")
        if line[3:4] == b" ":
            return


def mark_of(content: bytes) -> int:
    """The number of a message; its octets must be what was sent, under fields of our own on top."""
    found = _MARK.search(content)
    if not found or not content.endswith(content_of(int(found[1]))):
        raise AssertionError("a content is not what was sent")
    return int(found[1])


class Arrivals(list[Any]):
    """What a next hop took, as numbers; `strange` are contents that are none of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.strange: list[str] = []

    def append(self, content: bytes) -> None:
        try:
            super().append(mark_of(content))
        except AssertionError as error:
            self.strange.append(f"the next hop got {content[:60]!r}: {error}")


def held_by(spool_folder: Path, scratch: Path) -> tuple[set[int], list[str]]:
    """The marks of the messages a spool holds, and what is wrong with it, read in a copy."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(spool_folder, scratch)
    spool = SqliteSpool(str(scratch), None)
    try:
        spool.open()
        records = at_once(spool.records("", 100_000))
        contents = [at_once(spool.content(record.queue_id)) for record in records]
        marks = {mark_of(b"".join(content.chunks())) for content in contents if content is not None}
        damaged = [f"{each.queue_id} is damaged: {each.error}" for each in at_once(spool.damaged())]
        at_once(spool.close())
    except (SpoolError, AssertionError) as error:
        return set(), [str(error)]
    return marks, damaged


@attrs.define
class Witness:
    """What each crash left: (how much had arrived, what was accepted, what is held)."""

    crashes: list[tuple[int, set[int], set[int]]] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)

    def look(self, spool: Path, scratch: Path, arrivals: Arrivals, load: Load) -> None:
        accepted = set(load.accepted)  # before the spool is read: nothing is accepted while the service is down
        held, problems = held_by(spool, scratch)
        arrived = list(arrivals)
        self.crashes.append((len(arrived), accepted, held))
        where = f"kill {len(self.crashes)}"
        self.problems += [f"{where}: {problem}" for problem in problems]
        lost = accepted - held - set(arrived)
        if lost:
            self.problems.append(f"{where}: accepted, neither held nor arrived: {sorted(lost)[:10]}")

    def check_repeats(self, arrived: list[int]) -> None:
        """Nothing that a crash left behind as no longer held arrives after it."""
        for number, (length, accepted, held) in enumerate(self.crashes, 1):
            settled = (accepted & set(arrived[:length])) - held
            again = settled & set(arrived[length:])
            if again:
                self.problems.append(f"kill {number}: delivered again though recorded: {sorted(again)[:10]}")


def run(folder: Path, kills: int, seed: int) -> dict[str, object]:
    """Kill so many times; what was done and what was found wrong."""
    begun = time.monotonic()
    moments = random.Random(seed)
    arrivals = Arrivals()
    with RecordingHop(delay=0.002, contents=arrivals) as hop, Nursery() as nursery:
        gateway = Gateway.make(
            folder / "demo", domains=["example.test"], smarthost=f"127.0.0.1:{hop.port}", trust=["127.0.0.0/8"]
        )
        load, witness = Load(gateway.port(25)), Witness()
        spool = gateway.folder / "state" / "spool"
        load.start()
        starting = 0
        while len(witness.crashes) < kills:
            early = moments.random() < 0.2
            child = nursery.start(gateway, wait=not early)
            if early:
                time.sleep(moments.uniform(0.0, LONGEST))
            else:
                load.wait_for(moments.randrange(MOST))
            child.kill()
            starting += early
            if spool.is_dir():
                witness.look(spool, folder / "copy", arrivals, load)
        load.stop()
        _drain(nursery.start(gateway), arrivals, load, witness)
        held, problems = held_by(spool, folder / "copy")
        witness.problems += problems + ([f"{len(held)} messages are left in the end"] if held else [])
        arrived = list(arrivals)
        witness.problems += arrivals.strange
        witness.check_repeats(arrived)
    times = Counter(arrived)
    return {
        "kills": len(witness.crashes),
        "while starting": starting,
        "accepted": len(load.accepted),
        "arrived": len(times),
        "repeats": len(arrived) - len(times),
        "problems": witness.problems,
        "seconds": time.monotonic() - begun,
    }


def _drain(child: Child, arrivals: Arrivals, load: Load, witness: Witness) -> None:
    """Let it work until all has arrived, and stop it in order."""
    try:
        eventually(lambda: load.accepted <= set(arrivals), 120)
    except AssertionError:
        missing = load.accepted - set(arrivals)
        witness.problems.append(f"never arrived: {sorted(missing)[:10]}")
    if not child.kill(15):
        witness.problems.append("it did not stop")
        child.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    json.dump(run(options.folder, options.kills, options.seed), sys.stdout)


if __name__ == "__main__":
    main()
