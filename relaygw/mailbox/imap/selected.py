"""What one session believes about the mailbox it has selected, and the news it has not been told yet.

The client's sequence numbers are places in a list of UIDs that changes only when the client is told (RFC 3501 7.4.1):
`news` makes the untagged answers and takes the changes over in one step. Lives in the reactor thread.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from relaygw.mailbox.folder import Folder
from relaygw.mailbox.imap.render import parenthesized
from relaygw.mailbox.values import Change, Entry, Flag, Flags, Keywords

FLAG_NAMES: Mapping[Flag, str] = {
    Flag.ANSWERED: "\\Answered",
    Flag.FLAGGED: "\\Flagged",
    Flag.DELETED: "\\Deleted",
    Flag.SEEN: "\\Seen",
    Flag.DRAFT: "\\Draft",
    Flag.PASSED: "$Forwarded",
}
_FLAGS = {name.lower(): flag for flag, name in FLAG_NAMES.items()}
_ORDER = tuple(FLAG_NAMES)


def split_flags(names: Iterable[str]) -> tuple[Flags, Keywords]:
    """Flags as the store knows them, and the keywords that are left."""
    flags, keywords = set(), set()
    for name in names:
        if name.lower() in _FLAGS:
            flags.add(_FLAGS[name.lower()])
        else:
            keywords.add(name)
    return frozenset(flags), frozenset(keywords)


class FlagTexts:
    """Flag lists as they go over the wire. Few differ, so each is made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[Flags, Keywords, bool], bytes] = {}

    def text(self, flags: Flags, keywords: Keywords, recent: bool) -> bytes:
        """`(\\Seen $Junk)`."""
        key = (flags, keywords, recent)
        found = self._made.get(key)
        if found is None:
            if len(self._made) > 1000:
                self._made.clear()
            names = [FLAG_NAMES[flag] for flag in _ORDER if flag in flags] + sorted(keywords)
            names += ["\\Recent"] if recent else []
            found = self._made[key] = parenthesized(name.encode("ascii", "replace") for name in names)
        return found


