"""SPF, DKIM, ARC, DMARC, iprev come to the same under a real resolver as under a mapping: NSD serves, Unbound asks it.

What a server cannot be made to say by its zone (that it fails) it says of a circle of aliases.
"""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dkim_signer import sign
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from relaygw import keys
from relaygw.bridge import resolve
from relaygw.config.schema import DnsConfig, FilterConfig
from relaygw.core.arc import Result as Chained
from relaygw.core.arc.seal import Findings as Said
from relaygw.core.arc.seal import Sealer, seal
from relaygw.core.content import BytesContent
from relaygw.core.dkim_signature import body_hash
from relaygw.core.verdict import Phase
from relaygw.dns import FixedResolver, make_resolver
from relaygw.filters.chain import Chain
from relaygw.filters.uses import build_uses
from relaygw.interfaces import IResolver
from relaygw.testing.filters import make_services, make_session, make_transaction
from relaygw.testing.name_servers import resolve_by, root, serve

pytestmark = pytest.mark.interop

RSA_PEM = keys.generate("rsa")
RSA = keys.load(RSA_PEM)
ED = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def txt(name: str, text: str) -> str:
    pieces = " ".join(f'"{text[start : start + 200]}"' for start in range(0, len(text), 200))
    return f"{name}. 300 IN TXT {pieces}\n"


TERMS = {
    "a": "v=spf1 a -all",
    "mx": "v=spf1 mx -all",
    "ptr": "v=spf1 ptr -all",
    "include": "v=spf1 include:a.spf.test ?all",
    "redirect": "v=spf1 redirect=mx.spf.test",
    "exists": "v=spf1 exists:%{ir}.%{l}.list.test -all",
    "explained": "v=spf1 exp=why.spf.test -all",
    "circle": "v=spf1 include:circle.spf.test -all",
    "voids": "v=spf1 a:no1.test a:no2.test a:no3.test -all",
    "broken": "v=spf1 a:round.test -all",
    "long": "v=spf1 " + " ".join(f"ip4:198.51.100.{number}" for number in range(60)) + " ip4:192.0.2.1 -all",
}
"""SPF by senders x@TERM.spf.test: each kind of question, each limit, an answer of several strings, a failure."""

ZONE = (
    "".join(txt(f"{name}.spf.test", text) for name, text in TERMS.items())
    + "a.spf.test. 300 IN A 192.0.2.1\nmx.spf.test. 300 IN MX 10 ptr.spf.test.\nptr.spf.test. 300 IN A 192.0.2.1\n"
    + "1.2.0.192.in-addr.arpa. 300 IN PTR ptr.spf.test.\n2.2.0.192.in-addr.arpa. 300 IN PTR ptr.spf.test.\n"
    + "3.2.0.192.in-addr.arpa. 300 IN PTR round.test.\n"
    + "1.2.0.192.x.list.test. 300 IN A 127.0.0.2\n"
    + txt("why.spf.test", "%{i} is not ours")
    + "round.test. 300 IN CNAME about.round.test.\nabout.round.test. 300 IN CNAME round.test.\n"
    + "round._domainkey.good.test. 300 IN CNAME round.test.\n"
    + "alias._domainkey.good.test. 300 IN CNAME rsa._domainkey.good.test.\n"
    + "_dmarc.unsaid.test. 300 IN CNAME round.test.\n"
    + txt("good.test", "v=spf1 ip4:192.0.2.1 -all")
    + txt("rsa._domainkey.good.test", keys.record(RSA_PEM))
    + txt(
        "ed25519._domainkey.good.test",
        f"v=DKIM1; k=ed25519; p={b64encode(ED.public_key().public_bytes_raw()).decode()}",
    )
    + txt("_dmarc.good.test", "v=DMARC1; p=none; sp=quarantine; np=reject")
    + txt("a.good.test", "here")
    + txt("_dmarc.co.test", "v=DMARC1; p=reject; psd=y")
)


def message(author: str) -> bytes:
    return f"From: <{author}>\r\nTo: b@here.test\r\nSubject: x\r\n\r\nHello\r\n".encode()


def sealed(content: bytes, selector: str, chain: Chained) -> bytes:
    """With a set by good.test on top, made with the Ed25519 key."""
    whole = BytesContent(content)
    sealer = Sealer(
        domain="good.test",
        selector=selector,
        algorithm="ed25519",
        sign=lambda data: ED.sign(hashlib.sha256(data).digest()),
    )
    found = Said(results=f"dmarc=pass header.from=good.test; arc={chain.value}", chain=chain)
    digest = body_hash(whole.chunks(len(whole.head) + 2))
    return seal(whole.head, digest, found, "mx.good.test", sealer, 1_790_000_000) + content


