"""Passwords as stored: argon2id in PHC string format. Hashing is slow on purpose: call it off the reactor thread.

Never puts a password into an error, a repr or a log.
"""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

MAX_PASSWORD = 1024
"""Octets of a password we look at, so that a hostile one costs no more than an honest one."""

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
"""OWASP's floor for argon2id: about 20 ms and 19 MiB, so that a burst of logins does not exhaust a small machine."""

# The hash of a random password nobody knows, under the parameters above: what an unknown user is checked against.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$RVFuIo10Z1R1C/BH8fJ1/A$R6s+tDYvYuyisaI2v6fZXjKDEuZgXE6ORtsnhlOyJe0"


def hash_password(password: str) -> str:
    """The PHC string to store for a password; raises ValueError for one that cannot be used."""
    data = _prepare(password.encode("utf-8"))
    if not data:
        raise ValueError("the password is empty")
    if len(data) > MAX_PASSWORD:
        raise ValueError(f"the password is longer than {MAX_PASSWORD} octets")
    if any(octet < 0x20 or octet == 0x7F for octet in data):
        raise ValueError("the password has a control character")
    return _HASHER.hash(data)


def verify_password(stored: str | None, password: bytes) -> bool:
    """Whether the password is right; None (an unknown user) costs the same time and is always wrong."""
    if len(password) > MAX_PASSWORD:
        return False
    try:
        _HASHER.verify(stored or _NOBODY, _prepare(password))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def is_hash(text: str) -> bool:
    """Whether the text is an argon2id PHC string."""
    if not text.startswith("$argon2id$"):
        return False
    try:
        _HASHER.check_needs_rehash(text)
    except (InvalidHashError, ValueError):
        return False
    return True


def _prepare(password: bytes) -> bytes:
    """One spelling of the same characters (RFC 8265 4.2.2: NFC); octets that are no UTF-8 stay as they are."""
    try:
        return unicodedata.normalize("NFC", password.decode("utf-8")).encode("utf-8")
    except UnicodeDecodeError:
        return password
