"""TLS towards next hops over real sockets: what each mode demands, what is known afterwards, and how it falls back."""

import datetime
import ipaddress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from egress_support import CLOSE, MANNERS, Server, make_opener, make_record
from ended import all_ended
from OpenSSL import SSL
from stock_client import StockClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from relaygw.core.content import BytesContent
from relaygw.core.mx import Target
from relaygw.core.outcome import Outcome, Status
from relaygw.egress.broken import Broken, Phase
from relaygw.egress.client import Session
from relaygw.egress.hop import Hop, Login, TlsMode
from relaygw.egress.message import in_thread, prepare
from relaygw.egress.secrets import Secret
from relaygw.egress.transaction import send

NAME = "mx.example.org"
OFFERS = ("STARTTLS", "PIPELINING", "SIZE 1")
INSIDE = ("PIPELINING", "AUTH PLAIN", "SIZE 0")


def make_certificate(folder: Path) -> None:
    """A self-signed certificate for NAME and 127.0.0.1, its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@implementer(IOpenSSLServerConnectionCreator)
class Certified:
    """The server's side of TLS; notes the names clients ask for."""

    def __init__(self, folder: Path) -> None:
        self.names: list[bytes | None] = []
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.use_certificate_file(str(folder / "certificate.pem"))
        self._context.use_privatekey_file(str(folder / "key.pem"))
        self._context.set_tlsext_servername_callback(lambda c: self.names.append(c.get_servername()))

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class Peer(Protocol):
    """A Server on a socket; after STARTTLS another Server talks inside."""

    transport: Any

    def __init__(self, outside: Server, inside: Server, certified: Certified, implicit: bool, handshake: bytes) -> None:
        self._server, self._inside = outside, inside
        self._certified, self._implicit, self._handshake = certified, implicit, handshake

    def connectionMade(self) -> None:
        if self._implicit:
            self._secure()
        self._say(self._server.greet())

    def dataReceived(self, data: bytes) -> None:
        if self._handshake and self._server is self._inside:
            self._say(self._handshake)
            return
        reply = self._server.receive(data)
        starting = bool(self._server.commands) and self._server.commands[-1] == "STARTTLS" and reply.startswith(b"220")
        self._say(reply)
        if starting:
            self._secure()

    def _secure(self) -> None:
        self._server = self._inside
        if not self._handshake:
            self.transport.startTLS(self._certified)

    def _say(self, reply: bytes) -> None:
        text, close, _ = reply.partition(CLOSE)
        self.transport.write(text)
        if close:
            self.transport.loseConnection()


