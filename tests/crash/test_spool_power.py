"""Power cuts at any moment of a running spool: what was acknowledged is on the disk, whatever else got there."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from disk import CALLS, Disk, read_trace
from spool_promises import Promised, check
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

CHILD = Path(__file__).parent / "spool_child.py"
CUTS = 60

pytestmark = [pytest.mark.crash, pytest.mark.interop]


def traced(strace: str, folder: Path, trace: Path) -> None:
    """Let a child work in the folder and note every call that touches a file."""
    command = [sys.executable, "-S", str(CHILD), str(folder), "6", "s", "12"]
    options = ["-f", "-qq", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    subprocess.run([strace, *options, *command], check=True, stdout=subprocess.DEVNULL, env=environment, timeout=60)


def test_power_cuts_at_random_moments_lose_nothing_acknowledged(peer: Callable[[str], str], tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    traced(peer("strace"), folder, tmp_path / "trace")
    calls = read_trace(tmp_path / "trace")
    chance = random.Random(7)
    cuts = set(chance.sample(range(len(calls)), CUTS))
    disk = Disk(str(folder))
    promised = Promised()
    checked = 0
    for step in disk.play(calls):
        promised.learn(line for line in disk.output if line != "ready")
        disk.output.clear()
        if step in cuts:
            image = tmp_path / f"cut{step}"
            disk.cut(chance, image)
            SynchronousTestCase().successResultOf(Deferred.fromCoroutine(check(image, promised)))
            checked += len(promised.there)
    assert len(promised.there) > 72
    assert checked > 10 * CUTS
