"""Removals and their return survive power cuts at any moment: nobody is lost, nobody is there twice, octets stay."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from shim import Unavailable, preloaded, scratch

SCRIPT = Path(__file__).with_name("trash_cuts.py")
CUTS = int(os.environ.get("RELAYGW_TRASH_CUTS", "150"))
SEED = int(os.environ.get("RELAYGW_SEED", str(random.SystemRandom().randrange(10**6))))

pytestmark = pytest.mark.crash


def test_what_was_removed_or_brought_back_is_where_it_was_put() -> None:
    try:
        environment = preloaded()
    except Unavailable as error:
        if os.environ.get("RELAYGW_REQUIRE_PEERS") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
    with scratch() as folder:
        command = [sys.executable, str(SCRIPT), str(folder), str(SEED), str(CUTS)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["problems"] == [], f"seed {SEED}"
    assert told["cuts"] == CUTS
    assert told["orders"] > 100
