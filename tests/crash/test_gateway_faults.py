"""The real process on a disk whose calls fail, and cut off from power at any of them (gateways.py)."""

import os
from pathlib import Path

import pytest
from gateways import Campaign
from shim import Unavailable, build, scratch

LIVES = int(os.environ.get("RELAYGW_LIVES", "6"))
SEED = int(os.environ.get("RELAYGW_SEED", "20"))

pytestmark = pytest.mark.crash


@pytest.mark.timeout(1800)
def test_what_got_250_on_a_failing_disk_is_there_after_a_power_cut_and_arrives_when_the_disk_is_well() -> None:
    try:
        build()
    except Unavailable as error:
        if os.environ.get("RELAYGW_REQUIRE_PEERS") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
    print(f"seed {SEED}, {LIVES} lives; RELAYGW_SEED and RELAYGW_LIVES repeat or change it")
    with scratch() as folder:
        tally = Campaign(Path(folder), SEED).run(LIVES, 10 * LIVES)
    assert tally.problems == []
    assert tally.lives + tally.not_started == LIVES
