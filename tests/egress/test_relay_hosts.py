"""Smart-hosts by priority and weight with failover and fail-back, LMTP next door, and what is given back."""

from tempfile import TemporaryDirectory
from typing import Any

import pytest
from egress_support import DictResolver, MemoryReactor, Server, make_attempt, make_record, make_services, result, run
from ended import all_ended
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from relaygw.core.mx import Target
from relaygw.core.outcome import Status
from relaygw.core.record import Route
from relaygw.egress.failing import FIRST
from relaygw.egress.lmtp import LmtpTransport
from relaygw.egress.reject import WORDS, RejectTransport
from relaygw.egress.smarthost import SmarthostTransport
from relaygw.interfaces import IRouteChecker, ITransport


def route(transport: str = "smarthost", **parameters: object) -> Route:
    return Route(transport=transport, parameters=tuple(sorted(parameters.items())))


def table(host: str, **more: int) -> tuple[tuple[str, object], ...]:
    """A table of the file as routes have it."""
    return tuple(sorted({"host": host, **more}.items()))


class World:
    def __init__(self, **servers: Server | None) -> None:
        self.servers = servers
        self.reactor = MemoryReactor(lambda address, port: self.servers.get("h" + address.rpartition(".")[2]))
        services = make_services(self.reactor, DictResolver({}), idle_timeout=0.0)
        self.transport = SmarthostTransport({}, services)

    def deliver(self, to: Route) -> Any:
        [outcome] = result(run(self.reactor, self.transport.deliver(make_attempt(make_record(), to))))
        return outcome


def test_the_lowest_priority_comes_first_wherever_it_stands() -> None:
    world = World(h1=Server(), h2=Server())
    to = route(hosts=(table("192.0.2.2", priority=20), table("192.0.2.1", priority=10, port=587)))
    assert world.deliver(to).address == "192.0.2.1"
    assert world.reactor.connections == [("192.0.2.1", 587)]


def test_without_priorities_the_order_of_the_list_counts() -> None:
    world = World(h1=Server(), h2=Server(), h3=Server())
    to = route(hosts=("192.0.2.3", table("192.0.2.1"), "192.0.2.2"))
    assert [world.deliver(to).address for _ in range(5)] == ["192.0.2.3"] * 5


def test_equal_priorities_share_by_weight() -> None:
    world = World(h1=Server(), h2=Server())
    to = route(hosts=(table("192.0.2.1", priority=1, weight=65535), table("192.0.2.2", priority=1, weight=1)))
    addresses = [world.deliver(to).address for _ in range(20)]
    assert addresses.count("192.0.2.1") >= 18
    even = route(hosts=(table("192.0.2.1", priority=1), table("192.0.2.2", priority=1)))
    assert {world.deliver(even).address for _ in range(60)} == {"192.0.2.1", "192.0.2.2"}


def test_failover_and_fail_back() -> None:
    world = World(h2=Server())
    to = route(hosts=("192.0.2.1", "192.0.2.2"))
    assert [world.deliver(to).address for _ in range(3)] == ["192.0.2.2"] * 3
    assert [address for address, _ in world.reactor.connections].count("192.0.2.1") == 1
    world.servers["h1"] = Server()
    world.reactor.pass_time(FIRST)
    assert [world.deliver(to).address for _ in range(3)] == ["192.0.2.1"] * 3


