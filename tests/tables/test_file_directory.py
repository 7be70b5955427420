"""The file directory: which address is whose, who may log in, and a file that changes under it."""

import os
from pathlib import Path

import pytest
from mailboxes import directory_for
from results import at_once
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from zope.interface.verify import verifyObject

from relaygw.core.address import Address
from relaygw.core.scram import ITERATIONS, derive_keys
from relaygw.interfaces import IDirectory
from relaygw.plugins import OptionsError
from relaygw.tables.checker import Proven
from relaygw.tables.userfile import User, UsersError, add_user, set_password
from relaygw.tables.users import FileDirectory
from relaygw.testing.threads import InlineReactor


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("directory")
    add_user(str(folder / "users"), "alice", "wonder land")
    add_user(str(folder / "users"), "bob", "builder")
    return folder


@pytest.fixture
def directory(users: Path) -> FileDirectory:
    return directory_for(users)


def owner(directory: FileDirectory, local: str, domain: str = "example.com") -> str | None:
    account = directory.account(Address(local, domain))
    return account.name if account else None


def test_it_is_a_directory(directory: FileDirectory) -> None:
    assert verifyObject(IDirectory, directory)


def test_a_user_has_an_address_in_every_local_domain(directory: FileDirectory) -> None:
    account = directory.account(Address("alice", "example.org"))
    assert account is not None
    assert account.addresses == (Address("alice", "example.com"), Address("alice", "example.org"))
    assert account.mailbox == "alice"


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("alice", "alice"),
        ("ALICE", "alice"),
        ("alice+lists", "alice"),
        ("alice+", "alice"),
        ("alice+a+b", "alice"),
        ("+alice", None),
        ("alic", None),
        ("alice-x", None),
        ("../alice", None),
        ("PostMaster", "alice"),
        ("postmaster+x", "alice"),
    ],
)
def test_whose_a_local_part_is(directory: FileDirectory, local: str, expected: str | None) -> None:
    assert owner(directory, local) == expected
    assert owner(directory, local, "example.net") is None


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ("", "alice"),
        ("bob@example.org", "bob"),
        ("BOB@Example.Com", "bob"),
        ("bob@elsewhere.example", "alice"),
        ("nobody@example.com", "alice"),
    ],
)
def test_the_postmaster_is_always_somebody(users: Path, configured: str, expected: str) -> None:
    assert owner(directory_for(users, postmaster=configured), "postmaster") == expected


def test_a_user_called_postmaster_is_the_postmaster(tmp_path: Path) -> None:
    add_user(str(tmp_path / "users"), "alice", "secret")
    add_user(str(tmp_path / "users"), "postmaster", "secret")
    assert owner(directory_for(tmp_path), "postmaster") == "postmaster"


def test_tags_can_be_switched_off_or_begin_with_another_character(users: Path) -> None:
    assert owner(directory_for(users, options={"tag": ""}), "alice+x") is None
    assert owner(directory_for(users, options={"tag": "-"}), "alice-x") == "alice"
    with pytest.raises(OptionsError):
        directory_for(users, options={"delimiter": "-"})


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("alice", "alice"),
        ("Alice", "alice"),
        ("alice@example.org", "alice"),
        ("ALICE@EXAMPLE.ORG", "alice"),
        ("alice@example.net", None),
        ("alice@", None),
        ("@example.com", None),
        ("alice+x", None),
        ("postmaster", None),
        ("", None),
    ],
)
def test_who_logs_in_under_a_name(directory: FileDirectory, login: str, expected: str | None) -> None:
    account = directory.named(login)
    assert (account.name if account else None) == expected


def log_in(directory: FileDirectory, name: bytes, password: bytes) -> object:
    return at_once(directory.checkers[0].requestAvatarId(UsernamePassword(name, password)))


def test_the_right_password_gives_the_accounts_name(directory: FileDirectory) -> None:
    assert log_in(directory, b"Alice@example.com", b"wonder land") == b"alice"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        (b"alice", b"wonderland"),
        (b"alice", b""),
        (b"alice", b"builder"),
        (b"nobody", b"wonder land"),
        (b"\xff", b"wonder land"),
        (b"", b""),
    ],
)
def test_every_refusal_has_the_same_words(directory: FileDirectory, name: bytes, password: bytes) -> None:
    with pytest.raises(UnauthorizedLogin) as raised:
        log_in(directory, name, password)
    assert str(raised.value) == "wrong user name or password"


