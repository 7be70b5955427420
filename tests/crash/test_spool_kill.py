"""kill -9 at random moments of a process that commits: what it acknowledged is there, octet for octet, each time."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest
from spool_child import make_data
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.spool import read

CHILD = Path(__file__).parent / "spool_child.py"
ROUNDS = int(os.environ.get("RELAYGW_CRASH_ROUNDS", "16"))

pytestmark = pytest.mark.crash


@attrs.define
class Promised:
    """What all children so far acknowledged: contents by queue id, what is finished, and what was left unsaid."""

    there: dict[str, bytes] = attrs.field(factory=dict)
    settled: set[str] = attrs.field(factory=set)
    changed: set[str] = attrs.field(factory=set)

    def learn(self, lines: list[str]) -> None:
        for line in lines:
            kind, words = line[0], line[1:].split()
            if kind == "+":
                self.there[words[0]] = make_data(int(words[1]), int(words[2]))
            elif kind in "-*":
                self.settled.add(words[0])
                if kind == "*":
                    self.there[f"{words[0]}-report"] = make_data(int(words[1]), int(words[2]))
            elif kind == "~":
                self.changed.add(words[0])


def run_and_kill(path: Path, number: int, chance: random.Random) -> list[str]:
    """One child, killed at a random moment after it was ready; its complete lines."""
    command = [sys.executable, str(CHILD), str(path), "12", f"r{number:03}s", "100000"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    time.sleep(chance.uniform(0.0, 0.25))
    child.send_signal(signal.SIGKILL)
    lines = child.stdout.read().decode().split("\n")[:-1]
    child.wait()
    child.stdout.close()
    assert not [line for line in lines if line.startswith("!")], "an operation was refused"
    return lines


async def check(path: Path, promised: Promised) -> None:
    """What was promised holds; then what is finished anyway is forgotten, so that the next round starts small."""
    spool = SqliteSpool(str(path), None)
    spool.open()
    found = {record.queue_id: record for record in await spool.records("", 1 << 30)}
    for queue_id, data in promised.there.items():
        if queue_id in promised.settled:
            assert queue_id not in found, f"{queue_id} was finished and came back"
        elif queue_id in found or queue_id.endswith("-report"):
            assert read(await spool.content(queue_id)) == data, f"the content of {queue_id} changed"
        else:
            await check_unsaid(spool, queue_id, promised)
    for queue_id in promised.changed:
        assert found[queue_id].recipients[0].attempts == 1, f"the change of {queue_id} is lost"
    files = set(os.listdir(path / "content"))
    assert files == set(spool._engine.open().named_files()), "files were left over or are missing"
    assert await spool.damaged() == ()
    await spool.close()


async def check_unsaid(spool: SqliteSpool, queue_id: str, promised: Promised) -> None:
    """A message may only be gone if its settlement was under way: committed, killed before it could be said."""
    sessions = [other for other in promised.there if other.split("-")[0] == queue_id.split("-")[0]]
    last = max(other for other in sessions if not other.endswith("-report"))
    assert queue_id == last, f"{queue_id} was acknowledged and is gone"


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
