"""The mail store: uids that last, flags in file names, sessions that share a folder, other programs in the maildir."""

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest
from mailboxes import inline_store
from results import at_once

from relaygw.core.content import BytesContent
from relaygw.mailbox.folder import Folder
from relaygw.mailbox.index import FILE
from relaygw.mailbox.maildir import stamp
from relaygw.mailbox.store import AccountStore, Store
from relaygw.mailbox.values import (
    BadFolderName,
    Cached,
    Change,
    Flag,
    FlagMode,
    FolderExists,
    MaildropLocked,
    NoSuchFolder,
    NoSuchMessage,
    StoreError,
)

SEEN = frozenset({Flag.SEEN})
MESSAGE = b"Subject: one\r\n\r\nbody\r\n"


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@pytest.fixture
def store(mail: Path) -> Store:
    return inline_store(mail)


@pytest.fixture
def account(store: Store) -> AccountStore:
    return at_once(store.account("alice"))


@pytest.fixture
def inbox(account: AccountStore) -> Folder:
    return at_once(account.open("INBOX"))


def deliver(store: Store, *messages: bytes) -> None:
    for message in messages:
        at_once(store.deliver("alice", [message]))


def uids(folder: Folder) -> list[int]:
    return [entry.uid for entry in folder.messages()]


def octets(folder: Folder, uid: int, start: int = 0) -> bytes:
    content = at_once(folder.content(uid))
    data = b"".join(content.chunks(start))
    assert len(data) == max(0, content.size - start)
    content.close()
    return data


def drop_file(maildir: Path, name: str, data: bytes = MESSAGE, place: str = "new") -> Path:
    """As another program delivers."""
    path = maildir / place / name
    path.write_bytes(data)
    return path


def reopened(mail: Path, name: str = "INBOX") -> Folder:
    """The folder in a new process's store."""
    return at_once(at_once(inline_store(mail, 2_000_000_000.0).account("alice")).open(name))


def shut(account: AccountStore, *folders: Folder) -> None:
    for folder in folders:
        at_once(folder.close())
    at_once(account.close())


# --- delivery and uids ---


def test_a_delivery_is_seen_at_once_by_who_has_the_folder_open(store: Store, inbox: Folder) -> None:
    changes: list[Change] = []
    inbox.watch(changes.append)
    deliver(store, MESSAGE)
    assert [entry.uid for entry in changes[0].added] == uids(inbox) == [1]
    assert inbox.messages()[0].recent
    assert octets(inbox, 1) == MESSAGE


def test_uids_last_over_sessions_and_are_never_used_again(
    mail: Path, store: Store, account: AccountStore, inbox: Folder
) -> None:
    deliver(store, MESSAGE, MESSAGE, MESSAGE)
    validity = inbox.uid_validity
    at_once(inbox.expunge([3, 1]))
    shut(account, inbox)
    again = reopened(mail)
    assert (again.uid_validity, uids(again), again.uid_next) == (validity, [2], 4)


def test_everything_is_private(mail: Path, store: Store, account: AccountStore, inbox: Folder) -> None:
    old = os.umask(0)
    try:
        deliver(store, MESSAGE)
        at_once(account.create("Sent"))
        at_once(account.subscribe("Sent"))
    finally:
        os.umask(old)
    made = list((mail / "alice").rglob("*"))
    assert len([path for path in made if path.is_file()]) >= 2
    for path in [mail / "alice", *made]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_an_append_keeps_flags_keywords_and_date(mail: Path, account: AccountStore, inbox: Folder) -> None:
    uid = at_once(
        inbox.append(BytesContent(MESSAGE), frozenset({Flag.DRAFT, Flag.SEEN}), frozenset({"$Junk"}), 1_234_567.0)
    )
    (entry,) = inbox.messages()
    assert (entry.uid, entry.flags, entry.keywords) == (uid, {Flag.DRAFT, Flag.SEEN}, {"$Junk"})
    assert (entry.internal_date, entry.size, entry.recent) == (1_234_567.0, len(MESSAGE), False)
    (name,) = os.listdir(mail / "alice" / "cur")
    assert name.endswith(f",S={len(MESSAGE)},W={len(MESSAGE)}:2,DS")
    shut(account, inbox)
    assert reopened(mail).messages() == (entry,)


