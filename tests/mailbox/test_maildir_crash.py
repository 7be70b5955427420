"""Durable delivery: killed or failing at any step, a message is there whole or not at all, and answered when safe."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mailboxes import inline_store
from results import at_once

BODY = b"Subject: whole\r\n\r\n" + b"0123456789abcdef\r\n" * 20_000

# The child delivers one message; before its n-th step of the given kind it dies as under kill -9, or the step fails.
_CHILD = """
import errno, os, signal, sys
from relaygw.mailbox.maildir import deliver, make_maildir

step, number, how, path = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
original, seen = getattr(os, step), 0

def hooked(*args, **kwargs):
    global seen
    seen += 1
    if seen == number:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(int(how), os.strerror(int(how)))
    return original(*args, **kwargs)

make_maildir(path, folder=False)
body = b"Subject: whole\\r\\n\\r\\n" + b"0123456789abcdef\\r\\n" * 20_000
setattr(os, step, hooked)
deliver(path, (body[at : at + 50_000] for at in range(0, len(body), 50_000)))
print("delivered")
"""

STEPS = [("open", 1), ("fsync", 1), ("rename", 1), ("open", 2), ("fsync", 2)]


def run(maildir: Path, step: str, number: int, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _CHILD, step, str(number), how, str(maildir)],
        capture_output=True,
        text=True,
        check=False,
    )


def visible(maildir: Path) -> list[bytes]:
    return [path.read_bytes() for place in ("new", "cur") for path in (maildir / place).iterdir()]


@pytest.mark.parametrize(("step", "number"), STEPS)
def test_killed_before_any_step_leaves_nothing_or_the_whole_message(tmp_path: Path, step: str, number: int) -> None:
    result = run(tmp_path, step, number, "kill")
    assert result.returncode == -9
    assert result.stdout == ""
    assert visible(tmp_path) in ([], [BODY])


@pytest.mark.parametrize(("step", "number"), STEPS)
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_failing_step_is_told_and_leaves_nothing(tmp_path: Path, step: str, number: int, error: int) -> None:
    result = run(tmp_path, step, number, str(error))
    assert result.returncode == 1
    assert "OSError" in result.stderr
    assert visible(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_answer_comes_after_the_last_sync(tmp_path: Path) -> None:
    result = run(tmp_path, "fsync", 3, "kill")
    assert result.stdout == "delivered\n", "there are two syncs, of the file and of its directory, before the answer"
    assert visible(tmp_path) == [BODY]


@pytest.mark.parametrize("failing", [0, 1, 3])
def test_content_that_cannot_be_read_delivers_nothing(tmp_path: Path, failing: int) -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(4):
            if number == failing:
                raise OSError(errno.EIO, "the spool's disk")
            yield b"x" * 100_000

    store = inline_store(tmp_path / "mail")
    with pytest.raises(OSError):
        at_once(store.deliver("alice", pieces()))
    assert visible(tmp_path / "mail" / "alice") == []
    assert os.listdir(tmp_path / "mail" / "alice" / "tmp") == []


def test_a_crash_between_file_and_index_loses_nothing_and_repeats_no_uid(tmp_path: Path) -> None:
    """An append is killed after its file is visible and before the index knows: the next session adopts it."""
    child = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from mailboxes import inline_store
from results import at_once
from relaygw.core.content import BytesContent
from relaygw.mailbox.index import Index

from pathlib import Path
folder = at_once(at_once(inline_store(Path(sys.argv[1])).account("alice")).open("INBOX"))
at_once(folder.append(BytesContent(b"one\\r\\n")))
Index.save = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
at_once(folder.append(BytesContent(b"two\\r\\n")))
"""
    support = str(Path(__file__).parents[1] / "support")
    result = subprocess.run([sys.executable, "-c", child, str(tmp_path / "mail"), support], check=False)
    assert result.returncode == -9
    folder = at_once(at_once(inline_store(tmp_path / "mail").account("alice")).open("INBOX"))
    assert [entry.uid for entry in folder.messages()] == [1, 2]
    content: Callable[[int], bytes] = lambda uid: b"".join(at_once(folder.content(uid)).chunks())  # noqa: E731
    assert [content(1), content(2)] == [b"one\r\n", b"two\r\n"]
