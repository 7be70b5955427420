"""TLS sessions resumed: for the same host under the same policy, once each, and never as a way around a check."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
from egress_support import Server, make_attempt, make_opener, make_record, make_services
from ended import all_ended
from OpenSSL import SSL
from test_smtp_client_tls import INSIDE, NAME, OFFERS, Certified, Peer, make_certificate
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from relaygw.core.dane import Dane, Tlsa
from relaygw.core.mx import Target
from relaygw.core.outcome import Status
from relaygw.core.record import Route
from relaygw.egress.broken import Broken
from relaygw.egress.client import Session
from relaygw.egress.delivery import Courier, Stop
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.opener import Opener
from relaygw.egress.parameters import manners
from relaygw.egress.rehearsal import rehearse
from relaygw.egress.resumption import LIFETIME, MAX_EACH, MAX_KEYS, Resumption
from relaygw.egress.tls import ClientCreator, TlsFacts


class Sessions(Certified):
    """Knows of each handshake whether it was resumed; `refusing` makes such a handshake fail."""

    def __init__(self, folder: Path, version: int) -> None:
        super().__init__(folder)
        self._context.set_max_proto_version(version)
        self._context.set_session_id(b"relay")
        self.connections: list[SSL.Connection] = []

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        self.connections.append(super().serverConnectionForTLS(tlsProtocol))
        return self.connections[-1]

    @property
    def resumed(self) -> list[bool]:
        library: Any = SSL._lib  # type: ignore[attr-defined]  # pyOpenSSL does not tell it
        return [bool(library.SSL_session_reused(each._ssl)) for each in self.connections]  # type: ignore[attr-defined]  # ditto


class Cutting(Peer):
    """A server that hangs up on a handshake with a session of before."""

    cut = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.over: Deferred[None] = Deferred()

    def connectionLost(self, reason: Any = None) -> None:
        self.over.callback(None)

    def dataReceived(self, data: bytes) -> None:
        if self.cut and self._server is self._inside:
            self.transport.abortConnection()
            return
        super().dataReceived(data)

    def _secure(self) -> None:
        if not self.cut:
            super()._secure()
        self._server = self._inside


class ResumptionTests(TestCase):
    version = SSL.TLS1_3_VERSION
    tls = "TLSv1.3"

    def setUp(self) -> None:
        self.addCleanup(all_ended)
        keeper = TemporaryDirectory()
        self.addCleanup(keeper.cleanup)
        self.folder = Path(keeper.name)
        make_certificate(self.folder)
        self.server = Sessions(self.folder, self.version)
        self.cut: list[bool] = []
        self.peers: list[Cutting] = []
        factory = Factory()
        factory.buildProtocol = self.build  # type: ignore[method-assign,assignment]  # the shortest of factories
        self.port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.opener: Opener = make_opener(reactor)

    def build(self, address: object) -> Peer:
        outside, inside = Server(OFFERS, starttls=b"220 2.0.0 go\r\n"), Server(INSIDE)
        peer = Cutting(outside, inside, self.server, False, b"")
        peer.cut = self.cut.pop(0) if self.cut else False
        self.peers.append(peer)
        return peer

    def hop(self, mode: TlsMode, **facts: Any) -> Hop:
        authorities = str(self.folder / "certificate.pem")
        return Hop(port=self.port.getHost().port, tls=mode, authorities=authorities, **facts)

    @inlineCallbacks
    def connect(self, hop: Hop, host: str = NAME) -> Any:
        target = Target(host=host, address="127.0.0.1")
        session: Session = yield Deferred.fromCoroutine(self.opener.open(target, hop))
        closed: Deferred[None] = Deferred()
        session.connection.gone = lambda: closed.callback(None)
        session.connection.quit()
        yield closed
        return session

    @inlineCallbacks
    def test_the_next_connection_resumes_and_is_as_proven(self) -> Any:
        for mode in (TlsMode.MAY, TlsMode.ENCRYPT, TlsMode.VERIFY):
            self.server.connections.clear()
            hop = self.hop(mode)
            first = yield self.connect(hop)
            second = yield self.connect(hop)
            third = yield self.connect(hop)
            assert self.server.resumed == [False, True, True]
            assert first.tls == second.tls == third.tls
            assert second.tls.verified is (mode is TlsMode.VERIFY)

    @inlineCallbacks
    def test_a_kept_connection_needs_no_handshake_at_all(self) -> Any:
        services = make_services(reactor, tls="encrypt")
        courier = Courier(services, manners("relay.example", services.settings.egress))
        stop = Stop(target=Target(host=NAME, address="127.0.0.1"), hop=self.hop(TlsMode.ENCRYPT))
        for _ in range(3):
            attempt = make_attempt(make_record(), Route(transport="smarthost"))
            [outcome] = yield Deferred.fromCoroutine(courier.carry(attempt, [stop]))
            assert (outcome.status, outcome.tls) == (Status.DELIVERED, self.tls)
        yield Deferred.fromCoroutine(courier.pool.stop())
        assert self.server.resumed == [False]

    @inlineCallbacks
    def test_a_rehearsal_wants_to_see_the_certificate_anew(self) -> Any:
        services = make_services(reactor, tls="encrypt")
        courier = Courier(services, manners("relay.example", services.settings.egress))
        stop = Stop(target=Target(host=NAME, address="127.0.0.1"), hop=self.hop(TlsMode.ENCRYPT))
        for _ in range(2):
            [told] = yield Deferred.fromCoroutine(rehearse(courier, [stop], True))
            assert "certificate" in told["connection"]
            yield self.peers[-1].over
        assert self.server.resumed == [False, False]

    @inlineCallbacks
    def test_fingerprints_and_dane_are_still_looked_at(self) -> Any:
        der = yield self.certificate()
        import hashlib

        digest = hashlib.sha256(der).hexdigest()
        records = (Tlsa(usage=3, selector=0, matching=1, data=bytes.fromhex(digest)),)
        dane = Dane(base=NAME, records=records, usable=records, ttl=60)
        for hop in (self.hop(TlsMode.FINGERPRINT, fingerprints=(digest,)), self.hop(TlsMode.DANE, dane=dane)):
            self.server.connections.clear()
            yield self.connect(hop)
            session = yield self.connect(hop)
            assert self.server.resumed == [False, True]
            assert session.tls.verified

    @inlineCallbacks
    def certificate(self) -> Any:
        session = yield Deferred.fromCoroutine(
            self.opener.open(Target(host=NAME, address="127.0.0.1"), self.hop(TlsMode.MAY))
        )
        found = session.connection.handle().get_peer_certificate(as_cryptography=True)
        closed: Deferred[None] = Deferred()
        session.connection.gone = lambda: closed.callback(None)
        session.connection.quit()
        yield closed
        from cryptography.hazmat.primitives.serialization import Encoding

        return found.public_bytes(Encoding.DER)

    @inlineCallbacks
    def test_another_policy_or_name_begins_anew(self) -> Any:
        yield self.connect(self.hop(TlsMode.MAY))
        yield self.connect(self.hop(TlsMode.VERIFY))
        assert self.server.resumed == [False, False]
        yield self.assertFailure(self.connect(self.hop(TlsMode.VERIFY), host="mx.example.net"), Broken)
        assert self.server.resumed == [False, False, False]

    @inlineCallbacks
    def test_authorities_that_were_replaced_begin_anew(self) -> Any:
        yield self.connect(self.hop(TlsMode.VERIFY))
        make_certificate(self.folder)  # another authority; the server still shows the old certificate
        yield self.assertFailure(self.connect(self.hop(TlsMode.VERIFY)), Broken)
        assert self.server.resumed == [False, False]

    @inlineCallbacks
    def test_what_was_in_doubt_is_judged_anew_for_the_reports(self) -> Any:
        hop = attrs.evolve(self.hop(TlsMode.MAY), observed=True)
        for _ in range(2):
            session = yield self.connect(hop, host="mx.example.net")
            assert session.tls.doubt == "certificate-host-mismatch"
        assert self.server.resumed == [False, False]

    @inlineCallbacks
    def test_a_server_that_fails_at_a_resumed_handshake_gets_a_full_one_and_no_clear_text(self) -> Any:
        yield self.connect(self.hop(TlsMode.MAY))
        self.cut = [True]
        session = yield self.connect(self.hop(TlsMode.MAY))
        assert session.tls is not None
        assert self.server.resumed == [False, False]

    @inlineCallbacks
    def test_a_server_that_has_forgotten_does_a_full_handshake(self) -> Any:
        yield self.connect(self.hop(TlsMode.VERIFY))
        connections = self.server.connections
        self.server = Sessions(self.folder, self.version)
        session = yield self.connect(self.hop(TlsMode.VERIFY))
        assert session.tls.verified
        assert len(connections) == 1
        assert self.server.resumed == [False]


class OldResumptionTests(ResumptionTests):
    """The same with TLS 1.2."""

    version = SSL.TLS1_2_VERSION
    tls = "TLSv1.2"


CONTEXT = ClientCreator(NAME, TlsMode.MAY).context()
FACTS = TlsFacts("TLSv1.3", "x", False)


class Connection:
    """As much of an OpenSSL connection as is asked."""

    def __init__(self) -> None:
        self.session = SSL.Session()

    def get_session(self) -> SSL.Session:
        return self.session

    def get_context(self) -> SSL.Context:
        return CONTEXT


def test_sessions_are_used_once_the_latest_first_and_for_a_time() -> None:
    clock, target, hop = Clock(), Target(host=NAME, address="192.0.2.1"), Hop()
    kept = Resumption(clock)
    made: list[Any] = [Connection() for _ in range(MAX_EACH + 1)]
    for each in made:
        kept.keep(target, hop, each, FACTS)
    assert [kept.take(target, hop, CONTEXT) for _ in range(MAX_EACH + 1)] == [
        *(each.session for each in reversed(made[1:])),
        None,
    ]
    for seconds, found in ((LIFETIME - 0.1, True), (LIFETIME, False)):
        kept.keep(target, hop, made[0], FACTS)
        clock.advance(seconds)
        assert (kept.take(target, hop, CONTEXT) is not None) is found
    kept.keep(target, hop, made[0], FACTS)
    assert kept.take(Target(host=NAME, address="192.0.2.2"), hop, CONTEXT) is None


def test_hosts_without_number_are_forgotten() -> None:
    kept: Any = Resumption(Clock())
    for number in range(MAX_KEYS + 1):
        kept.keep(Target(host=f"h{number}", address="192.0.2.1"), Hop(), Connection(), FACTS)
    assert len(kept) == MAX_KEYS
    assert kept.take(Target(host="h0", address="192.0.2.1"), Hop(), CONTEXT) is None
