"""A writer of the book of keys that is killed at any moment leaves a whole book behind, and no lock."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relaygw import keybook
from relaygw.core.dkim_rotation import Key

WRITER = """
import sys
from relaygw import keybook
from relaygw.core.dkim_rotation import Key

def key(number):
    return Key(domain="example.com", selector=f"s{number}", algorithm="rsa", private_key="/k.pem", record="v" * 400)

number = 0
print("ready", flush=True)
while True:
    number += 1
    keybook.change(sys.argv[1], lambda _: tuple(key(number) for _ in range(1, 50)))
"""


@pytest.mark.crash
@pytest.mark.parametrize("wait", [0.0, 0.01, 0.05, 0.11, 0.23])
def test_a_killed_writer_leaves_a_whole_book(tmp_path: Path, wait: float) -> None:
    path = str(tmp_path / "dkim" / "keys.json")
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(wait)
        writer.kill()
    ring = keybook.read(path)
    assert len(ring) in (0, 49)
    assert len({key.selector for key in ring}) <= 1, "one writing, whole"
    one = Key(domain="example.com", selector="s1", algorithm="rsa", private_key="/k.pem", record="v")
    assert keybook.change(path, lambda _: (one,)) == (one,)
    assert sorted(os.listdir(tmp_path / "dkim")) == ["keys.json", "keys.json.lock"]
