"""What a server's certificate proves, judged after the handshake and before anything is said inside.

Answers a Doubt or None. The `result` of a Doubt is the word TLS reports have for it (RFC 8460 4.3).
"""

import hashlib

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from OpenSSL import SSL
from OpenSSL.crypto import X509, X509Store, X509StoreContext, X509StoreContextError, X509StoreFlags
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address

from relaygw.core import dane
from relaygw.core.dane import Dane, Presented
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.tls import Watch, is_address

MISMATCH, UNTRUSTED, EXPIRED = "certificate-host-mismatch", "certificate-not-trusted", "certificate-expired"
OTHERWISE = "validation-failure"

MAX_NAMES = 300
"""Names of a certificate that are compared with a host's; authorities put 250 into one at most."""

_DATES = frozenset({9, 10, 13, 14})  # X509_V_ERR_CERT_NOT_YET_VALID … of OpenSSL's x509_vfy.h
_WORDS = {
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is self-signed",
    19: "the chain ends in a certificate that is not trusted",
    20: "its issuer is not known",
    21: "its issuer is not known",
    23: "the certificate is revoked",
    26: "the certificate is not one for servers",
    66: "the key of the certificate is too weak",
    67: "the key of an authority is too weak",
    68: "the certificate is signed with a hash that is too weak",
}


@attrs.frozen
class Doubt:
    """Why the host is not who it should be."""

    result: str
    words: str


def doubt(connection: SSL.Connection, host: str, hop: Hop, mode: TlsMode, watch: Watch) -> Doubt | None:
    """Why the certificate does not prove what `mode` asks for."""
    try:
        return _doubt(connection, host, hop, mode, watch)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):  # OpenSSL reads what others do not
        return Doubt(OTHERWISE, "the certificate cannot be read")


def _doubt(connection: SSL.Connection, host: str, hop: Hop, mode: TlsMode, watch: Watch) -> Doubt | None:
    if mode is TlsMode.VERIFY or (mode is TlsMode.MAY and hop.observed):
        return chain_doubt(watch.error) or name_doubt(connection, (host, *hop.names))
    if mode is TlsMode.FINGERPRINT:
        return _fingerprint_doubt(connection, hop.fingerprints)
    if mode is TlsMode.DANE and hop.dane is not None:
        return _dane_doubt(connection, hop.dane, (host, *hop.names))
    return None


def chain_doubt(error: int) -> Doubt | None:
    """What OpenSSL found, in words."""
    if not error:
        return None
    return Doubt(EXPIRED if error in _DATES else UNTRUSTED, _WORDS.get(error, f"certificate error {error}"))


def name_doubt(connection: SSL.Connection, names: tuple[str, ...]) -> Doubt | None:
    """Whether the certificate is one for any of the names (RFC 9525)."""
    if (
        _names_of(connection) > MAX_NAMES
    ):  # it takes time, and a host that need not prove anything may have made them up
        return Doubt(MISMATCH, f"the certificate has more than {MAX_NAMES} names")
    if any(_is_for(connection, name) for name in names):
        return None
    return Doubt(MISMATCH, f"the certificate is not for {' or '.join(dict.fromkeys(names))}")


def _names_of(connection: SSL.Connection) -> int:
    """How many names the server's certificate has beside that of its subject."""
    certificate = connection.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        return 0
    try:
        return len(list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value))
    except x509.ExtensionNotFound:
        return 0


def _is_for(connection: SSL.Connection, name: str) -> bool:
    try:
        (verify_ip_address if is_address(name) else verify_hostname)(connection, name)
    except (VerificationError, CertificateError):
        return False
    return True


def _fingerprint_doubt(connection: SSL.Connection, wanted: tuple[str, ...]) -> Doubt | None:
    server = chain_of(connection)[0]
    shown = {hashlib.sha256(server.certificate).hexdigest(), hashlib.sha256(server.key).hexdigest()}
    if shown.intersection(wanted):
        return None
    return Doubt(
        OTHERWISE, f"the certificate has another fingerprint ({hashlib.sha256(server.certificate).hexdigest()})"
    )


def _dane_doubt(connection: SSL.Connection, found: Dane, names: tuple[str, ...]) -> Doubt | None:
    """RFC 7672 3.1: a certificate that is named itself suffices; one below a named authority is looked at in full."""
    chain = chain_of(connection)
    if dane.names_server(found.usable, chain[0]):
        return None
    anchors = _anchors(found, chain)
    if not anchors:
        return Doubt(OTHERWISE, f"no TLSA record of {found.base} is for the certificate")
    return _anchored_doubt(chain, anchors) or name_doubt(connection, (found.base, *names))


def chain_of(connection: SSL.Connection) -> list[Presented]:
    """The certificates the server sent, its own first."""
    chain = connection.get_peer_cert_chain(as_cryptography=True) or []
    return [presented(certificate) for certificate in chain]


def presented(certificate: x509.Certificate) -> Presented:
    """A certificate as DANE sees it; a key of a kind nobody knows has no spelling, and matches nothing."""
    try:
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (UnsupportedAlgorithm, ValueError):
        key = b""
    return Presented(certificate.public_bytes(Encoding.DER), key)


def _anchors(found: Dane, chain: list[Presented]) -> list[bytes]:
    """Everything that may end the chain, in DER."""
    anchors = [each.certificate for each in dane.anchors(found.usable, chain)]
    anchors += dane.anchor_certificates(found.usable)
    keys = dane.anchor_keys(found.usable)
    return anchors + [each.certificate for each in chain if any(_signed_by(each.certificate, key) for key in keys)]


def _anchored_doubt(chain: list[Presented], anchors: list[bytes]) -> Doubt | None:
    """Whether signatures and dates hold up to an anchor, which need not be a root (RFC 7671 5.2)."""
    store = X509Store()
    store.set_flags(X509StoreFlags.PARTIAL_CHAIN)
    for anchor in anchors:
        try:
            store.add_cert(_x509(anchor))
        except ValueError:  # what stands in the DNS need not be a certificate
            continue
    others = [_x509(each.certificate) for each in chain[1:]]
    try:
        X509StoreContext(store, _x509(chain[0].certificate), others).verify_certificate()
    except X509StoreContextError as error:
        return chain_doubt(error.errors[0]) if error.errors else Doubt(UNTRUSTED, str(error))
    return None


def _x509(der: bytes) -> X509:
    return X509.from_cryptography(x509.load_der_x509_certificate(der))


def _signed_by(der: bytes, key: bytes) -> bool:
    """Whether a certificate was issued by the holder of a bare key."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        public = load_der_public_key(key)
        hashed = certificate.signature_hash_algorithm
        signature, signed = certificate.signature, certificate.tbs_certificate_bytes
        if isinstance(public, rsa.RSAPublicKey) and hashed is not None:
            parameters = certificate.signature_algorithm_parameters
            pad = parameters if isinstance(parameters, padding.PSS) else padding.PKCS1v15()
            public.verify(signature, signed, pad, hashed)
        elif isinstance(public, ec.EllipticCurvePublicKey) and hashed is not None:
            public.verify(signature, signed, ec.ECDSA(hashed))
        elif isinstance(public, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            public.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
