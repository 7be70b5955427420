"""What goes into the database and comes out of it, as values, and how many of them go into one statement."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

import attrs

from relaygw.core.record import Record
from relaygw.interfaces import Settlement
from relaygw.spool.codec import encode_record
from relaygw.spool.sink import Body

T = TypeVar("T")

ROWS = 50
"""Rows per statement: few statements for a batch, few different statements to prepare."""


@attrs.frozen(kw_only=True)
class Entry:
    """A message to be stored: the record, its text, its body, and until when it is claimed."""

    record: Record
    text: str
    body: Body
    lease: float = 0.0


def make_entry(record: Record, body: Body, lease: float = 0.0) -> Entry:
    return Entry(record=record, text=encode_record(record), body=body, lease=lease)


@attrs.frozen(kw_only=True)
class RecordChange:
    """A record as it is to be from now on: its text, when it is due, and whether the claim on it ends."""

    queue_id: str
    text: str
    due: float
    release: bool


def change_of(settlement: Settlement, text: str) -> RecordChange:
    """What a settlement changes that neither adds nor removes; `text` is its record's."""
    record = settlement.record
    return RecordChange(queue_id=record.queue_id, text=text, due=record.due, release=settlement.release)


@attrs.frozen
class Damage:
    """A message that was set aside, and why."""

    queue_id: str
    error: str


def parts(values: Sequence[T], rows: int = ROWS) -> Iterator[Sequence[T]]:
    """As many as go into one statement."""
    for start in range(0, len(values), rows):
        yield values[start : start + rows]


@lru_cache(maxsize=1024)
def expand(query: str, width: int, rows: int = 1) -> str:
    """The query with `?*` replaced by so many rows of so many placeholders."""
    row = "(" + ", ".join("?" * width) + ")"
    return query.replace("?*", ", ".join([row] * rows))
