"""A folder as its sessions share it: a snapshot that is always there, and operations that run in the account's lane.

Lives in the reactor thread. POP3 and IMAP4 sessions of one account get the same Folder and hear of each other's
changes as observers; each keeps its own view (message numbers) and decides when to tell its client.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from relaygw.core.content import Content
from relaygw.mailbox.maildir import StoredContent, write_message
from relaygw.mailbox.state import FolderState
from relaygw.mailbox.values import Cached, Change, Entry, FlagMode, Flags, Keywords, NoSuchFolder, Observer

if TYPE_CHECKING:
    from relaygw.mailbox.store import AccountStore

T = TypeVar("T")
_log = Logger()


class Folder:
    """One folder while at least one session has it open. Made by `AccountStore.open`; `close` once for each open.

    Every operation raises StoreError (NoSuchFolder once it was deleted) or OSError: temporary, nothing half done that
    the next refresh would not see. Uids that are gone are passed over, as RFC 9051 6.4.9 wants it.
    `origin` is handed through to observers as Change.origin, so that a session knows its own changes.
    """

    def __init__(self, account: "AccountStore", state: FolderState) -> None:
        self._account = account
        self.state = state
        self._observers: list[Observer] = []
        self._snapshot: tuple[Entry, ...] = ()
        self._refresh_waits = False
        self.holders = 0
        self.synchronize()

    @property
    def name(self) -> str:
        return self._name

    @property
    def uid_validity(self) -> int:
        return self._uid_validity

    @property
    def uid_next(self) -> int:
        """Greater than every uid this folder ever had."""
        return self._uid_next

    @property
    def highest_modseq(self) -> int:
        return self._highest_modseq

    def messages(self) -> tuple[Entry, ...]:
        """All messages in order of uid. A later change makes a new tuple; this one stays as it is."""
        return self._snapshot

    def entry(self, uid: int) -> Entry | None:
        """The message as it is now; None: expunged."""
        place = bisect_left(self._snapshot, uid, key=_uid)
        found = self._snapshot[place : place + 1]
        return found[0] if found and found[0].uid == uid else None

    def watch(self, observer: Observer) -> None:
        """Call the observer with every Change from now on."""
        self._observers.append(observer)

    def unwatch(self, observer: Observer) -> None:
        """Harmless for one that does not watch."""
        if observer in self._observers:
            self._observers.remove(observer)

    async def refresh(self) -> None:
        """Find what other programs did to the maildir; cheap when they did nothing (two stat calls). Call it at NOOP,
        CHECK and now and then in IDLE; deliveries and sessions of this process tell of themselves."""
        await self._run(self.state.refresh)

    def refresh_later(self) -> None:
        """As refresh, for nobody who waits; what is asked for many times before it begins is done once."""
        if not self._refresh_waits:
            self._refresh_waits = True
            _ = Deferred.fromCoroutine(self._refresh_quietly())

    async def _refresh_quietly(self) -> None:
        def refresh() -> None:
            self._refresh_waits = False
            self.state.refresh()

        try:
            await self._run(refresh)
        except Exception:
            self._refresh_waits = False
            _log.failure("a folder could not be refreshed")

    async def content(self, uid: int) -> StoredContent:
        """The message's bytes; raises NoSuchMessage. They stay readable while the message is renamed or expunged.

        Up to 64 KiB they are in memory; larger ones read a file: walk `chunks` by `Store.read`, and `close` after.
        """
        return await self._run(lambda: self.state.content(uid))

    async def examine(self, uids: Sequence[int], function: Callable[[int, StoredContent], T]) -> dict[int, T]:
        """What the function, called in a thread, makes of each message's bytes; those expunged are left out.

        One way there and back for all of them: ask for some dozens at a time, for they are all open at once. The
        function closes no content; what it returns may keep it.
        """
        contents = await self._run(lambda: self.state.contents(uids))
        return await self._account.threads.call(
            lambda: {uid: function(uid, content) for uid, content in contents.items()}
        )

    async def append(
        self,
        content: Content,
        flags: Flags = frozenset(),
        keywords: Keywords = frozenset(),
        date: float | None = None,
        origin: object | None = None,
    ) -> int:
        """Store a new message durably and answer its uid. `date` in POSIX seconds, None: now."""
        path = self.state.path
        try:
            written = await self._account.threads.call(lambda: write_message(path, content.chunks(), date))
        except FileNotFoundError:
            raise NoSuchFolder("the folder is gone") from None
        return await self._run(lambda: self.state.register(written, flags, keywords, origin))

    async def store_flags(
        self,
        uids: Iterable[int],
        mode: FlagMode,
        flags: Flags = frozenset(),
        keywords: Keywords = frozenset(),
        unchanged_since: int | None = None,
        origin: object | None = None,
    ) -> tuple[int, ...]:
        """Change flags and keywords; the result is seen in `messages()` and by observers.

        Answers the uids left alone because their modseq is greater than `unchanged_since` (RFC 7162 3.1.3).
        """
        wanted = tuple(uids)
        return await self._run(lambda: self.state.store_flags(wanted, mode, flags, keywords, unchanged_since, origin))

    async def claim_recent(self, origin: object | None = None) -> frozenset[int]:
        """The uids that are \\Recent for the caller and for nobody after it: moves them from `new` to `cur`."""
        return await self._run(lambda: self.state.claim_recent(origin))

    async def expunge(self, uids: Iterable[int], origin: object | None = None) -> tuple[int, ...]:
        """Remove messages for good, whatever their flags; answers the uids that this call removed."""
        wanted = tuple(uids)
        return await self._run(lambda: self.state.expunge(wanted, origin))

    async def copy(self, uids: Iterable[int], target: str, origin: object | None = None) -> dict[int, int]:
        """Copy messages with flags, keywords and dates to a folder of this account: all or none.

        Answers uid here → uid there. Raises NoSuchFolder where the target is not there.
        """
        wanted = tuple(uids)
        return await self._run(lambda: self._account.files.copy(self.state, wanted, target, origin))

    async def move(self, uids: Iterable[int], target: str, origin: object | None = None) -> dict[int, int]:
        """Move messages, each in one step, to a folder of this account; as `copy`, and they are gone here."""
        wanted = tuple(uids)
        return await self._run(lambda: self._account.files.move(self.state, wanted, target, origin))

    async def cached(self, uids: Sequence[int]) -> dict[int, Cached]:
        """What `cache` kept of these messages; those without are left out. Ask for some hundreds at a time."""
        return await self._run(lambda: self.state.cached(uids))

    async def cache(self, values: Mapping[int, Cached]) -> None:
        """Keep computed octets in the index, for all sessions to come."""
        await self._run(lambda: self.state.cache(values))

    async def close(self) -> None:
        """The session is done with the folder."""
        await self._account.release(self)

    async def _run(self, function: Callable[[], T]) -> T:
        return await self._account.lane.run(function)

    def synchronize(self) -> None:
        """Between two jobs: take over what the last one changed, and tell the observers. For the account only."""
        state = self.state
        self._name = state.row.name
        self._uid_validity, self._uid_next, self._highest_modseq = state.row.validity, state.row.uid_next, state.modseq
        if state.stale:
            self._snapshot = state.snapshot()
        for change in state.take_changes():
            for observer in tuple(self._observers):
                _tell(observer, change)


def _uid(entry: Entry) -> int:
    return entry.uid


def _tell(observer: Observer, change: Change) -> None:
    """One session's fault is not another's."""
    try:
        observer(change)
    except Exception:
        _log.failure("an observer of a folder failed")
