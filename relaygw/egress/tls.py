"""TLS towards next hops: an OpenSSL connection with SNI, and afterwards the facts.

Chain verification is OpenSSL's, done within the handshake; what else the certificate must show is looked at after it
(relaygw.egress.proof), before anything is sent inside. Contexts are kept: building one costs milliseconds.
"""

import ipaddress
import os
from functools import lru_cache
from weakref import WeakKeyDictionary

import attrs
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from relaygw.egress.hop import TlsMode
from relaygw.tls import Pair, TlsError, load_pair

# RFC 8996 rules older versions out; a server without 1.2 gets its mail in clear under "may".
_MINIMUM = SSL.TLS1_2_VERSION


@attrs.frozen
class TlsFacts:
    """`version` such as "TLSv1.3"; `verified`: the certificate proved the host's name, as far as that was asked for.

    `doubt` and `doubt_words` say why it did not where nothing but reports depends on it.
    """

    version: str
    cipher: str
    verified: bool
    doubt: str = ""
    doubt_words: str = ""


@attrs.define(eq=False)
class Watch:
    """What OpenSSL said against the chain first (0: nothing). `lenient`: the handshake goes on all the same."""

    lenient: bool = False
    error: int = 0


_watches: WeakKeyDictionary[SSL.Connection, Watch] = WeakKeyDictionary()
"""Beside the connections, because their own place for data is Twisted's."""


@implementer(IOpenSSLClientConnectionCreator)
@attrs.frozen
class ClientCreator:
    """What Twisted asks for the OpenSSL side of a connection. `host` is the next hop's name or address.

    `own` are the files of the certificate we show when asked for one; `session` is one of before, to be resumed.
    """

    host: str
    mode: TlsMode
    authorities: str = ""
    own: Pair | None = None
    watch: Watch = attrs.field(factory=Watch)
    session: SSL.Session | None = None

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self.context(), None)
        _watches[connection] = self.watch
        if not is_address(self.host):
            connection.set_tlsext_host_name(self.host.encode("ascii"))  # RFC 6066 3: names only
        if self.session is not None:
            connection.set_session(self.session)
        return connection

    def context(self) -> SSL.Context:
        """Raises AuthoritiesError. Ask for it before the connection is committed to TLS."""
        verify = self.mode is TlsMode.VERIFY or self.watch.lenient
        authorities = self.authorities if verify else ""
        try:
            files = (authorities, *((self.own.certificate, self.own.private_key) if self.own else ()))
            changed = tuple(os.stat(path).st_mtime_ns if path else 0 for path in files)
            return _context(verify, authorities, self.own, changed, self.mode is TlsMode.MAY)
        except OSError as error:
            raise AuthoritiesError(f"{error.filename} cannot be read: {error.strerror}") from None
        except SSL.Error:
            raise AuthoritiesError(f"{authorities} holds no certificate in PEM form") from None
        except TlsError as error:
            raise AuthoritiesError(str(error)) from None


class AuthoritiesError(Exception):
    """The file of trusted authorities, or that of our own certificate, cannot be used."""


@lru_cache(maxsize=64)
def _context(
    verify: bool, authorities: str, own: Pair | None, changed: tuple[int, ...], lenient: bool
) -> SSL.Context:  # fmt: skip
    """`changed` only tells one state of the files from the next. `lenient`: a weak key exchange is better than what
    follows without it, which is clear text (RFC 7435 3)."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(_MINIMUM)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    if lenient:
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    if own is not None:
        _show(context, own)
    if not verify:
        context.set_verify(SSL.VERIFY_NONE)
        return context
    context.set_verify(SSL.VERIFY_PEER, _looked_at)
    if authorities:
        context.load_verify_locations(authorities)
    else:
        context.set_default_verify_paths()
    return context


def _show(context: SSL.Context, own: Pair) -> None:
    chain, key = load_pair(own)
    context.use_certificate(chain[0])
    for extra in chain[1:]:
        context.add_extra_chain_cert(extra)
    context.use_privatekey(key)  # type: ignore[arg-type]  # OpenSSL itself refuses the kinds TLS has no use for


def _looked_at(connection: SSL.Connection, _: X509, error: int, depth: int, fine: int) -> bool:
    """OpenSSL's word on each certificate of the server's chain."""
    watch = _watches.get(connection)
    if watch is None:
        return bool(fine)
    watch.error = watch.error or error
    return bool(fine) or watch.lenient


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def facts(connection: SSL.Connection, verified: bool, doubt: str = "", doubt_words: str = "") -> TlsFacts:
    return TlsFacts(
        connection.get_protocol_version_name(), connection.get_cipher_name() or "", verified, doubt, doubt_words
    )