def test_where_all_fail_all_are_tried_each_time() -> None:
    world = World()
    to = route(hosts=("192.0.2.1", "192.0.2.2"))
    assert [world.deliver(to).status for _ in range(2)] == [Status.DEFERRED] * 2
    assert len(world.reactor.connections) == 4


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"hosts": (table("192.0.2.1", priority=0),)}, "hosts[1]: priority must be a number from 1 to 65535, not 0"),
        (
            {"hosts": (table("192.0.2.1", weight=65536),)},
            "hosts[1]: weight must be a number from 1 to 65535, not 65536",
        ),
        ({"hosts": (table("192.0.2.1", wait=1),)}, "hosts[1]: unknown parameter 'wait'"),
        ({"hosts": (table("a b"),)}, "the host 'a b' is not a domain name"),
        ({"host": "a.example", "oauth": "x"}, "oauth must be a table"),
        ({"host": "a.example", "oauth": (("x", 1),)}, "oauth: unknown parameter 'x'"),
        ({"host": "a.example", "oauth": ()}, "oauth: token_url must be an https: URL"),
        ({"host": "a.example", "username": "u", "oauth": ()}, "oauth: client_id is missing"),
        (
            {
                "host": "a.example",
                "username": "u",
                "oauth": (("flow", "service_account"), ("token_url", "https://t.example/")),
            },
            "oauth: key_file is missing: the flow is service_account",
        ),
        (
            {"host": "a.example", "oauth": (("flow", "service_account"), ("client_id", "x"), ("key_file", "k"))},
            "oauth: client_id and client_secret_file are not for service_account: its key says who it is",
        ),
        (
            {"host": "a.example", "oauth": (("key_file", "k"), ("client_secret_file", "s"))},
            "oauth: of client_secret_file and key_file only one may be given",
        ),
        (
            {"host": "a.example", "oauth": (("flow", "refresh_token"),)},
            'oauth: refresh_token_file and flow = "refresh_token" belong together',
        ),
        (
            {"host": "a.example", "oauth": (("token_url", "http://login.example/"),)},
            "oauth: token_url must be an https: URL",
        ),
        (
            {"host": "a.example", "username": "u", "password_file": "/p", "password_env": "P"},
            "of password_file, password_env and password_credential only one may be given",
        ),
        ({"host": "a.example", "external": True}, "external says who we are by certificate, and the route has none"),
        ({"host": "a.example", "mechanisms": ("CRAM-MD5",)}, "mechanisms: 'CRAM-MD5' is none of EXTERNAL, LOGIN"),
    ],
)
def test_a_route_says_what_is_wrong(parameters: dict[str, object], problem: str) -> None:
    transport = SmarthostTransport({}, make_services(MemoryReactor(lambda address, port: None)))
    assert any(problem in each for each in transport.check(route(**parameters)))


def test_good_logins_are_taken() -> None:
    transport = SmarthostTransport({}, make_services(MemoryReactor(lambda address, port: None)))
    oauth = (
        ("client_id", "app"),
        ("client_secret_env", "S"),
        ("flow", "client_credentials"),
        ("token_url", "https://login.example/token"),
    )
    assert transport.check(route(host="a.example", username="me", oauth=oauth)) == ()
    assert transport.check(route(host="a.example", username="me", password_credential="upstream")) == ()
    own = {"certificate": "/c", "private_key": "/k", "external": True, "mechanisms": ("EXTERNAL",)}
    assert transport.check(route(host="a.example", **own)) == ()


# reject


@pytest.mark.parametrize(
    ("parameters", "code", "words"),
    [({}, "5.7.1", WORDS), ({"reason": "no longer here", "enhanced": "5.1.6"}, "5.1.6", "no longer here")],
)
def test_reject_gives_mail_back_in_the_operators_words(parameters: dict[str, object], code: str, words: str) -> None:
    services = make_services(MemoryReactor(lambda address, port: None))
    transport = RejectTransport({}, services)
    assert verifyObject(ITransport, transport)
    assert verifyObject(IRouteChecker, transport)
    to = route("reject", **parameters)
    assert transport.check(to) == ()
    outcomes = result(run(services.reactor, transport.deliver(make_attempt(make_record("b@x.org", "c@x.org"), to))))
    assert [(each.status, each.reply.code, each.reply.enhanced) for each in outcomes] == [
        (Status.FAILED, 550, code)
    ] * 2
    assert outcomes[0].reply.text == words


