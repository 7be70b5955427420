"""What OpenDKIM signs verifies here, in every canonical form, and no longer after a change."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from relaygw import keys
from relaygw.core.content import BytesContent
from relaygw.core.dkim import Findings, Result, verify
from relaygw.core.question import settle
from relaygw.dns.fixed import FixedResolver

# Its test mode hands values on without the space after the colon and at the end: what is hashed has just one there.
MESSAGE = (
    b"Received: from x\n\tby y\nFrom: =?utf-8?q?=C3=A4?= <a@example.com>\nTo: b@example.org,\n c@example.org\n"
    b"Subject: white\t  space\nDate: Mon, 23 Nov 2026 06:00:00 +0000\nMessage-ID: <1@example.com>\n\n"
    b"Two  spaces, a\ttab, and at the end \n\n.a dot\n\xc3\xa4\n \t\n\n\n"
)


@pytest.mark.interop
@pytest.mark.parametrize(
    ("algorithm", "form"),
    [
        ("rsa", "simple/simple"),
        ("rsa", "simple/relaxed"),
        ("rsa", "relaxed/simple"),
        ("rsa", "relaxed/relaxed"),
        # What it signs with Ed25519 over a simple header, dkimpy does not verify either.
        ("ed25519", "relaxed/simple"),
        ("ed25519", "relaxed/relaxed"),
    ],
)
def test_what_opendkim_signs(algorithm: str, form: str, tmp_path: Path, peer: Callable[[str], str]) -> None:
    program = peer("opendkim")
    pem = keys.generate(algorithm)
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "key.pem").chmod(0o600)
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "conf").write_text(
        "Mode s\nSyslog no\nRequireSafeKeys no\nDomain example.com\nSelector s\n"
        f"Canonicalization {form}\nKeyFile {tmp_path / 'key.pem'}\n"
        f"SignatureAlgorithm {algorithm}-sha256\nInternalHosts 0.0.0.0/0\nOversignHeaders From\n"
    )
    command = [program, "-x", str(tmp_path / "conf"), "-t", str(tmp_path / "message"), "-vv"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
    field = signature_of(done.stdout + done.stderr)
    found = check(field + MESSAGE.replace(b"\n", b"\r\n"), pem)
    assert [finding.result for finding in found.signatures] == [Result.PASS], found
    assert check(field + MESSAGE.replace(b"\n", b"\r\n").replace(b"Two", b"Too"), pem).result is Result.FAIL
    assert check(field + MESSAGE.replace(b"\n", b"\r\n").replace(b"white", b"black"), pem).result is Result.FAIL


def signature_of(output: bytes) -> bytes:
    """The field out of what the program says it would insert."""
    marker = b"hname='DKIM-Signature' hvalue='"
    start = output.index(marker) + len(marker)
    value = output[start : output.index(b"'", start)]
    return b"DKIM-Signature: " + value.replace(b"\n", b"\r\n") + b"\r\n"


def check(message: bytes, pem: bytes) -> Findings:
    zone = FixedResolver({"s._domainkey.example.com": {"TXT": [keys.record(pem).encode()]}})
    return settle(verify(BytesContent(message), 2_000_000_000), zone.answer)