def cases() -> Iterator[tuple[str, bytes]]:
    """Sender and content of each."""
    for key in (RSA, ED):
        yield "x@good.test", sign(message("x@good.test"), key, {"d": "good.test"}) + message("x@good.test")
    yield "x@other.test", sign(message("x@good.test"), RSA, {"d": "good.test", "s": "gone"}) + message("x@good.test")
    for author in ("x@a.good.test", "x@nobody.good.test", "x@one.co.test", "x@elsewhere.test"):
        yield "x@other.test", message(author)
    yield "x@good.test", message("x@a.good.test")
    for selector in ("alias", "round"):
        signed = sign(message("x@good.test"), RSA, {"d": "good.test", "s": selector}) + message("x@good.test")
        yield "x@other.test", signed
    yield "x@other.test", message("x@unsaid.test")
    once = sealed(message("x@elsewhere.test"), "ed25519", Chained.NONE)
    yield "x@other.test", once
    yield "x@other.test", sealed(once, "ed25519", Chained.PASS)
    yield "x@other.test", sealed(once, "gone", Chained.PASS)
    yield "x@other.test", sealed(once, "round", Chained.PASS)
    for term in TERMS:
        yield f"x@{term}.spf.test", message("x@elsewhere.test")


WANTED = [
    "spf=pass dkim=pass arc=none dmarc=pass",
    "spf=pass dkim=pass arc=none dmarc=pass",
    "spf=none dkim=permerror arc=none dmarc=fail/none",
    "spf=none dkim=none arc=none dmarc=fail/quarantine",
    "spf=none dkim=none arc=none dmarc=fail/reject",
    "spf=none dkim=none arc=none dmarc=fail/reject",
    "spf=none dkim=none arc=none dmarc=none",
    "spf=pass dkim=none arc=none dmarc=pass",
    "spf=none dkim=pass arc=none dmarc=pass",
    "spf=none dkim=temperror arc=none dmarc=temperror",
    "spf=none dkim=none arc=none dmarc=temperror",
    "spf=none dkim=none arc=pass dmarc=none",
    "spf=none dkim=none arc=pass dmarc=none",
    "spf=none dkim=none arc=fail dmarc=none",
    "spf=none dkim=none arc=fail dmarc=none",
    *(
        f"spf={result} dkim=none arc=none dmarc=none"
        for result in (
            "pass", "pass", "pass", "pass", "pass", "pass", "fail", "permerror", "permerror", "temperror", "pass"
        )
    ),
]  # fmt: skip

NAMES = ["iprev=pass", "iprev=fail", "iprev=temperror", "iprev=permerror"]
"""Of 192.0.2.1 and those after it."""


async def told(resolver: IResolver) -> list[str]:
    """What the chain says of every case."""
    services = make_services(resolver=resolver, clock=reactor)
    configs = [FilterConfig(use=name) for name in ("spf", "dkim", "arc", "dmarc")]
    chain = Chain(build_uses(configs, services), services.reactor, lambda event: None)
    found = []
    for sender, content in cases():
        transaction = make_transaction(sender=sender, session=make_session(hello="client"), content=content)
        mail = await resolve(chain.ask(Phase.MAIL, transaction))
        data = await resolve(chain.ask(Phase.DATA, attrs.evolve(transaction, results=mail.results)))
        found.append(" ".join(_word(result) for result in mail.then(data).auth))
    return found


async def named(resolver: IResolver) -> list[str]:
    """What is found of four clients, of which the last has no name."""
    services = make_services(resolver=resolver, clock=reactor)
    chain = Chain(build_uses([FilterConfig(use="iprev")], services), services.reactor, lambda event: None)
    sessions = [make_session(client=f"192.0.2.{number}") for number in (1, 2, 3, 4)]
    asked = [await resolve(chain.ask(Phase.MAIL, make_transaction(session=session))) for session in sessions]
    return [_word(result) for found in asked for result in found.auth]


def _word(result: Any) -> str:
    policy = dict(result.properties).get("policy.dmarc", "")
    return f"{result.method}={result.result}" + (f"/{policy}" if policy and result.result == "fail" else "")


@pytest.fixture
def server(tmp_path: Path, peer: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    with serve(tmp_path, peer("nsd"), root(ZONE)) as nsd, resolve_by(tmp_path, peer("unbound"), nsd) as unbound:
        yield nsd, unbound


class SenderAuthenticationTests(TestCase):
    timeout = 300
    servers: tuple[str, str]

    @pytest.fixture(autouse=True)
    def _serve(self, server: tuple[str, str]) -> None:
        self.servers = server

    def test_the_chain_says_the_same_everywhere(self) -> Any:
        async def compare() -> None:
            assert await told(FixedResolver.from_zone(ZONE)) == WANTED
            assert await named(FixedResolver.from_zone(ZONE)) == NAMES
            for address in self.servers:
                resolver = make_resolver(DnsConfig(nameservers=(address,)), reactor)
                assert await told(resolver) == WANTED, address
                assert await named(resolver) == NAMES, address

        return Deferred.fromCoroutine(compare())
