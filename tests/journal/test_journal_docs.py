"""docs/journal.md names every event with every field it may have, and nothing else."""

import re
from pathlib import Path

import attrs
import pytest

from relaygw.core import events
from relaygw.core.events import Event
from relaygw.core.outcome import Outcome
from relaygw.journal.line import event_name

PAGE = Path(__file__).parents[2] / "docs" / "journal.md"
ROWS = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
KINDS = [
    kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
]


def own_fields(kind: type[Event]) -> set[str]:
    names = {field.name for field in attrs.fields(kind)} - {field.name for field in attrs.fields(Event)}
    return names - {"outcome"} | {field.name for field in attrs.fields(Outcome)} if "outcome" in names else names


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_event_is_described(kind: type[Event]) -> None:
    assert set(ROWS[event_name(kind)].split(", ")) == own_fields(kind)


def test_nothing_else_is_described() -> None:
    assert set(ROWS) == {event_name(kind) for kind in KINDS}
