"""System calls that fail under the real spool: what fails is refused, what was acknowledged stays, and it recovers."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from spool_child import make_data
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.spool import read

CHILD = Path(__file__).parent / "spool_child.py"
SESSIONS, STEPS = 4, 25

pytestmark = [pytest.mark.crash, pytest.mark.interop]


@attrs.frozen(kw_only=True)
class Told:
    """What the child said: acknowledged contents, finished ones, refusals by queue id, how each operation went."""

    there: dict[str, bytes]
    settled: set[str]
    course: list[bool]
    refusals: dict[str, str]
    status: int


def run(strace: str, path: Path, *faults: str) -> Told:
    command = [sys.executable, str(CHILD), str(path / "spool"), str(SESSIONS), "s", str(STEPS)]
    traced = [strace, "-f", "-qq", "-o", str(path / "trace"), "-e", "trace=fsync,fdatasync,pwrite64,ftruncate"]
    for fault in faults:
        traced += ["-e", f"inject={fault}"]
    done = subprocess.run(traced + command, capture_output=True, timeout=300)
    lines = done.stdout.decode().split("\n")[1:-1]
    there = {
        words[0][1:]: make_data(int(words[1]), int(words[2])) for words in map(str.split, lines) if words[0][0] == "+"
    }
    return Told(
        there=there,
        settled={line[1:].split()[0] for line in lines if line[0] in "-*"},
        course=[line[0] != "!" for line in lines if line[0] != "?"],
        refusals=dict(line[1:].split(" ", 1) for line in lines if line[0] == "!"),
        status=done.returncode,
    )


async def check(path: Path, told: Told, *, exact: bool) -> None:
    """All that was acknowledged is there. `exact`: and, but for settlements under way, nothing that was refused."""
    spool = SqliteSpool(str(path / "spool"), None)
    spool.open()
    found = {record.queue_id for record in await spool.records("", 1 << 30)}
    for queue_id, data in told.there.items():
        if queue_id not in told.settled and queue_id in found:
            assert read(await spool.content(queue_id)) == data
    # A settlement that was refused may have taken effect all the same, as a whole.
    missing = set(told.there) - told.settled - found - set(told.refusals)
    assert not missing, "acknowledged and gone"
    if exact:
        assert not {queue_id for queue_id in found if "report" not in queue_id} - set(told.there)
    assert await spool.damaged() == ()
    await spool.close()


def verify(path: Path, told: Told, *, exact: bool = True) -> None:
    SynchronousTestCase().successResultOf(Deferred.fromCoroutine(check(path, told, exact=exact)))


@pytest.fixture
def strace(peer: Callable[[str], str]) -> str:
    return peer("strace")


def test_without_faults_everything_is_acknowledged(strace: str, tmp_path: Path) -> None:
    told = run(strace, tmp_path)
    assert told.status == 0
    assert all(told.course)
    assert len(told.there) == SESSIONS * STEPS
    verify(tmp_path, told)


def test_nothing_is_acknowledged_from_the_first_failed_sync_on(strace: str, tmp_path: Path) -> None:
    told = run(strace, tmp_path, "fdatasync:error=EIO:when=25+")
    first = told.course.index(False)
    assert first > 10
    assert not any(told.course[first:]), "something was acknowledged after syncing had failed for good"
    assert told.status != signal.SIGSEGV
    verify(tmp_path, told, exact=False)


def test_a_sync_that_fails_now_and_then_refuses_only_what_it_was_for(strace: str, tmp_path: Path) -> None:
    told = run(strace, tmp_path, "fdatasync:error=EIO:when=20+15")
    assert told.refusals
    assert sum(told.course) > len(told.course) // 2
    assert told.course[-10:].count(True) >= 1, "it did not recover"
    verify(tmp_path, told)


def test_a_full_disk_refuses_and_recovers(strace: str, tmp_path: Path) -> None:
    told = run(strace, tmp_path, "pwrite64:error=ENOSPC:when=150..180")
    assert told.status == 0
    assert any("full" in refusal for refusal in told.refusals.values()), told.refusals
    assert told.course[-1], "it did not recover"
    verify(tmp_path, told)


def test_a_content_file_that_cannot_be_synced_is_refused_and_removed_and_small_ones_go_on(
    strace: str, tmp_path: Path
) -> None:
    told = run(strace, tmp_path, "fsync:error=EIO:when=8+")
    assert any("sync content" in refusal for refusal in told.refusals.values())
    assert told.course[-20:].count(True) >= 5
    refused_files = set(os.listdir(tmp_path / "spool" / "content"))
    assert len(refused_files) <= 8, "files of refused messages stayed"
    verify(tmp_path, told)
