"""Postfix, Exim and OpenSMTPD as next hops: found by MX in a signed zone through a resolver that validates, proven by
DANE, and every message kept there as it was handed to us, with our signature. What cannot be proven gets nothing."""

import contextlib
import json
import smtplib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import dkim
import dns.resolver
import pytest
from certificates import Issued, issue
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mailers import Kept, keeping_exim, keeping_opensmtpd, keeping_postfix
from real import eventually, journaled, unchecked

from relaygw.testing.gateway import Gateway
from relaygw.testing.name_servers import resolve_by, serve, signed
from relaygw.testing.ports import free_port

pytestmark = pytest.mark.interop

ZONE, OURS = "hops.test", "ours.hops.test"
AUTHORITY = issue("Authority", authority=True)
HEAD = (
    b"From: a@ours.hops.test\r\nTo: b@%s\r\n"
    b"Date: Mon, 05 Oct 2026 12:00:00 +0000\r\nMessage-ID: <%d@ours.hops.test>\r\n"
)
BODIES = (
    b"Subject: plain\r\n\r\nHello\r\n",
    b"Subject: dots\r\n\r\n.\r\n..\r\n.one\r\n\r\n.\r\nFrom here\r\n>From there\r\n",
    b"Subject: spaces  \r\n folded\t\r\n\r\n trailing  \r\n\t\r\n\r\nend\r\n",
    "Subject: eight bits\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n\r\nGrüße, 日本語\r\n".encode(),
    b"Subject: long\r\n\r\n" + b"x" * 990 + b"\r\n" + b".a line of some length\r\n" * 20_000,
)


def message(domain: str, number: int) -> bytes:
    return HEAD % (domain.encode(), number) + BODIES[number]


@attrs.frozen
class Peer:
    """One next hop before it runs: how it is started, what it shows, and the TLSA record for that."""

    name: str
    start: Callable[[Kept], contextlib.AbstractContextManager[Kept]]
    certificate: Issued
    chain: tuple[Issued, ...]
    tlsa: str
    address: str

    @property
    def domain(self) -> str:
        return f"{self.name}.{ZONE}"

    def records(self, port: int) -> str:
        return (
            f"{self.name} IN MX 10 mx.{self.name}\nmx.{self.name} IN A {self.address}\n"
            f"_{port}._tcp.mx.{self.name} IN TLSA {self.tlsa}\n"
        )

    def run(self, port: int, folder: Path) -> contextlib.AbstractContextManager[Kept]:
        files = self.certificate.write(folder, self.name, *self.chain)
        return self.start(
            Kept(
                domain=self.domain,
                address=self.address,
                port=port,
                certificate=Path(str(files.certificate)),
                private_key=Path(str(files.private_key)),
                maildir=folder,
            )
        )


def digest(kind: str, certificate: x509.Certificate) -> str:
    """The record for a certificate: usage, selector and matching type in front of the data."""
    _, selector, matching = kind.split()
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    hashed = hashes.Hash(hashes.SHA512() if matching == "2" else hashes.SHA256())
    hashed.update(spki if selector == "1" else certificate.public_bytes(Encoding.DER))
    return f"{kind} {hashed.finalize().hex()}"


def make_peers(peer: Callable[[str], str]) -> list[Peer]:
    """One of each; the certificates prove themselves in three ways."""
    postfix, exim, opensmtpd = peer("postfix"), peer("exim4"), peer("smtpctl")
    own, odd = issue("own"), issue("odd")
    below = issue("below", f"mx.exim.{ZONE}", issuer=AUTHORITY)
    return [
        Peer(
            "postfix",
            lambda kept: keeping_postfix(postfix, kept),
            own, (), digest("3 1 1", own.certificate), "127.78.0.1",
        ),
        Peer(
            "exim",
            lambda kept: keeping_exim(exim, kept),
            below, (AUTHORITY,), digest("2 0 1", AUTHORITY.certificate), "127.78.0.2",
        ),
        Peer(
            "opensmtpd",
            lambda kept: keeping_opensmtpd(opensmtpd, kept),
            odd, (), digest("3 0 2", odd.certificate), "127.78.0.3",
        ),
    ]  # fmt: skip