def test_a_large_message_arrives_in_pieces_and_leaves_in_pieces(account: AccountStore, inbox: Folder) -> None:
    incoming = account.incoming()
    line = b"0123456789" * 7 + b"\r\n"
    incoming.write(b"Subject: big\r\n\r\n")
    for _ in range(10_000):
        incoming.write(line)
    uid = at_once(inbox.append(incoming))
    incoming.close()
    content = at_once(inbox.content(uid))
    pieces = list(content.chunks())
    assert content.size == 16 + 720_000
    assert content.head == b"Subject: big\r\n"
    assert max(map(len, pieces)) <= 65536
    assert b"".join(pieces) == b"Subject: big\r\n\r\n" + line * 10_000
    assert b"".join(content.chunks(720_000)) == (b"Subject: big\r\n\r\n" + line * 10_000)[720_000:]
    at_once(inbox.expunge([uid]))
    assert len(b"".join(content.chunks())) == content.size, "an open content outlives its message"


def test_a_folder_of_delivery_is_made(store: Store, account: AccountStore) -> None:
    at_once(store.deliver("alice", [MESSAGE], "Lists/Twisted"))
    folder = at_once(account.open("Lists/Twisted"))
    assert octets(folder, 1) == MESSAGE


# --- flags ---


def test_flags_are_in_the_file_name_and_keywords_in_the_index(
    mail: Path, store: Store, account: AccountStore, inbox: Folder
) -> None:
    deliver(store, MESSAGE)
    at_once(inbox.store_flags([1], FlagMode.ADD, SEEN, frozenset({"Work"})))
    at_once(inbox.store_flags([1], FlagMode.ADD, frozenset({Flag.ANSWERED}), frozenset({"Home"})))
    at_once(inbox.store_flags([1], FlagMode.REMOVE, frozenset({Flag.SEEN, Flag.DRAFT}), frozenset({"Work"})))
    assert (inbox.messages()[0].flags, inbox.messages()[0].keywords) == ({Flag.ANSWERED}, {"Home"})
    assert os.listdir(mail / "alice" / "new") == []
    assert os.listdir(mail / "alice" / "cur")[0].endswith(":2,R")
    at_once(inbox.store_flags([1], FlagMode.REPLACE, SEEN))
    assert (inbox.messages()[0].flags, inbox.messages()[0].keywords) == (SEEN, frozenset())


def test_every_change_has_a_higher_modseq_and_no_change_has_none(store: Store, inbox: Folder) -> None:
    deliver(store, MESSAGE, MESSAGE)
    seen = [inbox.highest_modseq]
    at_once(inbox.store_flags([1], FlagMode.ADD, SEEN))
    seen.append(inbox.highest_modseq)
    at_once(inbox.store_flags([1], FlagMode.ADD, SEEN))
    assert inbox.highest_modseq == seen[-1]
    at_once(inbox.expunge([2]))
    seen.append(inbox.highest_modseq)
    assert seen == sorted(set(seen))
    assert inbox.messages()[0].modseq == seen[1]


def test_a_conditional_store_leaves_alone_what_has_changed_since(store: Store, inbox: Folder) -> None:
    deliver(store, MESSAGE, MESSAGE)
    before = inbox.highest_modseq
    at_once(inbox.store_flags([2], FlagMode.ADD, SEEN))
    refused = at_once(inbox.store_flags([1, 2], FlagMode.ADD, frozenset({Flag.FLAGGED}), unchanged_since=before))
    assert refused == (2,)
    assert [entry.flags for entry in inbox.messages()] == [{Flag.FLAGGED}, SEEN]


def test_recent_is_claimed_once_and_nobody_is_told(mail: Path, store: Store, inbox: Folder) -> None:
    deliver(store, MESSAGE, MESSAGE)
    changes: list[Change] = []
    inbox.watch(changes.append)
    assert at_once(inbox.claim_recent()) == {1, 2}
    assert at_once(inbox.claim_recent()) == frozenset()
    assert changes == []
    assert not any(entry.recent for entry in inbox.messages())
    assert (len(os.listdir(mail / "alice" / "new")), len(os.listdir(mail / "alice" / "cur"))) == (0, 2)


