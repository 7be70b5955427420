"""One IMAP session: its state, its account, its selected mailbox, and what commands may do with the connection.

Commands are functions of a Session and their arguments that answer a Completion, the tagged line; what they send before
it goes through the Channel. Nothing here knows transports.
"""

import errno
from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from relaygw.config.schema import ListenerConfig, MailboxConfig
from relaygw.core.events import Event
from relaygw.mailbox.folder import Folder
from relaygw.mailbox.imap.commands import State
from relaygw.mailbox.imap.selected import Selected
from relaygw.mailbox.imap.structure import Part
from relaygw.mailbox.store import AccountStore, Store
from relaygw.mailbox.values import BadFolderName, FolderExists, NoSuchFolder, StoreError
from relaygw.sasl import Authenticator, Logins
from relaygw.tls import ServerTls


class Gone(Exception):
    """The connection is over: the command that waits for it ends here."""


@attrs.frozen
class Completion:
    """The tagged answer: OK, NO or BAD, an optional response code (RFC 5530), and words for people."""

    status: bytes
    text: str
    code: bytes = b""

    def line(self, tag: bytes) -> bytes:
        """As it goes over the wire."""
        code = b"[" + self.code + b"] " if self.code else b""
        return b"%b %b %b%b\r\n" % (tag, self.status, code, self.text.encode("ascii", "replace"))


def ok(text: str, code: bytes = b"") -> Completion:
    return Completion(b"OK", text, code)


def no(text: str, code: bytes = b"") -> Completion:
    return Completion(b"NO", text, code)


def bad(text: str, code: bytes = b"") -> Completion:
    return Completion(b"BAD", text, code)


def refusal(error: StoreError | OSError) -> Completion:
    """What the client reads when the store fails. Everything not decided is temporary (RFC 5530 3)."""
    if isinstance(error, NoSuchFolder):
        return no("There is no such mailbox", b"NONEXISTENT")
    if isinstance(error, FolderExists):
        return no("There is such a mailbox already", b"ALREADYEXISTS")
    if isinstance(error, BadFolderName):
        return no(f"No mailbox can have this name: {error}", b"CANNOT")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no("There is no room for it", b"OVERQUOTA")
    return no("The mail store cannot do that now, try again later", b"UNAVAILABLE")


@attrs.frozen(kw_only=True)
class Settings:
    """What all sessions of a listener share. `tls` None: none is offered. `max_append` in octets."""

    store: Store
    authenticator: Authenticator
    tls: ServerTls | None
    clock: IReactorTime
    journal: Callable[[Event], None]
    mailbox: MailboxConfig
    listener: ListenerConfig
    max_append: int

    def may_start_tls(self, secure: bool) -> bool:
        return self.tls is not None and self.listener.tls == "starttls" and not secure

    def may_log_in(self, secure: bool) -> bool:
        """AUTH in clear only where the listener says so by name."""
        wanted = self.listener.auth or "tls"
        return wanted == "always" or (wanted == "tls" and secure)


class Channel(Protocol):
    """The connection as a command sees it. Its awaitables raise Gone when the connection ends."""

    @property
    def secure(self) -> bool:
        """Whether TLS protects it."""
        ...

    def send(self, data: bytes) -> None:
        """Queue octets; they leave at the latest with the command's end."""
        ...

    async def drained(self) -> None:
        """Send what is queued, and wait until the client has taken enough of it."""
        ...

    async def breathe(self) -> None:
        """As `drained`, and let the other sessions have a turn."""
        ...

    async def read_line(self, limit: int) -> bytes:
        """The client's next line, cut short when longer than `limit`."""
        ...

    async def read_line_or_news(self, limit: int, patience: float) -> bytes | None:
        """The same; None when the selected mailbox has news, or `patience` seconds passed."""
        ...

    def start_tls(self) -> None:
        """Begin a handshake once the command is answered."""
        ...

    def abort(self, cause: str) -> None:
        """End the connection at once."""
        ...


class Session:
    """State that lasts longer than a command."""

    def __init__(self, settings: Settings, channel: Channel, identity: str, client: str) -> None:
        self.settings = settings
        self.channel = channel
        self.id = identity
        self.client = client
        self.state = State.UNAUTHENTICATED
        self.logins: Logins = settings.authenticator.logins(identity, client)
        self.login = ""
        self._account: AccountStore | None = None
        self._selected: Selected | None = None
        self._logout: Callable[[], None] | None = None
        self.last_part: tuple[tuple[Folder, int], Part] | None = None
        self.on_news: Callable[[], None] = _nothing

    @property
    def account(self) -> AccountStore:
        """The account's folders, after login."""
        if self._account is None:
            raise RuntimeError("nobody is logged in")
        return self._account

    @property
    def selected(self) -> Selected:
        """The selected mailbox, in that state."""
        if self._selected is None:
            raise RuntimeError("no mailbox is selected")
        return self._selected

    @property
    def watching(self) -> Selected | None:
        """The selected mailbox, or None."""
        return self._selected

    def enter(self, login: str, account: AccountStore, logout: Callable[[], None]) -> None:
        """Somebody has logged in."""
        self.login, self._account, self._logout = login, account, logout
        self.state = State.AUTHENTICATED

    def select(self, folder: Folder, read_only: bool) -> Selected:
        """The folder is this session's from now on; `deselect` closes it."""
        self._selected = Selected(folder, read_only, lambda: self.on_news())
        self.state = State.SELECTED
        return self._selected

    async def deselect(self) -> None:
        """Let go of the selected mailbox, if there is one."""
        selected, self._selected = self._selected, None
        if selected is None:
            return
        self.state = State.AUTHENTICATED
        self.last_part = None
        selected.unwatch()
        await selected.folder.close()

    async def leave(self) -> None:
        """Whatever way the session ended: nothing of it is left anywhere."""
        self.state = State.LOGOUT
        try:
            await self.deselect()
        finally:
            self.state = State.LOGOUT
            account, self._account = self._account, None
            logout, self._logout = self._logout, None
            if account is not None:
                await account.close()
            if logout is not None:
                logout()

    @property
    def has_news(self) -> bool:
        """Whether `news` would send something."""
        return self._selected is not None and self._selected.has_news

    async def news(self, expunges: bool) -> None:
        """Send what the selected mailbox has to tell."""
        selected = self._selected
        if selected is None or not selected.has_news or self.state is not State.SELECTED:
            return
        await selected.settle()
        for line in selected.news(expunges):
            self.channel.send(line + b"\r\n")


def _nothing() -> None:
    """Nobody wants to be told."""