@attrs.frozen
class World:
    gateway: Gateway
    hops: dict[str, Kept]
    resolver: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    from peers import need

    folder, port = tmp_path_factory.mktemp("hops"), free_port()
    peers = make_peers(need)
    gateway = Gateway.make(folder / "demo", domains=[OURS], trust=["127.0.0.0/8"], hostname=f"gateway.{ZONE}")
    [key] = json.loads(gateway.command("dkim", "record", "--json").stdout)
    value = " ".join(f'"{key["value"][at : at + 200]}"' for at in range(0, len(key["value"]), 200))
    # wrong.hops.test is the same Postfix under a name whose records are for another key, may.hops.test the same
    # OpenSMTPD without records.
    text = (
        f"$TTL 300\n@ IN SOA ns hostmaster 1 3600 600 86400 300\n@ IN NS ns\nns IN A 127.0.0.1\n"
        f"{key['name']}. IN TXT {value}\n"
        f"wrong IN MX 10 mx.wrong\nmx.wrong IN A {peers[0].address}\n"
        f"_{port}._tcp.mx.wrong IN TLSA {digest('3 1 1', AUTHORITY.certificate)}\n"
        f"may IN MX 10 mx.may\nmx.may IN A {peers[2].address}\n"
        f"backup IN MX 10 mx.dead\nmx.dead IN A 127.78.0.250\nbackup IN MX 20 mx.may\n"
        f"null IN MX 0 .\nloop IN MX 10 gateway\ngateway IN A 127.78.0.251\nlost IN MX 10 mx.nowhere\n"
    ) + "".join(each.records(port) for each in peers)
    zone, anchor = signed(text, ZONE)
    with contextlib.ExitStack() as running:
        certificates = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="relaygw-hops-")))
        certificates.chmod(0o755)  # who drops his privileges reads them all the same
        server = running.enter_context(serve(folder, need("nsd"), {ZONE: zone}))
        resolver = running.enter_context(resolve_by(folder, need("unbound"), server, {ZONE: anchor}))
        hops = {each.name: running.enter_context(each.run(port, certificates)) for each in peers}
        gateway.append(f'[egress]\nport = {port}\nipv6 = false\n\n[dns]\nnameservers = ["{resolver}"]\n')
        running.enter_context(gateway)
        yield World(gateway, hops, resolver)


def hand_over(gateway: Gateway, domain: str, numbers: range) -> None:
    with smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client:
        for number in numbers:
            assert client.sendmail(f"a@{OURS}", [f"b@{domain}"], message(domain, number), ["BODY=8BITMIME"]) == {}


def events(gateway: Gateway, kind: str, domain: str) -> list[dict[str, Any]]:
    """What the journal has of this kind about the domain."""
    return [each for each in journaled(gateway, kind) if domain in json.dumps(each)]


def from_dns(resolver: str) -> Callable[..., bytes]:
    """How dkimpy asks for keys."""
    address, _, port = resolver.rpartition(":")
    stub = dns.resolver.Resolver(configure=False)
    stub.nameservers, stub.port = [address], int(port)

    def ask(name: bytes | str, timeout: int = 5) -> bytes:
        text = name.decode() if isinstance(name, bytes) else name
        [record] = stub.resolve(text, "TXT")
        return b"".join(record.strings)

    return ask


def arrived(world: World, hop: Kept, domain: str) -> None:
    """All messages, each as it was sent, with fields on top."""
    with contextlib.suppress(AssertionError):
        eventually(lambda: len(about(hop, domain)) == len(BODIES))
    replies = [each["reply"] for each in events(world.gateway, "attempted", domain)]
    assert len(about(hop, domain)) == len(BODIES), (replies, hop.said())
    for number in range(len(BODIES)):
        sent = message(domain, number)
        [kept] = [each for each in about(hop, domain) if b"Message-ID: <%d@" % number in each]
        assert kept.endswith(sent)
        assert kept.removesuffix(sent).count(b"DKIM-Signature:") == 1
        assert dkim.verify(kept, dnsfunc=from_dns(world.resolver))


