"""Who may see the console: whoever has the token. It comes once by a form and leaves a cookie, or with every request.

A cookie names a session that lives in memory for half a day, and ends when the token is replaced. The token is compared
in constant time, and stands in no log, no page and no address.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path

import attrs

LIFETIME = 12 * 3600.0
MAX_SESSIONS = 100
COOKIE = b"relaygw"


class TokenError(OSError):
    """The token cannot be read, so that nobody can log in."""


@attrs.frozen
class _Session:
    expires: float
    token: bytes  # its digest


class Login:
    """`token_file` is read at every question: a new token holds at once. `clock` is in seconds."""

    def __init__(self, token_file: str, clock: Callable[[], float]) -> None:
        self._path = Path(token_file)
        self._clock = clock
        self._sessions: dict[bytes, _Session] = {}

    def begin(self, offered: str) -> bytes | None:
        """The cookie of a new session for the right token, None for a wrong one; raises TokenError."""
        if not self._right(offered):
            return None
        now = self._clock()
        alive = {key: session for key, session in self._sessions.items() if session.expires > now}
        newest = sorted(alive.items(), key=lambda item: item[1].expires)[-(MAX_SESSIONS - 1) :]
        cookie = secrets.token_urlsafe(32).encode()
        self._sessions = {**dict(newest), _digest(cookie): _Session(now + LIFETIME, _digest(self._token()))}
        return cookie

    def end(self, cookie: bytes | None) -> None:
        """Forget the session."""
        self._sessions.pop(_digest(cookie or b""), None)

    def allows(self, cookie: bytes | None, authorization: bytes | None) -> bool:
        """Whether a request may see anything, by its cookie or its Authorization field; raises TokenError."""
        if authorization is not None:
            return self._right(_offered(authorization))
        session = self._sessions.get(_digest(cookie or b""))
        return (
            session is not None
            and session.expires > self._clock()
            and hmac.compare_digest(session.token, _digest(self._token()))
        )

    def _right(self, offered: str) -> bool:
        return hmac.compare_digest(_digest(offered.encode("utf-8", "replace")), _digest(self._token()))

    def _token(self) -> bytes:
        try:
            token = self._path.read_bytes().strip()
        except OSError as error:
            raise TokenError(error.errno, f"the token file cannot be read: {error.strerror}") from None
        if not token:
            raise TokenError("the token file is empty")
        return token


def _digest(value: bytes) -> bytes:
    """Of one length whatever was offered; and what is kept in memory is not what opens the door."""
    return hashlib.sha256(value).digest()


def _offered(authorization: bytes) -> str:
    """The token in `Bearer TOKEN`, or the password in `Basic …` (RFC 7617) under any name."""
    scheme, _, rest = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        return rest.strip().decode("utf-8", "replace")
    if scheme.lower() != b"basic":
        return ""
    try:
        _, _, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
    except binascii.Error:
        return ""
    return password.decode("utf-8", "replace")
