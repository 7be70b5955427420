"""kill -9 at random moments of a process that commits: what it acknowledged is there, octet for octet, each time."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from spool_promises import Promised, check
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

CHILD = Path(__file__).parent / "spool_child.py"
ROUNDS = int(os.environ.get("RELAYGW_CRASH_ROUNDS", "12"))
MOST = 400
"""Lines before a child is killed at most, so that a busy machine sees as many."""

pytestmark = pytest.mark.crash


def run_and_kill(path: Path, number: int, chance: random.Random) -> list[str]:
    """One child, killed at a random moment after it has said a random number of lines; all its complete lines."""
    command = [sys.executable, str(CHILD), str(path), "12", f"r{number:03}s", "100000"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    said = b"".join(child.stdout.readline() for _ in range(chance.randrange(MOST)))
    time.sleep(chance.uniform(0.0, 0.02))
    child.send_signal(signal.SIGKILL)
    lines = (said + child.stdout.read()).decode().split("\n")[:-1]
    child.wait()
    child.stdout.close()
    assert not [line for line in lines if line.startswith("!")], "an operation was refused"
    return lines


def test_every_acknowledged_message_survives_kill_nine(tmp_path: Path) -> None:
    promised = Promised()
    chance = random.Random(20)
    path = tmp_path / "spool"
    for number in range(ROUNDS):
        lines = run_and_kill(path, number, chance)
        promised.learn(lines)
        SynchronousTestCase().successResultOf(Deferred.fromCoroutine(check(path, promised)))
    assert len(promised.there) > 50 * ROUNDS
    assert len(promised.settled) > 10 * ROUNDS
