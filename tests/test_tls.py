"""Certificates: what cannot be used is named at start, what changes on disk is followed, broken renewals are not."""

import os
from pathlib import Path
from typing import Any

import attrs
import pytest
from certificates import issue
from cryptography.hazmat.primitives import serialization
from handshakes import Handle, shake
from OpenSSL import SSL

from relaygw.channel import channel
from relaygw.config.schema import TlsConfig
from relaygw.tls import ServerTls, TlsError, make_context


def write_certificate(folder: Path, name: str = "gateway.test") -> TlsConfig:
    """A self-signed certificate and its key, as files."""
    pair = issue(name).write(folder, "cert")
    return TlsConfig(certificate=pair.certificate, private_key=pair.private_key)


def test_a_handshake_and_what_it_agreed_on(tmp_path: Path) -> None:
    tls = ServerTls(write_certificate(tmp_path))
    server, client = shake(tls, "mx.gateway.test")
    agreed = channel(Handle(server))
    assert (agreed.version, agreed.server_name) == ("TLSv1.3", "mx.gateway.test")
    assert agreed.cipher == client.get_cipher_name()
    server, _ = shake(tls, maximum=SSL.TLS1_2_VERSION)
    assert channel(Handle(server)).version == "TLSv1.2"
    assert "ECDHE" in channel(Handle(server)).cipher


def test_versions_below_the_minimum_are_refused(tmp_path: Path) -> None:
    tls = ServerTls(attrs.evolve(write_certificate(tmp_path), minimum_version="TLSv1.3"))
    with pytest.raises(SSL.Error):
        shake(tls, maximum=SSL.TLS1_2_VERSION)
    with pytest.raises(TlsError, match="minimum_version"):
        make_context(attrs.evolve(write_certificate(tmp_path), minimum_version="SSLv3"))  # type: ignore[arg-type]


def encrypted(path: Path) -> None:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


@pytest.mark.parametrize(
    ("spoil", "file", "words"),
    [
        (lambda path: path.unlink(), "cert.pem", "No such file"),
        (lambda path: path.unlink(), "cert.key", "No such file"),
        (lambda path: path.write_text("nothing"), "cert.pem", "no PEM certificate"),
        (lambda path: path.write_text("nothing"), "cert.key", "no PEM private key"),
        (lambda path: path.write_bytes(path.read_bytes()[:150]), "cert.key", "no PEM private key"),
        (encrypted, "cert.key", "encrypted"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, spoil: Any, file: str, words: str) -> None:
    config = write_certificate(tmp_path)
    spoil(tmp_path / file)
    with pytest.raises(TlsError, match=words) as raised:
        ServerTls(config)
    assert file in str(raised.value)


def test_a_key_that_belongs_to_another_certificate(tmp_path: Path) -> None:
    config = write_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other = write_certificate(tmp_path / "other")
    with pytest.raises(TlsError, match="is not the key of"):
        ServerTls(attrs.evolve(config, private_key=other.private_key))
    with pytest.raises(TlsError, match="needs both"):
        ServerTls(TlsConfig(certificate=config.certificate))


def test_a_renewed_certificate_is_used_and_a_broken_one_is_not(tmp_path: Path) -> None:
    reports: list[str] = []
    config = write_certificate(tmp_path)
    tls = ServerTls(config, reports.append)
    first = tls.context()
    assert tls.context() is first

    good = (tmp_path / "cert.pem").read_bytes()
    (tmp_path / "cert.pem").write_text("broken renewal")
    assert tls.context() is first
    assert tls.context() is first
    assert len(reports) == 1
    assert "kept the previous certificate" in reports[0]

    (tmp_path / "cert.pem").write_bytes(good)
    os.utime(tmp_path / "cert.pem", ns=(1, 1))
    second = tls.context()
    assert second is not first

    write_certificate(tmp_path)
    assert tls.context() is not second
    assert len(reports) == 1
    shake(tls)


def test_a_chain_is_sent_whole(tmp_path: Path) -> None:
    config = write_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    write_certificate(tmp_path / "other", "ca.test")
    with open(tmp_path / "cert.pem", "ab") as file:
        file.write((tmp_path / "other" / "cert.pem").read_bytes())
    _, client = shake(ServerTls(config))
    chain = client.get_peer_cert_chain(as_cryptography=True)
    assert chain is not None
    assert [certificate.subject.rfc4514_string() for certificate in chain] == ["CN=gateway.test", "CN=ca.test"]
