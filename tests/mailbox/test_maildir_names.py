"""Names on disk: folders and directories map one to one, nothing leads out, file names keep what others wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.mailbox.maildir import Meter, Name, _skip, _with_crlf, arrival_order, parse_name
from relaygw.mailbox.names import MAX_DIRECTORY, canonical_folder, check_mailbox, folder_directory, folder_name
from relaygw.mailbox.values import BadFolderName, Flag


@given(st.text(max_size=60) | st.text("./&-,AC4 INBOXinboxé", max_size=20))
def test_a_folder_has_one_directory_and_a_directory_one_folder(name: str) -> None:
    try:
        canonical = canonical_folder(name)
    except BadFolderName:
        return
    directory = folder_directory(canonical)
    assert canonical_folder(canonical) == canonical
    if canonical == "INBOX":
        assert directory == ""
        return
    assert folder_name(directory) == canonical
    assert directory.startswith(".")
    assert directory.isascii()
    assert directory.isprintable()
    assert not directory.startswith("..")
    assert "/" not in directory


@given(st.text(max_size=40) | st.text(".&-AC4INBOX/é", max_size=12))
def test_any_directory_is_a_folder_spelt_so_or_none(directory: str) -> None:
    name = folder_name(directory)
    assert name is None or folder_directory(name) == directory


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("Sent", ".Sent"),
        ("Lists/Twisted", ".Lists.Twisted"),
        ("inbox", ""),
        ("Inbox/Sub", ".INBOX.Sub"),
        ("Mr. Smith", ".Mr&AC4- Smith"),
        ("Entwürfe & mehr", ".Entw&APw-rfe &- mehr"),
    ],
)
def test_how_folders_are_spelt_on_disk(name: str, directory: str) -> None:
    assert folder_directory(canonical_folder(name)) == directory


@pytest.mark.parametrize("name", ["", "/", "a//b", "/a", "a/", "a\0", "a\r\nb", "a\x7f", "a\x85", "\ud800"])
def test_what_is_no_folder(name: str) -> None:
    with pytest.raises(BadFolderName):
        canonical_folder(name)


@pytest.mark.parametrize(("length", "valid"), [(MAX_DIRECTORY - 1, True), (MAX_DIRECTORY, False)])
def test_a_folders_name_is_as_long_as_a_file_system_takes(length: int, valid: bool) -> None:
    if valid:
        assert canonical_folder("x" * length)
    else:
        with pytest.raises(BadFolderName):
            canonical_folder("x" * length)


def test_ordinary_accounts_have_a_directory() -> None:
    for name in ("alice", "a.b", "zoë", "user_1", "x" * MAX_DIRECTORY):
        assert check_mailbox(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1.a.host", Name("1.a.host")),
        ("1.a.host:2,", Name("1.a.host", "")),
        ("1.a.host:2,FS", Name("1.a.host", "FS")),
        ("1.a.host:2,Sab", Name("1.a.host", "Sab")),
        ("1.a.host:1,x", Name("1.a.host:1,x")),
        ("1.a.host:2,S,x=1", Name("1.a.host:2,S,x=1")),
    ],
)
def test_file_names_are_read_as_the_format_says(text: str, name: Name) -> None:
    assert parse_name(text) == name
    assert str(name) == text


@given(st.text(min_size=1, max_size=40), st.frozensets(st.sampled_from(Flag)))
def test_flags_go_into_a_name_and_come_out(text: str, flags: frozenset[Flag]) -> None:
    flagged = parse_name(text).flagged(flags)
    assert parse_name(str(flagged)) == flagged
    assert flagged.flags == flags
    assert flagged.base == parse_name(text).base


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_two_names_have_an_order(one: str, other: str) -> None:
    assert (arrival_order(one) < arrival_order(other)) + (arrival_order(other) < arrival_order(one)) == (one != other)


def test_names_are_ordered_by_time_not_by_digits() -> None:
    assert sorted(["1000.x", "999.x", "zzz", "9" * 30 + ".x"], key=arrival_order) == [
        "9" * 30 + ".x",
        "zzz",
        "999.x",
        "1000.x",
    ]


@given(
    st.lists(st.binary(max_size=6) | st.sampled_from([b"\r", b"\n", b"\r\n", b"a\nb"]), max_size=12), st.integers(0, 40)
)
def test_lf_becomes_crlf_wherever_the_pieces_are_cut(pieces: list[bytes], start: int) -> None:
    whole = b"".join(pieces)
    expected = whole.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    meter = Meter()
    for piece in pieces:
        meter.add(piece)
    assert (meter.measured().octets, meter.measured().size) == (len(whole), len(expected))
    assert meter.measured().wire is (whole == expected)
    assert b"".join(_skip(_with_crlf(pieces), start)) == expected[start:]
