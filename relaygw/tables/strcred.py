"""The directory over any checker that Twisted knows by a word (`twisted.cred.strcred`): "file:/etc/passwords", "unix"…

A checker tells who proves to be whom, and nothing else. Who receives mail are the `users` named in the options, and
whoever has a mailbox here: one is made when its owner first reads mail. A login is the account's name; its addresses
are login@domain for every local domain.
"""

import os
from typing import Any

import attrs
from twisted.cred import strcred
from zope.interface import implementer

from relaygw.config.paths import mail_directory
from relaygw.core.address import Address, AddressError, normalize_domain
from relaygw.interfaces import Account, IDirectory, Options, Services
from relaygw.plugins import OptionsError, structure_options
from relaygw.tables.userfile import UsersError, canonical_name


@attrs.frozen(kw_only=True)
class StrcredOptions:
    """`checker` as `twistd --help-auth` describes it; `users` receive mail before they first log in."""

    checker: str
    users: tuple[str, ...] = ()
    tag: str = "+"


@implementer(IDirectory)
class StrcredDirectory:
    """Made with its options and Services. Raises OptionsError."""

    def __init__(self, options: Options, services: Services) -> None:
        given = structure_options(StrcredOptions, options)
        try:
            self._users = frozenset(map(canonical_name, given.users))
            self.checkers: tuple[Any, ...] = (strcred.makeChecker(given.checker),)
        except UsersError as error:
            raise OptionsError(f"option 'users': {error}") from None
        except (strcred.StrcredException, ValueError, TypeError) as error:
            raise OptionsError(f"option 'checker': {type(error).__name__}: {error}") from None
        self._tag = given.tag
        self._domains: tuple[str, ...] = tuple(services.settings.domains)
        self._mail = mail_directory(services.settings)

    def account(self, address: Address) -> Account | None:
        """Whose a local address is."""
        if address.domain not in self._domains:
            return None
        for local in dict.fromkeys((address.local, address.local.partition(self._tag)[0] if self._tag else "")):
            name = _name(local)
            if name and self._receives(name):
                return self._account(name)
        return None

    def named(self, login: str) -> Account | None:
        """Anybody the checker has let in."""
        local, at, domain = login.rpartition("@")
        name = _name(local if at and self._is_local(domain) else login)
        return self._account(name) if name else None

    def _is_local(self, domain: str) -> bool:
        try:
            return normalize_domain(domain) in self._domains
        except AddressError:
            return False

    def _receives(self, name: str) -> bool:
        return name in self._users or os.path.isdir(os.path.join(self._mail, name))

    def _account(self, name: str) -> Account:
        return Account(name=name, addresses=tuple(Address(name, domain) for domain in self._domains), mailbox=name)


def _name(text: str) -> str:
    """The one spelling of a name, "" where it cannot be one."""
    try:
        return canonical_name(text)
    except UsersError:
        return ""
