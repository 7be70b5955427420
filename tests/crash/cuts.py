"""Simulated power cuts: lives of the machine one after the other, each cut at many moments.

    python cuts.py --seed 7 --cuts 1000 --folder DIR        sound: what was done, and what was found wrong
    python cuts.py --seed 7 --faults 300 --folder DIR       sound, with every n-th call failing in turn
    python cuts.py --seed 7 --folder DIR --bugs 0/2         with planted bugs, the even ones: what caught each

Prints one JSON document; the shim must be preloaded. Each life begins on the disk that a cut of the one before has
left. A life, a moment and a fate follow from the seed.
"""

import argparse
import errno
import json
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import attrs
from disk import FATES, Disk, Image, read_image, read_log, write_image
from life import judge, judge_damage
from planted import BUGS, Bug
from shim import ERRORS, EVERY, Shim
from simulation import SOUND, Build, World, is_shared_memory
from truth import Truth

STEPS = (60, 150, 300)
CUTS_PER_LIFE = 60
CUTS_PER_BUG = 6000
SWEPT = 60
"""Calls of one life that fail, each in a life of its own, before it is another's turn."""

LIVES_PER_CHAIN = 6
LIVED_WITH = 0.3
"""The share of the cuts after which a queue works on what is left until nothing is; all others are read in full."""

START = 1_700_000_000.0
HOUR = 3600.0


@attrs.define
class Tally:
    """What was done and what came out."""

    cuts: int = 0
    lives: int = 0
    calls: int = 0
    promises: int = 0
    faults: int = 0
    failed_calls: int = 0
    damages: int = 0
    lived: int = 0
    repeats: int = 0
    turned_up: int = 0
    seconds: float = 0.0
    fates: Counter[str] = attrs.field(factory=Counter)
    problems: list[str] = attrs.field(factory=list)


