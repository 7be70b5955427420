"""The table of TLS set-ups (tests/data/tls/set_ups.toml) made real: certificates, zones, servers, published policies,
and one attempt at each. Where it takes place, in memory or over sockets, is the test's business."""

import functools
import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import cattrs
from certificate_workshop import Made, make, server_context
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from egress_support import MANNERS, Server, make_attempt, make_record, make_services
from OpenSSL import SSL
from tls_wire import TlsServer

from relaygw.bridge import as_deferred
from relaygw.core.events import Event, TlsChecked
from relaygw.core.mx import Locality, Refusal, targets_for_domain
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Route
from relaygw.dns import consult
from relaygw.egress.delivery import Courier, Stop
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.https import HttpsError
from relaygw.egress.policy import TlsPolicies
from relaygw.egress.sts import PolicyFolder, StsPolicies
from relaygw.interfaces import IResolver

TABLE = Path(__file__).parents[1] / "data" / "tls" / "set_ups.toml"
DAYS = 86_400
_VERSIONS = {"1.0": SSL.TLS1_VERSION, "1.1": SSL.TLS1_1_VERSION, "1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


@attrs.frozen(kw_only=True)
class Published:
    """A policy of a domain (MTA-STS), and what becomes of its fetch. `kept` is the mode of one fetched `age` seconds
    ago, for the same hosts; each policy holds for a week."""

    mode: str
    mx: tuple[str, ...]
    announced: bool = True
    fetch: str = "ok"
    kept: str = ""
    age: int = 3600

    def text(self, mode: str, set_up: "SetUp") -> bytes:
        names = [pattern.format(host=set_up.host, domain=set_up.domain) for pattern in self.mx]
        lines = ("version: STSv1", f"mode: {mode}", *(f"mx: {name}" for name in names), f"max_age: {7 * DAYS}")
        return "\r\n".join((*lines, "")).encode("ascii")


@attrs.frozen(kw_only=True)
class SetUp:
    """One row; the table says what each field means."""

    name: str
    verdict: str
    tls: str = "may"
    certificate: str = "good"
    versions: str = "1.2-1.3"
    starttls: str = "offered"
    zone: str = "signed"
    host_zone: str = ""
    tlsa: tuple[str, ...] = ()
    tlsa_fault: str = ""
    alias: str = ""
    domain_alias: bool = False
    literal: bool = False
    fingerprints: tuple[str, ...] = ()
    sts: Published | None = None
    requiretls: bool = False
    offers_requiretls: bool = True
    kind: str = "no-policy-found"
    result: str = ""
    finger_says: str = ""
    because: str = ""
    number: int = 0

    @property
    def address(self) -> str:
        return f"127.77.{self.number // 200}.{self.number % 200 + 1}"

    @property
    def domain(self) -> str:
        return f"[{self.address}]" if self.literal else f"{self.name}.{self.zone}.test"

    @property
    def host(self) -> str:
        return f"[{self.address}]" if self.literal else f"mx.{self.name}.{self.host_zone or self.zone}.test"


def load() -> tuple[SetUp, ...]:
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["set_up"]
    converter = cattrs.Converter(forbid_extra_keys=True)
    return tuple(converter.structure({**row, "number": number}, SetUp) for number, row in enumerate(rows))


@attrs.frozen(kw_only=True)
class Verdict:
    """What an attempt came to, in the table's words; `said` is for people."""

    verdict: str
    kind: str
    result: str
    said: str = attrs.field(default="", eq=False)


def wanted(set_up: SetUp) -> Verdict:
    return Verdict(verdict=set_up.verdict, kind=set_up.kind if set_up.tls != "none" else "", result=set_up.result)


# Certificates.

ROOT = make("root", authority=True)
MIDDLE = make("middle", ROOT, authority=True)
OTHER = make("other.example")
_STRANGER = make("stranger", authority=True)


@functools.cache
def _weak() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)


