"""The real resolver against a scripted server on loopback: UDP, TCP, and everything a server can do wrong."""

import contextlib
import socket
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import pytest
from ended import all_ended
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from relaygw.config.schema import DnsConfig
from relaygw.core.question import Answer, AnswerStatus, Exchange, Question
from relaygw.dns import CachingResolver, FixedResolver, NetworkResolver, make_resolver
from relaygw.dns.backend import TwistedBackend
from relaygw.dns.network import Server, nameservers
from relaygw.testing.resolver import ZONE, check_resolver

Script = Callable[[dns.message.Message, bool], "list[bytes]"]


class Udp(DatagramProtocol):
    def __init__(self, script: Script) -> None:
        self.script = script

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        for reply in self.script(dns.message.from_wire(datagram), False):
            self.transport.write(reply, addr)


class Tcp(Protocol):
    """Answers in single octets, so that every border between segments is met."""

    def dataReceived(self, data: bytes) -> None:
        for reply in self.factory.script(dns.message.from_wire(data[2:]), True):
            for octet in struct.pack("!H", len(reply)) + reply:
                self.transport.write(bytes([octet]))


def reply_to(query: dns.message.Message, *records: tuple[str, str, str], rcode: int = 0, flags: int = 0) -> bytes:
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    response.flags |= dns.flags.RA | flags
    for name, kind, text in records:
        section = response.authority if kind == "SOA" else response.answer
        section.append(dns.rrset.from_text(name, 300, "IN", kind, text))
    return response.to_wire(max_size=65535)


def both(protocol: Udp, factory: Factory, interface: str) -> tuple[Any, Any]:
    """A UDP and a TCP port of one number; some other process may hold only one of the two."""
    for _ in range(50):
        stream = reactor.listenTCP(0, factory, interface=interface)
        try:
            return reactor.listenUDP(stream.getHost().port, protocol, interface=interface), stream
        except CannotListenError:
            stream.stopListening()
    raise AssertionError("no number is free for UDP and TCP")


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


