"""A message as the index keeps it: an Entry and where its file is. Pure; entries share their sets of flags."""

from functools import lru_cache

import attrs

from relaygw.mailbox.index import MessageRow
from relaygw.mailbox.maildir import NEW, Name, parse_name
from relaygw.mailbox.values import Entry, Flags, Keywords


@attrs.frozen
class Message:
    """A message and its file: `place` is "new" or "cur", `octets` what the file has."""

    entry: Entry
    place: str
    name: str
    octets: int


@lru_cache(4096)
def flags_of(name_letters: str) -> Flags:
    return Name("", name_letters).flags


@lru_cache(4096)
def _keywords(text: str) -> Keywords:
    return frozenset(text.split())


def from_row(row: MessageRow) -> Message:
    entry = Entry(
        uid=row.uid,
        flags=flags_of(parse_name(row.name).letters or ""),
        keywords=_keywords(row.keywords),
        size=row.size,
        internal_date=row.date,
        modseq=row.modseq,
        recent=row.place == NEW,
    )
    return Message(entry, row.place, row.name, row.octets)


def to_row(message: Message) -> MessageRow:
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