@pytest.mark.parametrize("parameters", [{"enhanced": "4.7.1"}, {"enhanced": "5"}, {"reason": "a\nb"}, {"host": "x"}])
def test_reject_says_what_is_wrong(parameters: dict[str, object]) -> None:
    transport = RejectTransport({}, make_services(MemoryReactor(lambda address, port: None)))
    assert len(transport.check(route("reject", **parameters))) == 1


# lmtp


class Mailboxes(Protocol):
    """A Server on a socket."""

    transport: Any

    def __init__(self, server: Server) -> None:
        self.server = server

    def connectionMade(self) -> None:
        self.transport.write(self.server.greet())

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.server.receive(data).replace(b"<close>", b""))


class LmtpTests(TestCase):
    def setUp(self) -> None:
        self.addCleanup(all_ended)
        self.server = Server(end=b"250 2.0.0 one\r\n452 4.2.2 the other is full\r\n")
        self.transport = LmtpTransport({}, make_services(reactor, DictResolver({})))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.transport.stop()))

    def listen(self) -> str:
        folder = TemporaryDirectory()  # of a short name: a socket's path has 107 octets at most
        self.addCleanup(folder.cleanup)
        path = f"{folder.name}/lmtp"
        port: Any = reactor.listenUNIX(path, Factory.forProtocol(lambda: Mailboxes(self.server)))
        self.addCleanup(port.stopListening)
        return path

    def deliver(self, to: Route) -> Deferred[Any]:
        attempt = make_attempt(make_record("b@example.org", "c@example.org"), to)
        return Deferred.fromCoroutine(self.transport.deliver(attempt))  # type: ignore[arg-type]  # it is one

    @inlineCallbacks
    def test_a_unix_socket_and_one_answer_per_recipient(self) -> Any:
        to = route("lmtp", socket=self.listen())
        assert self.transport.check(to) == ()
        outcomes = yield self.deliver(to)
        assert [each.status for each in outcomes] == [Status.DELIVERED, Status.DEFERRED]
        assert self.server.commands[0] == "LHLO relay.example"
        assert self.transport.destination(to, make_record().recipients[0].address) == to.parameters[0][1]

    @inlineCallbacks
    def test_a_socket_that_is_not_there_defers(self) -> Any:
        outcomes = yield self.deliver(route("lmtp", socket="/nonexistent/lmtp"))
        assert {(each.status, each.reply.enhanced) for each in outcomes} == {(Status.DEFERRED, "4.4.1")}

    @inlineCallbacks
    def test_over_tcp(self) -> Any:
        port: Any = reactor.listenTCP(0, Factory.forProtocol(lambda: Mailboxes(self.server)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        to = route("lmtp", host="127.0.0.1", port=port.getHost().port)
        assert self.transport.check(to) == ()
        outcomes = yield self.deliver(to)
        assert outcomes[0].status is Status.DELIVERED
        assert self.server.commands[0] == "LHLO relay.example"

    def test_what_is_wrong_is_told(self) -> None:
        assert self.transport.check(route("lmtp", socket="x", tls="verify")) == (
            "nobody listens in on a UNIX socket: tls is not for it",
            "socket must be a path",
        )
        assert self.transport.check(route("lmtp")) == ("either host or hosts must be given",)


@pytest.mark.parametrize(("host", "address"), [("192.0.2.7", "192.0.2.7"), ("2001:DB8::0007", "2001:db8::7")])
def test_one_address_needs_no_search(host: str, address: str) -> None:
    """It is the same stop for every message."""
    transport = World().transport
    [stop] = transport.plan(route(host=host)).stops
    assert (stop.target, stop.domain) == (Target(host=host, address=address), "")
    others = (route(host="relay.example.org"), route(hosts=(host, "192.0.2.8")), route(host="example.org", mx=True))
    assert [transport.plan(each).stops for each in others] == [(), (), ()]
