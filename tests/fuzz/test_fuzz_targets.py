"""Every fuzz target takes its seeds and what lies near them; the long runs are `run.py`'s."""

import importlib
import random
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("fuzz_*.py"))


@pytest.fixture
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module(request.param)


@pytest.mark.parametrize("target", NAMES, indirect=True)
def test_seeds_and_their_neighbours(target: Any) -> None:
    chance = random.Random(1)
    for seed in target.SEEDS:
        target.one_input(seed)
        for _ in range(50):
            changed = bytearray(seed)
            for _ in range(chance.randint(1, 4)):
                place = chance.randrange(len(changed) + 1)
                changed[place : place + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
            target.one_input(bytes(changed))


def test_there_is_one_for_each_parser_of_strangers() -> None:
    clients = {"fuzz_command", "fuzz_address", "fuzz_parameters", "fuzz_proxy", "fuzz_imap_commands"}
    sasl = {"fuzz_sasl", "fuzz_scram", "fuzz_saslprep"}
    servers = {"fuzz_replies", "fuzz_dns_answers", "fuzz_policies", "fuzz_key_record", "fuzz_spf"}
    messages = {"fuzz_authors", "fuzz_signatures", "fuzz_stored_messages", "fuzz_reports"}
    assert clients | sasl | servers | messages <= set(NAMES)
