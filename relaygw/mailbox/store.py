"""The mail store: Maildir++ per account, with an index of uids. This module and `values` are its API.

    store = Store(path, reactor, pool)                # one per process: the index of an account has one owner
    account = await store.account("alice")            # Account.mailbox; close() once per call
    folder = await account.open("INBOX")              # shared by all sessions; close() once per open
    folder.messages(); await folder.content(uid); …   # see Folder
    await store.deliver("alice", [b"…"])              # durable when it answers

All file work happens in the pool's threads, in order per account; results and notices arrive in the reactor thread.
Errors are StoreError and OSError: temporary, whatever they say, unless a subclass in `values` means more.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from relaygw.core.content import BytesContent, Content
from relaygw.mailbox.files import AccountFiles
from relaygw.mailbox.folder import Folder
from relaygw.mailbox.incoming import Incoming
from relaygw.mailbox.lane import Lane, Pool, Threads
from relaygw.mailbox.maildir import TMP, StoredContent, deliver, make_maildir
from relaygw.mailbox.names import canonical_folder, check_mailbox, folder_directory, folder_name
from relaygw.mailbox.state import FolderState
from relaygw.mailbox.values import INBOX, FolderStatus, MaildropLocked

__all__ = ["AccountStore", "Folder", "Store"]


class Store:
    """All accounts below `path`. `reactor` gives time and callFromThread; `pool` is a started ThreadPool."""

    def __init__(self, path: str, reactor: Any, pool: Pool) -> None:
        self._path = path
        self._threads = Threads(reactor, pool)
        self._accounts: dict[str, AccountStore] = {}

    async def account(self, mailbox: str) -> "AccountStore":
        """The account with this directory name (Account.mailbox); its maildir is made when it is not there.

        Raises ValueError for a name that is no directory's. `close` it once for each call.
        """
        check_mailbox(mailbox)
        account = self._accounts.get(mailbox)
        if account is None:
            account = AccountStore(mailbox, os.path.join(self._path, mailbox), self._threads, self._forget)
            self._accounts[mailbox] = account
        account.holders += 1
        try:
            await account.ready()
        except BaseException:
            await account.close()
            raise
        return account

    async def deliver(self, mailbox: str, pieces: Iterable[bytes], folder: str = INBOX) -> None:
        """Put a new message into a folder (made when it is not there); when this answers, it survives power loss.

        `pieces` are walked in a thread. Raises OSError: then nothing was delivered.
        """
        check_mailbox(mailbox)
        directory = folder_directory(canonical_folder(folder))
        maildir = os.path.join(self._path, mailbox, directory) if directory else os.path.join(self._path, mailbox)

        def work() -> None:
            os.makedirs(self._path, mode=0o700, exist_ok=True)
            if directory:
                make_maildir(os.path.join(self._path, mailbox), folder=False)
            make_maildir(maildir, folder=bool(directory))
            deliver(maildir, pieces)

        await self._threads.call(work)
        if mailbox in self._accounts:
            self._accounts[mailbox].arrived(canonical_folder(folder))

    async def folder_like(self, mailbox: str, name: str) -> str:
        """The folder of this name in any case, "" where the mailbox has none. Raises OSError."""
        path = os.path.join(self._path, check_mailbox(mailbox))

        def look() -> str:
            try:
                directories = os.listdir(path)
            except FileNotFoundError:
                return ""
            found = sorted(filter(None, map(folder_name, directories)))
            return next((each for each in found if each.casefold() == name.casefold()), "")

        return await self._threads.call(look)

    async def read(self, content: Content, start: int = 0) -> AsyncIterator[bytes]:
        """The content's bytes from `start`, read in threads, in pieces of at most 64 KiB or so."""
        pieces = content.chunks(start)
        if isinstance(content, BytesContent) or (isinstance(content, StoredContent) and content.in_memory):
            for piece in pieces:
                yield piece
            return
        while True:
            piece = await self._threads.call(lambda: next(pieces, b""))
            if not piece:
                return
            yield piece

    async def close(self) -> None:
        """Wait for what was begun and let go of every index. Sessions must be gone."""
        for account in tuple(self._accounts.values()):
            await account.shut()

    def _forget(self, account: "AccountStore") -> None:
        self._accounts.pop(account.mailbox, None)


