"""The real process under load, killed with SIGKILL at random moments again and again (kills.py)."""

import os
from pathlib import Path

import kills
import pytest
from shim import scratch

KILLS = int(os.environ.get("RELAYGW_KILLS", "30"))
SEED = int(os.environ.get("RELAYGW_SEED", "20"))

pytestmark = pytest.mark.crash


@pytest.mark.timeout(1800)
def test_what_got_250_arrives_and_what_was_recorded_is_not_repeated() -> None:
    print(f"seed {SEED}, {KILLS} kills; RELAYGW_SEED and RELAYGW_KILLS repeat or change it")
    with scratch() as folder:
        told = kills.run(Path(folder), KILLS, SEED)
    assert told["problems"] == []
    assert told["kills"] == KILLS
    assert told["accepted"] >= KILLS  # type: ignore[operator]