def about(hop: Kept, domain: str) -> list[bytes]:
    return [each for each in hop.messages() if b"\r\nTo: b@%s\r\n" % domain.encode() in each]


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_what_arrives_is_what_was_sent_to_a_host_proven_by_dane(world: World, name: str) -> None:
    hop = world.hops[name]
    hand_over(world.gateway, hop.domain, range(len(BODIES)))
    arrived(world, hop, hop.domain)
    checks = eventually(lambda: events(world.gateway, "tls_checked", hop.domain))
    assert {(each["mode"], each["policy_type"], each.get("result", "")) for each in checks} == {("dane", "tlsa", "")}
    assert {each["host"] for each in checks} == {f"mx.{hop.domain}"}


def test_where_the_records_are_for_another_key_nothing_is_said(world: World) -> None:
    domain = f"wrong.{ZONE}"
    hand_over(world.gateway, domain, range(1))
    assert first(world, "attempted", domain)["status"] == "deferred"
    assert first(world, "tls_checked", domain)["result"] == "validation-failure"
    assert about(world.hops["postfix"], domain) == []


def test_the_report_of_the_day_says_with_whom_and_why_it_failed(world: World) -> None:
    domain = f"wrong.{ZONE}"
    hand_over(world.gateway, domain, range(1))
    day = first(world, "tls_checked", domain)["time"][:10]
    [report] = eventually(lambda: json.loads(world.gateway.command("tls", day, "--domain", domain, "--json").stdout))
    [policy] = report["policies"]
    assert policy["policy"]["policy-type"] == "tlsa"
    [detail] = policy["failure-details"]
    assert detail.pop("failed-session-count") >= 1
    assert detail.pop("additional-information").startswith(
        "no TLSA record of mx.wrong.hops.test is for the certificate"
    )
    assert detail == {
        "result-type": "validation-failure",
        "sending-mta-ip": "127.0.0.1",
        "receiving-mx-hostname": f"mx.wrong.{ZONE}",
        "receiving-mx-helo": "postfix.test",
        "receiving-ip": "127.78.0.1",
    }


def test_a_host_without_records_gets_its_mail_also_where_its_tls_is_broken(world: World) -> None:
    domain, hop = f"may.{ZONE}", world.hops["opensmtpd"]
    hand_over(world.gateway, domain, range(len(BODIES)))
    arrived(world, hop, domain)
    checked = first(world, "tls_checked", domain)
    assert checked["policy_type"] == "no-policy-found"
    expected = ("", "TLSv1.3") if speaks_tls(hop) else ("validation-failure", "")
    assert (checked.get("result", ""), checked.get("tls", "")) == expected


def test_with_records_broken_tls_is_the_end(world: World) -> None:
    hop = world.hops["opensmtpd"]
    hand_over(world.gateway, hop.domain, range(1))
    expected = "delivered" if speaks_tls(hop) else "deferred"
    assert first(world, "attempted", hop.domain)["status"] == expected
    assert len(about(hop, hop.domain)) == (expected == "delivered")


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("null", "accepts no mail (null MX)"),
        ("loop", "loops back to this host"),
        ("lost", "no mail exchanger of lost.hops.test has an address"),
        ("nobody", "does not exist"),
    ],
)
def test_a_domain_that_leads_nowhere_fails_at_once(world: World, name: str, reply: str) -> None:
    hand_over(world.gateway, f"{name}.{ZONE}", range(1))
    attempted = first(world, "attempted", f"b@{name}.{ZONE}")
    assert (attempted["status"], reply in attempted["reply"]) == ("failed", True), attempted


def test_a_dead_exchanger_costs_no_more_than_its_turn(world: World) -> None:
    domain, hop = f"backup.{ZONE}", world.hops["opensmtpd"]
    hand_over(world.gateway, domain, range(1))
    attempted = first(world, "attempted", domain)
    assert (attempted["status"], attempted["attempts"], attempted["host"]) == ("delivered", 1, f"mx.may.{ZONE}")
    eventually(lambda: about(hop, domain))


def first(world: World, kind: str, domain: str) -> dict[str, Any]:
    return eventually(lambda: events(world.gateway, kind, domain))[0]


def speaks_tls(hop: Kept) -> bool:
    """Whether a handshake succeeds there."""
    with smtplib.SMTP(hop.address, hop.port, timeout=60) as client:
        try:
            return client.starttls(context=unchecked())[0] == 220
        except OSError:
            return False
