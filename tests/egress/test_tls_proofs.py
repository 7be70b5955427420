"""What a server's certificate proves under each policy: a table of set-ups, each a real handshake in memory."""

import contextlib
import functools
import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest
from certificate_workshop import NAME, Made, make, server_context, shake_hands
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL

from relaygw.core.dane import Dane, usable
from relaygw.core.question import Tlsa
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.proof import MAX_NAMES, doubt
from relaygw.egress.tls import AuthoritiesError, ClientCreator, Watch
from relaygw.tls import Pair

ROOT = make("root", authority=True)
MIDDLE = make("middle", ROOT, authority=True)
STRANGER = make("stranger", authority=True)
SERVERS = {
    "good": make(NAME, MIDDLE),
    "self-signed": make(NAME),
    "expired": make(NAME, MIDDLE, days=1),
    "wrong name": make("other.example", MIDDLE),
    "wildcard": make("*.example.org", MIDDLE),
    "domain": make("example.org", MIDDLE),
    "stranger": make(NAME, STRANGER),
    "expired self-signed of another name": make("other.example", days=1),
    "many names": make(NAME, MIDDLE, names=(NAME, *(f"{number}.example" for number in range(1, MAX_NAMES)))),
    "too many names": make(NAME, MIDDLE, names=(NAME, *(f"{number}.example" for number in range(MAX_NAMES)))),
    # An x400Address, which cryptography does not read, and an address of three octets; OpenSSL takes both.
    "strange names": make(NAME, MIDDLE, raw_names=b"\x30\x04\xa3\x02\x30\x00"),
    "broken names": make(NAME, MIDDLE, raw_names=b"\x30\x05\x87\x03abc"),
}


def der(made: Made) -> bytes:
    return made.certificate.public_bytes(Encoding.DER)


def key(made: Made) -> bytes:
    return made.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def judged(server: str, hop: Hop, folder: Path) -> str:
    """ "", the word for reports, or OpenSSL's own where it ended the handshake."""
    authorities, _ = ROOT.write(folder, "root")
    watch = Watch(lenient=hop.observed)
    creator = ClientCreator(NAME, hop.tls, authorities, None, watch)
    try:
        connection = shake_hands(creator, server_context(SERVERS[server]))
    except SSL.Error:
        return f"broken off: {watch.error}"
    found = doubt(connection, NAME, hop, hop.tls, watch)
    return found.result if found else ""


def dane(*records: Tlsa, names: tuple[str, ...] = ()) -> Hop:
    found = Dane(base=NAME, records=records, usable=usable(records), ttl=60)
    return Hop(tls=TlsMode.DANE, dane=found, names=names)


@pytest.mark.parametrize(
    ("server", "verdict"),
    [
        ("good", ""),
        ("wildcard", ""),
        ("self-signed", "broken off: 18"),
        ("stranger", "broken off: 19"),
        ("expired", "broken off: 10"),
        ("wrong name", "certificate-host-mismatch"),
        ("domain", "certificate-host-mismatch"),
        ("many names", ""),
        ("too many names", "certificate-host-mismatch"),
        ("strange names", "validation-failure"),
        ("broken names", "validation-failure"),
    ],
)
def test_verify(server: str, verdict: str, tmp_path: Path) -> None:
    assert judged(server, Hop(tls=TlsMode.VERIFY), tmp_path) == verdict


@pytest.mark.parametrize(
    ("server", "verdict"),
    [
        ("good", ""),
        ("self-signed", "certificate-not-trusted"),
        ("stranger", "certificate-not-trusted"),
        ("expired", "certificate-expired"),
        ("wrong name", "certificate-host-mismatch"),
        ("strange names", "validation-failure"),
    ],
)
def test_a_policy_in_testing_lets_the_handshake_end_and_knows_all_the_same(
    server: str, verdict: str, tmp_path: Path
) -> None:
    assert judged(server, Hop(tls=TlsMode.MAY, observed=True), tmp_path) == verdict


@pytest.mark.parametrize("mode", [TlsMode.MAY, TlsMode.ENCRYPT])
@pytest.mark.parametrize("server", sorted(SERVERS))
def test_what_proves_nothing_doubts_nothing(mode: TlsMode, server: str, tmp_path: Path) -> None:
    assert judged(server, Hop(tls=mode), tmp_path) == ""


