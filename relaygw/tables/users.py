"""The directory that is a file of users (format: `userfile`): every user has a mailbox in every local domain.

An address belongs to the user its local part names, in any case; `name+anything@` is delivered to `name`. The
postmaster of every local domain is always somebody (RFC 5321 4.5.1): the user called postmaster, the user of the
configured postmaster address, or the first user of the file. A user logs in as `name` or `name@local-domain`.
A changed file is read again; one that cannot be read or is wrong keeps the old users in service.
"""

import os
import unicodedata
from collections.abc import Sequence
from typing import Any

import attrs
from twisted.logger import Logger
from zope.interface import implementer

from relaygw.core.address import Address, AddressError, normalize_domain
from relaygw.core.scram import ScramKeys
from relaygw.interfaces import Account, IDirectory, IScramDirectory, Options, Services
from relaygw.plugins import structure_options
from relaygw.tables.checker import PasswordChecker
from relaygw.tables.passwords import hash_password
from relaygw.tables.userfile import User, UsersError, add_user, list_users, read_users, remove_user, set_password

__all__ = ["FileDirectory", "UsersError", "add_user", "hash_password", "list_users", "remove_user", "set_password"]

_log = Logger()
_LOOK_EVERY = 1.0
"""Seconds between two looks at the file's time."""

POSTMASTER = "postmaster"


@attrs.frozen(kw_only=True)
class DirectoryOptions:
    """`tag` begins the part of a local part that is not the user's name; "" where there is none."""

    tag: str = "+"


@implementer(IDirectory, IScramDirectory)
class FileDirectory:
    """Made with the directory's options and Services; the file, the domains and the postmaster are in its settings.

    Raises UsersError or OSError where the file cannot be used at start.
    """

    def __init__(self, options: Options, services: Services) -> None:
        settings = services.settings
        self._tag = structure_options(DirectoryOptions, options).tag
        self._path: str = settings.directory.users or os.path.join(services.state, "users")
        self._domains: frozenset[str] = frozenset(settings.domains)
        self._ordered: tuple[str, ...] = tuple(settings.domains)
        self._postmaster: str = settings.postmaster
        self._clock = services.reactor
        self._looked = self._clock.seconds()
        self._stamp = _stamp(self._path)
        self._use(read_users(self._path))
        self._checker = PasswordChecker(self._login, services.reactor)
        self.checkers: tuple[Any, ...] = (self._checker,)

    def account(self, address: Address) -> Account | None:
        """The account that receives mail for an address of a local domain."""
        if address.domain not in self._domains:
            return None
        user = self._receiver(address.local)
        return self._account(user) if user is not None else None

    def named(self, login: str) -> Account | None:
        """The account that logs in under this name."""
        user = self._login(login)
        return self._account(user) if user is not None else None

    def scram_keys(self, login: str) -> ScramKeys | None:
        """The keys of the user who logs in under this name."""
        user = self._login(login)
        return user.scram if user is not None else None

    def scram_rounds(self) -> tuple[int, ...]:
        """A user whose password was set before there were keys could not log in any more: then nobody is offered it."""
        self._current()
        return self._rounds

    def _receiver(self, local: str) -> User | None:
        users = self._current()
        name = _fold(local)
        found = users.get(name)
        if found is None and self._tag:
            name = name.partition(self._tag)[0]
            found = users.get(name)
        return self._postmaster_user(users) if found is None and name == POSTMASTER else found

    def _postmaster_user(self, users: dict[str, User]) -> User | None:
        local, _, domain = self._postmaster.rpartition("@")
        chosen = users.get(_fold(local)) if not domain or domain.lower() in self._domains else None
        return chosen or next(iter(users.values()), None)

    def _login(self, login: str) -> User | None:
        name, at, domain = login.rpartition("@")
        if not at:
            return self._current().get(_fold(login))
        try:
            return self._current().get(_fold(name)) if normalize_domain(domain) in self._domains else None
        except AddressError:
            return None

    def _account(self, user: User) -> Account:
        addresses = tuple(Address(user.name, domain) for domain in self._ordered)
        return Account(name=user.name, addresses=addresses, mailbox=user.name)

    def _current(self) -> dict[str, User]:
        """The users of the file as it is now, or as it was when it could last be used."""
        now = self._clock.seconds()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                self._reload()
        return self._users

    def _use(self, users: Sequence[User]) -> None:
        self._users = {user.name: user for user in users}
        proving = [user for user in users if user.password or user.scram]
        rounds = {user.scram.iterations if user.scram else 0 for user in proving}
        self._rounds = () if 0 in rounds else tuple(sorted(rounds))

    def _reload(self) -> None:
        try:
            self._use(read_users(self._path))
        except (UsersError, OSError) as error:
            _log.error("the users file cannot be used, its former users stay: {error}", error=error)
            return
        self._checker.proven.forget()


def _fold(local: str) -> str:
    return unicodedata.normalize("NFC", local).lower()


def _stamp(path: str) -> tuple[int, int, int, int] | None:
    """What changes when the file does; the mode too, as an unsafe one is refused."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode)
