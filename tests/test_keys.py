"""DKIM keys: what is generated can be loaded, published and written where only its owner reads it."""

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from relaygw import keys
from relaygw.core import dkim_record


def _tags(value: str) -> dict[str, str]:
    return dict(part.strip().split("=", 1) for part in value.split(";"))


def test_rsa_record_publishes_the_public_key() -> None:
    pem = keys.generate("rsa")
    tags = _tags(keys.record(pem))
    public = serialization.load_der_public_key(base64.b64decode(tags["p"]))
    assert (tags["v"], tags["k"]) == ("DKIM1", "rsa")
    assert public == keys.load(pem).public_key()


def test_ed25519_record_holds_the_bare_32_octets() -> None:
    tags = _tags(keys.record(keys.generate("ed25519")))
    assert tags["k"] == "ed25519"
    assert len(base64.b64decode(tags["p"])) == 32


def test_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="rsa or ed25519"):
        keys.generate("dsa")


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"not a key",
        _pem(ec.generate_private_key(ec.SECP256R1())),
        _pem(rsa.generate_private_key(65537, 1024), b"secret"),
    ],
)
def test_what_cannot_sign_is_one_named_error(pem: bytes) -> None:
    with pytest.raises(keys.UnusableKey) as caught:
        keys.load(pem)
    assert "secret" not in str(caught.value)


def test_the_older_rsa_form_loads() -> None:
    key = rsa.generate_private_key(65537, 2048)
    assert keys.algorithm(keys.load(_pem(key))) == "rsa"


def test_a_key_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    keys.write(path, b"first")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        keys.write(path, b"second")
    assert path.read_bytes() == b"first"


def test_strings_split_at_255_and_join_to_the_value() -> None:
    for size in (254, 255, 256, 510, 511):
        pieces = dkim_record.strings("x" * size)
        assert "".join(pieces) == "x" * size
        assert len(pieces) == -(-size // 255)
        assert max(map(len, pieces)) <= 255


def test_zone_line_is_read_back_by_a_zone_parser() -> None:
    import dns.zone

    value = keys.record(keys.generate("rsa"))
    owner = dkim_record.name("s1", "example.com")
    text = f"@ 3600 IN SOA ns hostmaster 1 2 3 4 5\n@ IN NS ns\n{dkim_record.zone_line(owner, value)}\n"
    zone = dns.zone.from_text(text, origin="example.com.", relativize=False)
    found = zone.find_rdataset("s1._domainkey.example.com.", "TXT")[0]
    assert b"".join(found.strings).decode() == value
