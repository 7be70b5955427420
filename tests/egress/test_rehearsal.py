"""Rehearsals: each host with its policy and why; a conversation as far as TLS, and the certificate that was shown."""

from pathlib import Path
from typing import Any

import attrs
from certificate_workshop import NAME, make, server_context
from egress_support import DictResolver, MemoryReactor, Server, make_services, result, run
from ended import all_ended
from OpenSSL import SSL
from test_smtp_client_tls import Peer
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from relaygw.core.address import parse_address
from relaygw.core.question import Exchange
from relaygw.core.record import Route
from relaygw.egress.mx import MxTransport
from relaygw.egress.smarthost import SmarthostTransport
from relaygw.interfaces import IRehearser, Rehearsal

ZONE: dict[tuple[str, str], Any] = {("example.org", "MX"): [Exchange(10, NAME)], (NAME, "A"): ["127.0.0.1"]}
RECIPIENT = parse_address("b@example.org")


def route(transport: str, **parameters: object) -> Route:
    return Route(transport=transport, parameters=tuple(sorted(parameters.items())))


def rehearse(kind: Any, to: Route, connect: bool = False, **servers: Server) -> tuple[Rehearsal, MemoryReactor]:
    memory = MemoryReactor(lambda address, port: servers.get("mx"))
    transport = kind({}, make_services(memory, DictResolver(ZONE)))
    assert verifyObject(IRehearser, transport)
    return result(run(memory, transport.rehearse(to, RECIPIENT, connect))), memory


def test_nothing_is_connected_to_unless_asked() -> None:
    found, memory = rehearse(MxTransport, route("mx"))
    assert memory.connections == []
    [host] = found.hosts
    assert (host["host"], host["address"], host["tls"], host["avoided"]) == (NAME, "127.0.0.1", "may", False)
    assert host["tls_why"].startswith("the default is may; no DANE: its addresses are not signed; MTA-STS: ")


def test_why_a_host_is_not_used() -> None:
    [host] = rehearse(MxTransport, route("mx", tls="dane"), connect=True)[0].hosts
    assert host["refused"] == f"DANE is required for {NAME}, but its addresses are not signed"
    assert "connection" not in host


def test_no_host_at_all() -> None:
    transport = MxTransport({}, make_services(MemoryReactor(lambda address, port: None), DictResolver({})))
    found = result(Deferred.fromCoroutine(transport.rehearse(route("mx"), RECIPIENT, False)))
    assert found == Rehearsal(refusal="5.1.2 the domain example.org does not exist", permanent=True)


def test_it_goes_no_further_than_ehlo_and_names_credentials_without_using_them() -> None:
    server = Server(("SIZE 1000", "AUTH PLAIN"))
    to = route("smarthost", host="192.0.2.1", username="me", password_file="/nowhere", login_in_clear=True, tls="none")
    found, _ = rehearse(SmarthostTransport, to, connect=True, mx=server)
    assert found.credentials == "me (password in the file /nowhere)"
    [host] = found.hosts
    assert host["connection"] == {"problem": "", "size": 1000, "mechanisms": ["PLAIN"], "result": ""}
    assert server.commands == ["EHLO relay.example", "QUIT"]


def test_what_keeps_us_from_talking_is_told() -> None:
    [host] = rehearse(MxTransport, route("mx", tls="encrypt"), connect=True, mx=Server())[0].hosts
    assert host["connection"]["result"] == "starttls-not-supported"
    [host] = rehearse(MxTransport, route("mx"), connect=True)[0].hosts
    assert "refused" in host["connection"]["problem"]


@implementer(IOpenSSLServerConnectionCreator)
class Certified:
    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class CertificateTests(TestCase):
    def setUp(self) -> None:
        self.addCleanup(all_ended)

    @inlineCallbacks
    def test_the_certificate_is_reported(self) -> Any:
        folder = Path(self.mktemp())
        folder.mkdir()
        made = make(NAME, names=(NAME, "other.example"))
        outside = Server(("STARTTLS",), starttls=b"220 2.0.0 go\r\n")
        peer: Any = Peer(outside, Server(), Certified(server_context(made)), False, b"")  # type: ignore[arg-type]  # as good
        factory: Any = Factory()
        factory.buildProtocol = lambda address: peer
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        services = make_services(reactor, DictResolver(ZONE), port=port.getHost().port)
        transport = MxTransport({}, attrs.evolve(services, state=str(folder)))
        closed: Deferred[None] = Deferred()
        peer.connectionLost = lambda reason: closed.callback(None)
        found = yield Deferred.fromCoroutine(transport.rehearse(route("mx"), RECIPIENT, True))
        yield closed
        connection = found.hosts[0]["connection"]
        assert connection["tls"] == "TLSv1.3"
        assert connection["certificate"]["subject"] == f"CN={NAME}"
        assert connection["certificate"]["names"] == [NAME, "other.example"]
        assert len(connection["certificate"]["sha256"]) == 64
        assert not connection["verified"]