def test_letters_of_other_programs_stay(mail: Path, store: Store, account: AccountStore, inbox: Folder) -> None:
    drop_file(mail / "alice", "1.x.host:2,FSab", place="cur")
    at_once(inbox.refresh())
    at_once(inbox.store_flags(uids(inbox), FlagMode.REPLACE, frozenset({Flag.DELETED})))
    assert os.listdir(mail / "alice" / "cur") == ["1.x.host:2,Tab"]


# --- several sessions ---


def test_sessions_share_a_folder_and_know_their_own_changes(store: Store, account: AccountStore) -> None:
    first, second = at_once(account.open("INBOX")), at_once(account.open("inbox"))
    assert first is second
    changes: list[Change] = []
    first.watch(changes.append)
    deliver(store, MESSAGE)
    me = object()
    at_once(second.store_flags([1], FlagMode.ADD, SEEN, origin=me))
    at_once(second.expunge([1], origin=me))
    assert [(len(c.added), len(c.changed), c.expunged) for c in changes] == [(1, 0, ()), (0, 1, ()), (0, 0, (1,))]
    assert [change.origin for change in changes] == [None, me, me]
    first.unwatch(changes.append)
    deliver(store, MESSAGE)
    assert len(changes) == 3
    shut(account, first)
    deliver(store, MESSAGE)
    assert uids(second) == [2, 3], "the folder lives until its last session leaves"


def test_an_observers_fault_is_not_the_others(store: Store, inbox: Folder) -> None:
    changes: list[Change] = []

    def broken(change: Change) -> None:
        raise RuntimeError("an observer's own")

    inbox.watch(broken)
    inbox.watch(changes.append)
    deliver(store, MESSAGE)
    assert len(changes) == 1


def test_a_snapshot_stays_as_it_was(store: Store, inbox: Folder) -> None:
    deliver(store, MESSAGE)
    before = inbox.messages()
    at_once(inbox.expunge([1]))
    assert [entry.uid for entry in before] == [1]
    assert inbox.entry(1) is None
    with pytest.raises(NoSuchMessage):
        at_once(inbox.content(1))


def test_the_maildrop_has_one_session(account: AccountStore) -> None:
    account.lock_maildrop()
    with pytest.raises(MaildropLocked):
        account.lock_maildrop()
    account.unlock_maildrop()
    account.lock_maildrop()


def test_another_process_cannot_count_uids_at_the_same_time(mail: Path, inbox: Folder) -> None:
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(mail / "alice" / FILE, timeout=0).execute("SELECT * FROM folder")


# --- other programs ---


def test_what_another_program_adds_is_adopted_in_order_of_arrival(mail: Path, inbox: Folder) -> None:
    drop_file(mail / "alice", "200.b.host", b"Subject: later\n\nx\n")
    drop_file(mail / "alice", "100.a.host:2,S", b"Subject: earlier\r\n\r\nx", place="cur")
    drop_file(mail / "alice", "weird name")
    drop_file(mail / "alice", ".hidden")
    drop_file(mail / "alice", os.fsdecode(b"not \xff text"))
    (mail / "alice" / "cur" / "folder").mkdir()
    at_once(inbox.refresh())
    assert [octets(inbox, uid) for uid in uids(inbox)] == [
        MESSAGE,
        b"Subject: earlier\r\n\r\nx",
        b"Subject: later\r\n\r\nx\r\n",
    ]
    assert [entry.flags for entry in inbox.messages()] == [frozenset(), SEEN, frozenset()]


@pytest.mark.parametrize("start", [0, 1, 15, 16, 17, 18, 19, 20, 99])
def test_lf_files_are_given_out_with_crlf_from_any_offset(mail: Path, inbox: Folder, start: int) -> None:
    drop_file(mail / "alice", "1.a.host", b"Subject: later\n\nx\n")
    at_once(inbox.refresh())
    assert octets(inbox, 1, start) == b"Subject: later\r\n\r\nx\r\n"[start:]
    assert inbox.messages()[0].size == 21


def test_renamed_flags_and_removed_files_are_followed(mail: Path, store: Store, inbox: Folder) -> None:
    deliver(store, MESSAGE, MESSAGE)
    changes: list[Change] = []
    inbox.watch(changes.append)
    first, second = sorted((mail / "alice" / "new").iterdir())
    first.rename(mail / "alice" / "cur" / f"{first.name}:2,F")
    second.unlink()
    at_once(inbox.refresh())
    assert [(entry.uid, entry.flags) for entry in inbox.messages()] == [(1, {Flag.FLAGGED})]
    assert changes[0].expunged == (2,)
    assert changes[0].changed == inbox.messages()


