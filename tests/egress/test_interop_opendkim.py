"""What we sign, OpenDKIM verifies, with RSA and with Ed25519, and refuses after a change."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from relaygw import keys
from relaygw.core.content import BytesContent
from relaygw.core.dkim_signature import Signature, body_hash, signed_fields
from relaygw.egress.signatories import SigningKey

CONTENT = BytesContent(
    b"Received: from x\r\n\tby y\r\nFrom: =?utf-8?q?=C3=A4?= <a@example.com>\r\n"
    b"To: b@example.org,\r\n c@example.org\r\n"
    b"Subject:   white\t space \r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    b"Two  spaces, a\ttab, and at the end \r\n\r\n.a dot\r\n\xc3\xa4\r\n \t\r\n\r\n\r\n"
)


def _signed(pem: bytes, selector: str) -> bytes:
    private = keys.load(pem)
    key = SigningKey(domain="example.com", selector=selector, algorithm=keys.algorithm(private), private=private)
    digest = body_hash(CONTENT.chunks(len(CONTENT.head) + 2))
    signature = Signature(algorithm=key.algorithm, domain=key.domain, selector=selector)
    made = signature.unsigned(signed_fields(CONTENT.head), digest, int(time.time()))
    return made.signed(key.sign(made.data)) + CONTENT.data


@pytest.mark.interop
@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_opendkim_verifies(algorithm: str, tmp_path: Path, peer: Callable[[str], str]) -> None:
    program = peer("opendkim")
    pem = keys.generate(algorithm)
    good = _signed(pem, algorithm)
    (tmp_path / "dns").write_text(f"{algorithm}._domainkey.example.com {keys.record(pem)}\n")
    (tmp_path / "conf").write_text(f"Mode v\nSyslog no\nTestDNSData file:{tmp_path / 'dns'}\n")

    def verdict(data: bytes) -> str:
        (tmp_path / "message").write_bytes(data)
        command = [program, "-x", str(tmp_path / "conf"), "-v", "-t", str(tmp_path / "message")]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
        return (done.stdout + done.stderr).decode()

    assert f"verification (s={algorithm}, d=example.com" in verdict(good)
    assert "succeeded" in verdict(good)
    assert "failed" in verdict(good.replace(b"Two", b"Too"))
    assert "failed" in verdict(b"From: evil@example.net\r\n" + good)
