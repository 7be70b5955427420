"""SPF, DKIM, ARC and DMARC come to the same under a real resolver as under a mapping: NSD serves, Unbound asks it."""

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


ZONE = (
    txt("good.test", "v=spf1 ip4:192.0.2.1 -all")
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


def cases() -> Iterator[tuple[str, bytes]]:
    """Sender and content of each."""
    for key in (RSA, ED):
        yield "x@good.test", sign(message("x@good.test"), key, {"d": "good.test"}) + message("x@good.test")
    yield "x@other.test", sign(message("x@good.test"), RSA, {"d": "good.test", "s": "gone"}) + message("x@good.test")
    for author in ("x@a.good.test", "x@nobody.good.test", "x@one.co.test", "x@elsewhere.test"):
        yield "x@other.test", message(author)
    yield "x@good.test", message("x@a.good.test")


WANTED = [
    "spf=pass dkim=pass arc=none dmarc=pass",
    "spf=pass dkim=pass arc=none dmarc=pass",
    "spf=none dkim=permerror arc=none dmarc=fail/none",
    "spf=none dkim=none arc=none dmarc=fail/quarantine",
    "spf=none dkim=none arc=none dmarc=fail/reject",
    "spf=none dkim=none arc=none dmarc=fail/reject",
    "spf=none dkim=none arc=none dmarc=none",
    "spf=pass dkim=none arc=none dmarc=pass",
]


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


def _word(result: Any) -> str:
    policy = dict(result.properties).get("policy.dmarc", "")
    return f"{result.method}={result.result}" + (f"/{policy}" if result.result == "fail" else "")


@pytest.fixture
def server(tmp_path: Path, peer: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    with serve(tmp_path, peer("nsd"), root(ZONE)) as nsd, resolve_by(tmp_path, peer("unbound"), nsd) as unbound:
        yield nsd, unbound


class SenderAuthenticationTests(TestCase):
    timeout = 60
    servers: tuple[str, str]

    @pytest.fixture(autouse=True)
    def _serve(self, server: tuple[str, str]) -> None:
        self.servers = server

    def test_the_chain_says_the_same_everywhere(self) -> Any:
        async def compare() -> None:
            assert await told(FixedResolver.from_zone(ZONE)) == WANTED
            for address in self.servers:
                assert await told(make_resolver(DnsConfig(nameservers=(address,)), reactor)) == WANTED

        return Deferred.fromCoroutine(compare())
