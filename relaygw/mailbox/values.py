"""What the mail store hands out: frozen values and its errors. Knows nothing of files or SQLite."""

import enum
from collections.abc import Callable, Collection
from typing import TypeVar

import attrs

T = TypeVar("T")

DELIMITER = "/"
"""Between the parts of a folder's name, in this API and on the wire of IMAP4."""

INBOX = "INBOX"


class Flag(enum.Enum):
    """A message's system flags; the value is its letter in a Maildir file name."""

    DRAFT = "D"
    FLAGGED = "F"
    PASSED = "P"
    ANSWERED = "R"
    SEEN = "S"
    DELETED = "T"


Flags = frozenset[Flag]
Keywords = frozenset[str]


class FlagMode(enum.Enum):
    """What `store_flags` does with the given flags (RFC 9051 6.4.6)."""

    REPLACE = "replace"
    ADD = "add"
    REMOVE = "remove"

    def combined(self, old: frozenset[T], given: frozenset[T]) -> frozenset[T]:
        """Flags or keywords of a message, after these were given."""
        if self is FlagMode.ADD:
            return old | given
        return old - given if self is FlagMode.REMOVE else given


@attrs.frozen(kw_only=True)
class Entry:
    """One message as the index knows it.

    `size` counts the octets that `content` gives (CRLF line ends). `internal_date` is in POSIX seconds. `modseq` is
    greater than that of every earlier change of the folder (RFC 7162). `recent`: still in the maildir's `new`, no
    session has claimed it.
    """

    uid: int
    flags: Flags = frozenset()
    keywords: Keywords = frozenset()
    size: int
    internal_date: float
    modseq: int
    recent: bool = False


@attrs.frozen(kw_only=True)
class Change:
    """What happened to a folder. `added` is in order of uid; `changed` holds the new entries; `expunged` holds uids.

    `origin` is what the causing call passed as its own, None for deliveries and other programs.
    """

    added: tuple[Entry, ...] = ()
    changed: tuple[Entry, ...] = ()
    expunged: tuple[int, ...] = ()
    origin: object | None = None

    @property
    def empty(self) -> bool:
        return not (self.added or self.changed or self.expunged)


Observer = Callable[[Change], None]
"""Called in the reactor thread, after the folder's snapshot has changed, before the causing call answers."""


@attrs.frozen(kw_only=True)
class FolderStatus:
    """The figures of IMAP4's STATUS; `unseen` counts messages without \\Seen, `size` sums all sizes."""

    messages: int
    unseen: int
    recent: int
    deleted: int
    size: int
    uid_next: int
    uid_validity: int
    highest_modseq: int

    @classmethod
    def of(cls, entries: Collection[Entry], *, uid_next: int, uid_validity: int, highest_modseq: int) -> "FolderStatus":
        """That of a folder with these messages."""
        return cls(
            messages=len(entries),
            unseen=sum(Flag.SEEN not in entry.flags for entry in entries),
            recent=sum(entry.recent for entry in entries),
            deleted=sum(Flag.DELETED in entry.flags for entry in entries),
            size=sum(entry.size for entry in entries),
            uid_next=uid_next,
            uid_validity=uid_validity,
            highest_modseq=highest_modseq,
        )


@attrs.frozen(kw_only=True)
class Cached:
    """What a protocol has computed of one message and wants to find again: opaque octets; b"" where there is none.

    Kept in the index, so lost with it; written under the same uid, it can never belong to another message.
    """

    envelope: bytes = b""
    structure: bytes = b""


class StoreError(Exception):
    """The store could not do what was asked. This one, and any OSError, is temporary; the subclasses say more."""


class NoSuchFolder(StoreError):
    """There is no folder of this name."""


class FolderExists(StoreError):
    """There is a folder of this name already."""


class BadFolderName(StoreError):
    """The name cannot be a folder's: empty parts, control characters, or too long for a file system."""


class NoSuchMessage(StoreError):
    """The message has been expunged."""


class MaildropLocked(StoreError):
    """Another POP3 session has the account's maildrop (RFC 1939 4)."""
