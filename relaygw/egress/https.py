"""HTTPS as a sender of mail needs it: policies and tokens, from hosts that prove their names, in bounded time and size.

Names are looked up by our own resolver, redirects are not followed (RFC 8461 3.3), nothing is kept open. Everything a
server sends counts, its header fields too, of which Twisted takes any number. What fails is one HttpsError whose
`untrusted` tells a certificate that is not right from everything else.
"""

import ipaddress
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import attrs
import treq
from OpenSSL import SSL
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseFailed, ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from relaygw.bridge import deferred
from relaygw.core.mx import Locality, Refusal, targets_for_host
from relaygw.dns import consult
from relaygw.interfaces import IResolver

CONNECT_TIMEOUT = 10.0
"""Seconds for one address."""

MAX_ADDRESSES = 4

OVERHEAD = 256 * 1024
"""Octets of an answer beside those of its body: header fields, and what chunks are framed with."""


class HttpsError(Exception):
    """There is no answer; the message says why, without anything that was sent."""

    def __init__(self, words: str, *, untrusted: bool = False) -> None:
        super().__init__(words)
        self.untrusted = untrusted


@attrs.frozen(kw_only=True)
class Page:
    """An answer. `kind` is its media type in lower case, without parameters."""

    status: int
    kind: str
    body: bytes


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _Named:
    """A host by name, at the first of its addresses that answers."""

    reactor: Any
    resolver: IResolver
    host: str
    port: int

    @deferred
    async def connect(self, protocolFactory: IProtocolFactory) -> IProtocol:
        here = Locality(hostname="", is_ours=lambda _: False, shuffle=lambda _: None)
        found = await consult(targets_for_host(self.host, here), self.resolver)
        if isinstance(found, Refusal):
            raise ConnectError(string=found.reason)
        last: Exception = ConnectError(string="no address")
        for target in found.targets[:MAX_ADDRESSES]:
            make = TCP6ClientEndpoint if ":" in target.address else TCP4ClientEndpoint
            try:
                made: IProtocol = await make(self.reactor, target.address, self.port, CONNECT_TIMEOUT).connect(
                    protocolFactory
                )
            except ConnectError as error:
                last = error
            else:
                return made
        raise last


class _Counting(ProtocolWrapper):
    """The HTTP client above it gets no more than `most` octets."""

    transport: Any

    def __init__(self, most: int, factory: Any, client: IProtocol) -> None:
        super().__init__(factory, client)
        self._left = most

    def dataReceived(self, data: bytes) -> None:
        if self._left < 0:
            return
        self._left -= len(data)
        if self._left >= 0:
            self.wrappedProtocol.dataReceived(data)
            return
        self.wrappedProtocol.connectionLost(Failure(HttpsError("the answer is too long")))
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._left >= 0:
            self.wrappedProtocol.connectionLost(reason)


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _Bounded:
    """An endpoint whose connections bring at most so many octets."""

    endpoint: IStreamClientEndpoint
    most: int

    @deferred
    async def connect(self, protocolFactory: Any) -> IProtocol:
        factory: Any = WrappingFactory(protocolFactory)
        factory.protocol = partial(_Counting, self.most)
        made: Any = await self.endpoint.connect(factory)
        client: IProtocol = made.wrappedProtocol
        return client


@implementer(IAgentEndpointFactory)
@attrs.frozen
class _Endpoints:
    reactor: Any
    resolver: IResolver
    authorities: str
    port: int
    most: int

    def endpointForURI(self, uri: Any) -> Any:
        return _Bounded(self._unbounded(uri), self.most)

    def _unbounded(self, uri: Any) -> Any:
        host = uri.host.decode("ascii").strip("[]")
        endpoint = _Named(self.reactor, self.resolver, host, self.port or uri.port)
        if uri.scheme != b"https":
            return endpoint
        trust: Any = None
        if self.authorities:
            with open(self.authorities, encoding="ascii", errors="replace") as file:
                trust = trustRootFromCertificates(_certificates(file.read()))
        return wrapClientTLS(optionsForClientTLS(host, trust), endpoint)


