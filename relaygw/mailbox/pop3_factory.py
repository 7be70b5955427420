"""The POP3 listener: makes sessions with their collaborators, and keeps their number within the configuration."""

import secrets
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory

from relaygw.config.schema import ListenerConfig, MailboxConfig
from relaygw.core.events import Event
from relaygw.core.ids import new_id
from relaygw.mailbox.pop3 import Pop3Server, Shared
from relaygw.mailbox.store import Store
from relaygw.sasl import Authenticator
from relaygw.tls import ServerTls


class Pop3Factory(ServerFactory):
    """`tls` None: no STLS. For implicit TLS the caller wraps this
    factory (`ServerTls.wrap`)."""

    noisy = False

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        store: Store,
        tls: ServerTls | None,
        clock: Any,
        journal: Callable[[Event], None],
        mailbox: MailboxConfig,
        listener: ListenerConfig,
        hostname: str,
        shut: Callable[[str], object | None] = lambda client: None,
    ) -> None:
        self._shut = shut
        self._shared = Shared(
            authenticator=authenticator,
            store=store,
            tls=tls if listener.tls == "starttls" else None,
            clock=clock,
            journal=journal,
            mailbox=mailbox,
            listener=listener,
            hostname=hostname,
        )
        self._sessions: set[Pop3Server] = set()
        self._clients: Counter[str] = Counter()
        self._stopping: Deferred[None] | None = None

    @property
    def connections(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    def buildProtocol(self, addr: Any) -> Any:
        client, port = str(getattr(addr, "host", "")), int(getattr(addr, "port", 0))
        clock = self._shared.clock
        session = Pop3Server(self._shared, new_id(clock.seconds(), secrets.randbits(35)), client, port, self._ended)
        session.factory = self  # type: ignore[assignment]  # Twisted's class says None, and means what is set here
        listener = self._shared.listener
        if self._stopping is not None:
            session.refusal = "[SYS/TEMP] the service is stopping"
        elif self._shut(client) is not None:
            session.refusal = "[SYS/TEMP] connections from your address are refused for now"
        elif len(self._sessions) >= listener.max_connections:
            session.refusal = "[SYS/TEMP] too many connections, try again later"
        elif self._clients[client] >= listener.max_connections_per_client:
            session.refusal = "[SYS/TEMP] too many connections from your address"
        self._sessions.add(session)
        self._clients[client] += 1
        return session

    async def stop(self) -> None:
        """End every session, without deletions it has not come to; answers when all have let go of their account."""
        self._stopping = Deferred()
        for session in tuple(self._sessions):
            session.shut_down()
        if self._sessions:
            await self._stopping

    def _ended(self, session: Pop3Server) -> None:
        self._sessions.discard(session)
        self._clients[session.client] -= 1
        if not self._clients[session.client]:
            del self._clients[session.client]
        if self._stopping is not None and not self._sessions and not self._stopping.called:
            self._stopping.callback(None)
