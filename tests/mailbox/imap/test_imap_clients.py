"""Real clients against the server on a real socket: imaplib, mbsync and curl get back exactly what is stored."""

import imaplib
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ended import all_ended
from imap_harness import MESSAGE, OneAccount
from peers import need
from twisted.internet import reactor as _reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from relaygw.bridge import as_deferred
from relaygw.config.schema import ListenerConfig, MailboxConfig, TlsConfig
from relaygw.core.events import Secured
from relaygw.mailbox.imap.factory import ImapFactory
from relaygw.mailbox.store import Store
from relaygw.realm import account_portal
from relaygw.sasl import Authenticator
from relaygw.tls import ServerTls

reactor: Any = _reactor

LARGE = b"From: b@example.org\r\nSubject: large\r\n\r\n" + b"0123456789abcdef.\r\n" * 20_000


def make_certificate(folder: Path) -> TlsConfig:
    """A certificate for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return TlsConfig(certificate=str(folder / "certificate.pem"), private_key=str(folder / "key.pem"))


class Clients(TestCase):
    """A listener on an ephemeral port of the loopback; STARTTLS offered, AUTH in clear allowed."""

    timeout = 300

    def setUp(self) -> None:
        self.addCleanup(all_ended)
        self.folder = Path(tempfile.mkdtemp())
        self.certificate = make_certificate(self.folder)
        self.store = Store(str(self.folder / "mail"), reactor, reactor.getThreadPool())
        self.events: list[Any] = []
        self.factory = ImapFactory(
            authenticator=Authenticator(
                portal=account_portal(OneAccount()), clock=reactor, journal=self.events.append, delay=0.0
            ),
            store=self.store,
            tls=ServerTls(self.certificate),
            clock=reactor,
            journal=self.events.append,
            mailbox=MailboxConfig(),
            listener=ListenerConfig(name="imap", endpoint="", protocol="imap", auth="always"),
            max_append=10_000_000,
        )
        self.listening = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.port = self.listening.getHost().port
        self.addCleanup(self.end)  # before the folder goes: cleanups run last to first, and before tearDown

    @inlineCallbacks
    def end(self) -> Any:
        yield self.listening.stopListening()
        yield as_deferred(self.factory.stop())
        yield as_deferred(self.store.close())
        shutil.rmtree(self.folder)

    def deliver(self, *messages: bytes, folder: str = "INBOX") -> Any:
        async def work() -> None:
            for message in messages:
                await self.store.deliver("alice", [message], folder)

        return as_deferred(work())

    def run_peer(self, *command: str) -> Any:
        def work() -> "subprocess.CompletedProcess[bytes]":
            return subprocess.run(command, capture_output=True, timeout=300, check=False)

        return deferToThread(work)


class ImaplibTests(Clients):
    @inlineCallbacks
    def test_a_session_of_imaplib_under_starttls(self) -> Any:
        """Login, append, fetch, search, store, copy, expunge, as Python's own client does them."""
        yield self.deliver(MESSAGE, LARGE)
        context = ssl.create_default_context(cafile=self.certificate.certificate)

        def work() -> None:
            with imaplib.IMAP4("localhost", self.port) as client:
                client.starttls(context)
                assert client.login("alice", "secret")[0] == "OK"
                assert client.select("INBOX") == ("OK", [b"2"])
                status, data = client.fetch("1:2", "(RFC822.SIZE BODY.PEEK[])")
                assert status == "OK"
                assert [item[1] for item in data if isinstance(item, tuple)] == [MESSAGE, LARGE]
                assert client.fetch("2", "(BODY.PEEK[TEXT]<16.5>)")[1][0][1] == b".\r\n01"
                assert client.search(None, "SUBJECT", '"large"')[1] == [b"2"]
                assert client.store("1", "+FLAGS", "(\\Deleted)")[1] == [b"1 (FLAGS (\\Deleted \\Recent))"]
                assert client.create("Archive")[0] == "OK"
                assert client.copy("2", "Archive")[0] == "OK"
                assert client.expunge()[1] == [b"1"]
                appended = client.append("Archive", "\\Seen", imaplib.Time2Internaldate(1e9), MESSAGE)
                assert appended[0] == "OK"
                assert client.select("Archive", readonly=True) == ("OK", [b"2"])
                status, data = client.uid("FETCH", "2", "(FLAGS INTERNALDATE BODY.PEEK[])")
                assert data[0][1] == MESSAGE
                assert b"\\Seen" in data[0][0]
                assert b'"09-Sep-2001 01:46:40 +0000"'.replace(b'"09', b'" 9') in data[0][0]

        yield deferToThread(work)

    @inlineCallbacks
    def test_implicit_tls(self) -> Any:
        """The factory behind TLS from the first octet: logging in is offered, STARTTLS is not."""
        yield self.deliver(LARGE)
        wrapped = ServerTls(self.certificate).wrap(self.factory)
        listening = reactor.listenTCP(0, wrapped, interface="127.0.0.1")
        context = ssl.create_default_context(cafile=self.certificate.certificate)

        def work() -> None:
            with imaplib.IMAP4_SSL("localhost", listening.getHost().port, ssl_context=context) as client:
                assert "STARTTLS" not in client.capabilities
                assert "AUTH=PLAIN" in client.capabilities
                client.login("alice", "secret")
                client.select()
                assert client.fetch("1", "(RFC822)")[1][0][1] == LARGE

        yield deferToThread(work)
        yield listening.stopListening()
        assert [event.version for event in self.events if isinstance(event, Secured)] == ["TLSv1.3"]

    @inlineCallbacks
    def test_a_client_that_reads_slowly_costs_little(self) -> Any:
        """Forty megabytes are asked for and not read: hardly any of it is made, and the next client is served."""
        yield self.deliver(*[b"Subject: x\r\n\r\n" + b"0123456789abcde\n" * 60_000] * 2)

        def work() -> None:
            with socket.create_connection(("127.0.0.1", self.port), 60) as link:
                link.sendall(b"a LOGIN alice secret\r\nb SELECT INBOX\r\n" + b"c FETCH 1:* BODY.PEEK[]\r\n" * 20)
                with imaplib.IMAP4("localhost", self.port) as other:
                    other.login("alice", "secret")
                    assert other.select()[0] == "OK"
                    while not any(server._output.blocked for server in self.factory._present):
                        other.noop()
                received = 0
                while received < 39_000_000:
                    received += len(link.recv(1_000_000))

        yield deferToThread(work)

    @inlineCallbacks
    def test_idle_is_told_of_a_delivery(self) -> Any:
        """A delivery through the store reaches a client that idles."""
        ready: Any = deferToThread(self._idle_until_exists)
        yield ready

    def _idle_until_exists(self) -> None:
        from twisted.internet.threads import blockingCallFromThread

        with socket.create_connection(("127.0.0.1", self.port), 60) as link:
            stream = link.makefile("rb")
            stream.readline()
            link.sendall(b"a LOGIN alice secret\r\nb SELECT INBOX\r\nc IDLE\r\n")
            while stream.readline() != b"+ idling\r\n":
                pass
            blockingCallFromThread(reactor, self.deliver, MESSAGE)
            assert stream.readline() == b"* 1 EXISTS\r\n"
            assert stream.readline() == b"* 1 RECENT\r\n"
            link.sendall(b"DONE\r\n")
            assert stream.readline() == b"c OK No more idling\r\n"


