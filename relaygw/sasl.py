"""SASL for SMTP, POP3 and IMAP4 (RFC 4422): one driver, mechanisms as small coroutines, twisted.cred behind it.

A protocol makes one `Logins` per connection and one `Exchange` per AUTH command, feeds it the client's lines (base64
as they came, without the line end) and turns each Step into its own words. Every mechanism may wait before any
challenge. Hostile input becomes a Refusal, never an exception; passwords are never kept, shown or written down; the
peer is never told which half of its credentials was wrong.
"""

import base64
import binascii
import enum
from collections.abc import AsyncGenerator, Awaitable, Callable

import attrs
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import LoginFailed, UnhandledCredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import Attribute, Interface, implementer

from relaygw.core.events import Event, LoggedIn, LoginRefused, TaskFailed

MAX_RESPONSE = 12288
"""Octets of one base64 line (RFC 4954 4)."""
MAX_CREDENTIAL = 1024
"""Octets of a name or a password: what argon2 is given is bounded."""


class Refusal(enum.Enum):
    CANCELLED = "cancelled"  # the client sent "*"
    MALFORMED = "malformed"  # not base64, or not what the mechanism says
    CREDENTIALS = "credentials"  # wrong, whichever part it was
    UNAVAILABLE = "unavailable"  # we could not find out: temporary
    EXHAUSTED = "exhausted"  # refused, and this connection had its last attempt: close it


@attrs.frozen
class Challenge:
    """Send `data` (base64, without line end) after "334 " or "+ " and feed the answer to the same Exchange."""

    data: bytes


@attrs.frozen(kw_only=True)
class Authenticated:
    """`login` is the name the directory knows; `avatar` what the realm gave; call `logout` once at the end."""

    login: str
    mechanism: str
    avatar: object = attrs.field(repr=False)
    logout: Callable[[], None] = attrs.field(repr=False)


@attrs.frozen
class Refused:
    kind: Refusal


Step = Challenge | Authenticated | Refused


class ILogin(Interface):
    """An avatar that says no more than who logged in: all that SMTP wants to know."""

    login: str = Attribute("The account's name.")


@implementer(ILogin)
@attrs.frozen
class Login:
    login: str


def _nothing() -> None:
    """Nothing to do but to let time pass."""


@attrs.frozen(repr=False)
class _Password:
    """What a mechanism found out; it has no repr that could end in a log."""

    username: bytes
    password: bytes


class _Malformed(Exception):
    """The response is not what the mechanism says."""


Mechanism = Callable[[bytes | None], AsyncGenerator[bytes | _Password, bytes]]
"""Given the initial response (None: there was none) it yields challenges, is sent responses, and ends with what it
found. It may await before each."""


async def _plain(initial: bytes | None) -> AsyncGenerator[bytes | _Password, bytes]:
    """RFC 4616: authzid NUL authcid NUL passwd. Acting for somebody else is not offered."""
    message = (yield b"") if initial is None else initial
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise _Malformed
    authzid, username, password = parts
    if authzid not in (b"", username):
        # An honest refusal would say "not authorized"; the wrong name says the same and tells a guesser nothing.
        password = b""
    yield _Password(username, password)


async def _login(initial: bytes | None) -> AsyncGenerator[bytes | _Password, bytes]:
    """draft-murchison-sasl-login: two questions; an initial response answers the first."""
    username = (yield b"Username:") if initial is None else initial
    password = yield b"Password:"
    yield _Password(username, password)


_MECHANISMS: dict[str, Mechanism] = {"PLAIN": _plain, "LOGIN": _login}


@attrs.frozen(kw_only=True)
class Authenticator:
    """What all connections of a listener share. `portal.login` is asked for `interface`.

    `login_of` names the account in an avatar. `delay` seconds pass before a wrong password is answered.
    """

    portal: Portal
    clock: IReactorTime
    journal: Callable[[Event], None]
    interface: type[Interface] = ILogin
    login_of: Callable[[object, str], str] = lambda avatar, typed: str(getattr(avatar, "login", typed))
    attempts: int = 3
    delay: float = 2.0
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")

    def logins(self, session: str, client: str) -> "Logins":
        """The login state of one new connection; `session` and `client` go to the journal."""
        return Logins(self, session, client)


