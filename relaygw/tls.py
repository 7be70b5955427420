"""TLS for listeners: PEM files in, a Twisted context factory out.

Files are read and checked as a whole (chain, key, and that both belong together) before anything is used, and again
when they changed on disk: a renewed certificate needs no restart, and a broken renewal keeps the old one in service.
Clients that name a server (SNI) get the certificate for that name, all others the first. Knows nothing of the
protocols that run inside.
"""

import os
from collections.abc import Callable, Iterator, Mapping

import attrs
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import (
    Certificate,
    DNSName,
    ExtensionNotFound,
    IPAddress,
    SubjectAlternativeName,
    load_pem_x509_certificates,
)
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IProtocolFactory, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from relaygw.channel import Verification, verifications
from relaygw.config.schema import TlsConfig

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
_ASKING = {
    "request": SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE,
    "require": SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}


class TlsError(Exception):
    """Certificate or key cannot be used; the message names the file and what is wrong, never its content."""


@attrs.frozen
class Pair:
    """The files of one certificate."""

    certificate: str
    private_key: str


@implementer(IOpenSSLServerConnectionCreator)
@attrs.frozen
class _Creator:
    """What Twisted asks for each accepted connection; the context may be another each time."""

    context: Callable[[], SSL.Context]

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        context = self.context()
        connection = SSL.Connection(context, None)
        if context.get_verify_mode() != SSL.VERIFY_NONE:
            verifications[connection] = Verification()
        return connection


class ServerTls:
    """The certificates, under the policy of a listener, for any number of them.

    `client_certificates` is "none", "request" or "require". Raises TlsError when the files cannot be used at start.
    Later failures to read them again are told to `report`, once per change on disk.
    """

    def __init__(
        self,
        config: TlsConfig,
        report: Callable[[str], None] = lambda text: None,
        client_certificates: str = "none",
    ) -> None:
        self._config = config
        self._report = report
        self._asking = client_certificates
        self._files = _files(config)
        self._seen = self._stamps()
        self._context = make_context(config, client_certificates)
        self.context_factory = _Creator(self.context)

    def context(self) -> SSL.Context:
        """The context for the next handshake, from new files where they changed."""
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            self._reload()
        return self._context

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(map(_stamp, self._files))

    def _reload(self) -> None:
        # Two files are never replaced in one instant: a mismatch in between ends with the second file's change.
        try:
            self._context = make_context(self._config, self._asking)
        except TlsError as error:
            self._report(f"kept the previous certificate: {error}")

    def wrap(self, factory: IProtocolFactory, clock: IReactorTime | None = None) -> TLSMemoryBIOFactory:
        """The factory for implicit TLS (RFC 8314 3): TLS first, then `factory`'s protocol."""
        return TLSMemoryBIOFactory(self.context_factory, False, factory, clock)


def pairs(config: TlsConfig) -> tuple[Pair, ...]:
    """The files of every certificate, the one for clients without a wish first; raises TlsError."""
    if config.certificate is None or config.private_key is None:
        raise TlsError("TLS needs both a certificate and a private_key")
    first = Pair(config.certificate, config.private_key)
    return (first, *(Pair(each.certificate, each.private_key) for each in config.certificates))


def make_context(config: TlsConfig, client_certificates: str = "none") -> SSL.Context:
    """A server context from the files of `config`, that changes to another by SNI; raises TlsError."""
    contexts: list[SSL.Context] = []
    named: dict[str, SSL.Context] = {}
    for pair in pairs(config):
        chain, key = load_pair(pair)
        context = _bare_context(config, client_certificates)
        _install(context, pair, chain, key)
        contexts.append(context)
        for name in certificate_names(chain[0]):
            named.setdefault(name, context)
    if len(contexts) > 1:
        contexts[0].set_tlsext_servername_callback(lambda connection: _choose(connection, named))
    return contexts[0]


