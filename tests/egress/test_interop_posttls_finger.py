"""Our verdict on every set-up of the table, over sockets and through a validating resolver, is the table's; and that of
Postfix (posttls-finger) is the same wherever it knows the policy."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from ended import all_ended
from tls_set_ups import ROOT, Place, SetUp, Verdict, attempt, forged, load, wanted, zones
from tls_wire import TlsPeer
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults, inlineCallbacks
from twisted.internet.protocol import Factory
from twisted.internet.utils import getProcessOutput
from twisted.trial.unittest import TestCase

from relaygw.config.schema import DnsConfig
from relaygw.dns import make_resolver
from relaygw.testing.name_servers import resolve_by, serve, signed
from relaygw.testing.ports import free_port

pytestmark = pytest.mark.interop

PORT_53 = f"127.53.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250 + 1}:53"
"""Where Postfix looks for a resolver, which knows no other port: an address that nobody else has."""

LEVELS = {"dane": "dane-only"}
"""What Postfix calls levels of ours; of the others the names are the same."""

MATCHING = ("verify", "fingerprint", "dane-only")
"""Levels at which a certificate that proves nothing is the end."""

_POSTFIX = """\
compatibility_level = 3.6
smtp_dns_support_level = dnssec
dnssec_probe =
inet_protocols = ipv4
myhostname = relay.example
"""
_UNDER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


@attrs.frozen
class Finger:
    """posttls-finger with a configuration and a resolver of its own."""

    program: str
    folder: Path
    authorities: str

    def command(self, level: str, destination: str, *match: str) -> list[str]:
        # RFC 8996: what has nothing newer than TLS 1.1 has none.
        options = ["-c", "-L", "summary", "-P", "", "-F", self.authorities, "-p", ">=TLSv1.2", "-d", "sha256"]
        return [
            "--mount", "sh", "-c", _UNDER, str(self.folder / "resolv.conf"),
            self.program, *options, "-l", level, destination, *match,
        ]  # fmt: skip

    def ask(self, level: str, destination: str, *match: str) -> Deferred[bytes]:
        environment = {**os.environ, "MAIL_CONFIG": str(self.folder)}
        return getProcessOutput("unshare", self.command(level, destination, *match), environment, errortoo=True)


@attrs.frozen
class World:
    """The places with their servers' port, the resolver, and what tells Postfix's opinion."""

    places: tuple[Place, ...]
    finger: Finger
    folder: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    from peers import need

    if os.getuid():
        pytest.skip("a resolver on port 53 wants to be started by root")
    folder, programs = tmp_path_factory.mktemp("finger"), {name: need(name) for name in ("nsd", "unbound")}
    port = free_port()
    places = tuple(Place.make(set_up, port) for set_up in load())
    served, anchors = published(places)
    authorities, _ = ROOT.write(folder, "root")
    (folder / "main.cf").write_text(_POSTFIX)
    (folder / "resolv.conf").write_text(f"nameserver {PORT_53.removesuffix(':53')}\n")
    with (
        serve(folder, programs["nsd"], served) as server,
        resolve_by(folder, programs["unbound"], server, anchors, place=PORT_53),
    ):
        yield World(places, Finger(need("posttls-finger"), folder, authorities), folder)


def published(places: tuple[Place, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """The zones as they are served, and what the resolver believes of them."""
    served, anchors = {}, {}
    for name, text in zones(places).items():
        if name == "unsigned.test":
            served[name], anchors[name] = text, ""
            continue
        served[name], anchors[name] = signed(text, name)
        if name == "bogus.test":
            _, anchors[name] = signed(text, name)  # another key's
    for data, other in forged(places).items():
        assert data in served["signed.test"]
        served["signed.test"] = served["signed.test"].replace(data, other)
    return served, anchors


def is_known(set_up: SetUp) -> bool:
    """Whether posttls-finger knows the policies of the set-up: MTA-STS and REQUIRETLS it does not."""
    return not set_up.requiretls and set_up.tls != "sts" and (set_up.sts is None or bool(set_up.tlsa))


@inlineCallbacks
def opinion(finger: Finger, place: Place) -> Any:
    """What smtp(8) would do at the level of the set-up, in the table's words."""
    set_up, destination = place.set_up, f"{place.set_up.domain}:{place.port}"
    if set_up.tls == "may":
        told = yield finger.ask("dane-only", destination)
        level = _without_dane(told)
        if not level:
            return _understood("dane-only", told)
    else:
        level = LEVELS.get(set_up.tls, set_up.tls)
    prints = (print_.upper() for print_ in place.fingerprints())
    colons = (":".join(print_[at : at + 2] for at in range(0, 64, 2)) for print_ in prints)
    told = yield finger.ask(level, destination, *colons)
    return "deferred" if level == "dane-only" and _without_dane(told) else _understood(level, told)


def _without_dane(told: bytes) -> str:
    """What its level "dane" comes to where DANE does not apply: the tool itself goes on as if told to be "secure"."""
    if b"no TLSA records found, resorting" in told:
        return "may"
    unusable = (b"no usable TLSA records found", b"all TLSA records unusable")
    return "encrypt" if any(words in told for words in unusable) else ""


def _understood(level: str, told: bytes) -> str:
    insecure = b"MX RRset insecure: log verified as trusted" in told and b"Trusted TLS connection" in told
    if b"Verified TLS connection established" in told or insecure:
        return "verified" if level in MATCHING else "encrypted"
    if b"TLS connection established" in told:
        return "deferred" if level in MATCHING else "encrypted"
    nowhere = any(words in told for words in (b"lookup failed", b"TLSA lookup", b"Failed to establish"))
    return "clear" if level in ("none", "may") and not nowhere else "deferred"


class FingerTests(TestCase):
    timeout = 300
    world: World

    def setUp(self) -> None:
        self.addCleanup(all_ended)

    @pytest.fixture(autouse=True)
    def _world(self, world: World) -> None:
        self.world = world

    def listen(self, place: Place) -> None:
        factory = Factory()
        factory.buildProtocol = lambda address: TlsPeer(place.server())  # type: ignore[method-assign,assignment]  # the shortest of factories
        port: Any = reactor.listenTCP(place.port, factory, interface=place.set_up.address)  # type: ignore[attr-defined]  # the reactor's
        self.addCleanup(port.stopListening)

    @inlineCallbacks
    def test_the_verdicts_of_the_table_are_ours_and_theirs(self) -> Any:
        for place in self.world.places:
            self.listen(place)
        resolver = make_resolver(DnsConfig(nameservers=(PORT_53,)), reactor)
        ours, theirs = dict[str, Verdict](), dict[str, str]()
        slots = DeferredSemaphore(4)

        @inlineCallbacks
        def compare(place: Place) -> Any:
            name, finger = place.set_up.name, self.world.finger
            one = attempt(place, reactor, resolver, self.world.folder, finger.authorities)
            ours[name] = yield Deferred.fromCoroutine(one)
            if is_known(place.set_up):
                theirs[name] = yield opinion(finger, place)

        yield gatherResults([slots.run(compare, place) for place in self.world.places], consumeErrors=True)
        table = [place.set_up for place in self.world.places]
        assert ours == {set_up.name: wanted(set_up) for set_up in table}
        assert theirs == {
            set_up.name: set_up.finger_says or set_up.verdict for set_up in table if is_known(set_up)
        }  # fmt: skip
        assert len(theirs) > 70