def test_an_unknown_user_costs_a_verification_as_a_known_one_does(users: Path) -> None:
    class Counting(InlineReactor):
        asked = 0

        def getThreadPool(self) -> object:
            self.asked += 1
            return super().getThreadPool()

    reactor = Counting()
    directory = directory_for(users, reactor)
    for number, name in enumerate((b"alice", b"nobody", b"\xff"), 1):
        with pytest.raises(UnauthorizedLogin):
            log_in(directory, name, b"guess")
        assert reactor.asked == number


def test_a_proven_password_is_not_hashed_again_until_the_file_changes(tmp_path: Path) -> None:
    path = str(tmp_path / "users")
    add_user(path, "alice", "first")
    reactor = InlineReactor()
    directory = directory_for(tmp_path, reactor)
    proven = directory.checkers[0].proven
    log_in(directory, b"alice", b"first")
    log_in(directory, b"alice", b"first")
    assert len(proven) == 1
    set_password(path, "alice", "second")
    reactor.advance(1)
    with pytest.raises(UnauthorizedLogin):
        log_in(directory, b"alice", b"first")
    assert len(proven) == 0
    assert log_in(directory, b"alice", b"second") == b"alice"


def test_a_failure_is_not_remembered(directory: FileDirectory) -> None:
    with pytest.raises(UnauthorizedLogin):
        log_in(directory, b"alice", b"wrong")
    assert len(directory.checkers[0].proven) == 0


def test_the_memory_of_proofs_is_bounded_in_number_and_time() -> None:
    clock = InlineReactor()
    proven = Proven(clock, limit=2, lifetime=300)
    keys = [proven.key(User(name, "$x"), b"secret") for name in ("a", "b", "c")]
    assert not any(b"secret" in key for key in keys)
    for key in keys:
        proven.learn(key)
    assert [proven.knows(key) for key in keys] == [False, True, True]
    clock.advance(299.9)
    assert proven.knows(keys[2])
    clock.advance(0.1)
    assert not proven.knows(keys[2])


def test_a_key_tells_name_hash_and_password_apart() -> None:
    proven = Proven(InlineReactor())
    cases = [("a", "$x", b"y"), ("a", "$xy", b""), ("ax", "$", b"y"), ("a", "$x", b"z")]
    assert len({proven.key(User(name, stored), password) for name, stored, password in cases}) == len(cases)
    assert Proven(InlineReactor()).key(User("a", "$x"), b"y") != proven.key(User("a", "$x"), b"y")


@pytest.mark.parametrize("change", ["unsafe", "wrong", "gone"])
def test_a_file_that_became_unusable_keeps_the_users_in_service(tmp_path: Path, change: str) -> None:
    path = tmp_path / "users"
    add_user(str(path), "alice", "secret")
    reactor = InlineReactor()
    directory = directory_for(tmp_path, reactor)
    if change == "unsafe":
        path.chmod(0o644)
    elif change == "wrong":
        path.write_text("alice $argon2id$broken\n")
    else:
        path.unlink()
    reactor.advance(1)
    assert owner(directory, "alice") == "alice"
    os.path.lexists(path) and path.unlink()
    add_user(str(path), "bob", "secret")
    reactor.advance(1)
    assert (owner(directory, "alice"), owner(directory, "bob")) == (None, "bob")


def test_a_file_that_cannot_be_used_refuses_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        directory_for(tmp_path)
    (tmp_path / "users").write_text("x")
    (tmp_path / "users").chmod(0o644)
    with pytest.raises(UsersError):
        directory_for(tmp_path)


def test_scram_is_offered_when_every_password_has_keys(tmp_path: Path) -> None:
    users = tmp_path / "users"
    add_user(str(users), "alice", "secret")
    with users.open("a") as file:
        file.write(f"bob {derive_keys('second', b'0123456789abcdef', 4096)}\ncarol\n")
    directory = directory_for(tmp_path)
    assert directory.scram_rounds() == (4096, ITERATIONS)
    keys = directory.scram_keys("BOB@example.com")
    assert keys is not None
    assert keys.iterations == 4096
    assert directory.scram_keys("carol") is None
    assert directory.scram_keys("nobody") is None
    with users.open("a") as file:
        file.write("dora " + users.read_text().split()[1] + "\n")
    assert directory_for(tmp_path).scram_rounds() == ()
