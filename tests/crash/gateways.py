"""The real process on a disk that is noted call by call: system calls that fail one after the other, and power cuts.

    python gateways.py --seed 7 --faults 60 --cuts 300 --folder DIR     prints one JSON document

Each life of the process has every n-th call of some kind fail from some moment on, with EIO or ENOSPC, while clients
send. Whatever it answers then: what got 250 is on the disk when the power goes at any moment of the log, and once the
process starts again on the disk as it stands, all of it arrives.
"""

import argparse
import json
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import attrs
from disk import FATES, Disk, Image, read_image, read_log, write_image
from kills import Arrivals, Load, held_by
from nursery import Nursery
from shim import ERRORS, EVERY, Kind, preloaded
from simulation import is_shared_memory

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from real import eventually
from recording_hop import RecordingHop

from relaygw.testing.gateway import Gateway, GatewayError

KINDS = (Kind.SYNC, Kind.WRITE, Kind.OPEN, Kind.TRUNCATE | Kind.UNLINK, EVERY)
LIFE = 0.6
"""Seconds of load in each life."""


@attrs.define
class Moments:
    """When things became true, as lengths of the disk's log: a client that has read 250 asks for it then."""

    log: Path
    accepted: list[tuple[int, int]] = attrs.field(factory=list)
    arrived: list[tuple[int, int]] = attrs.field(factory=list)

    def now(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0


class _Accepted(set[int]):
    """The numbers that got 250, each with its moment."""

    def __init__(self, moments: Moments) -> None:
        super().__init__()
        self._moments = moments

    def add(self, number: int) -> None:
        self._moments.accepted.append((self._moments.now(), number))
        super().add(number)


class _Arrivals(Arrivals):
    """The same of what arrived. The moment is before the next hop answers."""

    def __init__(self, moments: Moments) -> None:
        super().__init__()
        self._moments = moments

    def append(self, content: bytes) -> None:
        moment = self._moments.now()
        super().append(content)
        self._moments.arrived.append((moment, self[-1] if self else -1))


@attrs.define
class Tally:
    """What was done and what came out. `answered` are the lives in which something was taken all the same."""

    lives: int = 0
    failed_calls: int = 0
    accepted: int = 0
    cuts: int = 0
    promises: int = 0
    answered: int = 0
    not_started: int = 0
    seconds: float = 0.0
    problems: list[str] = attrs.field(factory=list)


@attrs.define(eq=False)
class Campaign:
    """Lives of one gateway, each with faults of its own, and power cuts of each."""

    folder: Path
    seed: int
    tally: Tally = attrs.field(factory=Tally)
    accepted: set[int] = attrs.field(factory=set)

    def run(self, lives: int, cuts: int) -> Tally:
        begun = time.monotonic()
        moments = Moments(self.folder / "log")
        arrivals = _Arrivals(moments)
        with RecordingHop(delay=0.001, contents=arrivals) as hop, Nursery(preloaded()) as nursery:
            gateway = Gateway.make(
                self.folder / "demo", domains=["example.test"], smarthost=f"127.0.0.1:{hop.port}", trust=["127.0.0.0/8"]
            )
            numbers = 0
            for life in range(lives):
                left = self.accepted - set(arrivals)
                moments.accepted[:] = [(0, number) for number in left]
                moments.arrived.clear()
                chance = random.Random(f"{self.seed}.{life}")
                load = Load(gateway.port(25), _Accepted(moments))
                load.skip(numbers)
                self._live(life, chance, nursery, gateway, load, moments, cuts // lives + 1)
                numbers = load.next_number()
            self._recover(nursery, gateway, arrivals, numbers)
        self.tally.problems += arrivals.strange
        self.tally.seconds = time.monotonic() - begun
        return self.tally

    def _live(
        self,
        life: int,
        chance: random.Random,
        nursery: Nursery,
        gateway: Gateway,
        load: Load,
        moments: Moments,
        cuts: int,
    ) -> None:
        state = gateway.folder / "state" / "spool"
        before = read_image(state) if state.is_dir() else {}
        state.mkdir(parents=True, exist_ok=True)
        kinds = chance.choice(KINDS)
        fail = {
            "kinds": int(kinds),
            "first": chance.choice((1, 5, 20, 60, 150)) + chance.randrange(10),
            "step": chance.choice((1, 1, 2, 3, 7)),
            "times": chance.choice((1, 3, 10, 1000)),
            "error": chance.choice(ERRORS),
        }
        shim = {"folder": str(state), "log": str(moments.log), "fail": fail}
        load.start()
        try:
            child = nursery.start(gateway, shim)
        except GatewayError:
            self.tally.not_started += 1
            load.stop()
            return
        time.sleep(LIFE)
        child.kill()
        load.stop()
        self.accepted |= load.accepted
        self.tally.lives += 1
        self.tally.accepted += len(load.accepted)
        self.tally.answered += bool(load.accepted)
        name = f"gateway life {self.seed}.{life} ({kinds!r} {fail})"
        self._cut(name, chance, before, moments, state, cuts)

    def _cut(self, name: str, chance: random.Random, before: Any, moments: Moments, state: Path, cuts: int) -> None:
        calls = read_log(moments.log.read_bytes())
        self.tally.failed_calls += sum(call.kind == "x" for call in calls)
        disk = Disk(str(state), before, random.Random(f"{name} failed syncs"))
        wanted = sorted(chance.randrange(len(calls)) for _ in range(cuts)) if calls else []
        for step in disk.play(calls):
            while wanted and wanted[0] == step:
                wanted.pop(0)
                self._judge(f"{name}, cut {step}", disk, calls[step].end, chance, moments)
        self._check_log(name, disk.seen(), read_image(state))

    def _check_log(self, name: str, modelled: Image, seen: Image) -> None:
        """The folder is what the calls make of it; one may have been killed between what it did and its note of it."""
        names = {key for key in modelled.keys() | seen.keys() if not is_shared_memory(key)}
        different = [key for key in names if modelled.get(key, 0) != seen.get(key, 0)]
        if len(different) > 1:
            self.tally.problems.append(f"{name}: the log of the disk is not complete: {different[:3]} differ")

    def _judge(self, name: str, disk: Disk, moment: int, chance: random.Random, moments: Moments) -> None:
        fate = chance.choice(FATES)
        image = self.folder / "image"
        shutil.rmtree(image, ignore_errors=True)
        write_image(disk.cut(fate, chance), image)
        held, problems = held_by(image, self.folder / "copy")
        accepted = {number for at, number in moments.accepted if at <= moment}
        arrived = {number for at, number in moments.arrived if at <= moment}
        self.tally.cuts += 1
        self.tally.promises += len(accepted)
        self.tally.problems += [f"{name} ({fate.value}): {problem}" for problem in problems]
        if lost := accepted - held - arrived:
            self.tally.problems.append(f"{name} ({fate.value}): accepted and gone: {sorted(lost)[:5]}")

    def _recover(self, nursery: Nursery, gateway: Gateway, arrivals: Arrivals, numbers: int) -> None:
        """On a disk that is well again everything that is held arrives, and new mail is taken."""
        child = nursery.start(gateway)
        load = Load(gateway.port(25))
        load.skip(numbers)
        load.start()
        try:
            eventually(lambda: len(load.accepted) > 10, 60)
        except AssertionError:
            self.tally.problems.append("no mail is taken when the disk is well again")
        load.stop()
        try:
            eventually(lambda: load.accepted | self.accepted <= set(arrivals), 60)
        except AssertionError:
            self.tally.problems.append("mail does not arrive when the disk is well again")
        child.kill(15)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--faults", type=int, required=True)
    parser.add_argument("--cuts", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    json.dump(attrs.asdict(Campaign(options.folder, options.seed).run(options.faults, options.cuts)), sys.stdout)


if __name__ == "__main__":
    main()