class TlsTests(TestCase):
    """Each test has servers for its connections in `self.outside` and `self.inside`, used one per connection."""

    def setUp(self) -> None:
        self.addCleanup(all_ended)
        keeper = TemporaryDirectory()
        self.addCleanup(keeper.cleanup)
        self.folder = Path(keeper.name)
        make_certificate(self.folder)
        self.certified = Certified(self.folder)
        self.outside: list[Server] = []
        self.inside: list[Server] = []
        self.sessions: list[Session] = []
        self.handshake = b""
        self.offers_inside: tuple[str, ...] = INSIDE

    def listen(self, implicit: bool = False) -> int:
        def build(address: object) -> Peer:
            self.outside.append(Server(OFFERS, starttls=b"220 2.0.0 go\r\n"))
            self.inside.append(Server(self.offers_inside, auth=b"235 2.7.0 ok\r\n"))
            return Peer(self.outside[-1], self.inside[-1], self.certified, implicit, self.handshake)

        factory = Factory()
        factory.buildProtocol = build  # type: ignore[method-assign,assignment]  # the shortest of factories
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(self.leave)
        return int(port.getHost().port)

    @inlineCallbacks
    def leave(self) -> Any:
        for session in self.sessions:
            closed: Deferred[None] = Deferred()
            if session.connection.alive:
                session.connection.gone = lambda closed=closed: closed.callback(None)
                session.connection.abort()
                yield closed

    async def open(self, hop: Hop, host: str = NAME) -> Session:
        session = await make_opener(reactor).open(Target(host=host, address="127.0.0.1"), hop)
        self.sessions.append(session)
        return session

    def opened(self, hop: Hop, host: str = NAME) -> Deferred[Session]:
        return Deferred.fromCoroutine(self.open(hop, host))

    def hop(self, mode: TlsMode, implicit: bool = False, trusted: bool = True, **facts: Any) -> Hop:
        authorities = str(self.folder / "certificate.pem") if trusted else ""
        return Hop(port=self.listen(implicit), tls=mode, implicit=implicit, authorities=authorities, **facts)

    @inlineCallbacks
    def test_opportunistic_tls_looks_at_no_certificate_and_knows_what_it_got(self) -> Any:
        session = yield self.opened(self.hop(TlsMode.MAY, trusted=False))
        assert session.tls.version == "TLSv1.3"
        assert session.tls.cipher
        assert not session.tls.verified
        assert self.outside[0].commands == ["EHLO relay.example", "STARTTLS"]
        assert self.inside[0].commands == ["EHLO relay.example"]
        assert self.certified.names == [NAME.encode()]

    @inlineCallbacks
    def test_what_was_offered_in_clear_is_forgotten(self) -> Any:
        session = yield self.opened(self.hop(TlsMode.MAY))
        assert session.offered.size == 0
        assert not session.offered.offers("STARTTLS")

    @inlineCallbacks
    def test_outcomes_tell_the_version(self) -> Any:
        session = yield self.opened(self.hop(TlsMode.ENCRYPT))
        outcomes = yield Deferred.fromCoroutine(self.deliver(session, b"\r\nx\r\n"))
        assert [(outcome.status, outcome.tls) for outcome in outcomes] == [(Status.DELIVERED, "TLSv1.3")]

    @inlineCallbacks
    def test_requiretls_goes_on_over_verified_tls_to_who_offers_it(self) -> Any:
        for offers, mode, expected in (
            ((*INSIDE, "REQUIRETLS"), TlsMode.VERIFY, (Status.DELIVERED, "2.0.0")),
            (INSIDE, TlsMode.VERIFY, (Status.FAILED, "5.7.30")),
            ((*INSIDE, "REQUIRETLS"), TlsMode.ENCRYPT, (Status.FAILED, "5.7.30")),
        ):
            self.offers_inside = offers
            session = yield self.opened(self.hop(mode))
            outcomes = yield Deferred.fromCoroutine(self.deliver(session, b"\r\nx\r\n", requiretls=True))
            assert [(outcome.status, outcome.reply.enhanced) for outcome in outcomes] == [expected]
            said = [command for command in self.inside[-1].commands if command.startswith("MAIL")]
            assert all(command.endswith(" REQUIRETLS") for command in said)
            assert bool(said) is (expected[0] is Status.DELIVERED)

    async def deliver(self, session: Session, content: bytes, **facts: Any) -> tuple[Outcome, ...]:
        record = make_record(**facts)
        message = await prepare(record.envelope, b"", BytesContent(content), in_thread(reactor))
        return await send(session, message, record.envelope.recipients, MANNERS)

    @inlineCallbacks
    def test_large_contents_go_through_tls_byte_for_byte(self) -> Any:
        session = yield self.opened(self.hop(TlsMode.ENCRYPT))
        content = b"\r\n" + b".a line of some length\r\n" * 100_000
        outcomes = yield Deferred.fromCoroutine(self.deliver(session, content))
        assert outcomes[0].status is Status.DELIVERED
        assert self.inside[0].messages == [content]

    @inlineCallbacks
    def test_a_broken_handshake_is_followed_by_a_connection_in_clear(self) -> Any:
        for self.handshake in (b"what?\r\n" * 3, CLOSE, b"\x15\x03\x03\x00\x02\x02\x28"):
            session = yield self.opened(self.hop(TlsMode.MAY))
            assert session.tls is None
            assert self.outside[-1].commands == ["EHLO relay.example"]

    @inlineCallbacks
    def test_a_broken_handshake_is_the_end_where_tls_must_be(self) -> Any:
        self.handshake = b"what?\r\n" * 3
        for mode in (TlsMode.ENCRYPT, TlsMode.VERIFY):
            failure = yield self.assertFailure(self.opened(self.hop(mode)), Broken)
            assert (failure.phase, failure.reply.code, failure.reply.enhanced) == (Phase.HANDSHAKE, 451, "4.7.5")

    @inlineCallbacks
    def test_a_certificate_for_the_name_by_a_trusted_authority_is_verified(self) -> Any:
        session = yield self.opened(self.hop(TlsMode.VERIFY))
        assert session.tls.verified

    @inlineCallbacks
    def test_an_address_is_verified_as_an_address_and_not_named_in_sni(self) -> Any:
        session = yield self.opened(self.hop(TlsMode.VERIFY), host="127.0.0.1")
        assert session.tls.verified
        assert self.certified.names == [None]

    @inlineCallbacks
    def test_another_name_is_refused_before_anything_is_said_inside(self) -> Any:
        failure = yield self.assertFailure(self.opened(self.hop(TlsMode.VERIFY), host="mx.example.net"), Broken)
        assert failure.reply.enhanced == "4.7.5"
        assert "the certificate is not for mx.example.net" in str(failure)
        assert (failure.source, failure.helo) == ("127.0.0.1", "mx.example.org")
        assert not any(command.startswith(("EHLO", "AUTH")) for command in self.inside[0].commands)

    @inlineCallbacks
    def test_an_unknown_authority_is_refused(self) -> Any:
        failure = yield self.assertFailure(self.opened(self.hop(TlsMode.VERIFY, trusted=False)), Broken)
        assert failure.reply.enhanced == "4.7.5"
        assert "certificate verify failed" in str(failure)
        assert self.inside[0].commands == []

    @inlineCallbacks
    def test_authorities_that_cannot_be_read_are_told(self) -> Any:
        for content in (None, "not a certificate"):
            hop = self.hop(TlsMode.VERIFY)
            path = self.folder / f"other-{content is None}.pem"
            if content is not None:
                path.write_text(content)
            failure = yield self.assertFailure(
                self.opened(Hop(port=hop.port, tls=hop.tls, authorities=str(path))), Broken
            )
            assert failure.reply.enhanced == "4.3.5"

    @inlineCallbacks
    def test_implicit_tls_begins_before_the_greeting(self) -> Any:
        session = yield self.opened(self.hop(TlsMode.VERIFY, implicit=True))
        assert session.tls.verified
        assert self.outside[0].commands == []
        assert self.inside[0].commands == ["EHLO relay.example"]

    @inlineCallbacks
    def test_a_login_goes_inside(self) -> Any:
        (self.folder / "password").write_text("secret")
        login = Login(username="me", password=Secret("file", str(self.folder / "password")))
        yield self.opened(self.hop(TlsMode.VERIFY, login=login))
        assert self.inside[0].commands == ["EHLO relay.example", "AUTH PLAIN AG1lAHNlY3JldA=="]

    @inlineCallbacks
    def test_the_stock_client_has_no_middle_between_trust_and_nothing(self) -> Any:
        """An unknown authority ends its conversation though the mail need not be protected; ours goes on in TLS."""
        client = StockClient("a@example.com", ["b@example.org"], b"\nx\n", optionsForClientTLS(NAME))
        ended: Deferred[None] = Deferred()
        client.connectionLost = lambda reason: ended.callback(None)  # type: ignore[method-assign]
        yield TCP4ClientEndpoint(reactor, "127.0.0.1", self.listen()).connect(Factory.forProtocol(lambda: client))
        yield ended
        assert client.sent == []
        session = yield self.opened(self.hop(TlsMode.MAY, trusted=False))
        [outcome] = yield Deferred.fromCoroutine(self.deliver(session, b"\r\nx\r\n"))
        assert (outcome.status, outcome.tls) == (Status.DELIVERED, "TLSv1.3")
