"""Dovecot reads the maildirs we write, and we read what it did there."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mailboxes import inline_store
from results import at_once

from relaygw.core.content import BytesContent
from relaygw.mailbox.values import Flag

pytestmark = pytest.mark.interop

_CONFIG = """
base_dir = {folder}/run
log_path = {folder}/log
ssl = no
mail_location = maildir:{folder}/mail/alice
first_valid_uid = 1
first_valid_gid = 1
namespace inbox {{
  inbox = yes
}}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an ordinary user may enter: Dovecot refuses mail access to root."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    (path / "dovecot.conf").write_text(_CONFIG.format(folder=path))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def doveadm(peer: Callable[[str], str], folder: Path) -> Callable[..., str]:
    program = peer("doveadm")
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}

    def run(*arguments: str, given: str = "") -> str:
        if user:
            subprocess.run(["chown", "-R", "nobody:nogroup", str(folder)], check=True)
        command = [program, "-c", str(folder / "dovecot.conf"), *arguments]
        environment = {"HOME": str(folder), "USER": "nobody", "PATH": os.environ["PATH"]}
        done = subprocess.run(
            command, env=environment, input=given, capture_output=True, text=True, timeout=300, check=False, **user
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


def test_dovecot_finds_folders_messages_flags_and_dates(folder: Path, doveadm: Callable[..., str]) -> None:
    store = inline_store(folder / "mail")
    account = at_once(store.account("alice"))
    at_once(store.deliver("alice", [b"Subject: one\r\n\r\n.body\r\nlast"]))
    for name in ("Sent", "Lists/Twisted", "Entwürfe"):
        at_once(account.create(name))
    at_once(account.subscribe("Sent"))
    sent = at_once(account.open("Sent"))
    at_once(sent.append(BytesContent(b"Subject: two\r\n\r\nx\r\n"), frozenset({Flag.SEEN, Flag.ANSWERED}), date=1e9))
    assert set(doveadm("mailbox", "list").split()) == {"INBOX", "Sent", "Lists", "Lists.Twisted", "Entwürfe"}
    assert doveadm("mailbox", "list", "-s").split() == ["Sent"]
    fields = ["-f", "flow", "fetch", "hdr.subject flags size.physical size.virtual", "mailbox"]
    assert doveadm(*fields, "INBOX", "all").split() == [
        "hdr.subject=one",
        "flags=\\Recent",
        "size.physical=27",
        "size.virtual=27",
    ]
    assert "flags=\\Answered \\Seen" in doveadm(*fields, "Sent", "all")
    assert "2001-09-09" in doveadm("fetch", "date.received", "mailbox", "Sent", "all")
    assert doveadm("fetch", "body", "mailbox", "INBOX", "all").splitlines()[1:] == [".body", "last"]


def test_what_dovecot_does_is_followed(folder: Path, doveadm: Callable[..., str]) -> None:
    store = inline_store(folder / "mail")
    at_once(store.deliver("alice", [b"Subject: one\r\n\r\nbody\r\n"]))
    inbox = at_once(at_once(store.account("alice")).open("INBOX"))
    doveadm("save", "-m", "INBOX", given="Subject: two\n\nby dovecot\n")
    doveadm("flags", "add", "\\Flagged", "mailbox", "INBOX", "subject", "one")
    at_once(inbox.refresh())
    assert [(entry.uid, entry.flags) for entry in inbox.messages()] == [(1, {Flag.FLAGGED}), (2, frozenset())]
    assert b"".join(at_once(inbox.content(2)).chunks()) == b"Subject: two\r\n\r\nby dovecot\r\n"
    doveadm("expunge", "mailbox", "INBOX", "subject", "one")
    at_once(inbox.refresh())
    assert [entry.uid for entry in inbox.messages()] == [2]
