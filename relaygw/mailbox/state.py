"""One folder between its maildir and its index: scanning, uids, flags, expunging. Blocking; for the account's lane.

The maildir is the truth: what another program added is adopted, what it renamed is followed, what it removed is
expunged. Uids come from the index and are counted up, never used twice. Whatever fails half way is found by the next
scan. Changes are collected for the reactor side, which takes them between two jobs.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import attrs

from relaygw.durable import sync_directory
from relaygw.mailbox import maildir
from relaygw.mailbox.index import FolderRow, Index
from relaygw.mailbox.maildir import CUR, NEW, Listing, Measured, Name, StoredContent, Written, parse_name
from relaygw.mailbox.message import Message, flags_of, from_row, to_row
from relaygw.mailbox.shelf import Shelf
from relaygw.mailbox.values import (
    INBOX,
    Cached,
    Change,
    Entry,
    FlagMode,
    Flags,
    FolderStatus,
    Keywords,
    NoSuchFolder,
    NoSuchMessage,
    StoreError,
)

T = TypeVar("T")

_SETTLED = 2.0
"""Seconds after which a directory's time can be trusted to show a change: the coarsest clock of a file system."""

_CHASES = 5
"""How often in a row a file is looked for that another program moves."""


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
        self._shelf = Shelf()
        self._messages: Mapping[int, Message] = self._shelf.messages
        self._changes: list[Change] = []
        self._stamp: tuple[int, int] | None = None
        for row in index.messages(self.row.id):
            self._shelf.put(from_row(row))

    # --- what the reactor side takes between two jobs ---

    @property
    def modseq(self) -> int:
        return self.row.modseq

    @property
    def uids(self) -> tuple[int, ...]:
        return tuple(self._messages)

    def snapshot(self) -> tuple[Entry, ...]:
        self.stale = False
        return self._shelf.entries()

    def take_changes(self) -> tuple[Change, ...]:
        changes, self._changes = tuple(self._changes), []
        return changes

    # --- finding what other programs did ---

    def refresh(self, force: bool = False) -> None:
        """Follow the maildir; costs two stat calls where nothing changed."""
        if self.deleted:
            raise NoSuchFolder("the folder is gone")
        if not force and self._stamp is not None and maildir.stamp(self.path) == self._stamp:
            return
        if self.row.name != INBOX and not maildir.is_maildir(self.path):
            self.vanish()
            raise NoSuchFolder("the folder is gone")
        listing, stamp = maildir.list_all(self.path)
        self._follow(listing)
        quiet_since = max(stamp) / 1e9 if stamp else float("inf")
        self._stamp = stamp if self._clock() - quiet_since > _SETTLED else None

    def _follow(self, listing: Listing) -> None:
        lost = self._shelf.missing(listing)
        renamed: list[Message] = []
        strangers: dict[str, tuple[str, str]] = {}
        for place, text, uid in self._shelf.unfamiliar(listing):
            if uid is None:
                strangers[parse_name(text).base] = (place, text)
            elif uid in lost:
                lost.discard(uid)
                renamed.append(self._renamed(self._messages[uid], place, text))
        if lost:
            # A name may be missed when it is renamed while the directory is read: gone is what is missing twice.
            again, _ = maildir.list_all(self.path)
            bases = {parse_name(text).base for names in again.values() for text in names}
            lost = {uid for uid in lost if parse_name(self._messages[uid].name).base not in bases}
        self._commit(renamed=renamed, added=self._adopt(strangers.values()), gone=sorted(lost))

    def _adopt(self, files: Iterable[tuple[str, str]]) -> list[Message]:
        """New messages for files without a uid, oldest first."""
        adopted: list[Message] = []
        uid = self.row.uid_next
        for place, text in sorted(files, key=lambda file: maildir.arrival_order(file[1])):
            path = os.path.join(self.path, place, text)
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(path)
                if stat.S_ISREG(status.st_mode):
                    message = self._new(uid, place, text, maildir.measure(path), status.st_mtime)
                    adopted.append(message)
                    uid += 1
        return adopted

    def _new(
        self, uid: int, place: str, name: str, measured: Measured, date: float, keywords: Keywords = frozenset()
    ) -> Message:
        entry = Entry(
            uid=uid,
            flags=flags_of(parse_name(name).letters or ""),
            keywords=keywords,
            size=measured.size,
            internal_date=date,
            modseq=self.row.modseq + 1,
            recent=place == NEW,
        )
        return Message(entry, place, name, measured.octets)

    def _renamed(self, message: Message, place: str, text: str) -> Message:
        flags = flags_of(parse_name(text).letters or "")
        modseq = message.entry.modseq if flags == message.entry.flags else self.row.modseq + 1
        entry = attrs.evolve(message.entry, flags=flags, modseq=modseq, recent=place == NEW)
        return Message(entry, place, text, message.octets)

    # --- operations ---

    def status(self) -> FolderStatus:
        return FolderStatus.of(
            self._shelf.entries(),
            uid_next=self.row.uid_next,
            uid_validity=self.row.validity,
            highest_modseq=self.modseq,
        )

    def content(self, uid: int) -> StoredContent:
        """The bytes of a message; raises NoSuchMessage."""
        file = self.on_file(uid, lambda path: open(path, "rb", buffering=0))  # noqa: SIM115  the content closes it
        if file is None:
            raise NoSuchMessage("the message has been expunged")
        try:
            return StoredContent(file, self._measured(uid, os.fstat(file.fileno()).st_size))
        except BaseException:
            file.close()
            raise

    def contents(self, uids: Iterable[int]) -> dict[int, StoredContent]:
        """The bytes of several messages, without those that are gone."""
        found: dict[int, StoredContent] = {}
        for uid in uids:
            with contextlib.suppress(NoSuchMessage):
                found[uid] = self.content(uid)
        return found

    def _measured(self, uid: int, octets: int) -> Measured:
        """The message's measures, taken again where somebody rewrote its file in place."""
        message = self._messages[uid]
        if octets != message.octets:
            measured = maildir.measure(os.path.join(self.path, message.place, message.name))
            entry = attrs.evolve(message.entry, size=measured.size, modseq=self.row.modseq + 1)
            message = attrs.evolve(message, entry=entry, octets=measured.octets)
            self._commit(changed=[message])
        return Measured(octets=message.octets, size=message.entry.size)

    def register(self, written: Written, flags: Flags, keywords: Keywords, origin: object | None) -> int:
        """Make a written message visible and give it a uid. Without flags it waits in `new`, as a delivery does."""
        if self.deleted:
            maildir.discard(written.temporary)
            raise NoSuchFolder("the folder is gone")
        with self._careful():
            date = os.stat(written.temporary).st_mtime
            place = CUR if flags else NEW
            name = Name(written.base).flagged(flags) if flags else Name(written.base)
            maildir.publish(written, self.path, place, name)
            uid = self.row.uid_next
            message = self._new(uid, place, str(name), written.measured, date, keywords)
            self._commit(added=[message], origin=origin)
        return uid

    def store_flags(
        self,
        uids: Sequence[int],
        mode: FlagMode,
        flags: Flags,
        keywords: Keywords,
        unchanged_since: int | None,
        origin: object | None,
    ) -> tuple[int, ...]:
        """Answers the uids refused because of `unchanged_since`."""
        self.refresh()
        changed: list[Message] = []
        refused: list[int] = []
        with self._careful():
            for uid in uids:
                message = self._messages.get(uid)
                if message is None:
                    continue
                if unchanged_since is not None and message.entry.modseq > unchanged_since:
                    refused.append(uid)
                    continue
                result = self._reflag(uid, mode, flags, keywords)
                if result is not None:
                    changed.append(result)
            self._commit(changed=changed, origin=origin)
        return tuple(refused)

    def _reflag(self, uid: int, mode: FlagMode, flags: Flags, keywords: Keywords) -> Message | None:
        """The message with its file renamed; None where nothing changes or it is gone."""

        def rename(path: str) -> Message | None:
            message = self._messages[uid]  # as it is now: flags that another program just set are not lost
            entry = message.entry
            evolved = attrs.evolve(
                entry,
                flags=mode.combined(entry.flags, flags),
                keywords=mode.combined(entry.keywords, keywords),
                modseq=self.row.modseq + 1,
            )
            if evolved.flags == entry.flags:
                return attrs.evolve(message, entry=evolved) if evolved.keywords != entry.keywords else None
            text = str(parse_name(message.name).flagged(evolved.flags))
            os.rename(path, os.path.join(self.path, CUR, text))
            return Message(attrs.evolve(evolved, recent=False), CUR, text, message.octets)

        return self.on_file(uid, rename)

    def claim_recent(self, origin: object | None) -> frozenset[int]:
        """Move what waits in `new` to `cur`; nobody is told, as \\Recent is each session's own."""
        self.refresh()
        renamed: list[Message] = []
        with self._careful():
            for uid in self._shelf.uids_in(NEW):
                message = self.on_file(uid, partial(self._to_cur, uid))
                if message is not None:
                    renamed.append(message)
            self._commit(renamed=renamed, origin=origin)
        return frozenset(message.entry.uid for message in renamed)

    def _to_cur(self, uid: int, path: str) -> Message | None:
        message = self._messages[uid]
        if message.place == CUR:
            return None  # another program was faster
        text = str(parse_name(message.name).flagged(message.entry.flags))
        os.rename(path, os.path.join(self.path, CUR, text))
        return self._renamed(message, CUR, text)

    def expunge(self, uids: Iterable[int], origin: object | None) -> tuple[int, ...]:
        """Answers the uids whose files this call removed."""
        self.refresh()
        gone: list[int] = []
        with self._careful():
            for uid in uids:
                if self.on_file(uid, _unlink):
                    gone.append(uid)
            if gone:
                self.sync()
            self._commit(gone=[uid for uid in gone if uid in self._messages], origin=origin)
        return tuple(gone)

    def cached(self, uids: Sequence[int]) -> dict[int, Cached]:
        return self._index.cached(self.row.id, uids)

    def cache(self, values: Mapping[int, Cached]) -> None:
        self._index.cache(self.row.id, [(uid, value) for uid, value in values.items() if uid in self._messages])

    # --- what copying between folders needs (AccountFiles) ---

    def existing(self, uids: Iterable[int]) -> list[Message]:
        """The messages still there, in the order asked for, each once."""
        return [self._messages[uid] for uid in dict.fromkeys(uids) if uid in self._messages]

    def take(self, messages: Sequence[tuple[Message, str]], origin: object | None) -> list[int]:
        """Give uids to files that now lie in `cur` under new names; answers the uids in order."""
        with self._careful():
            self.sync()
            added = [
                Message(
                    attrs.evolve(
                        source.entry, uid=self.row.uid_next + number, modseq=self.row.modseq + 1, recent=False
                    ),
                    CUR,
                    text,
                    source.octets,
                )
                for number, (source, text) in enumerate(messages)
            ]
            self._commit(added=added, origin=origin)
        return [message.entry.uid for message in added]

    def give(self, uids: Sequence[int], origin: object | None) -> None:
        """Forget messages whose files were moved away."""
        with self._careful():
            self.sync()
            self._commit(gone=[uid for uid in uids if uid in self._messages], origin=origin)

    def inherit(self, source: "FolderState", uids: Mapping[int, int]) -> None:
        """What was computed of a message holds for its copy; `uids` are there → here."""
        known = source.cached(tuple(uids))
        self.cache({uids[uid]: value for uid, value in known.items()})

    def renamed(self, name: str, path: str) -> None:
        """The folder has moved; messages and uids are the same."""
        self.row = attrs.evolve(self.row, name=name)
        self.path = path

    def vanish(self) -> None:
        """The folder was deleted: every message is expunged, and nothing works on it any more."""
        self.deleted = True
        self._commit(gone=list(self._messages))

    def sync(self) -> None:
        for place in (NEW, CUR):
            sync_directory(os.path.join(self.path, place))

    # --- the one place where files, index and memory come together ---

    def on_file(self, uid: int, action: Callable[[str], T]) -> T | None:
        """Do something with a message's file, wherever another program has moved it; None: the message is gone."""
        for _ in range(_CHASES):
            message = self._messages.get(uid)
            if message is None:
                return None
            try:
                return action(os.path.join(self.path, message.place, message.name))
            except FileNotFoundError:
                self.refresh(force=True)
        raise StoreError("the message's file keeps moving")

    @contextlib.contextmanager
    def _careful(self) -> Iterator[None]:
        """After a failure half way the next refresh looks at everything."""
        try:
            yield
        except BaseException:
            self._stamp = None
            raise

    def _commit(
        self,
        *,
        added: Sequence[Message] = (),
        changed: Sequence[Message] = (),
        renamed: Sequence[Message] = (),
        gone: Sequence[int] = (),
        origin: object | None = None,
    ) -> None:
        """Index first, then memory, then the news of it. New uids survive power loss before anybody sees them."""
        if not (added or changed or renamed or gone):
            return
        told = [message for message in renamed if message.entry.modseq > self.row.modseq]
        noteworthy = bool(added or changed or told or gone)
        row = attrs.evolve(self.row, modseq=self.row.modseq + noteworthy, uid_next=self.row.uid_next + len(added))
        self._index.save(row, map(to_row, (*added, *changed, *renamed)), gone, durable=bool(added))
        self.row = row
        self.stale = True
        for uid in gone:
            self._shelf.remove(uid)
        for message in (*added, *changed, *renamed):
            self._shelf.put(message)
        change = Change(
            added=tuple(message.entry for message in added),
            changed=tuple(message.entry for message in (*changed, *told)),
            expunged=tuple(gone),
            origin=origin,
        )
        if not change.empty:
            self._changes.append(change)


def _unlink(path: str) -> bool:
    os.unlink(path)
    return True
