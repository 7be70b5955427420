"""The messages of one folder in memory: by uid, by the names of their files, and by what of a name stays when another
program renames it. Knows nothing of directories and of the index."""

from collections.abc import Iterator

from relaygw.mailbox.maildir import CUR, NEW, Listing, parse_name
from relaygw.mailbox.message import Message
from relaygw.mailbox.values import Entry


class Shelf:
    """`messages` by uid, to be read; `put` and `remove` change it."""

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        self._names: dict[str, dict[str, int]] = {NEW: {}, CUR: {}}
        self._bases: dict[str, int] = {}

    def entries(self) -> tuple[Entry, ...]:
        """What clients are told of each."""
        return tuple(message.entry for message in self.messages.values())

    def put(self, message: Message) -> None:
        """Add it, or put it in the place of what was known of it."""
        uid = message.entry.uid
        old = self.messages.get(uid)
        if old is not None:
            self._names[old.place].pop(old.name, None)
        self.messages[uid] = message
        self._names[message.place][message.name] = uid
        self._bases[parse_name(message.name).base] = uid

    def remove(self, uid: int) -> None:
        message = self.messages.pop(uid)
        self._names[message.place].pop(message.name, None)
        self._bases.pop(parse_name(message.name).base, None)

    def uids_in(self, place: str) -> list[int]:
        """Those whose files are there."""
        return list(self._names[place].values())

    def missing(self, listing: Listing) -> set[int]:
        """The uids of files that do not stand where they stood."""
        return {names[text] for place, names in self._names.items() for text in names.keys() - listing[place]}

    def unfamiliar(self, listing: Listing) -> Iterator[tuple[str, str, int | None]]:
        """The place and name of files that did not stand there, with the uid that the rest of the name belongs to."""
        for place in (NEW, CUR):
            for text in listing[place] - self._names[place].keys():
                yield place, text, self._bases.get(parse_name(text).base)
