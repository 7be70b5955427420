"""The realm behind the one login portal: an avatar id becomes the directory's Account.

SMTP, POP3 and IMAP4 share it: `portal.login(credentials, None, IAccount)` answers `(IAccount, account, logout)`.
The realm grants nothing by itself; what an account may do is decided where it is done.
"""

from collections.abc import Callable
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from zope.interface import Interface, implementer

from relaygw.bridge import deferred, resolve
from relaygw.interfaces import Account, IAccount
from relaygw.sasl.proof import ProvenNameChecker


@implementer(IRealm)
class AccountRealm:
    """Avatars are Accounts. `directory` is an IDirectory."""

    def __init__(self, directory: Any) -> None:
        self._directory = directory

    @deferred
    async def requestAvatar(
        self, avatar_id: Any, _mind: Any, *interfaces: Any
    ) -> tuple[type[Interface], object, Callable[[], None]]:
        """The account named by the checker; a user removed since then is refused like a wrong password."""
        if IAccount not in interfaces:
            raise NotImplementedError("a login is for an IAccount")
        name = avatar_id.decode("utf-8") if isinstance(avatar_id, bytes) else str(avatar_id)
        account: Account | None = await resolve(self._directory.named(name))
        if account is None:
            raise UnauthorizedLogin("the account is gone")
        return IAccount, account, _logout


def account_portal(directory: Any) -> Portal:
    """The portal over a directory and its checkers; every listener with a login gets this one."""
    return Portal(AccountRealm(directory), (*directory.checkers, ProvenNameChecker()))


def _logout() -> None:
    """Nothing is held for a login."""
