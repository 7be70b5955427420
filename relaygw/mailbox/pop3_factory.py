"""The POP3 listener: makes sessions with their collaborators, and keeps their number within the configuration."""

import secrets
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import ServerFactory

from relaygw.config.schema import ListenerConfig, MailboxConfig
from relaygw.core.events import Event
from relaygw.core.ids import new_id
from relaygw.mailbox.attendance import Attendance
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
        self._present: Attendance[Pop3Server] = Attendance(listener)

    @property
    def connections(self) -> int:
        """How many sessions there are."""
        return len(self._present)

    def buildProtocol(self, addr: Any) -> Any:
        client, port = str(getattr(addr, "host", "")), int(getattr(addr, "port", 0))
        identity = new_id(self._shared.clock.seconds(), secrets.randbits(35))
        session = Pop3Server(self._shared, identity, client, port, self._present.leave)
        session.factory = self  # type: ignore[assignment]  # Twisted's class says None, and means what is set here
        if self._present.ending:
            session.refusal = "[SYS/TEMP] the service is stopping"
        elif self._shut(client) is not None:
            session.refusal = "[SYS/TEMP] connections from your address are refused for now"
        elif self._present.full:
            session.refusal = "[SYS/TEMP] too many connections, try again later"
        elif self._present.full_of(client):
            session.refusal = "[SYS/TEMP] too many connections from your address"
        self._present.enter(session, client)
        return session

    async def stop(self) -> None:
        """End every session, without deletions it has not come to; answers when all have let go of their account."""
        await self._present.end()