def _choose(connection: SSL.Connection, named: Mapping[str, SSL.Context]) -> None:
    """Called by OpenSSL with the client's wish; an unknown name gets the first certificate, and may like it or not."""
    name = (connection.get_servername() or b"").decode("ascii", "replace").lower().removesuffix(".")
    context = named.get(name) or named.get("*." + name.partition(".")[2])
    if context is not None:
        connection.set_context(context)


def _bare_context(config: TlsConfig, client_certificates: str) -> SSL.Context:
    """Everything but the certificate."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(_minimum(config))
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Sessions resume by tickets that OpenSSL keeps in the client; nothing grows here.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"relaygw")
    context.set_cipher_list(_CIPHERS if _minimum(config) >= SSL.TLS1_2_VERSION else _OLD_CIPHERS)
    if client_certificates in _ASKING:
        _ask_clients(context, config, client_certificates)
    return context


def _ask_clients(context: SSL.Context, config: TlsConfig, client_certificates: str) -> None:
    """Any certificate is let in, as it may be known by its fingerprint; whether it verified is written down."""
    # A resumed session would not show the certificate again.
    context.set_options(SSL.OP_NO_TICKET)
    context.set_verify(_ASKING[client_certificates], _looked_at)
    if config.client_authorities is not None:
        authorities = _certificates(config.client_authorities)
        store = context.get_cert_store()
        assert store is not None, "a context has a store from the beginning"
        for authority in authorities:
            store.add_cert(X509.from_cryptography(authority))
            context.add_client_ca(authority)


def _looked_at(connection: SSL.Connection, _: X509, error: int, depth: int, fine: int) -> bool:
    """OpenSSL's word on each certificate of the client's chain, the client's own last."""
    found = verifications.get(connection)
    if found is not None:
        found.doubted = found.doubted or not fine or error != 0
        found.verified = found.verified or depth == 0
    return True


def _install(context: SSL.Context, pair: Pair, chain: list[Certificate], key: PrivateKeyTypes) -> None:
    try:
        context.use_certificate(chain[0])
        for extra in chain[1:]:
            context.add_extra_chain_cert(extra)
        context.use_privatekey(key)  # type: ignore[arg-type]  # OpenSSL itself refuses the kinds TLS has no use for
        context.check_privatekey()
    except (SSL.Error, TypeError, ValueError) as error:
        raise TlsError(f"{pair.certificate}: OpenSSL refuses the certificate or its key: {error}") from None


def _minimum(config: TlsConfig) -> int:
    try:
        return VERSIONS[config.minimum_version]
    except KeyError:
        raise TlsError(f"minimum_version {config.minimum_version!r} is not one of {', '.join(VERSIONS)}") from None


def load_pair(pair: Pair) -> tuple[list[Certificate], PrivateKeyTypes]:
    """The chain, our own certificate first, and the key that fits it; raises TlsError."""
    chain = _certificates(pair.certificate)
    key = _key(pair.private_key)
    if _public(chain[0]) != key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise TlsError(f"{pair.private_key} is not the key of the first certificate in {pair.certificate}")
    return chain, key


def certificate_names(certificate: Certificate) -> tuple[str, ...]:
    """The DNS names of a certificate, in lower case, and its addresses."""
    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except (ExtensionNotFound, ValueError):
        return ()
    addresses = names.get_values_for_type(IPAddress)
    return (*(name.lower() for name in names.get_values_for_type(DNSName)), *map(str, addresses))


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


def _files(config: TlsConfig) -> tuple[str, ...]:
    return tuple(path for path in _every_file(config) if path is not None)


def _every_file(config: TlsConfig) -> Iterator[str | None]:
    yield from (config.certificate, config.private_key, config.client_authorities)
    for each in config.certificates:
        yield from (each.certificate, each.private_key)


def _stamp(path: str) -> tuple[int, int, int]:
    """Time, inode and size: a file replaced within one tick of the clock is still seen."""
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_ino, status.st_size)
