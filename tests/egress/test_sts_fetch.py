"""Fetching an MTA-STS policy over HTTPS from a real server: names, authorities, media type, status."""

from pathlib import Path
from typing import Any

from certificate_workshop import make, server_context
from egress_support import DictResolver
from ended import all_ended
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from relaygw.core.sts import StsError
from relaygw.egress.https import Https, HttpsError
from relaygw.egress.sts import fetch_by

POLICY = b"version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n"
ROOT = make("root", authority=True)


@implementer(IOpenSSLServerConnectionCreator)
class Certified:
    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class Page(Resource):
    isLeaf = True
    status, kind = 200, "text/plain; charset=utf-8"

    def render_GET(self, request: Any) -> bytes:
        self.asked = (request.getHeader("host"), request.uri)
        request.setResponseCode(self.status)
        request.setHeader("content-type", self.kind)
        request.setHeader("location", "https://mta-sts.example.org/again")
        return POLICY


class FetchTests(TestCase):
    def setUp(self) -> None:
        self.addCleanup(all_ended)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.page = Page()

    def fetch(self, made: Any = None, trusted: bool = True) -> Deferred[bytes]:
        context = server_context(made or make("mta-sts.example.org", ROOT))
        port: Any = reactor.listenTCP(
            0, TLSMemoryBIOFactory(Certified(context), False, Site(self.page)), interface="127.0.0.1"
        )
        self.addCleanup(port.stopListening)
        authorities, _ = (ROOT if trusted else make("other", authority=True)).write(self.folder, "root")
        resolver: Any = DictResolver({("mta-sts.example.org", "A"): ["127.0.0.1"]})
        https = Https(reactor, resolver, authorities, port.getHost().port)
        return Deferred.fromCoroutine(fetch_by(https)("example.org"))  # type: ignore[arg-type]  # it is one

    @inlineCallbacks
    def test_a_policy(self) -> Any:
        assert (yield self.fetch()) == POLICY
        assert self.page.asked[1] == b"/.well-known/mta-sts.txt"
        assert self.page.asked[0].startswith("mta-sts.example.org")

    @inlineCallbacks
    def test_who_does_not_prove_the_name_is_not_believed(self) -> Any:
        for made in (make("example.org", ROOT), make("mta-sts.example.org", ROOT, days=1), make("mta-sts.example.org")):
            failure = yield self.assertFailure(self.fetch(made), HttpsError)
            assert failure.untrusted, failure
        failure = yield self.assertFailure(self.fetch(trusted=False), HttpsError)
        assert failure.untrusted

    @inlineCallbacks
    def test_a_redirect_is_no_policy(self) -> Any:
        self.page.status = 301
        failure = yield self.assertFailure(self.fetch(), HttpsError)
        assert (str(failure), failure.untrusted) == ("the server answered 301", False)

    @inlineCallbacks
    def test_neither_is_a_web_page(self) -> Any:
        self.page.kind = "text/html"
        yield self.assertFailure(self.fetch(), StsError)
