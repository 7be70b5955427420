"""Our verdict on a server's certificate is that of Postfix (posttls-finger), on a table of set-ups."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificate_workshop import NAME, Made, make, server_context
from cryptography.hazmat.primitives.serialization import Encoding
from egress_support import DictResolver, Server, make_services
from OpenSSL import SSL
from test_smtp_client_tls import Peer
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.internet.utils import getProcessOutput
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from relaygw.core.mx import Target
from relaygw.egress.broken import Broken
from relaygw.egress.hop import Hop, Manners, TlsMode
from relaygw.egress.keyring import make_keyring
from relaygw.egress.opener import Opener

pytestmark = pytest.mark.interop

ROOT = make("root", authority=True)
SET_UPS = {
    "good": make(NAME, ROOT),
    "below a middle": make(NAME, make("middle", ROOT, authority=True)),
    "wildcard": make("*.example.org", ROOT),
    "self-signed": make(NAME),
    "of a stranger": make(NAME, make("stranger", authority=True)),
    "expired": make(NAME, ROOT, days=1),
    "for another name": make("other.example", ROOT),
}
MANNERS = Manners(
    hostname="relay.example",
    connect_timeout=10,
    greeting_timeout=10,
    command_timeout=10,
    data_timeout=10,
    idle_timeout=0,
    messages_per_connection=1,
)


@implementer(IOpenSSLServerConnectionCreator)
class Certified:
    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class FingerTests(TestCase):
    timeout = 90
    program: str

    @pytest.fixture(autouse=True)
    def _find(self, peer: Callable[[str], str], tmp_path: Path) -> None:
        self.program = peer("posttls-finger")
        self.authorities, _ = ROOT.write(tmp_path, "root")

    def listen(self, made: Made) -> int:
        def build(address: object) -> Any:
            outside = Server(("STARTTLS",), starttls=b"220 2.0.0 go\r\n")
            return Peer(outside, Server(), Certified(server_context(made)), False, b"")  # type: ignore[arg-type]  # as good

        factory: Any = Factory()
        factory.buildProtocol = build
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    @inlineCallbacks
    def ours(self, hop: Hop) -> Any:
        opener = Opener(reactor, MANNERS, make_keyring(make_services(reactor, DictResolver({}))))
        closed: Deferred[None] = Deferred()
        try:
            session = yield Deferred.fromCoroutine(opener.open(Target(host=NAME, address="127.0.0.1"), hop))
        except Broken:
            return False
        session.connection.gone = lambda: closed.callback(None)
        session.connection.quit()
        yield closed
        return True

    @inlineCallbacks
    def theirs(self, port: int, *arguments: str) -> Any:
        words = ("-c", "-L", "summary", "-P", "", *arguments)
        told = yield getProcessOutput(self.program, words, errortoo=True)
        return b"Verified TLS connection established" in told

    @inlineCallbacks
    def test_verify(self) -> Any:
        verdicts = {}
        for name, made in SET_UPS.items():
            port = self.listen(made)
            mine = yield self.ours(Hop(port=port, tls=TlsMode.VERIFY, authorities=self.authorities))
            other = yield self.theirs(port, "-l", "verify", "-F", self.authorities, f"[127.0.0.1]:{port}", NAME)
            verdicts[name] = mine, other
        assert all(mine == other for mine, other in verdicts.values()), verdicts
        assert {name for name, (mine, _) in verdicts.items() if mine} == {"good", "below a middle", "wildcard"}

    @inlineCallbacks
    def test_fingerprints(self) -> Any:
        wanted = hashlib.sha256(SET_UPS["expired"].certificate.public_bytes(Encoding.DER)).hexdigest()
        colons = ":".join(wanted[at : at + 2] for at in range(0, 64, 2)).upper()
        verdicts = {}
        for name, made in SET_UPS.items():
            port = self.listen(made)
            mine = yield self.ours(Hop(port=port, tls=TlsMode.FINGERPRINT, fingerprints=(wanted,)))
            other = yield self.theirs(port, "-l", "fingerprint", "-d", "sha256", f"[127.0.0.1]:{port}", colons)
            verdicts[name] = mine, other
        assert all(mine == other for mine, other in verdicts.values()), verdicts
        assert {name for name, (mine, _) in verdicts.items() if mine} == {"expired"}
