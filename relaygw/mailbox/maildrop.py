"""An account's INBOX as one POP3 session sees it: numbers fixed at login, deletions done at QUIT (RFC 1939 4 to 6)."""

from collections.abc import Iterator

from relaygw.interfaces import Account
from relaygw.mailbox.folder import Folder
from relaygw.mailbox.maildir import StoredContent
from relaygw.mailbox.store import AccountStore, Store
from relaygw.mailbox.values import INBOX, Entry


class NoSuchNumber(Exception):
    """There is no message of this number, or it is marked as deleted; the text is for the client."""


class Maildrop:
    """Open it by `open_maildrop`; `close` it once. The account is locked for other POP3 sessions meanwhile."""

    def __init__(self, account: AccountStore, folder: Folder) -> None:
        self._account = account
        self._folder = folder
        self._entries = folder.messages()
        self._deleted: set[int] = set()

    def remaining(self) -> Iterator[tuple[int, Entry]]:
        """Number and message of all that are not marked as deleted, in order."""
        return ((number, entry) for number, entry in enumerate(self._entries, 1) if number not in self._deleted)

    def totals(self) -> tuple[int, int]:
        """How many messages, and their octets; those marked as deleted do not count (RFC 1939 5, STAT)."""
        sizes = [entry.size for _, entry in self.remaining()]
        return len(sizes), sum(sizes)

    def entry(self, number: int) -> Entry:
        """The message of this number; raises NoSuchNumber."""
        if not 0 < number <= len(self._entries):
            raise NoSuchNumber("no such message")
        if number in self._deleted:
            raise NoSuchNumber("message is deleted")
        return self._entries[number - 1]

    def unique_id(self, entry: Entry) -> bytes:
        """The same in every session, and for no other message ever (RFC 1939 7, UIDL)."""
        return b"%d.%d" % (self._folder.uid_validity, entry.uid)

    async def content(self, entry: Entry) -> StoredContent:
        """Raises NoSuchMessage where another session has expunged it meanwhile."""
        return await self._folder.content(entry.uid)

    def delete(self, number: int) -> None:
        self.entry(number)
        self._deleted.add(number)

    def reset(self) -> None:
        self._deleted.clear()

    async def update(self) -> None:
        """Remove what is marked as deleted. What another session expunged already is no failure."""
        if self._deleted:
            await self._folder.expunge(self._entries[number - 1].uid for number in sorted(self._deleted))

    async def close(self) -> None:
        """Let go of the account; nothing is removed."""
        self._account.unlock_maildrop()
        try:
            await self._folder.close()
        finally:
            await self._account.close()


async def open_maildrop(store: Store, account: Account) -> Maildrop:
    """Raises MaildropLocked, or what the store raises."""
    opened = await store.account(account.mailbox)
    try:
        opened.lock_maildrop()
        try:
            return Maildrop(opened, await opened.open(INBOX))
        except BaseException:
            opened.unlock_maildrop()
            raise
    except BaseException:
        await opened.close()
        raise
