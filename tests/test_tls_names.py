"""Certificates by SNI, clients' certificates, and channel bindings, with handshakes in memory."""

import hashlib
import os
from pathlib import Path
from typing import Any

import attrs
import pytest
from certificates import Issued, issue
from handshakes import Handle, agree, shake
from OpenSSL import SSL
from OpenSSL.crypto import X509

from relaygw.channel import Channel
from relaygw.config.schema import TlsConfig
from relaygw.core.certificates import CertificateLogin, login_of
from relaygw.tls import ServerTls, TlsError


def seen(client: SSL.Connection) -> str:
    certificate = client.get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    return certificate.subject.rfc4514_string()


@pytest.fixture
def config(tmp_path: Path) -> TlsConfig:
    first = issue("first", "mail.example.com").write(tmp_path, "first")
    others = (
        issue("second", "mail.example.org", "MX.example.org").write(tmp_path, "second"),
        issue("wild", "*.example.net").write(tmp_path, "wild"),
    )
    return TlsConfig(certificate=first.certificate, private_key=first.private_key, certificates=others)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "first"), ("mail.example.com", "first"), ("mail.example.org", "second"), ("mx.EXAMPLE.org", "second"),
        ("any.example.net", "wild"), ("a.b.example.net", "first"), ("example.net", "first"), ("nobody.test", "first"),
    ],
)  # fmt: skip
def test_the_certificate_for_the_name_asked_for(config: TlsConfig, name: str, expected: str) -> None:
    for maximum in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
        _, client = shake(ServerTls(config), name, maximum=maximum)
        assert seen(client) == f"CN={expected}"


def test_a_renewed_certificate_for_a_name_is_noticed_and_a_session_lives_on(config: TlsConfig, tmp_path: Path) -> None:
    reports: list[str] = []
    tls = ServerTls(config, reports.append)
    server, client = shake(tls, "mail.example.org")
    issue("renewed", "mail.example.org").write(tmp_path, "second")
    assert seen(shake(tls, "mail.example.org")[1]) == "CN=renewed"
    (tmp_path / "wild.key").write_text("broken")
    assert seen(shake(tls, "mail.example.org")[1]) == "CN=renewed"
    assert len(reports) == 1
    assert "wild.key" in reports[0]
    client.send(b"still here")
    server.bio_write(client.bio_read(1000))
    assert server.recv(100) == b"still here"


def test_each_pair_must_fit(config: TlsConfig, tmp_path: Path) -> None:
    os.replace(tmp_path / "wild.key", tmp_path / "second.key")
    with pytest.raises(TlsError, match="is not the key"):
        ServerTls(config)


AUTHORITY = issue("Authority", authority=True)
BETWEEN = issue("Between", issuer=AUTHORITY, authority=True)


@pytest.fixture
def asking(config: TlsConfig, tmp_path: Path) -> TlsConfig:
    (tmp_path / "authorities.pem").write_bytes(AUTHORITY.pem)
    return attrs.evolve(config, client_authorities=str(tmp_path / "authorities.pem"))


@pytest.mark.parametrize("maximum", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_clients_certificates_are_taken_and_told_apart(asking: TlsConfig, maximum: int) -> None:
    tls = ServerTls(asking, client_certificates="request")
    cases: list[tuple[Issued | None, tuple[Issued, ...], bool]] = [
        (issue("printer", issuer=AUTHORITY), (), True),
        (issue("printer", issuer=BETWEEN), (BETWEEN,), True),
        (issue("printer", issuer=BETWEEN), (), False),
        (issue("printer"), (), False),
        (issue("printer", issuer=AUTHORITY, days=-1), (), False),
        (issue("printer", issuer=issue("Authority", authority=True)), (), False),
    ]
    for certificate, chain, verified in cases:
        for name in ("", "mail.example.org"):
            server, _ = shake(tls, name, certificate, chain, maximum)
            found = Channel(Handle(server)).certificate
            assert certificate is not None
            assert found is not None
            assert (found.fingerprint, found.subject) == (certificate.fingerprint, "CN=printer")
            assert found.verified is verified
            assert login_of((CertificateLogin(login="x", subject="CN=printer"),), found) == ("x" if verified else "")
    server, _ = shake(tls, maximum=maximum)
    assert Channel(Handle(server)).certificate is None


def test_a_certificate_is_read_once(asking: TlsConfig) -> None:
    """At every EHLO it decides on what is offered, and its subject may have a hundred thousand octets."""
    server, _ = shake(ServerTls(asking, client_certificates="request"), certificate=issue("printer"))
    ours = Channel(Handle(server))
    assert ours.certificate is ours.certificate


def test_a_certificate_may_be_required_and_need_not_be_asked_for(asking: TlsConfig) -> None:
    with pytest.raises(SSL.Error):
        shake(ServerTls(asking, client_certificates="require"))
    shake(ServerTls(asking, client_certificates="require"), certificate=issue("anybody"))
    server, _ = shake(ServerTls(asking), certificate=issue("anybody"))
    assert Channel(Handle(server)).certificate is None


def test_a_resumed_session_of_an_asking_listener_is_no_way_around_the_certificate(asking: TlsConfig) -> None:
    tls = ServerTls(asking, client_certificates="request")
    _, client = shake(tls, certificate=issue("printer", issuer=AUTHORITY), maximum=SSL.TLS1_2_VERSION)
    session = client.get_session()
    assert session is not None
    again = SSL.Connection(client.get_context(), None)
    again.set_session(session)
    server = tls.context_factory.serverConnectionForTLS(None)  # type: ignore[arg-type]  # not used
    agree(server, again)
    found = Channel(Handle(server)).certificate
    assert found is not None
    assert found.verified, "a full handshake was made, in which the certificate was looked at"


def test_bindings_are_what_the_client_has_too(config: TlsConfig) -> None:
    server, client = shake(ServerTls(config), "mail.example.org")
    ours = Channel(Handle(server))
    assert ours.binding("tls-exporter") == client.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
    assert ours.binding("tls-unique") is None
    presented = client.get_peer_certificate(as_cryptography=True)
    assert presented is not None
    end_point = hashlib.sha256(_der(presented)).digest()
    assert ours.binding("tls-server-end-point") == end_point
    assert ours.binding("tls-else") is None
    server, client = shake(ServerTls(config), maximum=SSL.TLS1_2_VERSION)
    ours = Channel(Handle(server))
    assert ours.binding("tls-unique") == client.get_finished()
    assert ours.binding("tls-exporter") is None
    assert ours.binding("tls-server-end-point") != end_point


def _der(certificate: Any) -> bytes:
    from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate

    return dump_certificate(FILETYPE_ASN1, X509.from_cryptography(certificate))


def test_before_the_handshake_there_is_nothing_to_know(config: TlsConfig) -> None:
    server = ServerTls(config).context_factory.serverConnectionForTLS(None)  # type: ignore[arg-type]  # not used
    assert Channel(Handle(server)).certificate is None
