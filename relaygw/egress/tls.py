"""TLS towards next hops: an OpenSSL connection with SNI, and afterwards the facts.

Chain verification is OpenSSL's, done within the handshake; that the certificate is for the host we mean is checked
after it by service_identity, before anything is sent inside. Contexts are kept: building one costs milliseconds.
"""

import ipaddress
import os
from functools import lru_cache

import attrs
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from relaygw.egress.hop import TlsMode

# RFC 8996 rules older versions out; a server without 1.2 gets its mail in clear under "may".
_MINIMUM = SSL.TLS1_2_VERSION


@attrs.frozen
class TlsFacts:
    """`version` such as "TLSv1.3"; `verified`: chain and name were checked and are right."""

    version: str
    cipher: str
    verified: bool


@implementer(IOpenSSLClientConnectionCreator)
@attrs.frozen
class ClientCreator:
    """What Twisted asks for the OpenSSL side of a connection. `host` is the next hop's name or address."""

    host: str
    mode: TlsMode
    authorities: str = ""

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self.context(), None)
        if not is_address(self.host):
            connection.set_tlsext_host_name(self.host.encode("ascii"))  # RFC 6066 3: names only
        return connection

    def context(self) -> SSL.Context:
        """Raises AuthoritiesError. Ask for it before the connection is committed to TLS."""
        authorities = self.authorities if self.mode is TlsMode.VERIFY else ""
        try:
            changed = os.stat(authorities).st_mtime_ns if authorities else 0
            return _context(self.mode is TlsMode.VERIFY, authorities, changed)
        except OSError as error:
            raise AuthoritiesError(f"{authorities} cannot be read: {error.strerror}") from None
        except SSL.Error:
            raise AuthoritiesError(f"{authorities} holds no certificate in PEM form") from None


class AuthoritiesError(Exception):
    """The file of trusted authorities cannot be used."""


@lru_cache(maxsize=16)
def _context(verify: bool, authorities: str, changed: int) -> SSL.Context:
    """`changed` only tells one state of the file from the next."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(_MINIMUM)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    if not verify:
        context.set_verify(SSL.VERIFY_NONE)
        return context
    context.set_verify(SSL.VERIFY_PEER)
    if authorities:
        context.load_verify_locations(authorities)
    else:
        context.set_default_verify_paths()
    return context


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def name_mismatch(connection: SSL.Connection, host: str) -> str:
    """Why the certificate is not one for `host` (RFC 9525), "" when it is."""
    try:
        if is_address(host):
            verify_ip_address(connection, host)
        else:
            verify_hostname(connection, host)
    except (VerificationError, CertificateError):
        return f"the certificate is not for {host}"
    return ""


def facts(connection: SSL.Connection, verified: bool) -> TlsFacts:
    return TlsFacts(connection.get_protocol_version_name(), connection.get_cipher_name() or "", verified)
