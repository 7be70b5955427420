"""Removals, their return and upgrades survive power cuts at any moment: nobody is lost, nobody is there twice."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shim import Unavailable, preloaded, scratch

FOLDER = Path(__file__).parent
CUTS = int(os.environ.get("RELAYGW_TRASH_CUTS", "150"))
SEED = int(os.environ.get("RELAYGW_SEED", "20"))

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]


def told(script: str, *options: str) -> Any:
    """What a script under the shim found; without a compiler there is nothing to see here, but in CI there is one."""
    try:
        environment = preloaded()
    except Unavailable as error:
        if os.environ.get("RELAYGW_REQUIRE_PEERS") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
    with scratch() as folder:
        command = [sys.executable, str(FOLDER / script), str(folder), str(SEED), *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_what_was_removed_or_brought_back_is_where_it_was_put() -> None:
    found = told("trash_cuts.py", str(CUTS))
    assert found["problems"] == [], f"seed {SEED}"
    assert found["cuts"] == CUTS
    assert found["orders"] > 100


def test_an_upgrade_leaves_the_old_spool_or_the_new_one() -> None:
    found = told("upgrade_cuts.py")
    assert found["problems"] == [], f"seed {SEED}"
    assert found["cuts"] > 10