def test_a_refresh_of_what_nobody_touched_does_not_list_the_directories(
    mail: Path, account: AccountStore, tmp_path: Path
) -> None:
    shut(account)
    folder = reopened(mail)  # long after the directories' times
    hidden = tmp_path / "elsewhere"
    times = os.stat(mail / "alice" / "new")
    at_once(folder.refresh())
    drop_file(mail / "alice", "1.a.host")
    os.utime(mail / "alice" / "new", ns=(times.st_atime_ns, times.st_mtime_ns))
    at_once(folder.refresh())
    assert uids(folder) == [], "the directory's time is what is looked at"
    shutil.move(mail / "alice" / "new" / "1.a.host", hidden)
    shutil.move(hidden, mail / "alice" / "new" / "1.a.host")
    at_once(folder.refresh())
    assert uids(folder) == [1]


@pytest.mark.parametrize("operation", ["flags", "content", "expunge", "copy", "claim"])
def test_a_file_renamed_behind_our_back_is_found_again(
    mail: Path, store: Store, account: AccountStore, inbox: Folder, operation: str
) -> None:
    deliver(store, MESSAGE)
    at_once(account.create("Other"))
    (path,) = (mail / "alice" / "new").iterdir()
    path.rename(mail / "alice" / "cur" / f"{path.name}:2,F")
    inbox.state._stamp = stamp(str(mail / "alice"))  # as if the rename came after the last look
    if operation == "flags":
        at_once(inbox.store_flags([1], FlagMode.ADD, SEEN))
        assert inbox.messages()[0].flags == {Flag.SEEN, Flag.FLAGGED}
        assert os.listdir(mail / "alice" / "cur") == [f"{path.name}:2,FS"]
    elif operation == "content":
        assert octets(inbox, 1) == MESSAGE
    elif operation == "expunge":
        assert at_once(inbox.expunge([1])) == (1,)
        assert os.listdir(mail / "alice" / "cur") == []
    elif operation == "copy":
        assert at_once(inbox.copy([1], "Other")) == {1: 1}
    else:
        at_once(inbox.claim_recent())
        assert not inbox.messages()[0].recent


def test_a_file_rewritten_in_place_is_measured_again(mail: Path, store: Store, inbox: Folder) -> None:
    deliver(store, MESSAGE)
    (path,) = (mail / "alice" / "new").iterdir()
    path.write_bytes(b"Subject: other\n\nlonger than before\n")
    assert octets(inbox, 1) == b"Subject: other\r\n\r\nlonger than before\r\n"
    assert inbox.messages()[0].size == 38


# --- the index ---


def test_a_deleted_index_is_made_anew_with_another_uid_validity(
    mail: Path, store: Store, account: AccountStore, inbox: Folder
) -> None:
    deliver(store, MESSAGE, MESSAGE)
    at_once(inbox.store_flags([2], FlagMode.ADD, SEEN))
    old = inbox.uid_validity
    shut(account, inbox)
    os.unlink(mail / "alice" / FILE)
    again = reopened(mail)
    assert again.uid_validity > old
    assert [entry.flags for entry in again.messages()] == [frozenset(), SEEN]


@pytest.mark.parametrize("damage", [b"not a database, but long enough to look at" * 50, None])
def test_a_damaged_index_is_set_aside(mail: Path, store: Store, account: AccountStore, damage: bytes | None) -> None:
    deliver(store, MESSAGE)
    inbox = at_once(account.open("INBOX"))
    shut(account, inbox)
    path = mail / "alice" / FILE
    if damage is None:
        data = bytearray(path.read_bytes())
        data[100:4096] = b"\xff" * 3996
        damage = bytes(data)
    path.write_bytes(damage)
    again = reopened(mail)
    assert [octets(again, uid) for uid in uids(again)] == [MESSAGE]
    assert (mail / "alice" / f"{FILE}.broken").exists()


