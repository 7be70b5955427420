"""docs/cli.md names every verb, every exit code and every address of the control socket."""

from pathlib import Path

import pytest
from operators import NOW, Office

from relaygw.cli import queue
from relaygw.cli.main import VERBS
from relaygw.control.app import ControlApp

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_section(verb: str) -> None:
    assert f"\n## relaygw {verb}" in TEXT


@pytest.mark.parametrize("verb", queue.ORDERS)
def test_every_order_is_explained(verb: str) -> None:
    assert f"`{verb}`" in TEXT


def test_every_address_of_the_socket_is_named() -> None:
    rules = list(ControlApp(Office().parts, NOW).app.url_map.iter_rules())
    assert len(rules) > 20
    for rule in rules:
        place = rule.rule.replace("<queue_id>", "ID").replace("<verb>", "VERB").replace("<name>", "NAME")
        assert f"{place}`" in TEXT or f"{place}?" in TEXT, place