@pytest.mark.interop
class MbsyncTests(Clients):
    def configure(self) -> Path:
        mail = self.folder / "local"
        mail.mkdir()
        (self.folder / "mbsyncrc").write_text(
            f"""
IMAPAccount gateway
Host localhost
Port {self.port}
User alice
Pass secret
SSLType STARTTLS
CertificateFile {self.certificate.certificate}

IMAPStore far
Account gateway

MaildirStore near
Path {mail}/
Inbox {mail}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Sync All
SyncState {self.folder}/
"""
        )
        return mail

    def sync(self) -> Any:
        return self.run_peer(need("mbsync"), "-c", str(self.folder / "mbsyncrc"), "-a")

    @staticmethod
    def files(mail: Path, folder: str = "INBOX") -> "list[Path]":
        return sorted(path for place in ("new", "cur") for path in (mail / folder / place).iterdir())

    @inlineCallbacks
    def test_mbsync_syncs_both_ways(self) -> Any:
        """New mail comes, local mail, flags and deletions go, and nothing changes on the way."""
        yield self.deliver(MESSAGE, LARGE)
        yield self.deliver(MESSAGE, folder="Lists/Twisted")
        mail = self.configure()
        first = yield self.sync()
        assert first.returncode == 0, first.stderr
        contents = sorted(_unmarked(path.read_bytes()) for path in self.files(mail))
        assert contents == sorted(message.replace(b"\r\n", b"\n") for message in (MESSAGE, LARGE))
        assert len(self.files(mail, "Lists/Twisted")) == 1

        gone = next(path for path in self.files(mail) if path.stat().st_size > 10_000)
        os.rename(gone, mail / "INBOX" / "cur" / (gone.name.partition(":")[0] + ":2,ST"))
        (mail / "INBOX" / "new" / "1.local").write_bytes(b"Subject: from here\n\nhi\n")
        second = yield self.sync()
        assert second.returncode == 0, second.stderr
        account = yield as_deferred(self.store.account("alice"))
        folder = yield as_deferred(account.open("INBOX"))
        found = []
        for entry in folder.messages():
            content = yield as_deferred(folder.content(entry.uid))
            found.append(b"".join(content.chunks()))
        yield as_deferred(folder.close())
        yield as_deferred(account.close())
        assert len(found) == 2
        assert found[0] == MESSAGE
        assert _unmarked(found[1]) == b"Subject: from here\r\n\r\nhi\r\n"

        third = yield self.sync()
        assert third.returncode == 0, third.stderr
        assert len(self.files(mail)) == 2


def _unmarked(data: bytes) -> bytes:
    """Without the field by which mbsync knows what it has stored."""
    return b"\n".join(line for line in data.split(b"\n") if not line.startswith(b"X-TUID:"))


@pytest.mark.interop
class CurlTests(Clients):
    @inlineCallbacks
    def test_curl_fetches_and_uploads(self) -> Any:
        """curl reads a message by its URL, byte for byte, and appends one."""
        yield self.deliver(LARGE)
        (self.folder / "up.eml").write_bytes(MESSAGE)
        base = ["--silent", "--show-error", "--ssl-reqd", "--user", "alice:secret"]
        base += ["--cacert", str(self.certificate.certificate)]
        url = f"imap://localhost:{self.port}/INBOX"
        read = yield self.run_peer(need("curl"), *base, f"{url};UID=1")
        assert (read.returncode, read.stdout) == (0, LARGE), read.stderr
        sent = yield self.run_peer(need("curl"), *base, "--upload-file", str(self.folder / "up.eml"), url)
        assert sent.returncode == 0, sent.stderr
        again = yield self.run_peer(need("curl"), *base, f"{url};UID=2")
        assert (again.returncode, again.stdout) == (0, MESSAGE), again.stderr
