"""Any checker of Twisted as a directory: who logs in, who receives mail, and what is refused at start."""

from pathlib import Path
from typing import Any

import pytest
from mailboxes import services_for
from results import at_once
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin

from relaygw.core.address import Address
from relaygw.interfaces import IAccount, IDirectory, IScramDirectory
from relaygw.plugins import OptionsError, PluginError, load_plugin
from relaygw.realm import account_portal
from relaygw.tables.strcred import StrcredDirectory


@pytest.fixture
def passwords(tmp_path: Path) -> str:
    (tmp_path / "passwords").write_text("Alice:wonderland\nbob:second\n../etc:x\n")
    return str(tmp_path / "passwords")


def directory(folder: Path, **options: Any) -> StrcredDirectory:
    return StrcredDirectory(options, services_for(folder))


def test_it_is_a_directory_without_keys(tmp_path: Path, passwords: str) -> None:
    made = load_plugin(
        "relaygw.directories",
        "relaygw.tables.strcred:StrcredDirectory",
        {"checker": f"file:{passwords}"},
        services_for(tmp_path),
    )
    assert IDirectory.providedBy(made)
    assert not IScramDirectory.providedBy(made)


def test_whom_the_checker_lets_in_has_an_account_of_the_name(tmp_path: Path, passwords: str) -> None:
    portal = account_portal(directory(tmp_path, checker=f"file:{passwords}"))
    _, account, _ = at_once(portal.login(UsernamePassword(b"Alice", b"wonderland"), None, IAccount))
    assert (account.name, account.mailbox) == ("alice", "alice")
    assert account.addresses == (Address("alice", "example.com"), Address("alice", "example.org"))
    for name, password in ((b"Alice", b"wrong"), (b"nobody", b"x"), (b"../etc", b"x")):
        with pytest.raises(UnauthorizedLogin):
            at_once(portal.login(UsernamePassword(name, password), None, IAccount))


def test_mail_is_for_those_named_and_those_who_have_a_mailbox(tmp_path: Path, passwords: str) -> None:
    made = directory(tmp_path, checker=f"file:{passwords}", users=["Carol"])
    address = Address("bob", "example.com")
    assert made.account(address) is None
    (tmp_path / "mail" / "bob").mkdir(parents=True)
    for local in ("bob", "Bob", "bob+tag", "carol"):
        assert made.account(Address(local, "example.com")) is not None
    for wrong in (Address("bob", "elsewhere.test"), Address("..", "example.com"), Address("bob/x", "example.com")):
        assert made.account(wrong) is None
    named = made.named("bob@example.org")
    assert named is not None
    assert named.name == "bob"
    assert made.named("bob@elsewhere.test") is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"checker": "nonsense:x"},
        {"checker": "file:x", "users": ["../x"]},
        {"chcker": ""},
    ],
)
def test_wrong_options_are_refused_at_start(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises((OptionsError, PluginError)):
        load_plugin("relaygw.directories", "relaygw.tables.strcred:StrcredDirectory", options, services_for(tmp_path))
