"""An account's directory: its folders, what is open of them, copying between them. Blocking; for the account's lane."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from relaygw.durable import sync_directory
from relaygw.mailbox import maildir
from relaygw.mailbox.index import Index
from relaygw.mailbox.maildir import CUR, Name
from relaygw.mailbox.message import Message
from relaygw.mailbox.names import folder_directory, folder_name
from relaygw.mailbox.state import FolderState
from relaygw.mailbox.values import DELIMITER, INBOX, BadFolderName, FolderExists, FolderStatus, NoSuchFolder, StoreError

_SUBSCRIPTIONS = "subscriptions"
_REMOVED = "..removed-"
"""A directory on its way out: no folder's name (its first part is empty), and swept up when the account is opened."""


class AccountFiles:
    """The blocking half of AccountStore. The index is open while something needs it."""

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._open_index: Index | None = None
        self._states: dict[str, FolderState] = {}

    @property
    def _index(self) -> Index:
        if self._open_index is None:
            self._open_index = Index(self._path)
        return self._open_index

    def prepare(self) -> None:
        """Make the account's maildir; clear away what crashes left."""
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        maildir.make_maildir(self._path, folder=False)
        maildir.sweep(self._path, self._clock())
        for name in os.listdir(self._path):
            if name.startswith(_REMOVED):
                shutil.rmtree(os.path.join(self._path, name), ignore_errors=True)

    def close(self, force: bool = False) -> None:
        """Let go of the index, unless a folder is open."""
        if self._open_index is not None and (force or not self._states):
            self._open_index.close()
            self._open_index = None

    def folders(self) -> tuple[str, ...]:
        found = []
        for directory in os.listdir(self._path):
            name = folder_name(directory)
            if name is not None and maildir.is_maildir(os.path.join(self._path, directory)):
                found.append(name)
        return (INBOX, *sorted(found))

    def _directory(self, name: str) -> str:
        directory = folder_directory(name)
        return os.path.join(self._path, directory) if directory else self._path

    def _exists(self, name: str) -> bool:
        return name == INBOX or maildir.is_maildir(self._directory(name))

    def open(self, name: str) -> FolderState:
        """The folder's state, refreshed, held until `release`."""
        state = self._state(name)
        state.holders += 1
        return state

    def release(self, state: FolderState) -> None:
        state.holders -= 1
        if not state.holders and self._states.get(state.row.name) is state:
            del self._states[state.row.name]

    def _state(self, name: str) -> FolderState:
        """The state held by somebody, or a passing one."""
        if not self._exists(name):
            raise NoSuchFolder(f"there is no folder {name!r}")
        state = self._states.get(name)
        if state is None or state.deleted:
            state = FolderState(self._directory(name), self._index, name, self._clock)
            maildir.sweep(state.path, self._clock())
        state.refresh()
        self._states[name] = state
        return state

    @contextlib.contextmanager
    def _passing(self, name: str) -> Iterator[FolderState]:
        state = self.open(name)
        try:
            yield state
        finally:
            self.release(state)

    def status(self, name: str) -> FolderStatus:
        with self._passing(name) as state:
            return state.status()

    def create(self, name: str) -> None:
        if self._exists(name):
            raise FolderExists(f"there is a folder {name!r} already")
        self._index.forget(name)
        maildir.make_maildir(self._directory(name), folder=True)

    def delete(self, name: str) -> None:
        """Out of sight in one step, then file by file."""
        if name == INBOX:
            raise StoreError("INBOX cannot be deleted")
        if not self._exists(name):
            raise NoSuchFolder(f"there is no folder {name!r}")
        away = tempfile.mkdtemp(prefix=_REMOVED, dir=self._path)
        os.rename(self._directory(name), os.path.join(away, "folder"))
        sync_directory(self._path)
        state = self._states.pop(name, None)
        if state is not None:
            state.vanish()
        self._index.forget(name)
        shutil.rmtree(away, ignore_errors=True)

    def rename(self, old: str, new: str) -> None:
        if old == INBOX:
            self.create(new)
            with self._passing(INBOX) as inbox:
                self.move(inbox, inbox.uids, new, None)
            return
        if self._exists(new):
            raise FolderExists(f"there is a folder {new!r} already")
        if new.startswith(old + DELIMITER):
            raise BadFolderName("a folder cannot move below itself")
        pairs = [(name, new + name[len(old) :]) for name in self.folders() if _at_or_below(name, old)]
        if not pairs:
            raise NoSuchFolder(f"there is no folder {old!r}")
        if any(self._exists(target) for _, target in pairs):
            raise FolderExists(f"there is a folder below {new!r} already")
        self._rename_all(pairs)

    def _rename_all(self, pairs: list[tuple[str, str]]) -> None:
        for _, new in pairs:
            folder_directory(new)  # a name too long is found before anything moves
        for old, new in pairs:
            os.rename(self._directory(old), self._directory(new))
        sync_directory(self._path)
        self._index.rename(pairs)
        for old, new in pairs:
            state = self._states.pop(old, None)
            if state is not None:
                state.renamed(new, self._directory(new))
                self._states[new] = state

    def copy(self, source: FolderState, uids: Iterable[int], target: str, origin: object | None) -> dict[int, int]:
        """Hard links: a message is never changed in place, and its date goes with it."""
        source.refresh()
        with self._passing(target) as there:
            messages = source.existing(uids)
            made: list[tuple[Message, str]] = []
            try:
                for message in messages:
                    made.append((message, self._link(source, message, there)))
                new = there.take(made, origin)
            except BaseException:
                for _, name in made:
                    maildir.discard(os.path.join(there.path, CUR, name))
                raise
            there_uids = dict(zip((message.entry.uid for message in messages), new, strict=True))
            there.inherit(source, there_uids)
            return there_uids

    def _link(self, source: FolderState, message: Message, target: FolderState) -> str:
        name = _fresh_name(message)
        path = os.path.join(target.path, CUR, name)
        if source.on_file(message.entry.uid, lambda old: _link_or_copy(old, path, target.path)) is None:
            raise StoreError("a message to be copied has just been expunged")
        return name

    def move(self, source: FolderState, uids: Iterable[int], target: str, origin: object | None) -> dict[int, int]:
        """Each file is renamed: it is in one folder or the other, whatever stops us."""
        source.refresh()
        with self._passing(target) as there:
            moved: list[tuple[Message, str]] = []
            for message in source.existing(uids):
                name = _fresh_name(message)
                path = os.path.join(there.path, CUR, name)
                if source.on_file(message.entry.uid, partial(_rename, path)):
                    moved.append((message, name))
            old_uids = [message.entry.uid for message, _ in moved]
            there_uids = dict(zip(old_uids, there.take(moved, origin), strict=True))
            there.inherit(source, there_uids)
            source.give(old_uids, origin)
            return there_uids

    def subscriptions(self) -> tuple[str, ...]:
        """From the file Dovecot keeps: one directory name without its first dot a line."""
        try:
            with open(os.path.join(self._path, _SUBSCRIPTIONS), encoding="utf-8", errors="replace") as file:
                lines = file.read().split("\n")
        except FileNotFoundError:
            return ()
        names = (INBOX if line.upper() == INBOX else folder_name("." + line) for line in lines if line)
        return tuple(sorted({name for name in names if name is not None}))

    def subscribe(self, name: str, wanted: bool) -> None:
        names = set(self.subscriptions())
        if (name in names) is wanted:
            return
        names ^= {name}
        text = "".join(f"{folder_directory(entry)[1:] or INBOX}\n" for entry in sorted(names))
        written = maildir.write_message(self._path, [text.encode("ascii")])
        os.replace(written.temporary, os.path.join(self._path, _SUBSCRIPTIONS))
        sync_directory(self._path)


def _at_or_below(name: str, parent: str) -> bool:
    return name == parent or name.startswith(parent + DELIMITER)


def _fresh_name(message: Message) -> str:
    """A file name of its own for a copy, with the flags of the message."""
    measured = f",S={message.octets},W={message.entry.size}"
    return str(Name(maildir.unique_base() + measured).flagged(message.entry.flags))


def _rename(new: str, old: str) -> bool:
    os.rename(old, new)
    return True


def _link_or_copy(old: str, new: str, target: str) -> bool:
    try:
        os.link(old, new)
    except FileNotFoundError:
        raise
    except OSError:
        # Too many links, or a file system without: the long way. The date is the file's time.
        with open(old, "rb") as file:
            written = maildir.write_message(target, iter(lambda: file.read(65536), b""), os.stat(old).st_mtime)
        os.rename(written.temporary, new)
    return True
