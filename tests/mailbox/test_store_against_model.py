"""Whatever sessions, deliveries, other programs and restarts do in any order: a message keeps its uid and octets."""

import os
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from mailboxes import inline_store
from results import at_once

from relaygw.core.content import BytesContent
from relaygw.mailbox.index import FILE
from relaygw.mailbox.values import Change, Flag, FlagMode, Flags

flag_sets = st.frozensets(st.sampled_from([Flag.SEEN, Flag.FLAGGED, Flag.DELETED]))
picks = st.integers(0, 99)


class StoreMachine(RuleBasedStateMachine):
    """`model` holds what must be there: text → flags. A second view is kept up to date by notices alone."""

    def __init__(self) -> None:
        super().__init__()
        self.folder_path = tempfile.TemporaryDirectory()
        self.maildir = Path(self.folder_path.name) / "mail" / "alice"
        self.seconds = 1_000_000_000.0
        self.counter = 0
        self.model: dict[bytes, Flags] = {}
        self.uids: dict[tuple[int, int], bytes] = {}
        self.open()

    def open(self) -> None:
        self.seconds += 10
        self.store = inline_store(self.maildir.parent, self.seconds)
        self.account = at_once(self.store.account("alice"))
        self.folder = at_once(self.account.open("INBOX"))
        self.view = {entry.uid: entry for entry in self.folder.messages()}
        self.folder.watch(self.follow)

    def follow(self, change: Change) -> None:
        for entry in (*change.added, *change.changed):
            self.view[entry.uid] = entry
        for uid in change.expunged:
            del self.view[uid]

    def text(self) -> bytes:
        self.counter += 1
        return b"Subject: %d\r\n\r\nbody\r\n" % self.counter

    def octets(self, uid: int) -> bytes:
        return b"".join(at_once(self.folder.content(uid)).chunks())

    def pick(self, number: int) -> int:
        entries = self.folder.messages()
        return entries[number % len(entries)].uid

    def files(self) -> list[Path]:
        return sorted(path for place in ("new", "cur") for path in (self.maildir / place).iterdir())

    @rule()
    def deliver(self) -> None:
        text = self.text()
        at_once(self.store.deliver("alice", [text]))
        self.model[text] = frozenset()

    @rule(flags=flag_sets)
    def append(self, flags: Flags) -> None:
        text = self.text()
        at_once(self.folder.append(BytesContent(text), flags))
        self.model[text] = flags

    @precondition(lambda self: self.folder.messages())
    @rule(number=picks, flags=flag_sets, mode=st.sampled_from(FlagMode))
    def store_flags(self, number: int, flags: Flags, mode: FlagMode) -> None:
        uid = self.pick(number)
        text = self.octets(uid)
        old = self.model[text]
        at_once(self.folder.store_flags([uid], mode, flags))
        self.model[text] = {FlagMode.ADD: old | flags, FlagMode.REMOVE: old - flags, FlagMode.REPLACE: flags}[mode]

    @precondition(lambda self: self.folder.messages())
    @rule(number=picks)
    def expunge(self, number: int) -> None:
        uid = self.pick(number)
        text = self.octets(uid)
        assert at_once(self.folder.expunge([uid])) == (uid,)
        del self.model[text]

    @rule()
    def claim_recent(self) -> None:
        at_once(self.folder.claim_recent())

    @rule()
    def another_program_delivers(self) -> None:
        text = self.text()
        (self.maildir / "new" / f"{self.counter}.other.host").write_bytes(text.replace(b"\r\n", b"\n"))
        self.model[text] = frozenset()

    @precondition(lambda self: self.files())
    @rule(number=picks, flags=flag_sets)
    def another_program_flags(self, number: int, flags: Flags) -> None:
        path = self.files()[number % len(self.files())]
        text = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        letters = "".join(sorted(flag.value for flag in flags))
        path.rename(self.maildir / "cur" / f"{path.name.partition(':')[0]}:2,{letters}")
        self.model[text] = flags

    @precondition(lambda self: self.files())
    @rule(number=picks)
    def another_program_deletes(self, number: int) -> None:
        path = self.files()[number % len(self.files())]
        text = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        path.unlink()
        del self.model[text]

    @rule(lose_index=st.booleans())
    def restart(self, lose_index: bool) -> None:
        at_once(self.folder.close())
        at_once(self.account.close())
        if lose_index:
            os.unlink(self.maildir / FILE)
        self.open()

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        at_once(self.folder.refresh())
        entries = self.folder.messages()
        assert {self.octets(entry.uid): entry.flags for entry in entries} == self.model
        assert [entry.uid for entry in entries] == sorted({entry.uid for entry in entries})
        assert all(entry.uid < self.folder.uid_next for entry in entries)
        assert self.view == {entry.uid: entry for entry in entries} or self.differs_in_recent_only()
        for entry in entries:
            key = (self.folder.uid_validity, entry.uid)
            assert self.uids.setdefault(key, self.octets(entry.uid)) == self.octets(entry.uid), "a uid was used twice"

    def differs_in_recent_only(self) -> bool:
        """Nobody is told who claimed \\Recent."""
        return {uid: (entry.flags, entry.size) for uid, entry in self.view.items()} == {
            entry.uid: (entry.flags, entry.size) for entry in self.folder.messages()
        }

    def teardown(self) -> None:
        at_once(self.folder.close())
        at_once(self.account.close())
        self.folder_path.cleanup()


TestStoreAgainstModel = StoreMachine.TestCase
TestStoreAgainstModel.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
