"""Real POP3 clients over real sockets and TLS: poplib, getmail and curl fetch what was delivered, byte for byte."""

import poplib
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ended import all_ended
from mailboxes import directory_for
from peers import need
from pop3_sessions import HASH, PASSWORD
from twisted.internet import reactor as _reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from relaygw.bridge import as_deferred
from relaygw.config.schema import ListenerConfig, MailboxConfig, TlsConfig
from relaygw.core.events import Event, Secured, TaskFailed
from relaygw.mailbox.pop3_factory import Pop3Factory
from relaygw.mailbox.store import Store
from relaygw.realm import account_portal
from relaygw.sasl import Authenticator
from relaygw.tls import ServerTls

reactor: Any = _reactor

SMALL = b"Subject: small\r\n\r\n.leading dot\r\n..\r\n.\r\nlast line without end"
LARGE = b"Subject: large\r\n\r\n" + b".0123456789abcdef\r\n" * 300_000


def make_certificate(folder: Path) -> TlsConfig:
    """A certificate for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    encoding = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(encoding))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    return TlsConfig(certificate=str(folder / "cert.pem"), private_key=str(folder / "key.pem"))


class Pop3ClientsTest(TestCase):
    """Two listeners on ephemeral ports of the loopback: STLS and implicit TLS. No password travels in clear."""

    timeout = 300

    def setUp(self) -> None:
        self.addCleanup(all_ended)
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "users").touch(0o600)
        (self.folder / "users").write_text(f"alice {HASH}\n")
        certificate = make_certificate(self.folder)
        self.tls = ServerTls(certificate)
        self.trust = ssl.create_default_context(cafile=certificate.certificate)
        self.store = Store(str(self.folder / "mail"), reactor, reactor.getThreadPool())
        self.portal = account_portal(directory_for(self.folder, reactor))
        self.events: list[Event] = []
        self.ports: dict[str, Any] = {}
        self.factories: list[Pop3Factory] = []
        for kind in ("starttls", "implicit"):
            factory = self.make_factory(kind)
            listening = factory if kind == "starttls" else self.tls.wrap(factory)
            self.ports[kind] = reactor.listenTCP(0, listening, interface="127.0.0.1")
            self.factories.append(factory)
        self.addCleanup(self.end)  # before the folder goes: cleanups run last to first, and before tearDown

    def make_factory(self, kind: Any) -> Pop3Factory:
        return Pop3Factory(
            authenticator=Authenticator(portal=self.portal, clock=reactor, journal=self.events.append),
            store=self.store,
            tls=self.tls,
            clock=reactor,
            journal=self.events.append,
            mailbox=MailboxConfig(),
            listener=ListenerConfig(name="pop3", endpoint="tcp:0", protocol="pop3", tls=kind, auth="tls"),
            hostname="localhost",
        )

    @inlineCallbacks
    def end(self) -> Any:
        for port in self.ports.values():
            yield port.stopListening()
        for factory in self.factories:
            yield as_deferred(factory.stop())
        yield as_deferred(self.store.close())
        failures = [event for event in self.events if isinstance(event, TaskFailed)]
        assert failures == []

    def port(self, kind: str) -> int:
        number: int = self.ports[kind].getHost().port
        return number

    def deliver(self, *messages: bytes) -> Any:
        async def work() -> None:
            for message in messages:
                await self.store.deliver("alice", [message])

        return as_deferred(work())

    def fetch(self, client: poplib.POP3) -> list[bytes]:
        """What poplib reads; it drops the line ends, and adds a last one."""
        count = client.stat()[0]
        return [b"".join(line + b"\r\n" for line in client.retr(number)[1]) for number in range(1, count + 1)]

    @inlineCallbacks
    def test_poplib_under_stls(self) -> Any:
        yield self.deliver(SMALL, LARGE)

        def work() -> None:
            client = poplib.POP3("localhost", self.port("starttls"), timeout=60)
            assert "STLS" in client.capa()
            with pytest.raises(poplib.error_proto):
                client.user("alice")
            client.stls(self.trust)
            assert "STLS" not in client.capa()
            client.user("alice@example.com")
            assert client.pass_(PASSWORD).startswith(b"+OK 2 messages")
            assert client.stat() == (2, len(SMALL) + len(LARGE))
            assert self.fetch(client) == [SMALL + b"\r\n", LARGE]
            assert client.top(2, 1)[1] == [b"Subject: large", b"", b".0123456789abcdef"]
            assert len(client.uidl()[1]) == 2
            client.dele(1)
            assert client.quit() == b"+OK bye"

        yield deferToThread(work)
        assert any(isinstance(event, Secured) for event in self.events)

    @inlineCallbacks
    def test_poplib_under_implicit_tls_keeps_unique_ids_and_leaves_on_loss(self) -> Any:
        yield self.deliver(SMALL, LARGE)

        def session() -> tuple[list[bytes], list[bytes]]:
            client = poplib.POP3_SSL("localhost", self.port("implicit"), context=self.trust, timeout=60)
            client.user("alice")
            client.pass_(PASSWORD)
            found = client.uidl()[1], self.fetch(client)
            client.dele(1)
            client.close()
            return found

        first = yield deferToThread(session)
        # The next login may come before the server has seen the first connection's end.
        second = yield deferToThread(lambda: patient(session))
        assert first == second
        assert first[1] == [SMALL + b"\r\n", LARGE]

    @pytest.mark.interop
    @inlineCallbacks
    def test_getmail_fetches_and_deletes(self) -> Any:
        getmail = need("getmail")
        yield self.deliver(SMALL + b"\r\n", LARGE)
        (self.folder / "getmailrc").write_text(
            f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {self.port('implicit')}\n"
            f"username = alice\npassword = {PASSWORD}\nca_certs = {self.folder / 'cert.pem'}\n"
            f"[destination]\ntype = MDA_external\npath = {need('tee')}\narguments = ('-a', '{self.folder}/fetched')\n"
            "allow_root_commands = true\nignore_stderr = true\n"
            "[options]\ndelete = true\nread_all = true\ndelivered_to = false\nreceived = false\n"
        )
        command = [getmail, "--getmaildir", str(self.folder), "--rcfile", str(self.folder / "getmailrc")]
        result = yield deferToThread(lambda: subprocess.run(command, capture_output=True, timeout=300, check=False))
        assert result.returncode == 0, result.stderr
        both = (SMALL + b"\r\n" + LARGE).replace(b"\r\n", b"\n")
        fetched = (self.folder / "fetched").read_bytes()
        assert fetched.replace(b"Return-Path: <unknown>\n", b"") == both  # getmail's own field
        account = yield as_deferred(self.store.account("alice"))
        status = yield as_deferred(account.status("INBOX"))
        yield as_deferred(account.close())
        assert status.messages == 0

    @pytest.mark.interop
    @inlineCallbacks
    def test_curl_fetches_with_sasl_plain(self) -> Any:
        curl = need("curl")
        yield self.deliver(LARGE)
        command = [
            curl,
            *("--silent", "--show-error", "--ssl-reqd", "--cacert", str(self.folder / "cert.pem")),
            *("--user", f"alice:{PASSWORD}", "--login-options", "AUTH=PLAIN"),
            f"pop3://localhost:{self.port('starttls')}/1",
        ]
        result = yield deferToThread(lambda: subprocess.run(command, capture_output=True, timeout=300, check=False))
        assert result.returncode == 0, result.stderr
        assert result.stdout == LARGE


def patient(session: Callable[[], Any]) -> Any:
    """Try again while another session has the mailbox."""
    while True:
        try:
            return session()
        except poplib.error_proto as error:
            if b"IN-USE" not in error.args[0]:
                raise
