"""One realm for every login: an avatar id becomes the directory's account, or a refusal."""

from pathlib import Path

import pytest
from mailboxes import directory_for
from results import at_once
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from zope.interface import Interface

from relaygw.interfaces import Account, IAccount
from relaygw.realm import AccountRealm, account_portal
from relaygw.sasl import ProvenName
from relaygw.tables.userfile import add_user


@pytest.fixture
def state(tmp_path: Path) -> Path:
    add_user(str(tmp_path / "users"), "alice", "secret")
    return tmp_path


def test_the_portal_answers_accounts_to_passwords_and_to_proven_names(state: Path) -> None:
    portal = account_portal(directory_for(state))
    credentials = UsernamePassword(b"Alice", b"secret")
    interface, account, logout = at_once(portal.login(credentials, None, IAccount))
    assert interface is IAccount
    assert isinstance(account, Account)
    assert IAccount.providedBy(account)
    assert account.name == "alice"
    logout()
    assert at_once(portal.login(ProvenName("alice"), None, IAccount))[1] == account


def test_a_user_removed_meanwhile_is_refused(state: Path) -> None:
    realm = AccountRealm(directory_for(state))
    with pytest.raises(UnauthorizedLogin):
        at_once(realm.requestAvatar(b"bob", None, IAccount))


def test_nothing_else_is_offered(state: Path) -> None:
    class IOther(Interface):
        """Something the realm does not know."""

    with pytest.raises(NotImplementedError):
        at_once(AccountRealm(directory_for(state)).requestAvatar(b"alice", None, IOther))
