"""DANE from a signed zone (NSD) through a validating resolver (Unbound) to a server with TLS: what is delivered, what
waits, and that nothing goes in clear where the DNS says otherwise."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import TestCase

from relaygw.config.schema import Config, DnsConfig, EgressConfig
from relaygw.core.address import parse_address
from relaygw.core.dane import Dane, DaneFound, DaneUnknown, NoDane, dane_for_host
from relaygw.core.record import Route
from relaygw.dns import consult, make_resolver
from relaygw.egress.mx import MxTransport
from relaygw.interfaces import Rehearsal, Services
from relaygw.testing.name_servers import resolve_by, serve, signed
from relaygw.testing.ports import free_port

pytestmark = pytest.mark.interop

HEAD = """$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 300
@ IN NS ns
@ IN MX 10 mx
ns IN A 127.0.0.1
mx IN A 127.0.0.1
"""
DIGEST = hashlib.sha256(b"certificate").hexdigest()


@attrs.frozen
class Place:
    resolver: str
    port: int


@pytest.fixture
def place(tmp_path: Path, peer: Callable[[str], str]) -> Iterator[Place]:
    """good.test has records; none.test is signed without; plain.test has records and no signatures; the record of
    forged.test was changed after it was signed."""
    nsd, unbound = peer("nsd"), peer("unbound")
    port = free_port()
    record = f"_{port}._tcp.mx IN TLSA 3 1 1 {DIGEST}\n"
    texts, anchors = {"plain.test": f"$ORIGIN plain.test.\n{HEAD}{record}"}, {"plain.test": ""}
    for name, more in (("good.test", record), ("none.test", ""), ("forged.test", record)):
        texts[name], anchors[name] = signed(HEAD + more, name)
    assert DIGEST in texts["forged.test"]
    texts["forged.test"] = texts["forged.test"].replace(DIGEST, hashlib.sha256(b"forged").hexdigest())
    with serve(tmp_path, nsd, texts) as server, resolve_by(tmp_path, unbound, server, anchors) as resolver:
        yield Place(resolver, port)


class DaneTests(TestCase):
    timeout = 300
    place: Place

    @pytest.fixture(autouse=True)
    def _places(self, place: Place) -> None:
        self.place = place

    def find(self, zone: str) -> Deferred[DaneFound]:
        resolver = make_resolver(DnsConfig(nameservers=(self.place.resolver,)), reactor)
        return Deferred.fromCoroutine(consult(dane_for_host(f"mx.{zone}", self.place.port), resolver))

    @inlineCallbacks
    def test_what_each_zone_comes_to(self) -> Any:
        found = yield self.find("good.test")
        assert isinstance(found, Dane)
        assert [record.data.hex() for record in found.usable] == [DIGEST]
        none = yield self.find("none.test")
        assert isinstance(none, NoDane)
        assert none.why == "there are no signed TLSA records"
        plain = yield self.find("plain.test")
        assert isinstance(plain, NoDane)
        assert plain.why == "its addresses are not signed"
        assert isinstance((yield self.find("forged.test")), DaneUnknown)

    def rehearse(self, zone: str) -> Deferred[Rehearsal]:
        settings = Config(hostname="relay.test", state="/nonexistent", egress=EgressConfig(port=self.place.port))
        services = Services(
            hostname="relay.test",
            resolver=make_resolver(DnsConfig(nameservers=(self.place.resolver,)), reactor),
            reactor=reactor,
            state="/nonexistent",
            spawn=lambda name, awaitable: None,
            settings=settings,
        )
        transport = MxTransport({}, services)
        recipient = parse_address(f"b@{zone}")
        return Deferred.fromCoroutine(transport.rehearse(Route(transport="mx"), recipient, False))

    @inlineCallbacks
    def test_the_policy_of_each(self) -> Any:
        policies = []
        for zone in ("good.test", "none.test", "plain.test", "forged.test"):
            [host] = (yield self.rehearse(zone)).hosts
            policies.append((host["tls"], bool(host.get("refused"))))
        assert policies == [("dane", False), ("may", False), ("may", False), ("may", True)]
