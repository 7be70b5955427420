"""Proving a password: argon2 in threads, a few at a time, and a short memory of what was proven.

The memory holds no password: its keys are HMACs under a secret of this process, over name, stored hash and password, so
a changed hash is another key. Only success is remembered. A user who does not exist costs the same as a wrong
password. No password reaches a log, an error or a repr.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from relaygw.bridge import deferred
from relaygw.tables.passwords import MAX_PASSWORD, verify_password
from relaygw.tables.userfile import User

_PARALLEL = 2
"""Verifications at a time: each takes tens of MiB and a core; a crowd of guessers waits in line."""


class Proven:
    """The memory of right passwords: at most `limit`, each for `lifetime` seconds."""

    def __init__(self, clock: IReactorTime, limit: int = 4096, lifetime: float = 300.0) -> None:
        self._clock = clock
        self._limit = limit
        self._lifetime = lifetime
        self._secret = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def key(self, user: User, password: bytes) -> bytes:
        parts = (user.name.encode("utf-8"), user.password.encode("ascii"), password)
        return hmac.digest(self._secret, b"\0".join(parts), hashlib.sha256)

    def knows(self, key: bytes) -> bool:
        until = self._until.get(key)
        if until is None:
            return False
        if until <= self._clock.seconds():
            del self._until[key]
            return False
        self._until.move_to_end(key)
        return True

    def learn(self, key: bytes) -> None:
        self._until[key] = self._clock.seconds() + self._lifetime
        self._until.move_to_end(key)
        while len(self._until) > self._limit:
            self._until.popitem(last=False)

    def forget(self) -> None:
        self._until.clear()

    def __len__(self) -> int:
        return len(self._until)


@implementer(ICredentialsChecker)
class PasswordChecker:
    """Checks UsernamePassword; the avatar id is the account's name in UTF-8.

    `find` gives the user of a login name as typed, or None.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, find: Callable[[str], User | None], reactor: Any) -> None:
        self.proven = Proven(reactor)
        self._find = find
        self._reactor = reactor
        self._turns = DeferredSemaphore(_PARALLEL)

    @deferred
    async def requestAvatarId(self, credentials: Any) -> bytes | tuple[()]:
        """Raises UnauthorizedLogin, for whatever reason, with the same words."""
        user = self._user(credentials.username)
        password: bytes = credentials.password
        if user is not None and await self._right(user, password):
            return user.name.encode("utf-8")
        if user is None:
            await self._verify(None, password)
        raise UnauthorizedLogin("wrong user name or password")

    def _user(self, username: bytes) -> User | None:
        try:
            return self._find(username.decode("utf-8"))
        except UnicodeDecodeError:
            return None

    async def _right(self, user: User, password: bytes) -> bool:
        if len(password) > MAX_PASSWORD:
            return False
        key = self.proven.key(user, password)
        if self.proven.knows(key):
            return True
        if not await self._verify(user.password or None, password):
            return False
        self.proven.learn(key)
        return True

    async def _verify(self, stored: str | None, password: bytes) -> bool:
        right: bool = await self._turns.run(
            deferToThreadPool, self._reactor, self._reactor.getThreadPool(), verify_password, stored, password
        )
        return right