_RECIPES: dict[str, Callable[[SetUp], Made]] = {
    "good": lambda s: make(s.host if not s.literal else s.name, ROOT),
    "below an intermediate": lambda s: make(s.host, MIDDLE),
    "without its intermediate": lambda s: attrs.evolve(make(s.host, MIDDLE), chain=()),
    "without its authority": lambda s: attrs.evolve(make(s.host, ROOT), chain=()),
    "wildcard": lambda s: make(s.host.replace("mx.", "*."), ROOT),
    "wildcard two labels up": lambda s: make(f"*.{s.zone}.test", ROOT),
    "expired": lambda s: make(s.host, ROOT, days=1),
    "not yet valid": lambda s: make(s.host, ROOT, starts=1),
    "of another name": lambda s: make("other.example", ROOT),
    "of the domain": lambda s: make(s.domain, ROOT),
    "of what the domain is an alias of": lambda s: make(f"real.{s.domain}", ROOT),
    "self-signed": lambda s: make(s.host),
    "expired self-signed of another name": lambda s: make("other.example", days=1),
    "by a stranger": lambda s: make(s.host, _STRANGER),
    "for clients only": lambda s: make(s.host, ROOT, usage=ExtendedKeyUsageOID.CLIENT_AUTH),
    "of a weak key": lambda s: make(s.host, ROOT, key=_weak()),
    "with a common name only": lambda s: make(s.host, ROOT, alternatives=False),
    "for the address": lambda s: make("address", ROOT, names=(s.address,)),
}


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@attrs.frozen
class Place:
    """A set-up with what its server shows."""

    set_up: SetUp
    made: Made
    port: int

    @classmethod
    def make(cls, set_up: SetUp, port: int) -> "Place":
        return cls(set_up, _RECIPES[set_up.certificate](set_up), port)

    def server(self) -> TlsServer:
        """For one connection."""
        set_up = self.set_up
        refusing = set_up.starttls == "refused"
        outside = Server(
            () if set_up.starttls == "absent" else ("STARTTLS",),
            starttls=b"454 4.7.0 not now\r\n" if refusing else b"220 2.0.0 go\r\n",
        )
        inside = Server(("REQUIRETLS",) if set_up.offers_requiretls else ())
        lowest, highest = (_VERSIONS[each] for each in set_up.versions.split("-"))
        context = None if set_up.starttls == "broken" else server_context(self.made, (lowest, highest))
        return TlsServer(outside, inside, context)

    def fingerprints(self) -> tuple[str, ...]:
        shown = {"certificate": der(self.made.certificate), "key": key(self.made.certificate), "other": b"other"}
        return tuple(hashlib.sha256(shown[each]).hexdigest() for each in self.set_up.fingerprints)

    def tlsa(self) -> Iterable[str]:
        """The records, as a zone file has them."""
        named = {"server": self.made, "root": ROOT, "intermediate": MIDDLE, "other": OTHER}
        for text in self.set_up.tlsa:
            usage, selector, matching, whose = text.split()
            data = (der if selector == "0" else key)(named[whose].certificate)
            hashed = {"0": bytes, "2": lambda d: hashlib.sha512(d).digest()}.get(matching, _sha256)(data)
            yield f"{usage} {selector} {matching} {hashed.hex()}"

    def records(self) -> dict[str, str]:
        """Lines by zone."""
        set_up = self.set_up
        if set_up.literal:
            return {}
        host = f"real.{set_up.host}" if set_up.alias else set_up.host
        base = host if set_up.alias == "target" else set_up.host
        lines = [f"{host}. 300 IN A {set_up.address}"]
        if set_up.alias:
            lines.append(f"{set_up.host}. 300 IN CNAME {host}.")
        lines += [f"_{self.port}._tcp.{base}. 300 IN TLSA {record}" for record in self.tlsa()]
        found = {set_up.host_zone or set_up.zone: "\n".join(lines)}
        owner = f"real.{set_up.domain}" if set_up.domain_alias else set_up.domain
        mine = f"{owner}. 300 IN MX 10 {set_up.host}."
        if set_up.domain_alias:
            mine += f"\n{set_up.domain}. 300 IN CNAME {owner}."
        if set_up.sts is not None and set_up.sts.announced:
            mine += f'\n_mta-sts.{set_up.domain}. 300 IN TXT "v=STSv1; id=new;"'
        found[set_up.zone] = f"{found.get(set_up.zone, '')}\n{mine}"
        return found


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def zones(places: Iterable[Place]) -> dict[str, str]:
    """The text of every zone, not signed yet: "signed.test", "unsigned.test", "bogus.test"."""
    found: dict[str, str] = {}
    for place in places:
        for zone, lines in place.records().items():
            found[f"{zone}.test"] = f"{found.get(f'{zone}.test', '')}\n{lines}"
    start = "$TTL 300\n@ IN SOA ns hostmaster 1 3600 600 86400 300\n@ IN NS ns\nns IN A 127.0.0.1\n"
    return {name: f"$ORIGIN {name}.\n{start}{text}\n" for name, text in found.items()}


