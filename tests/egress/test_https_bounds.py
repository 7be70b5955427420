"""What a server of policies or tokens may send: so many octets with all that stands around the body, in any pieces."""

from typing import Any

from egress_support import DictResolver
from ended import all_ended
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from relaygw.egress.https import OVERHEAD, Https, HttpsError, Page

LIMIT = 1000


class Saying(Protocol):
    """Answers whatever it is asked with the same octets, and leaves the connection open."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self.factory.answer)  # type: ignore[attr-defined]  # set in `ask`


class BoundTests(TestCase):
    timeout = 300

    def setUp(self) -> None:
        self.addCleanup(all_ended)

    def ask(self, answer: bytes) -> Deferred[Page]:
        factory = Factory.forProtocol(Saying)
        factory.answer = answer  # type: ignore[attr-defined]
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        resolver: Any = DictResolver({})
        url = f"http://127.0.0.1:{port.getHost().port}/"
        return Deferred.fromCoroutine(Https(reactor, resolver).get(url, timeout=60, limit=LIMIT))

    @inlineCallbacks
    def test_header_fields_without_end(self) -> Any:
        fields = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 1000) for number in range(OVERHEAD // 900))
        failure = yield self.assertFailure(self.ask(b"HTTP/1.1 200 OK\r\n" + fields), HttpsError)
        assert (str(failure), failure.untrusted) == ("the answer is too long", False)

    @inlineCallbacks
    def test_what_frames_the_body_counts_too(self) -> Any:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"1;%b\r\nx\r\n" % (b"y" * 500)
        failure = yield self.assertFailure(self.ask(head + chunk * (OVERHEAD // 500 + 10)), HttpsError)
        assert str(failure) == "the answer is too long"

    @inlineCallbacks
    def test_a_body_in_single_octets(self) -> Any:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        page = yield self.ask(head + b"1\r\nx\r\n" * LIMIT + b"0\r\n\r\n")
        assert page.body == b"x" * LIMIT
        failure = yield self.assertFailure(self.ask(head + b"1\r\nx\r\n" * (LIMIT + 1) + b"0\r\n\r\n"), HttpsError)
        assert str(failure) == f"the answer is longer than {LIMIT} octets"