@attrs.define(eq=False)
class Campaign:
    """Many lives and cuts in one folder, until a problem shows that has some of the words `wanted`."""

    shim: Shim
    folder: Path
    seed: int
    build: Build = SOUND
    wanted: tuple[str, ...] = ()
    cuts_per_life: int = CUTS_PER_LIFE
    tally: Tally = attrs.field(factory=Tally)

    @property
    def caught(self) -> str:
        """The first problem that was wanted, "" before that."""
        return next((each for each in self.tally.problems if any(words in each for words in self.wanted)), "")

    def run(self, cuts: int) -> Tally:
        begun = time.monotonic()
        chain = 0
        while self.tally.cuts < cuts and not self.caught:
            self.run_chain(chain, cuts)
            chain += 1
        self.tally.seconds = time.monotonic() - begun
        return self.tally

    def run_chain(self, chain: int, cuts: int = 1 << 30) -> None:
        """Some lives on one disk, from a new one on."""
        image: Image = {}
        truth = Truth()
        for number in range(LIVES_PER_CHAIN):
            if self.tally.cuts >= cuts or self.caught:
                return
            told = len(self.tally.problems)
            name = f"{self.seed}.{chain}.{number}"
            chance = Random(name)
            image, truth = self._live(name, chance, image, truth, START + number * HOUR)
            if len(self.tally.problems) > told:
                return  # what follows would only tell it again

    def sweep(self, faults: int) -> Tally:
        """Let each n-th call of a life fail, in turn, `faults` of them in all: it must recover, and keep its word."""
        begun = time.monotonic()
        life = 0
        while self.tally.faults < faults:
            name = f"{self.seed}.sweep.{life}"
            total = self._faulty_life(name, 1 << 40, errno.EIO)
            stride = max(1, total // SWEPT)
            for number, first in enumerate(range(1 + life % stride, total, stride)):
                if self.tally.faults < faults:
                    self._faulty_life(name, first, ERRORS[number % len(ERRORS)])
                    self.tally.faults += 1
            life += 1
        self.tally.seconds = time.monotonic() - begun
        return self.tally

    def _faulty_life(self, name: str, first: int, error: int) -> int:
        """One life in which this call fails and the two after it; how many there were."""
        live = self.folder / "live"
        shutil.rmtree(live, ignore_errors=True)
        write_image({}, live)
        self.shim.start(live, self.folder / "log")
        truth = Truth()
        build = attrs.evolve(self.build, faulty=0.0, shared=0.0)
        world = World(live, self.shim, Random(name), truth, start=START, build=build)
        world.open()
        self.shim.fail(EVERY, first=first, times=3, error=error)
        try:
            world.run(STEPS[0])
            total = self.shim.counted
            complaints = world.settle_down() + world.hops.violations
        finally:
            world.let_go()
        self.tally.lives += 1
        self.tally.promises += sum(story.stored >= 0 for story in truth.stories.values())
        for complaint in complaints:
            self._complain(name, f", call {first} ({errno.errorcode[error]})", complaint)
        return total

    def _complain(self, life: str, cut: str, problem: str) -> None:
        self.tally.problems.append(f"life {life}{cut}: {problem}")

    def _live(self, name: str, chance: Random, image: Image, truth: Truth, start: float) -> tuple[Image, Truth]:
        live, log = self.folder / "live", self.folder / "log"
        shutil.rmtree(live, ignore_errors=True)
        write_image(image, live)
        begun = fork(truth)
        self.shim.start(live, log)
        world = World(live, self.shim, chance, truth, start=start, build=self.build)
        try:
            world.open()
            world.run(chance.choice(STEPS))
            complaints = world.settle_down() if chance.random() < 0.3 else []
            complaints += world.hops.violations
        finally:
            self.shim.stop()
            seen = read_image(live)
            world.let_go()
        for complaint in complaints:
            self._complain(name, "", complaint)
        self.tally.lives += 1
        self.tally.faults += world.faults
        self.tally.repeats += truth.repeats - begun.repeats
        calls = read_log(log.read_bytes())
        self.tally.calls += len(calls)
        self.tally.failed_calls += sum(call.kind == "x" for call in calls)
        disk = Disk(str(live), image, Random(f"{name} failed syncs"))
        return self._cut(name, disk, calls, world, begun, seen, start)

    def _cut(
        self, name: str, disk: Disk, calls: list[Any], world: World, truth: Truth, seen: Image, start: float
    ) -> tuple[Image, Truth]:
        """Cut the power at many moments; life goes on from the last."""
        chance = Random(f"{name} cuts")
        moments = Counter(chance.randrange(len(calls)) for _ in range(self.cuts_per_life))
        last = max(moments)
        image: Image = {}
        found = None
        for step in disk.play(calls):
            for mark in disk.marks:
                truth.learn(world.facts[int(mark)])
            disk.marks.clear()
            for turn in range(moments[step]):
                cut = f", cut {step}.{turn}"
                image, found = self._judge(name, cut, disk, truth, start + HOUR, chance)
            if step == last and found is not None:
                kept, after = image, truth.after_cut(found)
        _check_model(disk.seen(), seen)
        return kept, after

    def _judge(self, name: str, cut: str, disk: Disk, truth: Truth, now: float, chance: Random) -> tuple[Image, Any]:
        fate = chance.choice(FATES)
        image = disk.cut(fate, chance)
        after = self.folder / "after"
        shutil.rmtree(after, ignore_errors=True)
        write_image(image, after)
        before = truth.turned_up
        live = chance.random() < LIVED_WITH
        judged = judge(after, truth, now, build=self.build, live=live)
        self.tally.lived += live
        self.tally.turned_up += truth.turned_up - before
        self.tally.cuts += 1
        self.tally.fates[fate.value] += 1
        self.tally.promises += sum(story.stored >= 0 for story in truth.stories.values())
        for problem in judged.problems:
            self._complain(name, f"{cut} ({fate.value})", problem)
        if not judged.problems and chance.random() < 0.1:
            self._damage(name, cut, image, truth, now, chance)
        return image, judged.found

    def _damage(self, name: str, cut: str, image: Image, truth: Truth, now: float, chance: Random) -> None:
        rotten = self.folder / "rotten"
        shutil.rmtree(rotten, ignore_errors=True)
        write_image(image, rotten)
        judge(rotten, truth, now, live=False)  # reads the log into the database
        self.tally.damages += 1
        for problem in judge_damage(rotten, truth, now, chance, self.build):
            self._complain(name, cut, problem)


def fork(truth: Truth) -> Truth:
    """A copy to be told again what happens, for its moments one after the other."""
    stories = {
        queue_id: attrs.evolve(
            story,
            versions=[attrs.evolve(each) for each in story.versions],
            taken=Counter(story.taken),
            reports=set(story.reports),
        )
        for queue_id, story in truth.stories.items()
    }
    return Truth(stories, set(truth.gone), truth.repeats, truth.turned_up)


def _check_model(modelled: Image, seen: Image) -> None:
    """The log told everything: the folder is what the calls make of it."""
    mine = {name: data for name, data in modelled.items() if not is_shared_memory(name)}
    theirs = {name: data for name, data in seen.items() if not is_shared_memory(name)}
    different = [name for name in mine.keys() | theirs.keys() if mine.get(name, 0) != theirs.get(name, 0)]
    assert not different, f"the log of the disk is not complete: {different} differ"


def catch(bug: Bug, shim: Shim, folder: Path, seed: int) -> dict[str, Any]:
    """Look for a planted bug until it shows; `caught` is the complaint that names it, "" where none came."""
    campaign = Campaign(shim, folder, seed, bug.build, wanted=bug.catch, cuts_per_life=bug.cuts)
    tally = campaign.run(CUTS_PER_BUG)
    return {
        "name": bug.name,
        "words": bug.words,
        "caught": campaign.caught,
        "cuts": tally.cuts,
        "seconds": tally.seconds,
        "else": tally.problems[:1],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--cuts", type=int, default=0)
    parser.add_argument("--faults", type=int, default=0)
    parser.add_argument("--bugs", default="", help="N/M: every M-th planted bug from the N-th on")
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    shim = Shim()
    if options.bugs:
        first, step = map(int, options.bugs.split("/"))
        told: Any = [catch(bug, shim, options.folder, options.seed) for bug in BUGS[first::step]]
    elif options.faults:
        told = attrs.asdict(Campaign(shim, options.folder, options.seed).sweep(options.faults))
    else:
        told = attrs.asdict(Campaign(shim, options.folder, options.seed).run(options.cuts))
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
