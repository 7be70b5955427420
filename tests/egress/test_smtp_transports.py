"""The transports mx, smarthost and discard: their interface, their parameters, and where they send what."""

from typing import Any

import attrs
import pytest
from egress_support import DictResolver, MemoryReactor, Server, make_attempt, make_record, make_services, result, run
from zope.interface.verify import verifyObject

from relaygw.config.schema import Config, ListenerConfig
from relaygw.core.address import parse_address
from relaygw.core.outcome import Status
from relaygw.core.question import AnswerStatus, Exchange
from relaygw.core.record import Route
from relaygw.egress.discard import DiscardTransport
from relaygw.egress.mx import MxTransport
from relaygw.egress.own import OwnAddresses
from relaygw.egress.smarthost import SmarthostTransport, split_host
from relaygw.interfaces import IRouteChecker, ITransport

ZONE: dict[tuple[str, str], Any] = {
    ("example.org", "MX"): [Exchange(10, "m1.example.org"), Exchange(20, "m2.example.org")],
    ("m1.example.org", "A"): ["192.0.2.1"],
    ("m2.example.org", "A"): ["192.0.2.2"],
    ("null.example", "MX"): [Exchange(0, "")],
    ("broken.example", "MX"): AnswerStatus.FAILED,
    ("hub.example", "A"): ["192.0.2.3"],
    ("hub.example", "MX"): [Exchange(5, "m2.example.org")],
}


def route(transport: str = "smarthost", **parameters: object) -> Route:
    return Route(transport=transport, parameters=tuple(sorted(parameters.items())))


def deliver(kind: Any, to: Route, *recipients: str, **servers: Server | None) -> tuple[Any, MemoryReactor]:
    """The outcomes, with hosts named by the last number of their address (`h1=Server()` …)."""
    reactor = MemoryReactor(lambda address, port: servers.get("h" + address.rpartition(".")[2]))
    transport = kind({}, make_services(reactor, DictResolver(ZONE), port=2525))
    attempt = make_attempt(make_record(*(recipients or ("b@example.org",))), to)
    return result(run(reactor, transport.deliver(attempt))), reactor


@pytest.mark.parametrize("kind", [MxTransport, SmarthostTransport, DiscardTransport])
def test_they_are_transports_and_take_no_options(kind: Any) -> None:
    services = make_services(MemoryReactor(lambda address, port: None))
    transport = kind({}, services)
    assert verifyObject(ITransport, transport)
    assert verifyObject(IRouteChecker, transport)
    with pytest.raises(ValueError, match="no options"):
        kind({"x": 1}, services)
    assert result(run(services.reactor, transport.stop())) is None


# mx


def test_mx_tries_the_hosts_in_order_at_the_configured_port() -> None:
    [outcome], reactor = deliver(MxTransport, route("mx"), h2=Server())
    assert (outcome.status, outcome.host) == (Status.DELIVERED, "m2.example.org")
    assert reactor.connections == [("192.0.2.1", 2525), ("192.0.2.2", 2525)]


@pytest.mark.parametrize(
    ("recipient", "status", "enhanced"),
    [
        ("b@null.example", Status.FAILED, "5.1.10"),
        ("b@gone.example", Status.FAILED, "5.1.2"),
        ("b@broken.example", Status.DEFERRED, "4.4.3"),
        ("b@[192.0.2.9]", Status.DEFERRED, "4.4.1"),
    ],
)
def test_mx_tells_why_there_is_no_host(recipient: str, status: Status, enhanced: str) -> None:
    [outcome], _ = deliver(MxTransport, route("mx"), recipient)
    assert (outcome.status, outcome.reply.enhanced) == (status, enhanced)


def test_mx_counts_by_domain() -> None:
    transport = MxTransport({}, make_services(MemoryReactor(lambda address, port: None)))
    assert transport.destination(route("mx"), parse_address("x@EXAMPLE.org")) == "example.org"


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        (
            {"tls": "maybe"},
            "tls must be one of 'none', 'may', 'encrypt', 'verify', 'fingerprint', 'dane', 'sts', not 'maybe'",
        ),
        ({"port": 0}, "port must be a number from 1 to 65535, not 0"),
        ({"port": 65536}, "port must be a number from 1 to 65535, not 65536"),
        ({"port": True}, "port must be a number from 1 to 65535, not True"),
        ({"prot": 25}, "unknown parameter 'prot'"),
        ({"ca_file": 3}, "ca_file must be a text, not 3"),
        ({"eight_bit": "clip"}, "eight_bit must be one of 'pass', 'refuse', not 'clip'"),
    ],
)
def test_mx_says_what_is_wrong_with_a_route(parameters: dict[str, object], problem: str) -> None:
    transport = MxTransport({}, make_services(MemoryReactor(lambda address, port: None)))
    assert transport.check(route("mx", **parameters)) == (problem,)
    assert transport.check(route("mx", tls="verify", port=65535)) == ()


# smarthost


def test_smarthost_sends_everything_to_its_host() -> None:
    server = Server()
    to = route(host="hub.example", port=587)
    outcomes, reactor = deliver(SmarthostTransport, to, "b@example.org", "c@other.example", h3=server)
    assert {outcome.status for outcome in outcomes} == {Status.DELIVERED}
    assert reactor.connections == [("192.0.2.3", 587)]
    assert len(server.messages) == 1


def test_smarthosts_are_tried_in_their_order_with_their_ports() -> None:
    to = route(hosts=("192.0.2.7", "[192.0.2.8]:26", "hub.example:27"))
    [outcome], reactor = deliver(SmarthostTransport, to, h3=Server())
    assert outcome.status is Status.DELIVERED
    assert reactor.connections == [("192.0.2.7", 2525), ("192.0.2.8", 26), ("192.0.2.3", 27)]


