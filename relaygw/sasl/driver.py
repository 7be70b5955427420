"""The driver: an Authenticator per listener, a Logins per connection, an Exchange per AUTH command.

Hostile input becomes a Refusal, never an exception. A refusal takes its time, counted from the attempt's beginning, so
that it tells nothing by how long the check took; passwords are never kept, shown or written down.
"""

import base64
import binascii
import hashlib
import hmac
import math
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
from twisted.cred.credentials import ICredentials, UsernamePassword
from twisted.cred.error import LoginFailed, UnhandledCredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from relaygw.core import scram
from relaygw.core.certificates import ClientCertificate
from relaygw.core.events import Event, LoggedIn, LoginRefused, TaskFailed
from relaygw.interfaces import IAccount
from relaygw.sasl.guard import Guard, Nobody
from relaygw.sasl.mechanisms import (
    MECHANISMS,
    Found,
    Keys,
    Malformed,
    Password,
    Proven,
    Run,
    SecureChannel,
    Setting,
    Wrong,
)
from relaygw.sasl.proof import ProvenName
from relaygw.sasl.steps import MAX_CREDENTIAL, MAX_RESPONSE, Authenticated, Challenge, Refusal, Refused, Step


def _nonce() -> bytes:
    return secrets.token_urlsafe(18).encode("ascii")


@attrs.frozen(kw_only=True)
class Authenticator:
    """What all connections of a listener share. The portal is asked for IAccount (relaygw.realm).

    `delay` is how many seconds a refusal takes. `keys` None: no SCRAM; `rounds` are the iteration counts
    of the keys there are, asked at every offer, and without any there is none.
    `secret` makes up salts for users who do not exist; the same after a restart, so that nobody learns who they are.
    `certificate_login` None: no EXTERNAL.
    """

    portal: Portal
    clock: IReactorTime
    journal: Callable[[Event], None]
    attempts: int = 3
    delay: float = 2.0
    keys: Keys | None = None
    rounds: Callable[[], tuple[int, ...]] = lambda: (scram.ITERATIONS,)
    secret: Callable[[], bytes] = attrs.field(factory=lambda: partial(bytes, secrets.token_bytes(32)), repr=False)
    nonce: Callable[[], bytes] = _nonce
    certificate_login: Callable[[ClientCertificate], str] | None = None
    guard: Guard = attrs.field(factory=Nobody)

    def logins(self, session: str, client: str) -> "Logins":
        """The login state of one new connection; `session` and `client` go to the journal."""
        return Logins(self, session, client)

    def offered(self, channel: SecureChannel | None) -> tuple[str, ...]:
        """The names of the mechanisms that work over this channel, the best first."""
        scrams = self.keys is not None and bool(self.rounds())
        able = {
            scram.PLUS: scrams and channel is not None,
            scram.NAME: scrams,
            "EXTERNAL": bool(self.certified(channel)),
        }
        return tuple(name for name in MECHANISMS if able.get(name, True))

    def certified(self, channel: SecureChannel | None) -> str:
        """Whom the client's certificate stands for, "" for nobody."""
        if channel is None or self.certificate_login is None:
            return ""
        certificate = channel.certificate
        return self.certificate_login(certificate) if certificate is not None else ""