class ScriptedTests(TestCase):
    """One scripted server per test; after each nothing is left open (the test case checks the reactor)."""

    timeout = 300

    def setUp(self) -> None:
        self.addCleanup(all_ended)

    def serve(self, script: Script, *, tcp: bool = True, interface: str = "127.0.0.1") -> Server:
        self.queries: list[tuple[dns.message.Message, bool]] = []

        def remembering(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
            self.queries.append((query, over_tcp))
            return script(query, over_tcp)

        factory = Factory.forProtocol(Tcp)
        factory.script = remembering
        udp, stream = both(Udp(remembering), factory, interface)
        self.addCleanup(udp.stopListening)
        if tcp:
            self.addCleanup(stream.stopListening)
        else:
            stream.stopListening()
        return Server(interface, udp.getHost().port)

    def ask(self, *servers: Server, name: str = "a.test", kind: str = "A", timeout: float = 60.0) -> Deferred[Answer]:
        resolver = NetworkResolver(reactor, servers, timeout=timeout, trusted=True)
        return Deferred.fromCoroutine(resolver.ask(Question(name, kind)))

    @inlineCallbacks
    def settled(self) -> Any:
        """A few turns, so that closed sockets leave the reactor."""
        yield deferLater(reactor, 0.01)

    @inlineCallbacks
    def test_an_answer_with_its_ttl_and_what_the_question_asked_for(self) -> Any:
        server = self.serve(lambda query, _: [reply_to(query, ("a.test.", "A", "192.0.2.1"), flags=dns.flags.AD)])
        answer = yield self.ask(server)
        assert answer == Answer(status=AnswerStatus.FOUND, records=("192.0.2.1",), ttl=300, authentic=True)
        [(query, _)] = self.queries
        assert query.flags & dns.flags.AD
        assert query.flags & dns.flags.RD
        assert (query.edns, query.payload) == (0, 1232)
        assert not query.ednsflags & dns.flags.DO

    @inlineCallbacks
    def test_the_ad_bit_of_an_untrusted_server_is_not_believed(self) -> Any:
        server = self.serve(lambda query, _: [reply_to(query, ("a.test.", "A", "192.0.2.1"), flags=dns.flags.AD)])
        resolver = NetworkResolver(reactor, [server], timeout=60, trusted=False)
        answer = yield Deferred.fromCoroutine(resolver.ask(Question("a.test", "A")))
        assert not answer.authentic

    @inlineCallbacks
    def test_negative_answers_carry_the_ttl_of_the_soa(self) -> Any:
        soa = ("test.", "SOA", "ns.test. h.test. 1 2 3 4 42")
        for rcode, status in ((0, AnswerStatus.NO_DATA), (3, AnswerStatus.NO_NAME)):
            server = self.serve(lambda query, _, rcode=rcode: [reply_to(query, soa, rcode=rcode)])
            answer = yield self.ask(server)
            assert (answer.status, answer.ttl) == (status, 42)

    @inlineCallbacks
    def test_a_truncated_answer_is_asked_for_again_over_tcp(self) -> Any:
        long = " ".join('"' + "x" * 250 + '"' for _ in range(40))

        def script(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
            if over_tcp:
                return [reply_to(query, ("a.test.", "TXT", long))]
            return [reply_to(query, flags=dns.flags.TC)]

        answer = yield self.ask(self.serve(script), kind="TXT")
        assert answer.records == (b"x" * 10_000,)
        assert [over_tcp for _, over_tcp in self.queries] == [False, True]
        yield self.settled()

    @inlineCallbacks
    def test_aliases_are_followed_within_the_answer(self) -> Any:
        records = (("a.test.", "CNAME", "B.test."), ("b.test.", "MX", "10 Mail.B.test."))
        answer = yield self.ask(self.serve(lambda query, _: [reply_to(query, *records)]), kind="MX")
        assert answer.records == (Exchange(10, "mail.b.test"),)

    @inlineCallbacks
    def test_refusals_of_all_servers_are_a_failure_with_its_reason(self) -> Any:
        for rcode, word in ((2, "SERVFAIL"), (5, "REFUSED"), (1, "FORMERR")):
            answer = yield self.ask(self.serve(lambda query, _, rcode=rcode: [reply_to(query, rcode=rcode)]))
            assert (answer.status, answer.reason) == (AnswerStatus.FAILED, word)

    @inlineCallbacks
    def test_a_reason_tells_all_that_was_said_and_not_where_our_servers_are(self) -> Any:
        """It stands in replies and header fields, which strangers read."""
        refusing = self.serve(lambda query, _: [reply_to(query, rcode=5)])
        answer = yield self.ask(refusing, self.serve(lambda query, _: [reply_to(query, rcode=2)]))
        assert answer.reason == "REFUSED; SERVFAIL"
        silent = yield self.ask(self.serve(lambda *_: []), timeout=0.4)
        assert silent.reason == "no answer in time"

    @inlineCallbacks
    def test_after_a_server_that_fails_the_next_one_is_asked(self) -> Any:
        bad = self.serve(lambda query, _: [reply_to(query, rcode=2)])
        good = self.serve(lambda query, _: [reply_to(query, ("a.test.", "A", "192.0.2.1"))])
        answer = yield self.ask(bad, good)
        assert answer.status is AnswerStatus.FOUND

    @inlineCallbacks
    def test_forged_and_broken_answers_are_ignored_until_the_true_one_comes(self) -> Any:
        def script(query: dns.message.Message, _: bool) -> list[bytes]:
            true = reply_to(query, ("a.test.", "A", "192.0.2.1"))
            wrong_id = bytes([true[0] ^ 255]) + true[1:]
            other = dns.message.make_query("other.test.", "A", id=query.id)
            return [b"", b"\0" * 5, wrong_id, reply_to(other, ("other.test.", "A", "192.0.2.66")), true]

        answer = yield self.ask(self.serve(script))
        assert answer.records == ("192.0.2.1",)

    @inlineCallbacks
    def test_an_answer_that_takes_too_long_to_read_is_a_failure(self) -> Any:
        name = ".".join("abcdefghij" * 12)
        records = [(f"{name}.", "MX", f"{number} {name}.") for number in range(30)]

        def script(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
            cut = dns.message.make_response(query)
            cut.flags |= dns.flags.TC
            forged = bytearray(reply_to(query, *records))
            forged[0] ^= 0xFF  # another's answer is passed over
            return [reply_to(query, *records)] if over_tcp else [bytes(forged), cut.to_wire()]

        answer = yield self.ask(self.serve(script), name=name, kind="MX")
        assert answer.status is AnswerStatus.FAILED
        assert "too large to be read" in answer.reason
        assert [over_tcp for _, over_tcp in self.queries] == [False, True]
        answer = yield self.ask(self.serve(lambda query, _: [reply_to(query, *records)]), name=name, kind="MX")
        assert answer.status is AnswerStatus.FAILED
        assert "too large to be read" in answer.reason
        yield self.settled()

    @inlineCallbacks
    def test_a_server_that_says_nothing_is_given_up_in_time(self) -> Any:
        started = reactor.seconds()
        answer = yield self.ask(self.serve(lambda *_: []), timeout=0.4)
        assert answer.status is AnswerStatus.FAILED
        assert 0.3 < reactor.seconds() - started < 20

    @inlineCallbacks
    def test_a_closed_port_is_noticed_at_once(self) -> Any:
        closed = reactor.listenUDP(0, DatagramProtocol(), interface="127.0.0.1")
        number = closed.getHost().port
        yield closed.stopListening()
        started = reactor.seconds()
        answer = yield self.ask(Server("127.0.0.1", number), timeout=60)
        assert answer.status is AnswerStatus.FAILED
        assert "the server's port is closed" in answer.reason
        assert reactor.seconds() - started < 30

    @inlineCallbacks
    def test_a_question_leaves_no_lines_in_the_log(self) -> Any:
        server = self.serve(lambda query, _: [reply_to(query, ("a.test.", "A", "192.0.2.1"))])
        lines: list[Any] = []
        globalLogPublisher.addObserver(lines.append)
        self.addCleanup(globalLogPublisher.removeObserver, lines.append)
        answer = yield self.ask(server)
        yield self.settled()
        assert answer.records == ("192.0.2.1",)
        assert lines == []

    @inlineCallbacks
    def test_a_closed_tcp_port_is_a_failure(self) -> Any:
        server = self.serve(lambda query, _: [reply_to(query, flags=dns.flags.TC)], tcp=False)
        answer = yield self.ask(server)
        assert answer.status is AnswerStatus.FAILED

    @inlineCallbacks
    def test_a_tcp_server_that_says_nothing_is_given_up_in_time(self) -> Any:
        def script(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
            return [] if over_tcp else [reply_to(query, flags=dns.flags.TC)]

        answer = yield self.ask(self.serve(script), timeout=0.4)
        assert answer.status is AnswerStatus.FAILED
        yield self.settled()

    @inlineCallbacks
    def test_whoever_gives_up_ends_the_question_at_once(self) -> Any:
        network = NetworkResolver(reactor, [self.serve(lambda *_: [])], timeout=60, trusted=True)
        resolver = CachingResolver(network, reactor, timeout=60)
        waiting = resolver.ask(Question("a.test", "A"))
        waiting.addErrback(lambda _: None)
        yield deferLater(reactor, 0.05)
        waiting.cancel()
        yield deferLater(reactor, 0.05)
        assert len(self.queries) == 1
        assert reactor.getDelayedCalls() == [] or all(
            call.getTime() - reactor.seconds() > 15 for call in reactor.getDelayedCalls()
        )

    @pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")
    @inlineCallbacks
    def test_ipv6_servers(self) -> Any:
        server = self.serve(lambda query, _: [reply_to(query, ("a.test.", "A", "192.0.2.1"))], interface="::1")
        answer = yield self.ask(server)
        assert answer.status is AnswerStatus.FOUND

    @inlineCallbacks
    def test_names_the_dns_cannot_have_are_not_asked_for(self) -> Any:
        server = self.serve(lambda query, _: [reply_to(query)])
        for name in ("x" * 64 + ".test", "a..test", "", ".", "x." * 127 + "test"):
            answer = yield self.ask(server, name=name)
            assert answer.status in (AnswerStatus.NO_NAME, AnswerStatus.NO_DATA), name
        assert all(len(query.question[0].name) == 1 for query, _ in self.queries)

    @inlineCallbacks
    def test_it_passes_the_suite_for_resolvers(self) -> Any:
        fixed = FixedResolver.from_zone(ZONE)

        def script(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
            return [serve_from(fixed, query, over_tcp)]

        server = self.serve(script)
        config = DnsConfig(nameservers=(f"127.0.0.1:{server.port}",))
        yield Deferred.fromCoroutine(check_resolver(make_resolver(config, reactor), failing="fails.test"))
        yield self.settled()


def serve_from(fixed: FixedResolver, query: dns.message.Message, over_tcp: bool) -> bytes:
    """The wire answer that stands for a fixed resolver's; names below fails.test are refused."""
    question = query.question[0]
    name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
    if name.endswith("fails.test"):
        return reply_to(query, rcode=2)
    answer = fixed.answer(Question(name, kind))
    records = [(question.name.to_text(), kind, _text(kind, data)) for data in answer.records]
    wire = reply_to(query, *records, rcode=3 if answer.status is AnswerStatus.NO_NAME else 0)
    return wire if over_tcp or len(wire) <= 1232 else reply_to(query, flags=dns.flags.TC)


def _text(kind: str, data: Any) -> str:
    if kind == "TXT":
        pieces = [data[start : start + 255] for start in range(0, len(data), 255)] or [b""]
        return " ".join('"' + "".join(f"\\{octet:03}" for octet in piece) + '"' for piece in pieces)
    if kind == "MX":
        return f"{data.preference} {data.host}."
    if kind == "TLSA":
        return f"{data.usage} {data.selector} {data.matching} {data.data.hex()}"
    return str(data) if kind in ("A", "AAAA") else f"{data}."


def test_servers_are_those_configured_or_else_those_of_the_system() -> None:
    assert nameservers(["192.0.2.53", "192.0.2.54:5300", "[2001:db8::53]:54", "2001:db8::53", "[::1]"]) == (
        (
            Server("192.0.2.53"),
            Server("192.0.2.54", 5300),
            Server("2001:db8::53", 54),
            Server("2001:db8::53"),
            Server("::1"),
        ),
        True,
    )
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        for text, servers, trusted in (
            ("nameserver 192.0.2.1\nnameserver 2001:db8::1\n", ("192.0.2.1", "2001:db8::1"), False),
            ("nameserver 192.0.2.1\noptions edns0 trust-ad\n", ("192.0.2.1",), True),
            ("# nameserver 192.0.2.1\nnameserver 127.0.0.53\n", ("127.0.0.53",), True),
            ("search example.org\nnameserver nonsense\n", ("127.0.0.1",), True),
        ):
            Path(file.name).write_text(text, encoding="ascii")
            assert nameservers([], file.name) == (tuple(map(Server, servers)), trusted)
    assert nameservers([], "/nonexistent/resolv.conf") == ((Server("127.0.0.1"),), True)


@pytest.mark.parametrize(
    "text", ["", "example.org", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "[::1", "[::1]:", "fe80::1%eth0"]
)
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        nameservers([text])


def test_the_backend_makes_no_sockets_it_was_not_made_for() -> None:
    backend = TwistedBackend(reactor)
    for arguments in ((2, 2), (2, 99, 0, None, ("127.0.0.1", 53))):
        with pytest.raises(NotImplementedError):
            backend.make_socket(*arguments).send(None)


def test_an_unknown_type_of_question_is_a_mistake_of_the_caller() -> None:
    resolver = NetworkResolver(reactor, [], timeout=1, trusted=False)
    with pytest.raises(ValueError, match="HINFO"):
        resolver.ask(Question("a.test", "HINFO")).send(None)
