"""The IMAP service of one listener: makes a connection for each client, within limits, and ends them all at stop."""

from collections.abc import Callable
from random import SystemRandom

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory

from relaygw.config.schema import ListenerConfig, MailboxConfig
from relaygw.core.events import Event
from relaygw.core.ids import new_id
from relaygw.mailbox.attendance import Attendance
from relaygw.mailbox.imap.server import ImapServer
from relaygw.mailbox.imap.session import Settings
from relaygw.mailbox.store import Store
from relaygw.sasl import Authenticator
from relaygw.tls import ServerTls

_RANDOM = SystemRandom()


class _Turned(Protocol):
    """A client too many, or one that is banned."""

    def __init__(self, reason: bytes) -> None:
        self._reason = reason

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"* BYE %b, try again later\r\n" % self._reason)
        self.transport.loseConnection()


class ImapFactory(ServerFactory):
    """Everything is an argument. `max_append` in octets.

    For a listener with implicit TLS wrap the factory: `tls.wrap(factory)`.
    """

    noisy = False

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        store: Store,
        tls: ServerTls | None,
        clock: IReactorTime,
        journal: Callable[[Event], None],
        mailbox: MailboxConfig,
        listener: ListenerConfig,
        max_append: int,
        shut: Callable[[str], object | None] = lambda client: None,
    ) -> None:
        self._shut = shut
        self._settings = Settings(
            store=store,
            authenticator=authenticator,
            tls=tls,
            clock=clock,
            journal=journal,
            mailbox=mailbox,
            listener=listener,
            max_append=max_append,
        )
        self._present: Attendance[ImapServer] = Attendance(listener)

    @property
    def connections(self) -> int:
        """How many sessions there are."""
        return len(self._present)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        client = str(getattr(addr, "host", ""))
        if self._present.full or self._present.full_of(client) or self._present.ending:
            return _Turned(b"Too many connections")
        if self._shut(client) is not None:
            return _Turned(b"Connections from your address are refused for now")
        identity = new_id(self._settings.clock.seconds(), _RANDOM.getrandbits(35))
        server = ImapServer(self._settings, identity, self._present.leave)
        server.peer = addr
        self._present.enter(server, client)
        return server

    async def stop(self) -> None:
        """Take leave of every client and wait until nothing of any session is left."""
        await self._present.end()