ODD = SERVERS["expired self-signed of another name"]
CASES: list[tuple[str, str, Hop, str]] = [
    ("EE by key", "good", dane(Tlsa(3, 1, 1, sha256(key(SERVERS["good"])))), ""),
    ("EE by certificate", "good", dane(Tlsa(3, 0, 1, sha256(der(SERVERS["good"])))), ""),
    ("EE by SHA-512", "good", dane(Tlsa(3, 0, 2, hashlib.sha512(der(SERVERS["good"])).digest())), ""),
    ("EE whole", "good", dane(Tlsa(3, 0, 0, der(SERVERS["good"]))), ""),
    # RFC 7672 3.1.1: neither dates nor names of a certificate that is named itself.
    ("EE of anything", "expired self-signed of another name", dane(Tlsa(3, 1, 1, sha256(key(ODD)))), ""),
    ("EE of another", "good", dane(Tlsa(3, 1, 1, b"\0" * 32)), "validation-failure"),
    ("EE names an authority", "good", dane(Tlsa(3, 1, 1, sha256(key(MIDDLE)))), "validation-failure"),
    ("rollover", "good", dane(Tlsa(3, 1, 1, b"\0" * 32), Tlsa(3, 1, 1, sha256(key(SERVERS["good"])))), ""),
    ("TA middle", "good", dane(Tlsa(2, 0, 1, sha256(der(MIDDLE)))), ""),
    ("TA root by key", "good", dane(Tlsa(2, 1, 1, sha256(key(ROOT)))), ""),
    ("TA whole", "good", dane(Tlsa(2, 0, 0, der(ROOT))), ""),
    ("TA bare key", "good", dane(Tlsa(2, 1, 0, key(ROOT))), ""),
    ("TA bare key of a stranger", "good", dane(Tlsa(2, 1, 0, key(STRANGER))), "validation-failure"),
    ("TA of a stranger", "good", dane(Tlsa(2, 0, 0, der(STRANGER))), "certificate-not-trusted"),
    ("TA rubbish", "good", dane(Tlsa(2, 0, 0, b"rubbish")), "certificate-not-trusted"),
    ("TA, wrong name", "wrong name", dane(Tlsa(2, 0, 1, sha256(der(MIDDLE)))), "certificate-host-mismatch"),
    ("TA, expired", "expired", dane(Tlsa(2, 0, 1, sha256(der(MIDDLE)))), "certificate-expired"),
    ("TA, the domain's name", "domain", dane(Tlsa(2, 0, 1, sha256(der(MIDDLE))), names=("example.org",)), ""),
    ("TA, strange names", "strange names", dane(Tlsa(2, 0, 1, sha256(der(MIDDLE)))), "validation-failure"),
    ("TA, unsigned MX", "domain", dane(Tlsa(2, 0, 1, sha256(der(MIDDLE)))), "certificate-host-mismatch"),
    (
        "TA fails, EE fits",
        "wrong name",
        dane(Tlsa(2, 0, 1, sha256(der(MIDDLE))), Tlsa(3, 0, 1, sha256(der(SERVERS["wrong name"])))),
        "",
    ),
    (
        "fingerprint",
        "self-signed",
        Hop(tls=TlsMode.FINGERPRINT, fingerprints=(sha256(der(SERVERS["self-signed"])).hex(),)),
        "",
    ),
    (
        "fingerprint of the key",
        "expired",
        Hop(tls=TlsMode.FINGERPRINT, fingerprints=("00", sha256(key(SERVERS["expired"])).hex())),
        "",
    ),
    (
        "another fingerprint",
        "good",
        Hop(tls=TlsMode.FINGERPRINT, fingerprints=(sha256(der(MIDDLE)).hex(),)),
        "validation-failure",
    ),
]


@pytest.mark.parametrize(("server", "hop", "verdict"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_dane_and_fingerprints(server: str, hop: Hop, verdict: str, tmp_path: Path) -> None:
    assert judged(server, hop, tmp_path) == verdict


def test_a_signature_that_is_none_ends_the_chain(tmp_path: Path) -> None:
    """A chain that claims the anchor's name without its key."""
    forged = make("middle", authority=True)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    leaf = make(NAME, forged)
    context.use_certificate(leaf.certificate)
    context.use_privatekey(leaf.key)
    context.add_extra_chain_cert(MIDDLE.certificate)
    hop = dane(Tlsa(2, 0, 1, sha256(der(MIDDLE))))
    watch = Watch()
    connection = shake_hands(ClientCreator(NAME, hop.tls, "", None, watch), context)
    found = doubt(connection, NAME, hop, hop.tls, watch)
    assert found is not None
    assert found.result == "certificate-not-trusted"


def test_our_own_certificate_is_shown_to_who_asks(tmp_path: Path) -> None:
    mine = make("relay.example", ROOT)
    seen: list[Any] = []
    context = server_context(SERVERS["good"])
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *facts: seen.append(facts[1]) or True)
    shake_hands(ClientCreator(NAME, TlsMode.ENCRYPT, "", Pair(*mine.write(tmp_path, "mine"))), context)
    assert mine.certificate in [each.to_cryptography() for each in seen]


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_files_that_do_not_fit_are_told_before_anything_is_sent(missing: str, tmp_path: Path) -> None:
    certificate, private_key = make("relay.example").write(tmp_path, "mine")
    other = make("relay.example").write(tmp_path, "other")[1]
    pair = Pair(str(tmp_path / "none"), private_key) if missing == "certificate" else Pair(certificate, other)
    with pytest.raises(AuthoritiesError):
        ClientCreator(NAME, TlsMode.ENCRYPT, "", pair).context()


@functools.cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


GROUP_2 = """-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----
"""
"""1,024 bits (RFC 2409 6.2)."""


@pytest.mark.parametrize(("mode", "agrees"), [(TlsMode.MAY, True), (TlsMode.ENCRYPT, False), (TlsMode.VERIFY, False)])
def test_a_weak_key_exchange_is_better_than_clear_text_and_nothing_more(
    mode: TlsMode, agrees: bool, tmp_path: Path
) -> None:
    (tmp_path / "group").write_text(GROUP_2)
    authorities, _ = ROOT.write(tmp_path, "root")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_dh_params(str(tmp_path / "group"))
    context.load_cert_chain(*make(NAME, ROOT, key=_rsa_key()).write(tmp_path, "server"))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    client = ClientCreator(NAME, mode, authorities).clientConnectionForTLS(None)  # type: ignore[arg-type]  # it looks at no protocol
    client.set_connect_state()

    def shake() -> None:
        for _ in range(4):
            with contextlib.suppress(SSL.WantReadError):
                client.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                incoming.write(client.bio_read(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                server.do_handshake()
            if outgoing.pending:
                client.bio_write(outgoing.read())

    if agrees:
        shake()
        assert client.get_cipher_name() == "DHE-RSA-AES128-GCM-SHA256"
    else:
        with pytest.raises(SSL.Error, match="dh key too small"):
            shake()
