"""Policies in an attempt: hosts that must not be used, dead addresses, hosts remembered, and what is journaled."""

from typing import Any

import attrs
import pytest
from egress_support import DictResolver, MemoryReactor, Server, make_attempt, make_record, make_services, result, run

from relaygw.core.events import TlsChecked
from relaygw.core.outcome import Status
from relaygw.core.question import Answer, AnswerStatus, Exchange, Question, Tlsa
from relaygw.core.record import Route
from relaygw.egress.mx import MxTransport
from relaygw.egress.racing import STAGGER

ZONE: dict[tuple[str, str], Any] = {
    ("example.org", "MX"): [Exchange(10, "m1.example.org"), Exchange(20, "m2.example.org")],
    ("m1.example.org", "AAAA"): ["2001:db8::1"],
    ("m1.example.org", "A"): ["192.0.2.1"],
    ("m2.example.org", "A"): ["192.0.2.2"],
}


class SignedResolver(DictResolver):
    async def ask(self, question: Question) -> Answer:
        return attrs.evolve(await super().ask(question), authentic=True, ttl=60)


class World:
    def __init__(self, zone: dict[tuple[str, str], Any], **servers: Any) -> None:
        self.events: list[Any] = []
        self.servers = servers
        self.reactor = MemoryReactor(
            lambda address, port: self.servers.get("h" + address.replace(":", ".").rpartition(".")[2])
        )
        services = make_services(self.reactor, SignedResolver(zone), mta_sts=False)
        self.transport = MxTransport({}, attrs.evolve(services, write_event=self.events.append))

    def begin(self, **parameters: object) -> Any:
        route = Route(transport="mx", parameters=tuple(sorted(parameters.items())))
        return run(self.reactor, self.transport.deliver(make_attempt(make_record("b@example.org"), route)))

    def deliver(self, **parameters: object) -> Any:
        [outcome] = result(self.begin(**parameters))
        return outcome


def test_a_host_whose_records_cannot_be_found_out_is_passed_over() -> None:
    world = World(ZONE | {("_25._tcp.m1.example.org", "TLSA"): AnswerStatus.FAILED}, h1=Server(), h2=Server())
    outcome = world.deliver()
    assert (outcome.status, outcome.host) == (Status.DELIVERED, "m2.example.org")
    assert world.reactor.connections == [("192.0.2.2", 25)]
    refused, checked = world.events
    assert (refused.host, refused.result, refused.delivering) == ("m1.example.org", "dnssec-invalid", False)
    assert (checked.host, checked.result, checked.delivering) == ("m2.example.org", "starttls-not-supported", True)


def test_where_no_host_may_be_used_the_mail_waits_and_says_why() -> None:
    zone = ZONE | {(f"_25._tcp.m{n}.example.org", "TLSA"): AnswerStatus.FAILED for n in (1, 2)}
    outcome = World(zone, h1=Server(), h2=Server()).deliver()
    assert (outcome.status, outcome.reply.enhanced) == (Status.DEFERRED, "4.7.5")
    assert "cannot be found out" in outcome.reply.text


def test_a_server_without_tls_is_no_way_around_dane() -> None:
    world = World(ZONE | {("_25._tcp.m1.example.org", "TLSA"): [Tlsa(3, 1, 1, b"x" * 32)]}, h1=Server(), h2=Server())
    outcome = world.deliver()
    assert outcome.host == "m2.example.org"
    stripped = world.events[0]
    assert isinstance(stripped, TlsChecked)
    assert (stripped.policy_type, stripped.result, stripped.mode) == ("tlsa", "starttls-not-supported", "dane")
    assert stripped.policy == ("3 1 1 " + b"x".hex() * 32,)
    assert stripped.queue_id == make_record().queue_id
    assert stripped.helo == "mx.example.org"


def test_nothing_is_journaled_where_no_tls_was_wanted() -> None:
    world = World(ZONE, h1=Server())
    assert world.deliver(tls="none").status is Status.DELIVERED
    assert world.events == []


class Silent(MemoryReactor):
    """IPv6 leads nowhere: no answer, not even a refusal."""

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> None:
        self.bound = bindAddress
        if ":" not in host:
            super().connectTCP(host, port, factory, timeout)
            return
        self.connections.append((host, port))
        factory.startedConnecting(self)

    def stopConnecting(self) -> None:
        self.stopped = True


def test_an_address_that_never_answers_costs_a_moment() -> None:
    world = World(ZONE, h1=Server())
    world.reactor = Silent(lambda address, port: world.servers["h1"])
    services = make_services(world.reactor, SignedResolver(ZONE), mta_sts=False)
    world.transport = MxTransport({}, services)
    waiting = world.begin()
    world.reactor.pass_time(STAGGER)
    [outcome] = result(waiting)
    assert (outcome.status, outcome.address) == (Status.DELIVERED, "192.0.2.1")
    assert world.reactor.connections == [("2001:db8::1", 25), ("192.0.2.1", 25)]
    assert world.reactor.stopped
    world.reactor.pass_time(15)  # the kept session is gone
    assert world.deliver().address == "192.0.2.1"
    assert world.reactor.connections[2:] == [("192.0.2.1", 25)], "only the first message waited"


def test_a_dead_host_is_tried_last_for_a_while_and_then_first_again() -> None:
    zone = {key: value for key, value in ZONE.items() if key[1] != "AAAA"}
    world = World(zone, h2=Server())
    assert world.deliver().host == "m2.example.org"
    world.reactor.pass_time(15)  # the kept session is gone
    assert world.deliver().host == "m2.example.org"
    assert world.reactor.connections == [("192.0.2.1", 25), ("192.0.2.2", 25), ("192.0.2.2", 25)]
    world.servers["h1"] = Server()
    world.reactor.pass_time(30)
    assert world.deliver().host == "m1.example.org"


@pytest.mark.parametrize(
    ("source", "connections"),
    [(("192.0.2.99",), [("192.0.2.1", 25)]), (("2001:db8::99",), [("2001:db8::1", 25)])],
)
def test_a_source_address_reaches_its_own_family_only(source: tuple[str, ...], connections: list[Any]) -> None:
    class Noting(MemoryReactor):
        def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> None:
            self.bound = bindAddress
            super().connectTCP(host, port, factory, timeout)

    server = Server()
    reactor = Noting(lambda address, port: server)
    transport = MxTransport({}, make_services(reactor, SignedResolver(ZONE), mta_sts=False))
    route = Route(transport="mx", parameters=(("hello", "out.example.com"), ("source", source)))
    assert transport.check(route) == ()
    result(run(reactor, transport.deliver(make_attempt(make_record("b@example.org"), route))))
    assert reactor.connections == connections
    assert reactor.bound == (source[0], 0)
    assert server.commands[0] == "EHLO out.example.com"


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"source": ("x",)}, "source: 'x' is not an IP address"),
        ({"source": ("192.0.2.1", "192.0.2.2")}, "source holds more than one address of a family"),
        ({"hello": "a b"}, "hello: 'a b' is not a domain name"),
        ({"fingerprints": ("00",)}, "fingerprints: '00' is not a SHA-256 fingerprint"),
        ({"tls": "fingerprint"}, 'fingerprints and tls = "fingerprint" belong together'),
        ({"certificate": "/c"}, "certificate and private_key belong together: one of them is missing"),
    ],
)
def test_a_route_says_what_is_wrong_with_these(parameters: dict[str, object], problem: str) -> None:
    transport = MxTransport({}, make_services(MemoryReactor(lambda address, port: None)))
    route = Route(transport="mx", parameters=tuple(parameters.items()))
    assert problem in transport.check(route)