class Logins:
    """One connection's attempts. Not for two attempts at a time: the protocols answer in order."""

    def __init__(self, shared: Authenticator, session: str, client: str) -> None:
        self._shared = shared
        self._session = session
        self._client = client
        self._failures = 0

    @property
    def mechanisms(self) -> tuple[str, ...]:
        return self._shared.mechanisms

    def begin(self, mechanism: str) -> "Exchange | None":
        """An exchange for the mechanism of this name (any case); None: not offered."""
        name = mechanism.upper()
        return Exchange(self, name) if name in self._shared.mechanisms and name in _MECHANISMS else None

    async def password(self, username: bytes, password: bytes, mechanism: str) -> Authenticated | Refused:
        """Log in with what a command carried itself (IMAP LOGIN, POP3 PASS); `mechanism` is its name in the journal."""
        typed = _printable(username)
        if not _acceptable(username) or not _acceptable(password):
            return await self._refuse(Refusal.CREDENTIALS, typed, mechanism, "empty, too long or not UTF-8")
        try:
            answer = await self._shared.portal.login(UsernamePassword(username, password), None, self._shared.interface)
        except UnhandledCredentials:
            return await self._refuse(Refusal.UNAVAILABLE, typed, mechanism, "no checker takes passwords")
        except LoginFailed:
            return await self._refuse(Refusal.CREDENTIALS, typed, mechanism, "wrong credentials")
        except Exception as error:
            # The text of an unknown error may quote what it was given: only its kind is written down.
            self._shared.journal(TaskFailed(session=self._session, task="login", error=type(error).__qualname__))
            return await self._refuse(Refusal.UNAVAILABLE, typed, mechanism, "the directory failed")
        return self._accept(answer, typed, mechanism)

    def _accept(
        self, answer: tuple[type[Interface], object, Callable[[], None]], typed: str, name: str
    ) -> Authenticated:
        _, avatar, logout = answer
        login = self._shared.login_of(avatar, typed)
        self._shared.journal(LoggedIn(session=self._session, login=login, mechanism=name))
        return Authenticated(login=login, mechanism=name, avatar=avatar, logout=logout)

    async def _refuse(self, kind: Refusal, typed: str, mechanism: str, reason: str) -> Refused:
        self._shared.journal(
            LoginRefused(session=self._session, login=typed, mechanism=mechanism, client=self._client, reason=reason)
        )
        if kind is not Refusal.UNAVAILABLE:
            self._failures += 1
            await self._pause()
        return Refused(Refusal.EXHAUSTED if self._failures >= self._shared.attempts else kind)

    async def malformed(self, mechanism: str, reason: str) -> Refused:
        """What is not even an attempt counts as one: nobody may try the parser for ever."""
        return await self._refuse(Refusal.MALFORMED, "", mechanism, reason)

    def _pause(self) -> Deferred[None]:
        return deferLater(self._shared.clock, self._shared.delay, _nothing)


class Exchange:
    """One run of one mechanism. `start` once, then `respond` after each Challenge; any other Step is the last."""

    def __init__(self, logins: Logins, mechanism: str) -> None:
        self.mechanism = mechanism
        self._logins = logins
        self._run: AsyncGenerator[bytes | _Password, bytes] | None = None

    async def start(self, initial: bytes | None = None) -> Step:
        """`initial` is the initial response in base64, `=` an empty one (RFC 4954 4), None where there was none."""
        decoded = None
        if initial is not None:
            decoded = b"" if initial == b"=" else decode(initial)
            if decoded is None:
                return await self._logins.malformed(self.mechanism, "the initial response is not base64")
        self._run = _MECHANISMS[self.mechanism](decoded)
        return await self._advance(self._run.__anext__())

    async def respond(self, line: bytes) -> Step:
        """The client's next line."""
        if line == b"*":
            return Refused(Refusal.CANCELLED)
        decoded = decode(line)
        if decoded is None:
            return await self._logins.malformed(self.mechanism, "the response is not base64")
        if self._run is None:
            raise RuntimeError("respond before start")
        return await self._advance(self._run.asend(decoded))

    async def _advance(self, waiting: Awaitable[bytes | _Password]) -> Step:
        try:
            found = await waiting
        except (_Malformed, StopAsyncIteration):
            return await self._logins.malformed(self.mechanism, "the response is not what the mechanism wants")
        if isinstance(found, _Password):
            return await self._logins.password(found.username, found.password, self.mechanism)
        return Challenge(base64.b64encode(found))


def decode(line: bytes) -> bytes | None:
    """Strict base64 of bounded length (RFC 4648 3.3); None: it is not."""
    if len(line) > MAX_RESPONSE:
        return None
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return None


def _acceptable(credential: bytes) -> bool:
    """RFC 4616 2: one to many UTF-8 characters, none of them NUL."""
    if not 0 < len(credential) <= MAX_CREDENTIAL or b"\0" in credential:
        return False
    try:
        credential.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _printable(name: bytes) -> str:
    """A name for the journal: whatever the peer sent, on one line and short."""
    text = name[:MAX_CREDENTIAL].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)[:128]
