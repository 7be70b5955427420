"""The users file: parsed into users or one UsersError, edited in one step, never readable by others."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.tables.passwords import MAX_PASSWORD, hash_password, is_hash, verify_password
from relaygw.tables.userfile import (
    UsersError,
    add_user,
    canonical_name,
    list_users,
    parse_users,
    read_users,
    remove_user,
    set_password,
)

HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$Rk0wFJ6mz3m+EHyd8lQMhw"


def test_comments_empty_lines_and_other_credentials_are_understood() -> None:
    users = parse_users(f"# who\n\n  alice\t{HASH}  OTHER:keys\nbob\n")
    assert [(user.name, user.password) for user in users] == [("alice", HASH), ("bob", "")]
    assert users[0].credentials == (HASH, "OTHER:keys")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("alice x\nAlice y", "line 2", "stands twice"),
        ("alice $2b$12$abcdefgh", "line 1", "argon2id"),
        (f"alice {HASH} {HASH}", "line 1", "more than one"),
        ("\n../etc x", "line 2", "name has"),
        ("a+b x", "line 1", "name has"),
    ],
)
def test_a_wrong_line_is_named_with_its_reason_and_without_its_secret(text: str, line: str, reason: str) -> None:
    with pytest.raises(UsersError) as raised:
        parse_users(text)
    assert line in str(raised.value)
    assert reason in str(raised.value)
    assert "$" not in str(raised.value)


@given(st.text(max_size=200))
def test_any_text_is_users_or_one_named_error(text: str) -> None:
    try:
        users = parse_users(text)
    except UsersError:
        return
    assert len({user.name for user in users}) == len(users)
    assert all(canonical_name(user.name) == user.name for user in users)


@given(st.text(max_size=80))
def test_a_name_has_one_spelling_and_is_no_path(name: str) -> None:
    try:
        canonical = canonical_name(name)
    except UsersError:
        return
    assert canonical_name(canonical) == canonical
    assert "/" not in canonical
    assert not canonical.startswith(".")
    assert len(canonical.encode()) <= 64


@pytest.mark.parametrize(("length", "valid"), [(64, True), (65, False)])
def test_a_name_has_at_most_64_octets(length: int, valid: bool) -> None:
    if valid:
        assert canonical_name("a" * length) == "a" * length
    else:
        with pytest.raises(UsersError):
            canonical_name("a" * length)


def test_a_repr_shows_no_hash() -> None:
    assert "argon" not in repr(parse_users(f"alice {HASH}"))


def test_users_are_added_changed_and_removed_and_all_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"# keep me\nzoe {HASH} OTHER:keys\n\n# and me")
    path.chmod(0o600)
    add_user(str(path), "Alice", "first")
    add_user(str(path), "bob", "second")
    set_password(str(path), "alice", "third")
    remove_user(str(path), "bob")
    assert path.read_text().startswith(f"# keep me\nzoe {HASH} OTHER:keys\n\n# and me\nalice $argon2id$")
    assert list_users(str(path)) == ("zoe", "alice")
    assert verify_password(read_users(str(path))[1].password, b"third")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_new_file_is_private_from_the_first_moment(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        add_user(str(tmp_path / "users"), "alice", "secret")
    finally:
        os.umask(old)
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in tmp_path.iterdir()] == [0o600, 0o600]


def test_what_cannot_be_done_changes_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "users")
    add_user(path, "alice", "secret")
    before = (tmp_path / "users").read_bytes()
    for action in (
        lambda: add_user(path, "ALICE", "other"),
        lambda: set_password(path, "bob", "other"),
        lambda: remove_user(path, "bob"),
        lambda: add_user(path, "bad name", "other"),
        lambda: add_user(path, "carol", ""),
        lambda: add_user(path, "carol", "a\nb"),
        lambda: add_user(path, "carol", "x" * (MAX_PASSWORD + 1)),
    ):
        with pytest.raises(UsersError):
            action()
    assert (tmp_path / "users").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["users", "users.lock"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "users"
    path.write_text(f"alice {HASH}\n")
    path.chmod(mode)
    with pytest.raises(UsersError, match="0600"):
        read_users(str(path))


def test_a_password_is_verified_whatever_its_unicode_spelling() -> None:
    stored = hash_password("Zoë")
    assert is_hash(stored)
    assert verify_password(stored, "Zoe\u0308".encode())
    assert not verify_password(stored, b"Zoe")
    assert not verify_password(stored, b"\xff")
    assert not verify_password(None, b"Zoe")


@pytest.mark.parametrize(("length", "right"), [(MAX_PASSWORD, True), (MAX_PASSWORD + 1, False)])
def test_a_password_has_a_longest_length(length: int, right: bool) -> None:
    stored = hash_password("x" * MAX_PASSWORD)
    assert verify_password(stored, b"x" * length) is right