def test_an_index_of_a_newer_version_is_left_alone(mail: Path, account: AccountStore, inbox: Folder) -> None:
    shut(account, inbox)
    with sqlite3.connect(mail / "alice" / FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer"):
        reopened(mail)


def test_cached_octets_belong_to_their_message_for_ever(mail: Path, store: Store, inbox: Folder) -> None:
    deliver(store, MESSAGE, MESSAGE)
    at_once(inbox.cache({1: Cached(envelope=b"e1", structure=b"s1"), 2: Cached(envelope=b"e2"), 9: Cached()}))
    at_once(inbox.expunge([1]))
    at_once(inbox.cache({1: Cached(envelope=b"late")}))
    assert at_once(inbox.cached([1, 2, 9])) == {2: Cached(envelope=b"e2")}
    assert at_once(inbox.cached(range(1, 2000))) == {2: Cached(envelope=b"e2")}


# --- folders ---


def test_folders_are_made_found_renamed_and_deleted(mail: Path, store: Store, account: AccountStore) -> None:
    for name in ("Sent", "Lists/Twisted", "Entwürfe", "a.b & c"):
        at_once(account.create(name))
    assert at_once(account.folders()) == ("INBOX", "Entwürfe", "Lists/Twisted", "Sent", "a.b & c")
    assert (mail / "alice" / ".Lists.Twisted" / "maildirfolder").exists()
    for name in ("INBOX", "sent/", "Sent"):
        with pytest.raises((FolderExists, BadFolderName)):
            at_once(account.create(name))
    at_once(store.deliver("alice", [MESSAGE], "Lists/Twisted"))
    folder = at_once(account.open("Lists/Twisted"))
    validity = folder.uid_validity
    at_once(account.rename("Lists", "Old/Lists"))
    assert folder.name == "Old/Lists/Twisted"
    assert octets(folder, 1) == MESSAGE
    shut(account, folder)
    assert reopened(mail, "Old/Lists/Twisted").uid_validity == validity


def test_a_folder_made_again_is_another_folder(store: Store, account: AccountStore) -> None:
    at_once(account.create("Sent"))
    first = at_once(account.open("Sent"))
    at_once(first.append(BytesContent(MESSAGE)))
    changes: list[Change] = []
    first.watch(changes.append)
    at_once(account.delete("Sent"))
    assert changes[0].expunged == (1,)
    with pytest.raises(NoSuchFolder):
        at_once(first.refresh())
    with pytest.raises(NoSuchFolder):
        at_once(first.append(BytesContent(MESSAGE)))
    at_once(account.create("Sent"))
    second = at_once(account.open("Sent"))
    assert second is not first
    assert second.uid_validity > first.uid_validity
    assert uids(second) == []
    at_once(first.close())
    assert at_once(account.status("Sent")).messages == 0


def test_deleting_a_folder_keeps_those_below_it(account: AccountStore) -> None:
    at_once(account.create("Lists"))
    at_once(account.create("Lists/Twisted"))
    at_once(account.delete("Lists"))
    assert at_once(account.folders()) == ("INBOX", "Lists/Twisted")
    with pytest.raises(NoSuchFolder):
        at_once(account.delete("Lists"))
    with pytest.raises(StoreError):
        at_once(account.delete("inbox"))


def test_renaming_inbox_moves_its_messages(store: Store, account: AccountStore, inbox: Folder) -> None:
    deliver(store, MESSAGE)
    at_once(account.rename("INBOX", "Archive"))
    assert uids(inbox) == []
    assert at_once(account.status("Archive")).messages == 1


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("None", "Other", NoSuchFolder),
        ("Sent", "Drafts", FolderExists),
        ("Sent", "INBOX", FolderExists),
        ("Sent", "Sent/Below", BadFolderName),
        ("Lists", "Full", FolderExists),
    ],
)
def test_a_rename_that_cannot_be_changes_nothing(
    account: AccountStore, old: str, new: str, error: type[Exception]
) -> None:
    for name in ("Sent", "Drafts", "Lists/a", "Full/a"):
        at_once(account.create(name))
    before = at_once(account.folders())
    with pytest.raises(error):
        at_once(account.rename(old, new))
    assert at_once(account.folders()) == before