def _certificates(text: str) -> list[Any]:
    end = "-----END CERTIFICATE-----"
    return [Certificate.loadPEM((part + end).encode("ascii", "replace")) for part in text.split(end)[:-1]]


@attrs.frozen
class Https:
    """`authorities` is a PEM file, "" for the system's; `port` other than 0 is used in place of the URL's."""

    reactor: Any
    resolver: IResolver
    authorities: str = ""
    port: int = 0

    async def get(self, url: str, *, timeout: float, limit: int) -> Page:
        """At most `limit` octets, within `timeout` seconds; raises HttpsError."""
        return await self._ask("GET", url, None, timeout, limit)

    async def post(self, url: str, form: Mapping[str, str], *, timeout: float, limit: int) -> Page:
        """The same, with a form."""
        return await self._ask("POST", url, form, timeout, limit)

    async def _ask(self, method: str, url: str, form: Mapping[str, str] | None, timeout: float, limit: int) -> Page:
        started = self._talk(method, url, form, limit)
        timer = self.reactor.callLater(timeout, started.cancel)
        try:
            page: Page = await started
        except HttpsError:
            raise
        except Exception as error:
            if not timer.active():
                raise HttpsError(f"no answer within {timeout:g} seconds") from None
            if _is_cancelled(error):
                raise CancelledError from None
            raise _why(error) from None
        finally:
            if timer.active():
                timer.cancel()
        return page

    @deferred
    async def _talk(self, method: str, url: str, form: Mapping[str, str] | None, limit: int) -> Page:
        agent = Agent.usingEndpointFactory(
            self.reactor, _Endpoints(self.reactor, self.resolver, self.authorities, self.port, limit + OVERHEAD)
        )
        client = HTTPClient(agent)
        response: Any = await client.request(
            method,
            url,
            data=dict(form) if form is not None else None,
            headers=Headers({"Accept": ["*/*"], "User-Agent": ["relaygw"]}),
            allow_redirects=False,
            unbuffered=True,
        )
        body = bytearray()

        def collect(piece: bytes) -> None:
            body.extend(piece)  # it may come octet by octet
            if len(body) > limit:
                raise HttpsError(f"the answer is longer than {limit} octets")

        await treq.collect(response, collect)
        kind = (response.headers.getRawHeaders("content-type") or [""])[0]
        return Page(status=response.code, kind=kind.partition(";")[0].strip().lower(), body=bytes(body))


def _is_cancelled(error: Exception) -> bool:
    """Whether somebody gave up waiting; the agent has words of its own for it."""
    reasons = error.reasons if isinstance(error, ResponseNeverReceived | ResponseFailed) else ()
    return isinstance(error, CancelledError) or any(each.check(CancelledError) for each in reasons)


def _why(error: BaseException | None) -> HttpsError:
    """The deepest reason, in words."""
    if isinstance(error, ResponseNeverReceived | ResponseFailed) and error.reasons:
        reasons = [each.value if isinstance(each, Failure) else each for each in error.reasons]
        return _why(reasons[0])
    if isinstance(error, SSL.Error):
        words = error.args[0][-1][-1] if error.args and error.args[0] else "TLS failed"
        return HttpsError(f"TLS failed ({words})", untrusted=True)
    if type(error).__name__ in ("VerificationError", "CertificateError", "SubjectAltNameWarning"):
        return HttpsError("the certificate is not for the host", untrusted=True)
    return HttpsError(" ".join(str(error).split())[:200] or type(error).__name__)


def is_sound(url: str) -> bool:
    """Whether secrets may be sent there: HTTPS, or this machine itself."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    return parts.scheme == "http" and (parts.hostname == "localhost" or _is_loopback(parts.hostname or ""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
