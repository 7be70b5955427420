"""The users file: who has a login here, and the hashes that prove it. Parsed, and edited without losing a byte.

One user a line: the name, white space, credentials with white space between them. An argon2id PHC string is the
password; `SCRAM-SHA-256$iterations:salt$stored:server` are keys of the same password, for clients that prove it without
showing it; other words are kept as they are. `#` begins a comment line. A name is in lower
case; it is the login, and the local part of the user's address in every local domain. The file holds secrets:
only its owner may read it.
"""

import fcntl
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from relaygw import durable
from relaygw.core import scram
from relaygw.core.scram import ScramError, ScramKeys
from relaygw.tables.passwords import hash_password, is_hash

_NAME = re.compile(r"[^\W_][\w-]*(?:\.[\w-]+)*\Z")
_MAX_NAME = 64  # RFC 5321 4.5.3.1.1, and it is a directory's name


class UsersError(ValueError):
    """The users file, or a change to it, is not valid; the message says where and why, never with a secret."""


@attrs.frozen
class User:
    """One line. `password` is a PHC string or "" (no login by password); `credentials` are all words, in order."""

    name: str
    password: str = attrs.field(repr=False)
    scram: ScramKeys | None = attrs.field(default=None, repr=False)
    credentials: tuple[str, ...] = attrs.field(default=(), repr=False)


def canonical_name(name: str) -> str:
    """The one spelling of a name: NFC, lower case; raises UsersError where it cannot be a user's name."""
    lowered = unicodedata.normalize("NFC", name).lower()
    if len(lowered.encode("utf-8", "replace")) > _MAX_NAME or not _NAME.match(lowered):
        raise UsersError("a user's name has letters, digits, '-', '_' and inner dots, at most 64 octets")
    return lowered


def parse_users(text: str) -> tuple[User, ...]:
    """The users in order; raises UsersError with the line's number."""
    found: dict[str, User] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            user = _user(words)
        except UsersError as error:
            raise UsersError(f"line {number}: {error}") from None
        if user.name in found:
            raise UsersError(f"line {number}: the user {user.name!r} stands twice")
        found[user.name] = user
    return tuple(found.values())


def _user(words: list[str]) -> User:
    name, *credentials = words
    hashes = [word for word in credentials if word.startswith("$")]
    if not all(map(is_hash, hashes)):
        raise UsersError("a credential is not an argon2id hash as `relaygw user` writes it")
    if len(hashes) > 1:
        raise UsersError("there is more than one password hash")
    return User(canonical_name(name), hashes[0] if hashes else "", _scram(credentials), tuple(credentials))


def _scram(credentials: list[str]) -> ScramKeys | None:
    words = [word for word in credentials if word.startswith(f"{scram.NAME}$")]
    if len(words) > 1:
        raise UsersError(f"there is more than one {scram.NAME} credential")
    try:
        return scram.parse_keys(words[0]) if words else None
    except ScramError as error:
        raise UsersError(f"the {scram.NAME} credential is wrong: {error}") from None


def read_users(path: str) -> tuple[User, ...]:
    """The users of a file; raises UsersError where it is unsafe or invalid, OSError where it cannot be read."""
    with open(path, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise UsersError(f"{path}: others than its owner may read or write it (mode 0600 is wanted)")
        data = file.read()
    try:
        return parse_users(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise UsersError(f"{path}: not UTF-8") from None
    except UsersError as error:
        raise UsersError(f"{path}: {error}") from None


def list_users(path: str) -> tuple[str, ...]:
    """The names, in the order of the file."""
    return tuple(user.name for user in read_users(path))


def add_user(path: str, name: str, password: str) -> None:
    """Add a user, making the file where there is none; raises UsersError where the name stands already."""
    user, hashed = canonical_name(name), credentials_of(password)
    with _editing(path) as lines:
        if user in _names(lines):
            raise UsersError(f"the user {user!r} exists already")
        lines.append(f"{user} {hashed}")


def set_password(path: str, name: str, password: str) -> None:
    """Give a user a new password; every older credential of the line is dropped, as it proves the older password."""
    user, hashed = canonical_name(name), credentials_of(password)
    with _editing(path) as lines:
        lines[_position(lines, user)] = f"{user} {hashed}"


def remove_user(path: str, name: str) -> None:
    """Remove a user's line. The mailbox stays where it is."""
    user = canonical_name(name)
    with _editing(path) as lines:
        del lines[_position(lines, user)]


def credentials_of(password: str) -> str:
    """The credentials that a password makes."""
    try:
        return f"{hash_password(password)} {scram.derive_keys(password, secrets.token_bytes(16))}"
    except ValueError as error:
        raise UsersError(str(error)) from None


def _names(lines: list[str]) -> list[str]:
    """The name on each line, "" on a comment or an empty line."""
    firsts = [(line.split() or [""])[0] for line in lines]
    return ["" if not first or first.startswith("#") else canonical_name(first) for first in firsts]


def _position(lines: list[str], user: str) -> int:
    try:
        return _names(lines).index(user)
    except ValueError:
        raise UsersError(f"there is no user {user!r}") from None


@contextmanager
def _editing(path: str) -> Iterator[list[str]]:
    """The lines of the file to change in place; afterwards the file is replaced in one step, synced, mode 0600.

    Two editors wait for each other; a reader sees the old file or the new one.
    """
    with _exclusive(path):
        try:
            read_users(path)
            with open(path, encoding="utf-8", newline="\n") as file:
                lines = file.read().split("\n")
        except FileNotFoundError:
            lines = [""]
        if lines[-1] == "":
            lines.pop()
        yield lines
        _replace(path, "".join(line + "\n" for line in lines))


@contextmanager
def _exclusive(path: str) -> Iterator[None]:
    """The lock is a file of its own, since the users file itself is replaced."""
    descriptor = os.open(f"{path}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _give_to_owner(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _give_to_owner(descriptor: int, path: str) -> None:
    """What root makes belongs to whom the users file belongs to, who must be able to take the lock later."""
    if os.geteuid() == 0 and os.path.exists(path):
        owner = os.stat(path)
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _replace(path: str, text: str) -> None:
    parse_users(text)
    durable.forget_unfinished(path)
    durable.replace(path, text)