def forged(places: Iterable[Place]) -> Mapping[str, str]:
    """Data of records to change after they were signed, with what comes in its place."""
    found = [record.split()[3] for place in places if place.set_up.tlsa_fault for record in place.tlsa()]
    return {data: _sha256(data.encode()).hex() for data in found}


# One attempt.


async def attempt(place: Place, reactor: Any, resolver: IResolver, folder: Path, authorities: str) -> Verdict:
    """From the domain to the verdict, as the transport for MX does it; only policies are not fetched over HTTPS."""
    set_up, events = place.set_up, list[Event]()
    egress: dict[str, Any] = {"port": place.port, "tls": set_up.tls if set_up.tls != "fingerprint" else "may"}
    services = attrs.evolve(make_services(reactor, resolver, **egress), write_event=events.append)
    courier = Courier(services, MANNERS)
    courier.policies = TlsPolicies(resolver, services.settings.egress, (), reactor, _published(place, services, folder))
    mode, prints = TlsMode(set_up.tls), place.fingerprints()
    hop = Hop(port=place.port, tls=mode, authorities=authorities, fingerprints=prints)
    here = Locality(hostname="relay.example", is_ours=lambda address: False, shuffle=lambda hosts: None)
    found = await consult(targets_for_domain(set_up.domain, here), resolver)
    if isinstance(found, Refusal):
        return Verdict(verdict="failed" if found.permanent else "deferred", kind="", result="", said=found.reason)
    stops = [Stop(target=target, hop=hop, domain=set_up.domain) for target in found.targets]
    record = make_record(f"b@{set_up.domain}", requiretls=set_up.requiretls)
    [outcome] = await courier.carry(make_attempt(record, Route(transport="mx")), stops)
    await courier.pool.stop()
    return _verdict(outcome, [event for event in events if isinstance(event, TlsChecked)])


def _verdict(outcome: Outcome, events: list[TlsChecked]) -> Verdict:
    last = events[-1] if events else None
    word = outcome.status.value
    if outcome.status is Status.DELIVERED:
        proven = last is not None and last.mode in ("verify", "dane", "fingerprint")
        word = "verified" if proven else "encrypted" if outcome.tls else "clear"
    return Verdict(
        verdict=word,
        kind=last.policy_type if last is not None else "",
        result=last.result if last is not None else "",
        said=str(outcome.reply),
    )


def _published(place: Place, services: Any, folder: Path) -> StsPolicies:
    set_up, sts = place.set_up, place.set_up.sts
    clock = services.reactor

    async def fetch(domain: str) -> bytes:
        if sts is None or sts.fetch != "ok":
            raise HttpsError("it cannot be had", untrusted=sts is not None and sts.fetch == "not trusted")
        return sts.text(sts.mode, set_up)

    if sts is not None and sts.kept:
        kept = sts.text(sts.kept, set_up).decode().split("\r\n")[:-1]
        text = json.dumps({"id": "old", "fetched": clock.seconds() - sts.age, "policy": kept})
        (folder / f"{set_up.domain}.json").write_text(text, encoding="utf-8")
    policies = PolicyFolder(str(folder))
    return StsPolicies(services.resolver, policies, clock, fetch, lambda name, task: as_deferred(task))