class AccountStore:
    """One account's folders while somebody uses them. Folder names are text with `/` between parts; INBOX in any case.

    Every method that takes a name raises BadFolderName for one that cannot be a folder's.
    """

    def __init__(self, mailbox: str, path: str, threads: Threads, forget: "Callable[[AccountStore], None]") -> None:
        self.mailbox = mailbox
        self.threads = threads
        self.files = AccountFiles(path, threads.reactor.seconds)
        self.lane = Lane(threads, self._between)
        self.holders = 0
        self._path = path
        self._forget = forget
        self._folders: dict[FolderState, Folder] = {}
        self._drop_locked = False

    async def ready(self) -> None:
        """The maildir is there. Called by Store."""
        await self.lane.run(self.files.prepare)

    async def folders(self) -> tuple[str, ...]:
        """The folders that are there, INBOX first, then by name. A parent may be missing: Maildir++ needs none."""
        return await self.lane.run(self.files.folders)

    async def open(self, name: str) -> Folder:
        """The folder, refreshed; raises NoSuchFolder. Every session gets the same object; `close` it once per open."""
        wanted = canonical_folder(name)
        state = await self.lane.run(lambda: self.files.open(wanted))
        folder = self._folders.get(state)
        if folder is None:
            folder = self._folders[state] = Folder(self, state)
        folder.holders += 1
        return folder

    async def status(self, name: str) -> FolderStatus:
        """The figures of a folder without opening it; raises NoSuchFolder."""
        wanted = canonical_folder(name)
        return await self.lane.run(lambda: self.files.status(wanted))

    async def create(self, name: str) -> None:
        """Make a folder; raises FolderExists."""
        wanted = canonical_folder(name)
        await self.lane.run(lambda: self.files.create(wanted))

    async def delete(self, name: str) -> None:
        """Remove a folder with all its messages, not those below it; raises NoSuchFolder, StoreError for INBOX.

        Who has it open sees its messages expunged, and NoSuchFolder from then on.
        """
        wanted = canonical_folder(name)
        await self.lane.run(lambda: self.files.delete(wanted))

    async def rename(self, old: str, new: str) -> None:
        """Rename a folder and all below it, uids kept; raises NoSuchFolder, FolderExists.

        Renaming INBOX moves its messages to the new folder and leaves it empty (RFC 9051 6.3.6).
        """
        source, target = canonical_folder(old), canonical_folder(new)
        await self.lane.run(lambda: self.files.rename(source, target))

    async def subscriptions(self) -> tuple[str, ...]:
        """The names subscribed to, in order; the folders need not exist."""
        return await self.lane.run(self.files.subscriptions)

    async def subscribe(self, name: str) -> None:
        """Harmless when it is subscribed already."""
        wanted = canonical_folder(name)
        await self.lane.run(lambda: self.files.subscribe(wanted, True))

    async def unsubscribe(self, name: str) -> None:
        """Harmless when it is not subscribed."""
        wanted = canonical_folder(name)
        await self.lane.run(lambda: self.files.subscribe(wanted, False))

    def incoming(self) -> Incoming:
        """Where a message that arrives in pieces (an APPEND literal) is collected; hand it to `Folder.append`."""
        return Incoming(os.path.join(self._path, TMP))

    def lock_maildrop(self) -> None:
        """Take the account for one POP3 session (RFC 1939 4); raises MaildropLocked. IMAP4 does not ask for it."""
        if self._drop_locked:
            raise MaildropLocked("another session has the maildrop")
        self._drop_locked = True

    def unlock_maildrop(self) -> None:
        self._drop_locked = False

    async def close(self) -> None:
        """The session is done with the account, and has closed its folders."""
        self.holders -= 1
        await self._leave()

    async def shut(self) -> None:
        """Called by Store.close: whoever still holds something is left behind."""
        await self.lane.run(lambda: self.files.close(force=True))

    async def release(self, folder: Folder) -> None:
        """Called by Folder.close."""
        folder.holders -= 1
        state = folder.state
        if not folder.holders:
            self._folders.pop(state, None)
        await self.lane.run(lambda: self.files.release(state))
        await self._leave()

    async def _leave(self) -> None:
        """Whoever leaves last lets go of the index; somebody may come back meanwhile."""
        if not self._in_use:
            await self.lane.run(self.files.close)
        if not self._in_use:
            self._forget(self)

    @property
    def _in_use(self) -> bool:
        return bool(self.holders > 0 or self._folders)

    def arrived(self, name: str) -> None:
        """A delivery went past us into this folder: show it to those who have it open."""
        for folder in self._folders.values():
            if folder.name == name:
                folder.refresh_later()

    def _between(self) -> None:
        for folder in tuple(self._folders.values()):
            folder.synchronize()
