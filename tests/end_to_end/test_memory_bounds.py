"""Idle connections and large messages cost what they may: the benchmark's own bounds, with smaller numbers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "idle.py"


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="memory is read from Linux's /proc")
@pytest.mark.parametrize("options", [("--message", "40"), ("--message", "1", "--tls")], ids=["clear", "tls"])
def test_the_bounds_of_memory(options: tuple[str, ...]) -> None:
    command = [sys.executable, str(BENCHMARK), "--connections", "400", "--wait", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "400 answer NOOP" in done.stdout
