"""One LDAP connection with time limits, and a pool of them. Whatever goes wrong is one LdapFailure: temporary.

TLS is checked: the server's certificate must be valid for the name it was asked by (RFC 4513 3.1.3). A connection that
failed or did not answer in time is never used again, and a request on one that turned out dead is made once more on a
new one. Nothing of a password is in any error.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import attrs
from cryptography.x509 import load_pem_x509_certificates
from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap import ldaperrors
from ldaptor.protocols.ldap.ldapclient import LDAPClient
from OpenSSL.crypto import X509
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.python.failure import Failure
from zope.interface import implementer

from relaygw.bridge import deferred

T = TypeVar("T")

MAX_BUFFERED = 4 * 1024 * 1024
"""Octets of one answer: what is longer is not the answer to any question of ours."""

_REFUSED = frozenset({32, 48, 49, 53})
"""Results of a bind that speak of the credentials: noSuchObject, inappropriateAuthentication, invalidCredentials, and
unwillingToPerform, which servers say of accounts that are shut off."""


class LdapFailure(Exception):
    """The directory could not be asked. Temporary by definition."""


@attrs.frozen(kw_only=True)
class Server:
    """`tls` is "none", "starttls" or "ldaps"; `authorities` a PEM file, "" for those of the system."""

    host: str
    port: int
    tls: str
    authorities: str = ""


@attrs.frozen(kw_only=True)
class Search:
    """What to look for. `scope` is LDAP's number."""

    base: str
    scope: int
    filter: Any
    attributes: tuple[str, ...]
    limit: int = 2


@attrs.frozen
class Entry:
    """What was found: attribute names in lower case."""

    dn: str
    attributes: Mapping[str, tuple[str, ...]]


def parse_server(uri: str, start_tls: bool, authorities: str) -> Server:
    """The server of an ldap:// or ldaps:// URI; raises ValueError."""
    parts = urlsplit(uri)
    if parts.scheme not in ("ldap", "ldaps") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"{uri!r} is not a server such as ldaps://ldap.example.com or ldap://ldap.example.com:389")
    secure = parts.scheme == "ldaps"
    tls = "ldaps" if secure else "starttls" if start_tls else "none"
    return Server(host=parts.hostname, port=parts.port or (636 if secure else 389), tls=tls, authorities=authorities)


@implementer(IHandshakeListener)
class _Wire(LDAPClient):  # type: ignore[misc]  # the library has no types
    """The library's client, bounded, and told of the handshake and the end."""

    def __init__(self) -> None:
        LDAPClient.__init__(self)
        self.secured: Deferred[None] = Deferred()
        self.alive = True

    def dataReceived(self, recd: bytes) -> None:
        try:
            LDAPClient.dataReceived(self, recd)
        except Exception:
            # What the server says is not LDAP: nothing that follows can be understood either.
            self.abort()
        if len(self.buffer) > MAX_BUFFERED:
            self.abort()

    def handshakeCompleted(self) -> None:
        if not self.secured.called:
            self.secured.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.alive = False
        if not self.secured.called:
            self.secured.errback(reason)
            # Nobody may be waiting: the end is told by the requests under way.
            _ = self.secured.addErrback(lambda _: None)
        LDAPClient.connectionLost(self, reason)

    def unsolicitedNotification(self, msg: object) -> None:
        """Notice of disconnection (RFC 4511 4.4.1): the end follows."""
        self.alive = False

    def abort(self) -> None:
        self.alive = False
        self.transport.abortConnection()


class Connection:
    """A connection that is open. Its methods raise LdapFailure, after which it is of no more use."""

    def __init__(self, wire: _Wire, reactor: Any, timeout: float) -> None:
        self._wire = wire
        self._reactor = reactor
        self._timeout = timeout

    @property
    def alive(self) -> bool:
        return bool(self._wire.alive)

    async def bind(self, dn: str, password: bytes) -> bool:
        """Whether the server takes the password for the name."""
        request = pureldap.LDAPBindRequest(dn=dn, auth=password)
        answer = await self.within(self._wire.send(request))
        if answer.resultCode == ldaperrors.Success.resultCode:
            return True
        if answer.resultCode in _REFUSED:
            return False
        raise LdapFailure(f"the bind was answered with {answer.resultCode}")

    async def search(self, search: Search) -> tuple[Entry, ...]:
        """The entries found, `limit` of them at most."""
        request = pureldap.LDAPSearchRequest(
            baseObject=search.base,
            scope=search.scope,
            derefAliases=pureldap.LDAP_DEREF_neverDerefAliases,
            sizeLimit=search.limit,
            timeLimit=max(1, int(self._timeout)),
            filter=search.filter,
            attributes=list(search.attributes),
        )
        found: list[Entry] = []
        done: Deferred[int] = Deferred()

        def heard(message: Any) -> bool:
            if isinstance(message, pureldap.LDAPSearchResultEntry):
                if len(found) < search.limit:
                    found.append(_entry(message))
            elif isinstance(message, pureldap.LDAPSearchResultDone):
                done.callback(message.resultCode)
                return True
            return False  # a reference to another server: not followed

        sent = self._wire.send_multiResponse(request, heard)
        sent.addErrback(lambda failure: done.errback(failure))
        result = await self.within(done)
        # 4 is sizeLimitExceeded: there are more than we wanted to know of. 32: the base is not there.
        if result not in (0, 4):
            raise LdapFailure(f"the search was answered with {result}")
        return tuple(found)

    async def start_tls(self, options: Any) -> None:
        """RFC 4511 4.14. Until the handshake is done nothing else is sent."""
        answer = await self.within(self._wire.send(pureldap.LDAPStartTLSRequest()))
        if answer.resultCode != ldaperrors.Success.resultCode:
            raise LdapFailure(f"STARTTLS was answered with {answer.resultCode}")
        if self._wire.buffer:
            raise LdapFailure("something came in clear behind the answer to STARTTLS")
        self._wire.transport.startTLS(options)
        await self.within(self._wire.secured)

    def abort(self) -> None:
        self._wire.abort()

    async def within(self, waiting: "Deferred[T]") -> T:
        """What is waited for, in time."""
        try:
            return await waiting.addTimeout(self._timeout, self._reactor)
        except Exception as error:
            self.abort()
            raise LdapFailure(f"no answer: {type(error).__name__}") from None