def test_smarthost_by_mx() -> None:
    [outcome], reactor = deliver(SmarthostTransport, route(host="hub.example", mx=True), h2=Server())
    assert outcome.host == "m2.example.org"
    assert reactor.connections == [("192.0.2.2", 2525)]


def test_a_smarthost_that_cannot_be_found_is_temporary_and_the_next_is_tried() -> None:
    [outcome], _ = deliver(SmarthostTransport, route(host="gone.example"))
    assert (outcome.status, outcome.reply.enhanced) == (Status.DEFERRED, "4.4.4")
    [outcome], _ = deliver(SmarthostTransport, route(hosts=("gone.example", "hub.example")), h3=Server())
    assert outcome.status is Status.DELIVERED


def test_smarthost_counts_by_its_hosts() -> None:
    transport = SmarthostTransport({}, make_services(MemoryReactor(lambda address, port: None)))
    to = route(hosts=("a.example", "b.example:26"))
    assert transport.destination(to, parse_address("x@y.example")) == "a.example:25,b.example:26"


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({}, "either host or hosts must be given"),
        ({"host": "a.example", "hosts": ("b.example",)}, "either host or hosts must be given"),
        ({"host": "a b"}, "the host 'a b' is not a domain name"),
        ({"hosts": ("a.example:0",)}, "the port of the host 'a.example' must be a number from 1 to 65535"),
        ({"hosts": ("a.example:x",)}, "the port of the host 'a.example' must be a number from 1 to 65535"),
        ({"hosts": (1,)}, "hosts must be a list of texts, not (1,)"),
        ({"host": "a.example", "username": "x"}, "username and password_file belong together: one of them is missing"),
        (
            {"host": "a.example", "username": "x", "password_file": "/p", "tls": "none"},
            'a login needs TLS: say tls = "encrypt" or "verify", or login_in_clear = true',
        ),
        ({"host": "a.example", "mx": "yes"}, "mx must be true or false, not 'yes'"),
    ],
)
def test_smarthost_says_what_is_wrong_with_a_route(parameters: dict[str, object], problem: str) -> None:
    transport = SmarthostTransport({}, make_services(MemoryReactor(lambda address, port: None)))
    assert problem in transport.check(route(**parameters))


def test_a_good_route_has_nothing_wrong() -> None:
    transport = SmarthostTransport({}, make_services(MemoryReactor(lambda address, port: None)))
    good = {"host": "a.example", "port": 465, "implicit_tls": True, "username": "x", "password_file": "/p"}
    assert transport.check(route(**good)) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.example", ("a.example", 25)),
        ("a.example:26", ("a.example", 26)),
        ("a.example:", ("a.example", 0)),
        ("192.0.2.1:26", ("192.0.2.1", 26)),
        ("[192.0.2.1]", ("192.0.2.1", 25)),
        ("[2001:db8::1]:26", ("2001:db8::1", 26)),
        ("2001:db8::1", ("2001:db8::1", 25)),
        ("::", ("::", 25)),
        ("a:99999", ("a", 99999)),
        ("a:123456", ("a", 0)),
        ("a:\uff12\uff15", ("a", 0)),
    ],
)
def test_hosts_with_ports(text: str, expected: tuple[str, int]) -> None:
    assert split_host(text, 25) == expected


# discard


def test_discard_delivers_to_nowhere() -> None:
    outcomes, _ = deliver(DiscardTransport, route("discard"), "b@example.org", "c@example.org")
    assert [outcome.status for outcome in outcomes] == [Status.DELIVERED] * 2


# ourselves


def config(*endpoints: str) -> Config:
    listeners = tuple(ListenerConfig(name=f"l{n}", endpoint=endpoint) for n, endpoint in enumerate(endpoints))
    return Config(hostname="relay.example", state="/nonexistent", listeners=listeners)


@pytest.mark.parametrize(
    ("endpoint", "address", "ours"),
    [
        ("tcp:25", "127.0.0.1", True),
        ("tcp:25", "0.0.0.0", True),
        ("tcp:25", "::1", True),
        ("tcp:25", "::ffff:127.0.0.1", True),
        ("tcp:25", "192.0.2.1", False),
        ("tcp:port=25:interface=192.0.2.1", "192.0.2.1", True),
        ("tcp:25:interface=192.0.2.1", "192.0.2.2", False),
        ("tcp:25:interface=192.0.2.1", "127.0.0.1", False),
        (r"tcp6:25:interface=2001\:db8\:\:1", "2001:db8::1", True),
        ("tcp:2525", "127.0.0.1", False),
        ("unix:/run/x", "127.0.0.1", False),
    ],
)
def test_an_address_is_ours_where_we_listen_on_the_port_connected_to(endpoint: str, address: str, ours: bool) -> None:
    assert (address in OwnAddresses(config(endpoint), 25)) is ours


def test_mail_for_our_own_listener_does_not_loop() -> None:
    reactor = MemoryReactor(lambda address, port: Server())
    resolver = DictResolver({("loop.example", "MX"): [Exchange(1, "x.example")], ("x.example", "A"): ["127.0.0.1"]})
    services = make_services(reactor, resolver)
    transport = MxTransport({}, attrs.evolve(services, settings=config("tcp:25")))
    [outcome] = result(run(reactor, transport.deliver(make_attempt(make_record("b@loop.example"), route("mx")))))
    assert (outcome.status, outcome.reply.enhanced) == (Status.FAILED, "5.4.6")
    assert reactor.connections == []
