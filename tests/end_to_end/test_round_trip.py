"""A message goes in by a real client, is signed, relayed or delivered, and is read back byte for byte."""

import imaplib
import json
import poplib
import re
import shutil
import smtplib
import subprocess
from collections.abc import Callable
from pathlib import Path

import dkim
import pytest
from real import dumped, eventually, smtp_sink, unchecked

from relaygw.testing.gateway import Gateway

pytestmark = pytest.mark.interop
USER, PASSWORD = "alice", "correct horse"
MESSAGE = (
    b"From: Alice <alice@example.test>\r\nTo: bob@elsewhere.test\r\nSubject: a round  trip\r\n"
    b"X-Camelcase: kept\r\nx-CAMELcase: twice\r\nDate: Mon, 23 Nov 2026 05:00:00 +0000\r\n"
    b"Message-ID: <round-trip@example.test>\r\n\r\n"
    b"A line\r\n.\r\n.. dots \r\n\ttab and trailing space \r\n\r\n\r\nlast line\r\n"
)


def submit(gateway: Gateway, recipient: str, message: bytes = MESSAGE) -> None:
    with smtplib.SMTP("127.0.0.1", gateway.port(587), timeout=60) as client:
        client.starttls(context=unchecked())
        client.login(USER, PASSWORD)
        assert client.sendmail("alice@example.test", [recipient], message) == {}


def key_of(gateway: Gateway) -> Callable[..., bytes]:
    """A dkimpy lookup that answers with the record `relaygw dkim record` prints."""
    done = gateway.command("--json", "dkim", "record")
    records = {entry["name"]: entry["value"].encode() for entry in json.loads(done.stdout)}

    def lookup(name: bytes, timeout: int = 5) -> bytes:
        return records[name.decode().rstrip(".")]

    return lookup


def test_submission_is_signed_and_relayed(tmp_path: Path, peer: Callable[[str], str]) -> None:
    """smtplib with AUTH over STARTTLS → signed → a real smtp-sink; the signature verifies, the bytes are the same."""
    with smtp_sink(peer("smtp-sink")) as (port, folder):
        gateway = Gateway.make(
            tmp_path / "demo", domains=["example.test"], users=[f"{USER}:{PASSWORD}"], smarthost=f"127.0.0.1:{port}"
        )
        with gateway:
            submit(gateway, "bob@elsewhere.test")
            eventually(lambda: list(folder.iterdir()) and dumped(folder)[0].endswith(b"last line\r\n"))
            (got,) = dumped(folder)
            assert got.endswith(MESSAGE), got
            assert b"DKIM-Signature:" in got
            assert dkim.verify(got, dnsfunc=key_of(gateway))


def test_swaks_submits_over_implicit_tls_and_starttls(tmp_path: Path, peer: Callable[[str], str]) -> None:
    gateway = Gateway.make(tmp_path / "demo", domains=["example.test"], users=[f"{USER}:{PASSWORD}"])
    common = ["--from", "alice@example.test", "--to", "alice@example.test", "-au", USER, "-ap", PASSWORD]
    with gateway:
        for options in (["-p", str(gateway.port(587)), "-tls"], ["-p", str(gateway.port(465)), "-tlsc"]):
            done = subprocess.run(
                [peer("swaks"), "-s", "127.0.0.1", *options, *common], stdin=subprocess.DEVNULL, timeout=60,
                capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout
        wrong = [*common[:-1], "wrong"]
        done = subprocess.run(
            [peer("swaks"), "-s", "127.0.0.1", "-p", str(gateway.port(587)), "-tls", *wrong],
            stdin=subprocess.DEVNULL, timeout=300, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 28, done.stdout


def test_local_mail_is_read_back_over_pop3_and_imap(tmp_path: Path) -> None:
    """Delivered locally, then fetched by poplib and imaplib over TLS: the bytes as sent, under our own fields."""
    gateway = Gateway.make(tmp_path / "demo", domains=["example.test"], users=[f"{USER}:{PASSWORD}"])
    with gateway:
        submit(gateway, "alice@example.test")

        def by_pop() -> bytes:
            client = poplib.POP3_SSL("127.0.0.1", gateway.port(995), context=unchecked(), timeout=60)
            try:
                client.user(USER)
                client.pass_(PASSWORD)
                if client.stat()[0] == 0:
                    return b""
                return b"\r\n".join(client.retr(1)[1]) + b"\r\n"
            finally:
                client.quit()

        assert bytes(eventually(by_pop)).endswith(MESSAGE)  # type: ignore[call-overload]
        with imaplib.IMAP4_SSL("127.0.0.1", gateway.port(993), ssl_context=unchecked(), timeout=60) as client:
            client.login(USER, PASSWORD)
            assert client.select("INBOX")[1] == [b"1"]
            data = client.fetch("1", "(UID BODY.PEEK[])")[1]
            assert isinstance(data[0], tuple)
            assert data[0][1].endswith(MESSAGE)


def test_mbsync_and_getmail_fetch_it(tmp_path: Path, peer: Callable[[str], str]) -> None:
    """mbsync (IMAP) and getmail (POP3) each bring home the same bytes."""
    gateway = Gateway.make(
        tmp_path / "demo", domains=["example.test"], users=[f"{USER}:{PASSWORD}"], hostname="localhost"
    )
    certificate = gateway.folder / "tls" / "certificate.pem"
    if not certificate.exists():
        certificate = next(p for p in gateway.folder.rglob("*.pem") if b"BEGIN CERT" in p.read_bytes())
    (tmp_path / "home").mkdir()
    (tmp_path / "mbsyncrc").write_text(
        f'IMAPAccount g\nHost localhost\nPort {gateway.port(993)}\nUser {USER}\nPass "{PASSWORD}"\nSSLType IMAPS\n'
        f"CertificateFile {certificate}\nSystemCertificates no\n\nIMAPStore far\nAccount g\n\n"
        f"MaildirStore near\nPath {tmp_path}/home/\nInbox {tmp_path}/home/INBOX\nSubFolders Verbatim\n\n"
        f"Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nSync All\nSyncState *\n"
    )
    (tmp_path / "getmailrc").write_text(
        f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {gateway.port(995)}\n"
        f"username = {USER}\npassword = {PASSWORD}\n[destination]\ntype = MDA_external\npath = {shutil.which('tee')}\n"
        f'arguments = ("{tmp_path}/got",)\nallow_root_commands = true\nignore_stderr = true\n'
        "[options]\ndelete = false\nread_all = true\nreceived = false\ndelivered_to = false\n"
    )
    with gateway:
        submit(gateway, "alice@example.test")
        mbsync = [peer("mbsync"), "-c", str(tmp_path / "mbsyncrc"), "-a"]

        def synced() -> bool:
            done = subprocess.run(mbsync, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            return any((tmp_path / "home" / "INBOX" / "new").iterdir())

        eventually(synced)
        (fetched,) = (tmp_path / "home" / "INBOX" / "new").iterdir()
        own = re.sub(rb"X-TUID: [^\n]*\n", b"", fetched.read_bytes())  # mbsync's own mark
        assert own.endswith(MESSAGE.replace(b"\r\n", b"\n"))
        done = subprocess.run(
            [peer("getmail"), "--getmaildir", str(tmp_path), "--rcfile", "getmailrc"],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "got").read_bytes().endswith(MESSAGE.replace(b"\r\n", b"\n"))
