"""What a TLS handshake agreed on: version and cipher for the journal, bindings and certificate for logins.

Asked when somebody wants to know: most sessions never do.
"""

from typing import Protocol
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from relaygw.core.certificates import ClientCertificate
from relaygw.core.session import Tls

_EXPORTER_LABEL = b"EXPORTER-Channel-Binding"


class Handled(Protocol):
    """A transport that gives its OpenSSL connection: both kinds of TLS in Twisted do."""

    def getHandle(self) -> SSL.Connection: ...


class Verification:
    """What came of looking at a client's certificate. In doubt, and when a session was resumed, it did not verify."""

    verified = False
    doubted = False


verifications: WeakKeyDictionary[SSL.Connection, Verification] = WeakKeyDictionary()
"""By connection; the place for data that OpenSSL's own have is Twisted's."""


def channel(transport: Handled) -> Tls:
    """What the handshake agreed on, for Session, Received and the journal."""
    connection = transport.getHandle()
    name = connection.get_servername() or b""
    return Tls(
        version=connection.get_protocol_version_name(),
        cipher=connection.get_cipher_name() or "",
        server_name="".join(c for c in name.decode("ascii", "replace") if c.isprintable())[:255],
    )


class Channel:
    """The TLS around a session, for its mechanisms. It may be made before the handshake."""

    __slots__ = ("_certificate", "_transport")

    def __init__(self, transport: Handled) -> None:
        self._transport = transport
        self._certificate: ClientCertificate | None = None

    @property
    def certificate(self) -> ClientCertificate | None:
        """The client's, where it was asked for one and gave it. Read once: its subject may be long."""
        if self._certificate is None:
            self._certificate = self._read_certificate()
        return self._certificate

    def _read_certificate(self) -> ClientCertificate | None:
        connection = self._transport.getHandle()
        found = connection.get_peer_certificate(as_cryptography=True)
        if found is None:
            return None
        result = verifications.get(connection)
        verified = result is not None and result.verified and not result.doubted
        return ClientCertificate(
            fingerprint=found.fingerprint(hashes.SHA256()).hex(), subject=_subject(found), verified=verified
        )

    def binding(self, name: str) -> bytes | None:
        """The channel binding of this name; None where this channel has none (yet)."""
        connection = self._transport.getHandle()
        modern = connection.get_protocol_version() >= SSL.TLS1_3_VERSION
        if name == "tls-exporter" and modern:
            return connection.export_keying_material(_EXPORTER_LABEL, 32, b"")
        if name == "tls-unique" and not modern:
            # RFC 5929 3.1: the first Finished, the client's in a full handshake. In a resumed one it was ours: then
            # this does not fit what the client has, which closes the hole that resumption makes (RFC 7677 4).
            return connection.get_peer_finished()
        return _end_point(connection) if name == "tls-server-end-point" else None


def _end_point(connection: SSL.Connection) -> bytes | None:
    """RFC 5929 4.1: the hash of our certificate, by the hash of its signature but never by a broken one."""
    certificate = connection.get_certificate(as_cryptography=True)
    if certificate is None:
        return None
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        return None  # such as Ed25519, for which the RFC defines nothing
    broken = isinstance(algorithm, hashes.MD5 | hashes.SHA1)
    return certificate.fingerprint(hashes.SHA256() if broken else algorithm)


def _subject(certificate: x509.Certificate) -> str:
    try:
        return certificate.subject.rfc4514_string()
    except ValueError:
        return ""  # a name that cannot be read is nobody's
