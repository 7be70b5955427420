"""A listener's factory: counts connections, makes one session for each it lets in, and drains them at the end.

One per SMTP listener; what it needs is in its House, nothing is global.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.mail.smtp import SMTPFactory
from twisted.python.failure import Failure

from relaygw.config.schema import ListenerConfig
from relaygw.core.client import Network, is_in, parse_client
from relaygw.core.events import Refused
from relaygw.core.reply import Reply
from relaygw.core.session import Session
from relaygw.ingress import answers
from relaygw.ingress.conversation import Conversation
from relaygw.ingress.crowd import Crowd
from relaygw.ingress.house import House
from relaygw.ingress.protocol import RelayESMTP

TURNED_AWAY = 2.0
"""Seconds in which a client that is turned away may read why."""

MAX_TURNED_AWAY = 200
"""Clients that may do so at a time."""


class _TurnedAway(Protocol):
    """Says one reply instead of a greeting and hangs up, `patience` seconds later at most. `ended` is called once."""

    def __init__(self, reply: Reply, house: House, patience: float, ended: Callable[[], None]) -> None:
        self._reply = reply
        self._house = house
        self._patience = patience
        self._ended = ended
        self._cutter: IDelayedCall | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if self._house.implicit_tls:  # not worth a TLS handshake
            transport.abortConnection()
            return
        transport.write(self._reply.wire())
        if not self._patience:
            transport.loseConnection()
            return
        # What the client has said already would reset the connection that is closed before it was read.
        transport.loseWriteConnection()
        self._cutter = self._house.clock.callLater(self._patience, transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """Nothing is listened to."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._cutter is not None and self._cutter.active():
            self._cutter.cancel()
        self._ended()


class IngressFactory(SMTPFactory):
    """The protocols of one listener. With implicit TLS it goes inside `ServerTls.wrap`."""

    noisy = False

    def __init__(self, house: House, config: ListenerConfig, crowd: Crowd | None = None) -> None:
        SMTPFactory.__init__(self)
        self.domain = house.hostname.encode("ascii")
        self._house = house
        self._config = config
        self._sessions: set[RelayESMTP] = set()
        self._crowd = crowd or Crowd()
        self._turned_away = 0
        self._drained: Deferred[None] | None = None
        self._cutter: IDelayedCall | None = None

    @property
    def connections(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        client, port = client_of(addr)
        if self._drained is not None:
            return self._turn_away(answers.SHUTDOWN.reply)
        unwelcome = self._unwelcome(client)
        if unwelcome is not None:
            reply, reason = unwelcome
            self._house.journal(Refused(command="connect", reply=str(reply), reason=f"{reason}: {client}"))
            return self._turn_away(reply)
        session = Session(
            id=self._house.new_id(),
            listener=self._house.listener,
            role=self._house.role,
            client=client,
            port=port,
            trusted=self._house.permission.trusts(client, self._config.trust_socket),
            lmtp=self._config.protocol == "lmtp",
        )
        protocol = RelayESMTP(self._house, Conversation(self._house, session), self._ended)
        protocol.factory = self
        self._sessions.add(protocol)
        self._crowd.enter(client)
        return protocol

    def _unwelcome(self, client: str) -> tuple[Reply, str] | None:
        """What a client is told that cannot come in, and what the log says."""
        house, networks = self._house, self._config.networks
        if client and house.shut(client) is not None:
            return answers.SHUT, "banned"
        if networks and not _inside(client, networks):
            return answers.NOT_FOR_YOU, "a client outside of the networks of the listener"
        if house.pressure is not None and (closed := house.pressure.closed) is not None:
            return closed, "; ".join(house.pressure.reasons)
        trusted = house.permission.trusts(client)
        full = self._crowd.refusal(self._config, client, trusted, house.clock.seconds())
        return (answers.BUSY, full) if full else None

    def _turn_away(self, reply: Reply) -> Protocol:
        """Not many linger: those beyond get no time to read why."""
        self._turned_away += 1
        patience = TURNED_AWAY if self._turned_away <= MAX_TURNED_AWAY else 0.0
        return _TurnedAway(reply, self._house, patience, self._turned)

    def _turned(self) -> None:
        self._turned_away -= 1

    def _ended(self, protocol: RelayESMTP) -> None:
        self._sessions.discard(protocol)
        self._crowd.leave(protocol.conversation.session.client)
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


def _inside(client: str, networks: Sequence[Network]) -> bool:
    address = parse_client(client)
    return address is not None and is_in(address, networks)


def client_of(addr: object) -> tuple[str, int]:
    """The peer's IP address in canonical text and its port; ("", 0) where it has none, as on a UNIX socket."""
    host, port = getattr(addr, "host", None), getattr(addr, "port", 0)
    if not isinstance(host, str):
        return "", 0
    client = _canonical(host)
    return (client, int(port)) if client else ("", 0)


@lru_cache(maxsize=4096)
def _canonical(host: str) -> str:
    try:
        return str(parse_client(host.partition("%")[0]) or "")
    except ValueError:
        return ""
