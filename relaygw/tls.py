"""TLS for every listener: PEM files in, a Twisted context factory out.

Files are read and checked as a whole (chain, key, and that both belong together) before anything is used, and again
when they changed on disk: a renewed certificate needs no restart, and a broken renewal keeps the old one in service.
Knows nothing of the protocols that run inside.
"""

import os
from collections.abc import Callable
from typing import Protocol

import attrs
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IProtocolFactory, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from relaygw.config.schema import TlsConfig
from relaygw.core.session import Tls

VERSIONS = {
    "TLSv1": SSL.TLS1_VERSION,
    "TLSv1.1": SSL.TLS1_1_VERSION,
    "TLSv1.2": SSL.TLS1_2_VERSION,
    "TLSv1.3": SSL.TLS1_3_VERSION,
}
# Forward secrecy only (RFC 9325 4.1). What is older than TLS 1.2 has nothing better than SHA-1 to offer, which
# OpenSSL refuses above security level 0; it is reached only where the configuration names such a version.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL"
_OLD_CIPHERS = b"ECDHE+AES:AES:!aNULL:!eNULL:@SECLEVEL=0"


class TlsError(Exception):
    """Certificate or key cannot be used; the message names the file and what is wrong, never its content."""


class Handled(Protocol):
    """A transport that gives its OpenSSL connection: both kinds of TLS in Twisted do."""

    def getHandle(self) -> SSL.Connection: ...


@implementer(IOpenSSLServerConnectionCreator)
@attrs.frozen
class _Creator:
    """What Twisted asks for each accepted connection; the context may be another each time."""

    context: Callable[[], SSL.Context]

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self.context(), None)


class ServerTls:
    """One certificate for any number of listeners. Raises TlsError when the files cannot be used at start.

    Later failures to read them again are told to `report`, once per change on disk.
    """

    def __init__(self, config: TlsConfig, report: Callable[[str], None] = lambda text: None) -> None:
        self._config = config
        self._report = report
        self._seen = _stamps(config)
        self._context = make_context(config)
        self.context_factory = _Creator(self.context)

    def context(self) -> SSL.Context:
        """The context for the next handshake, from new files where they changed."""
        stamps = _stamps(self._config)
        if stamps != self._seen:
            self._seen = stamps
            self._reload()
        return self._context

    def _reload(self) -> None:
        # Two files are never replaced in one instant: a mismatch in between ends with the second file's change.
        try:
            self._context = make_context(self._config)
        except TlsError as error:
            self._report(f"kept the previous certificate: {error}")

    def wrap(self, factory: IProtocolFactory, clock: IReactorTime | None = None) -> TLSMemoryBIOFactory:
        """The factory for implicit TLS (RFC 8314 3): TLS first, then `factory`'s protocol."""
        return TLSMemoryBIOFactory(self.context_factory, False, factory, clock)


def channel(transport: Handled) -> Tls:
    """What the handshake agreed on, for Session, Received and the journal."""
    connection = transport.getHandle()
    name = connection.get_servername() or b""
    return Tls(
        version=connection.get_protocol_version_name(),
        cipher=connection.get_cipher_name() or "",
        server_name="".join(c for c in name.decode("ascii", "replace") if c.isprintable())[:255],
    )


def make_context(config: TlsConfig) -> SSL.Context:
    """A server context from the files of `config`; raises TlsError."""
    certificates, key = _load(config)
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(_minimum(config))
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Sessions resume by tickets that OpenSSL keeps in the client; nothing grows here.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"relaygw")
    context.set_cipher_list(_CIPHERS if _minimum(config) >= SSL.TLS1_2_VERSION else _OLD_CIPHERS)
    _install(context, config, certificates, key)
    return context


def _install(context: SSL.Context, config: TlsConfig, certificates: list[Certificate], key: PrivateKeyTypes) -> None:
    try:
        context.use_certificate(certificates[0])
        for extra in certificates[1:]:
            context.add_extra_chain_cert(extra)
        context.use_privatekey(key)  # type: ignore[arg-type]  # OpenSSL itself refuses the kinds TLS has no use for
        context.check_privatekey()
    except (SSL.Error, TypeError, ValueError) as error:
        raise TlsError(f"{config.certificate}: OpenSSL refuses the certificate or its key: {error}") from None


def _minimum(config: TlsConfig) -> int:
    try:
        return VERSIONS[config.minimum_version]
    except KeyError:
        raise TlsError(f"minimum_version {config.minimum_version!r} is not one of {', '.join(VERSIONS)}") from None


def _load(config: TlsConfig) -> tuple[list[Certificate], PrivateKeyTypes]:
    if config.certificate is None or config.private_key is None:
        raise TlsError("TLS needs both a certificate and a private_key")
    certificates = _certificates(config.certificate)
    key = _key(config.private_key)
    if _public(certificates[0]) != key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise TlsError(f"{config.private_key} is not the key of the first certificate in {config.certificate}")
    return certificates, key


def _public(certificate: Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _certificates(path: str) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(_read(path))
    except ValueError:
        raise TlsError(f"{path}: no PEM certificate that can be read") from None


def _key(path: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(_read(path), password=None)
    except TypeError:
        raise TlsError(f"{path}: the private key is encrypted; it must stand without a passphrase") from None
    except ValueError:
        raise TlsError(f"{path}: no PEM private key that can be read") from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror}") from None


def _stamps(config: TlsConfig) -> tuple[tuple[int, int, int], ...]:
    return tuple(_stamp(path) for path in (config.certificate, config.private_key) if path is not None)


def _stamp(path: str) -> tuple[int, int, int]:
    """Time, inode and size: a file replaced within one tick of the clock is still seen."""
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_ino, status.st_size)