class Logins:
    """One connection's attempts. Not for two attempts at a time: the protocols answer in order."""

    def __init__(self, shared: Authenticator, session: str, client: str) -> None:
        self._shared = shared
        self._session = session
        self._client = client
        self._failures = 0
        self._channel: SecureChannel | None = None

    def secured(self, channel: SecureChannel) -> None:
        """From now on the session runs inside TLS. It may be told before the handshake."""
        self._channel = channel

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What is offered on this connection now."""
        return self._shared.offered(self._channel)

    def begin(self, mechanism: str) -> "Exchange | None":
        """An exchange for the mechanism of this name (any case); None: not offered."""
        name, offered = mechanism.upper(), self.mechanisms
        return Exchange(self, name, self._setting(offered)) if name in offered else None

    def _setting(self, offered: tuple[str, ...]) -> Setting:
        shared = self._shared
        return Setting(
            channel=self._channel,
            certified=shared.certified(self._channel),
            keys=shared.keys or (lambda _: None),
            nonce=shared.nonce,
            secret=shared.secret,
            rounds=shared.rounds(),
            plus=scram.PLUS in offered,
        )

    @property
    def now(self) -> float:
        """The time attempts are measured by."""
        return float(self._shared.clock.seconds())

    async def password(self, username: bytes, password: bytes, mechanism: str) -> Authenticated | Refused:
        """Log in with what a command carried itself (IMAP LOGIN, POP3 PASS); `mechanism` is its name in the journal."""
        return await self.settle(Password(username, password), mechanism, self.now)

    async def settle(self, found: Found, mechanism: str, began: float) -> Authenticated | Refused:
        """What a mechanism found out, made into a login or a refusal; `began` is when the attempt did."""
        attempt = _Attempt(mechanism, began, _typed(found))
        if self._shared.guard.refuses(self._client, attempt.login):
            return await self._refuse(Refusal.CREDENTIALS, attempt, "banned")
        if isinstance(found, Wrong):
            return await self._wrong(attempt, found.reason)
        if isinstance(found, Proven):
            return await self._enter(ProvenName(found.username), attempt)
        if not _acceptable(found.username) or not _acceptable(found.password):
            return await self._wrong(attempt, "empty, too long or not UTF-8")
        attempt = attrs.evolve(attempt, digest=_digest(self._shared.secret(), found))
        return await self._enter(UsernamePassword(found.username, found.password), attempt)

    async def _enter(self, credentials: ICredentials, attempt: "_Attempt") -> Authenticated | Refused:
        try:
            answer: Any = await self._shared.portal.login(credentials, None, IAccount)
            _, account, logout = answer
        except UnhandledCredentials:
            return await self._refuse(Refusal.UNAVAILABLE, attempt, "no checker takes these credentials")
        except LoginFailed:
            return await self._wrong(attempt, "wrong credentials")
        except Exception as error:
            return await self.broken(attempt, error)
        self._shared.guard.succeeded(self._client, attempt.login, account.name)
        self._shared.journal(LoggedIn(session=self._session, login=account.name, mechanism=attempt.mechanism))
        return Authenticated(login=account.name, mechanism=attempt.mechanism, account=account, logout=logout)

    async def broken(self, attempt: "_Attempt", error: Exception) -> Refused:
        """The text of an unknown error may quote what it was given: only its kind is written down."""
        self._shared.journal(TaskFailed(session=self._session, task="login", error=type(error).__qualname__))
        return await self._refuse(Refusal.UNAVAILABLE, attempt, "the directory failed")

    async def malformed(self, mechanism: str, began: float, reason: str) -> Refused:
        """What is not even an attempt counts as one: nobody may try the parser for ever."""
        attempt = _Attempt(mechanism, began, "")
        self._shared.guard.failed(self._client, "")
        return await self._refuse(Refusal.MALFORMED, attempt, reason)

    async def _wrong(self, attempt: "_Attempt", reason: str) -> Refused:
        self._shared.guard.failed(self._client, attempt.login, attempt.digest)
        return await self._refuse(Refusal.CREDENTIALS, attempt, reason)

    async def _refuse(self, kind: Refusal, attempt: "_Attempt", reason: str) -> Refused:
        shared = self._shared
        shared.journal(
            LoginRefused(
                session=self._session,
                login=attempt.login,
                mechanism=attempt.mechanism,
                client=self._client,
                reason=reason,
            )
        )
        if kind is not Refusal.UNAVAILABLE:
            self._failures += 1
            await self._pause(attempt.began)
        return Refused(Refusal.EXHAUSTED if self._failures >= shared.attempts else kind)

    def _pause(self, began: float) -> Deferred[None]:
        """Until a whole number of delays has passed since the attempt began: the check's own time does not show."""
        delay = self._shared.delay
        passed = max(0.0, self.now - began)
        whole = max(1, math.ceil(passed / delay)) * delay if delay else 0.0
        return deferLater(self._shared.clock, max(0.0, whole - passed), _nothing)


@attrs.frozen
class _Attempt:
    """One try to log in; `login` as typed and printable, `digest` the same for the same wrong password."""

    mechanism: str
    began: float
    login: str
    digest: bytes = attrs.field(default=b"", repr=False)


class Exchange:
    """One run of one mechanism. `start` once, then `respond` after each Challenge; any other Step is the last."""

    def __init__(self, logins: Logins, mechanism: str, setting: Setting) -> None:
        self.mechanism = mechanism
        self._logins = logins
        self._setting = setting
        self._run: Run | None = None
        self._began = logins.now

    async def start(self, initial: bytes | None = None) -> Step:
        """`initial` is the initial response in base64, `=` an empty one (RFC 4954 4), None where there was none."""
        decoded = None
        if initial is not None:
            decoded = b"" if initial == b"=" else decode(initial)
            if decoded is None:
                return await self._malformed("the initial response is not base64")
        self._run = MECHANISMS[self.mechanism](self._setting, decoded)
        return await self._advance(self._run.__anext__())

    async def respond(self, line: bytes) -> Step:
        """The client's next line."""
        self._began = self._logins.now
        if line == b"*":
            return Refused(Refusal.CANCELLED)
        decoded = decode(line)
        if decoded is None:
            return await self._malformed("the response is not base64")
        if self._run is None:
            raise RuntimeError("respond before start")
        return await self._advance(self._run.asend(decoded))

    async def _advance(self, waiting: Awaitable[bytes | Found]) -> Step:
        try:
            found = await waiting
        except (Malformed, StopAsyncIteration):
            return await self._malformed("the response is not what the mechanism wants")
        except Exception as error:
            return await self._logins.broken(_Attempt(self.mechanism, self._began, ""), error)
        if isinstance(found, bytes):
            return Challenge(base64.b64encode(found))
        return await self._logins.settle(found, self.mechanism, self._began)

    async def _malformed(self, reason: str) -> Refused:
        return await self._logins.malformed(self.mechanism, self._began, reason)


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


def _typed(found: Found) -> str:
    """A name for the journal: whatever the peer sent, on one line and short."""
    name = found.username
    text = name[:MAX_CREDENTIAL].decode("utf-8", "replace") if isinstance(name, bytes) else name
    return "".join(c if c.isprintable() else "?" for c in text)[:128]


def _digest(secret: bytes, found: Password) -> bytes:
    """To tell a password tried again from another one; kept in memory alone, and of no use without the secret."""
    return hmac.digest(secret, b"attempt\0" + found.username + b"\0" + found.password, hashlib.sha256)[:16]


def _nothing() -> None:
    """Nothing to do but to let time pass."""