def test_copies_keep_flags_keywords_date_and_cached_octets(mail: Path, store: Store, account: AccountStore) -> None:
    inbox = at_once(account.open("INBOX"))
    deliver(store, MESSAGE)
    at_once(inbox.append(BytesContent(b"two\r\n"), SEEN, frozenset({"Work"}), 5.0))
    at_once(inbox.cache({2: Cached(envelope=b"e")}))
    at_once(account.create("Copies"))
    assert at_once(inbox.copy([2, 1, 7], "Copies")) == {2: 1, 1: 2}
    copies = at_once(account.open("Copies"))
    assert [(e.flags, e.keywords, e.internal_date, e.size) for e in copies.messages()] == [
        (e.flags, e.keywords, e.internal_date, e.size) for e in reversed(inbox.messages())
    ]
    assert at_once(copies.cached([1, 2])) == {1: Cached(envelope=b"e")}
    assert octets(copies, 2) == MESSAGE
    with pytest.raises(NoSuchFolder):
        at_once(inbox.copy([1], "Nowhere"))
    assert at_once(inbox.copy([1], "INBOX")) == {1: 3}


def test_a_move_is_a_new_message_there_and_an_expunge_here(store: Store, account: AccountStore, inbox: Folder) -> None:
    deliver(store, MESSAGE, MESSAGE)
    at_once(account.create("Archive"))
    archive = at_once(account.open("Archive"))
    changes: list[Change] = []
    inbox.watch(changes.append)
    archive.watch(changes.append)
    assert at_once(inbox.move([2], "Archive")) == {2: 1}
    assert {(len(change.added), change.expunged) for change in changes} == {(1, ()), (0, (2,))}
    assert (uids(inbox), octets(archive, 1)) == ([1], MESSAGE)


def test_status_counts_without_opening(store: Store, account: AccountStore, inbox: Folder) -> None:
    deliver(store, MESSAGE, MESSAGE, MESSAGE)
    at_once(inbox.store_flags([1], FlagMode.ADD, frozenset({Flag.SEEN, Flag.DELETED})))
    status = at_once(account.status("inbox"))
    assert (status.messages, status.unseen, status.recent, status.deleted) == (3, 2, 2, 1)
    assert (status.size, status.uid_next, status.uid_validity) == (3 * len(MESSAGE), 4, inbox.uid_validity)


def test_subscriptions_are_in_dovecots_file(mail: Path, account: AccountStore) -> None:
    for name in ("Lists/Twisted", "inbox", "Entwürfe"):
        at_once(account.subscribe(name))
    at_once(account.subscribe("INBOX"))
    at_once(account.unsubscribe("Entwürfe"))
    at_once(account.unsubscribe("Never"))
    assert at_once(account.subscriptions()) == ("INBOX", "Lists/Twisted")
    assert (mail / "alice" / "subscriptions").read_text() == "INBOX\nLists.Twisted\n"


def test_what_a_crash_left_is_cleared_away_when_it_is_old(mail: Path, store: Store) -> None:
    old, young = mail / "alice" / "tmp" / "old", mail / "alice" / "tmp" / "young"
    half = mail / "alice" / "..removed-x" / "folder" / "cur"
    half.mkdir(parents=True)
    old.parent.mkdir()
    for path, age in ((old, 37 * 3600), (young, 35 * 3600)):
        path.write_bytes(b"x")
        os.utime(path, (1_000_000_000 - age,) * 2)
    account = at_once(store.account("alice"))
    assert os.listdir(mail / "alice" / "tmp") == ["young"]
    assert not half.exists()
    assert at_once(account.folders()) == ("INBOX",)


@pytest.mark.parametrize("mailbox", ["", ".", "..", "a/b", "../b", ".hidden", "a\0", "a\nb", " a", "x" * 251])
def test_a_name_that_is_no_directory_reaches_no_disk(store: Store, mail: Path, mailbox: str) -> None:
    with pytest.raises(ValueError):
        at_once(store.account(mailbox))
    with pytest.raises(ValueError):
        at_once(store.deliver(mailbox, [MESSAGE]))
    assert not mail.exists()


def test_closing_everything_lets_go_of_the_index(mail: Path, store: Store, account: AccountStore) -> None:
    folder = at_once(account.open("INBOX"))
    second = at_once(store.account("alice"))
    assert second is account
    shut(account, folder)
    shut(second)
    assert not (mail / "alice" / f"{FILE}-wal").exists()
    assert at_once(store.account("alice")) is not account