class Selected:
    """Watches a folder from its making to `close`. `told` is called when there is news, at any time."""

    def __init__(self, folder: Folder, read_only: bool, told: Callable[[], None]) -> None:
        self.folder = folder
        self.read_only = read_only
        self.recent: set[int] = set()
        self._told = told
        self._texts = FlagTexts()
        self._uids = [entry.uid for entry in folder.messages()]
        self._highest = self._uids[-1] if self._uids else 0
        self._keywords = _keywords(folder.messages())
        self._gone: set[int] = set()
        self._changed: set[int] = set()
        self._grown = False
        self._snapshot: tuple[Entry, ...] | None = None
        self._entries: dict[int, Entry] = {}
        folder.watch(self._observe)

    def unwatch(self) -> None:
        """No more news."""
        self.folder.unwatch(self._observe)

    @property
    def exists(self) -> int:
        """How many messages the client knows of."""
        return len(self._uids)

    @property
    def uids(self) -> Sequence[int]:
        """The UIDs of those messages, rising; one that is gone stays until the client is told."""
        return self._uids

    def number(self, uid: int) -> int:
        """The sequence number of a UID that is in `uids`."""
        return bisect_left(self._uids, uid) + 1

    @property
    def entries(self) -> Mapping[int, Entry]:
        """The messages as they are now, by UID."""
        snapshot = self.folder.messages()
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._entries = {entry.uid: entry for entry in snapshot}
        return self._entries

    def flags(self, entry: Entry) -> bytes:
        """The flag list of a message, with what is \\Recent to this session."""
        return self._texts.text(entry.flags, entry.keywords, self.is_recent(entry))

    def is_recent(self, entry: Entry) -> bool:
        """Whether the message is \\Recent to this session; one that only looks claims nothing (RFC 3501 6.3.2)."""
        return entry.uid in self.recent or (self.read_only and entry.recent)

    def flags_told(self, uid: int) -> None:
        """The client has just been shown this message's flags."""
        self._changed.discard(uid)

    async def claim_recent(self) -> None:
        """What arrived since the last session looked is \\Recent to us, and to nobody else (RFC 3501 2.3.2)."""
        if not self.read_only and any(entry.recent for entry in self.folder.messages()):
            self.recent |= await self.folder.claim_recent(self)

    async def settle(self) -> None:
        """Before `news`: claim what has arrived."""
        if self._grown:
            await self.claim_recent()

    @property
    def recent_count(self) -> int:
        """How many of the messages the client knows of are \\Recent to it."""
        entries = self.entries
        return sum(self.is_recent(entries[uid]) for uid in self._uids if uid in entries)

    @property
    def first_unseen(self) -> int:
        """The sequence number of the first message without \\Seen; 0: there is none."""
        entries = self.entries
        unseen = (uid for uid in self._uids if uid in entries and Flag.SEEN not in entries[uid].flags)
        uid = next(unseen, 0)
        return self.number(uid) if uid else 0

    def flag_lists(self) -> tuple[bytes, bytes]:
        """What FLAGS and PERMANENTFLAGS say."""
        names = [name.encode("ascii", "replace") for name in (*FLAG_NAMES.values(), *sorted(self._keywords))]
        return parenthesized(names), parenthesized(() if self.read_only else (*names, b"\\*"))

    def spelled(self, keywords: Keywords) -> Keywords:
        """Keywords in the spelling this folder uses already: they differ in case only by accident."""
        known = {keyword.lower(): keyword for keyword in self._keywords}
        return frozenset(known.get(keyword.lower(), keyword) for keyword in keywords)

    def learn(self, keywords: Iterable[str]) -> list[bytes]:
        """What to say before keywords the client has not seen in this mailbox show up (RFC 3501 7.2.6)."""
        new = set(keywords) - self._keywords
        if not new:
            return []
        self._keywords |= new
        flags, permanent = self.flag_lists()
        return [b"* FLAGS " + flags, b"* OK [PERMANENTFLAGS " + permanent + b"] New keywords"]

    @property
    def has_news(self) -> bool:
        return bool(self._gone or self._changed or self._grown)

    def _observe(self, change: Change) -> None:
        self._gone.update(change.expunged)
        self._grown = self._grown or bool(change.added)
        if change.origin is not self:
            self._changed.update(entry.uid for entry in change.changed)
        self._told()

    def news(self, expunges: bool) -> list[bytes]:
        """The untagged answers that bring the client up to date; without `expunges` messages that are gone stay."""
        lines = self._tell_gone() if expunges and self._gone else []
        if self._grown:
            lines += self._tell_grown()
        if self._changed:
            lines += self._tell_changed()
        return lines

    def _tell_gone(self) -> list[bytes]:
        gone = self._gone
        places = [place for place, uid in enumerate(self._uids) if uid in gone]
        self._gone = set()
        self._uids = [uid for uid in self._uids if uid not in gone]
        self.recent -= gone
        self._changed -= gone
        # From the last to the first: no number told here is changed by another told here.
        return [b"* %d EXPUNGE" % (place + 1) for place in reversed(places)]

    def _tell_grown(self) -> list[bytes]:
        self._grown = False
        # UIDs only rise. One that came and went untold is in no snapshot any more, and never gets a number.
        new = [entry for entry in self.folder.messages() if entry.uid > self._highest]
        self._uids += [entry.uid for entry in new]
        self._highest = self._uids[-1] if new else self._highest
        lines = self.learn(keyword for entry in new for keyword in entry.keywords)
        return [*lines, b"* %d EXISTS" % self.exists, b"* %d RECENT" % self.recent_count]

    def _tell_changed(self) -> list[bytes]:
        entries = self.entries
        known = [entries[uid] for uid in sorted(self._changed) if uid in entries and self._knows(uid)]
        self._changed.clear()
        lines = self.learn(keyword for entry in known for keyword in entry.keywords)
        for entry in known:
            lines.append(b"* %d FETCH (UID %d FLAGS %b)" % (self.number(entry.uid), entry.uid, self.flags(entry)))
        return lines

    def _knows(self, uid: int) -> bool:
        place = bisect_left(self._uids, uid)
        return place < len(self._uids) and self._uids[place] == uid


def _keywords(entries: Iterable[Entry]) -> set[str]:
    found: set[str] = set()
    for entry in entries:
        found |= entry.keywords
    return found
