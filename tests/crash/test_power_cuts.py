"""Simulated power cuts of queue and spool: what was promised is on the disk, whatever else got there; and each planted
bug is found by them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from planted import BUGS
from shim import Unavailable, preloaded, scratch

SCRIPT = Path(__file__).with_name("cuts.py")
CUTS = int(os.environ.get("RELAYGW_CUTS", "600"))
SEED = int(os.environ.get("RELAYGW_SEED", "20"))

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """The shim, built; without a compiler there is nothing to see here, but in CI there is one."""
    try:
        return preloaded()
    except Unavailable as error:
        if os.environ.get("RELAYGW_REQUIRE_PEERS") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch() as place:
        yield place


def begin(environment: dict[str, str], folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, str(SCRIPT), "--folder", str(folder), *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


def told(process: "subprocess.Popen[bytes]") -> Any:
    output, _ = process.communicate()
    assert process.returncode == 0
    return json.loads(output)


@pytest.mark.timeout(1800)
def test_power_cuts_at_random_moments_lose_nothing_and_repeat_nothing(
    environment: dict[str, str], folder: Path
) -> None:
    print(f"seed {SEED}, {CUTS} cuts; RELAYGW_SEED and RELAYGW_CUTS repeat or change it")
    halves = [
        begin(environment, folder / str(half), "--seed", str(SEED + half), "--cuts", str(CUTS // 2)) for half in (0, 1)
    ]
    tallies = [told(half) for half in halves]
    assert [tally["problems"] for tally in tallies] == [[], []]
    assert sum(tally["cuts"] for tally in tallies) >= CUTS
    assert all(tally["promises"] > tally["cuts"] for tally in tallies)


@pytest.mark.timeout(1800)
def test_every_planted_bug_is_caught(environment: dict[str, str], folder: Path) -> None:
    halves = [begin(environment, folder / half, "--seed", "1", "--bugs", f"{half}/2") for half in ("0", "1")]
    found = [bug for half in halves for bug in told(half)]
    assert {bug["name"] for bug in found} == {bug.name for bug in BUGS}
    assert [bug for bug in found if not bug["caught"]] == []
