"""One folder between its maildir and its index: scanning, uids, flags, expunging. Blocking; for the account's lane.

The maildir is the truth: what another program added is adopted, what it renamed is followed, what it removed is
expunged. Uids come from the index and are counted up, never used twice. Whatever fails half way is found by the next
scan. Changes are collected for the reactor side, which takes them between two jobs.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

import attrs

from relaygw.mailbox import maildir
from relaygw.mailbox.index import FolderRow, Index, MessageRow
from relaygw.mailbox.maildir import CUR, NEW, Measured, Name, StoredContent, Written, parse_name
from relaygw.mailbox.values import (
    Cached,
    Change,
    Entry,
    FlagMode,
    Flags,
    FolderStatus,
    Flag,
    Keywords,
    NoSuchFolder,
    NoSuchMessage,
)

_SETTLED = 2.0
"""Seconds after which a directory's time can be trusted to show a change: the coarsest clock of a file system."""

_SCANS = 5
"""Listings in a row of a directory that changes while it is read."""


@attrs.frozen
class Message:
    """A message and its file: `place` is "new" or "cur", `octets` what the file has."""

    entry: Entry
    place: str
    name: str
    octets: int


@lru_cache(4096)
def _flags(name_letters: str) -> Flags:
    return Name("", name_letters).flags


@lru_cache(4096)
def _keywords(text: str) -> Keywords:
    return frozenset(text.split())


def _message(row: MessageRow) -> Message:
    entry = Entry(
        uid=row.uid,
        flags=_flags(parse_name(row.name).letters or ""),
        keywords=_keywords(row.keywords),
        size=row.size,
        internal_date=row.date,
        modseq=row.modseq,
        recent=row.place == NEW,
    )
    return Message(entry, row.place, row.name, row.octets)


def _row(message: Message) -> MessageRow:
    entry = message.entry
    return MessageRow(
        uid=entry.uid,
        place=message.place,
        name=message.name,
        keywords=" ".join(sorted(entry.keywords)),
        octets=message.octets,
        size=entry.size,
        date=entry.internal_date,
        modseq=entry.modseq,
    )


class FolderState:
    """Not for two threads at a time. `row` holds the counters as last saved."""

    def __init__(self, path: str, index: Index, name: str, clock: Callable[[], float]) -> None:
        self.path = path
        self.row: FolderRow = index.folder(name, clock())
        self.holders = 0
        self.stale = True
        self.deleted = False
        self._index = index
        self._clock = clock
        self._messages: dict[int, Message] = {}
        self._names: dict[str, dict[str, int]] = {NEW: {}, CUR: {}}
        self._bases: dict[str, int] = {}
        self._changes: list[Change] = []
        self._stamp: tuple[int, int] | None = None
        for row in index.messages(self.row.id):
            self._put(_message(row))

    # --- what the reactor side takes between two jobs ---

    @property
    def modseq(self) -> int:
        return self.row.modseq

    def snapshot(self) -> tuple[Entry, ...]:
        self.stale = False
        return tuple(message.entry for message in self._messages.values())

    def take_changes(self) -> tuple[Change, ...]:
        changes, self._changes = tuple(self._changes), []
        return changes