def _entry(message: Any) -> Entry:
    attributes: dict[str, tuple[str, ...]] = {}
    for name, values in message.attributes:
        texts = (_text(value) for value in values)
        attributes[_text(name).lower()] = tuple(text for text in texts if "\ufffd" not in text)
    return Entry(_text(message.objectName), attributes)


def _text(value: Any) -> str:
    raw = getattr(value, "value", value)
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def _options(server: Server) -> Any:
    """The client's side of TLS. Raises OSError or ValueError for authorities that cannot be read."""
    if not server.authorities:
        return optionsForClientTLS(server.host)
    with open(server.authorities, "rb") as file:
        found = load_pem_x509_certificates(file.read())
    roots = trustRootFromCertificates([Certificate(X509.from_cryptography(each)) for each in found])
    return optionsForClientTLS(server.host, trustRoot=roots)


class Pool:
    """At most `size` connections, each to the first server that answers, with `prepare` done before its first use.

    `use(work)` runs `work(connection)` on one of them.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        reactor: Any,
        *,
        size: int,
        timeout: float,
        idle: float,
        prepare: Callable[[Connection], Awaitable[None]],
    ) -> None:
        self._servers = servers
        self._reactor = reactor
        self._timeout = timeout
        self._idle = idle
        self._prepare = prepare
        self._turns = DeferredSemaphore(size)
        self._free: list[tuple[Connection, float]] = []
        self._timer: IDelayedCall | None = None

    @deferred
    async def use(self, work: "Callable[[Connection], Awaitable[T]]") -> T:
        """What `work` answers; raises LdapFailure."""
        turn = self._turns.acquire()
        try:
            await turn.addTimeout(self._timeout, self._reactor)
        except Exception:
            raise LdapFailure("all connections are busy") from None
        try:
            return await self._work(work)
        finally:
            self._turns.release()

    async def _work(self, work: "Callable[[Connection], Awaitable[T]]") -> T:
        kept = self._kept()
        if kept is not None:
            try:
                return await self._on(kept, work)
            except LdapFailure:
                pass  # the server may have closed it while it was idle: that says nothing of the server now
        return await self._on(await self._connect(), work)

    async def _on(self, connection: Connection, work: "Callable[[Connection], Awaitable[T]]") -> T:
        try:
            answer = await work(connection)
        except BaseException:
            connection.abort()
            raise
        if connection.alive:
            self._free.append((connection, self._reactor.seconds()))
            self._arm()
        return answer

    def _arm(self) -> None:
        if self._timer is None and self._free:
            self._timer = self._reactor.callLater(self._idle, self._reap)

    def _reap(self) -> None:
        """Let go of what nobody has used for long: a pool that a reload has replaced ends like this, too."""
        self._timer = None
        now = self._reactor.seconds()
        for connection, since in self._free:
            if now - since >= self._idle or not connection.alive:
                connection.abort()
        self._free = [kept for kept in self._free if kept[0].alive]
        self._arm()

    def _kept(self) -> Connection | None:
        while self._free:
            connection, since = self._free.pop()
            if connection.alive and self._reactor.seconds() - since < self._idle:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> Connection:
        reasons = []
        for server in self._servers:
            try:
                return await self._connect_to(server)
            except LdapFailure as error:
                reasons.append(f"{server.host}:{server.port}: {error}")
        raise LdapFailure("; ".join(reasons))

    async def _connect_to(self, server: Server) -> Connection:
        endpoint = HostnameEndpoint(self._reactor, server.host.encode("ascii"), server.port, self._timeout)
        try:
            options = _options(server) if server.tls != "none" else None
            wire: _Wire = await connectProtocol(endpoint, _Wire()).addTimeout(self._timeout, self._reactor)
        except Exception as error:
            raise LdapFailure(f"cannot connect: {type(error).__name__}") from None
        connection = Connection(wire, self._reactor, self._timeout)
        try:
            if server.tls == "ldaps":
                wire.transport.startTLS(options)
                await connection.within(wire.secured)
            elif server.tls == "starttls":
                await connection.start_tls(options)
            await self._prepare(connection)
        except BaseException:
            connection.abort()
            raise
        return connection

    def close(self) -> None:
        """Let go of what is idle."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection, _ in self._free:
            connection.abort()
        self._free.clear()
