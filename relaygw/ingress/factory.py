"""A listener's factory: counts connections, makes one session for each it lets in, and drains them at the end.

One per SMTP listener; what it needs is in its House, nothing is global.
"""

import ipaddress
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Protocol
from twisted.mail.smtp import SMTPFactory

from relaygw.config.schema import ListenerConfig
from relaygw.core.events import Refused
from relaygw.core.reply import Reply
from relaygw.core.session import Session
from relaygw.ingress import answers
from relaygw.ingress.conversation import Conversation
from relaygw.ingress.house import House
from relaygw.ingress.protocol import RelayESMTP


class _TurnedAway(Protocol):
    """Says one reply instead of a greeting and hangs up."""

    def __init__(self, reply: Reply, silently: bool) -> None:
        self._reply = reply
        self._silently = silently

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if self._silently:  # not worth a TLS handshake
            transport.abortConnection()
            return
        transport.write(self._reply.wire())
        transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Nothing is listened to."""


class IngressFactory(SMTPFactory):
    """The protocols of one listener. With implicit TLS it goes inside `ServerTls.wrap`."""

    noisy = False

    def __init__(self, house: House, config: ListenerConfig) -> None:
        SMTPFactory.__init__(self)
        self.domain = house.hostname.encode("ascii")
        self._house = house
        self._config = config
        self._sessions: set[RelayESMTP] = set()
        self._clients: Counter[str] = Counter()
        self._drained: Deferred[None] | None = None
        self._cutter: IDelayedCall | None = None

    @property
    def connections(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        client, port = client_of(addr)
        refusal = self._full(client)
        if refusal:
            self._house.journal(Refused(command="connect", reply=str(answers.BUSY), reason=f"{refusal} from {client}"))
            return _TurnedAway(answers.BUSY, self._house.implicit_tls)
        if self._drained is not None:
            return _TurnedAway(answers.SHUTDOWN.reply, self._house.implicit_tls)
        session = Session(
            id=self._house.new_id(),
            listener=self._house.listener,
            role=self._house.role,
            client=client,
            port=port,
            trusted=self._house.permission.trusts(client),
        )
        protocol = RelayESMTP(self._house, Conversation(self._house, session), self._ended)
        protocol.factory = self
        self._sessions.add(protocol)
        self._clients[client] += 1
        return protocol

    def _full(self, client: str) -> str:
        if len(self._sessions) >= self._config.max_connections:
            return "too many connections in all"
        return "too many connections" if self._clients[client] >= self._config.max_connections_per_client else ""

    def _ended(self, protocol: RelayESMTP) -> None:
        self._sessions.discard(protocol)
        client = protocol.conversation.session.client
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
        if not self._sessions:
            self._finish()

    def drain(self, seconds: float) -> Deferred[None]:
        """Take no new sessions, end those there are: idle ones at once, the others after their transaction, all of
        them after `seconds`. Fires when the last is gone."""
        if self._drained is None:
            self._drained = Deferred()
            self._cutter = self._house.clock.callLater(seconds, self._cut)
            for session in tuple(self._sessions):
                session.drain()
            if not self._sessions:
                self._finish()
        return self._drained

    def _cut(self) -> None:
        for session in tuple(self._sessions):
            session.cut()

    def _finish(self) -> None:
        if self._drained is None or self._drained.called:
            return
        if self._cutter is not None and self._cutter.active():
            self._cutter.cancel()
        self._drained.callback(None)


def client_of(addr: object) -> tuple[str, int]:
    """The peer's IP address in canonical text and its port; ("", 0) where it has none, as on a UNIX socket."""
    host, port = getattr(addr, "host", None), getattr(addr, "port", 0)
    if not isinstance(host, str):
        return "", 0
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "", 0
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), int(port)
