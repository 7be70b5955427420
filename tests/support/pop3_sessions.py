"""POP3 sessions in memory: ours over a store without threads, and Twisted's own class, behind the same few methods."""

import io
from pathlib import Path
from typing import Any

from mailboxes import directory_for, inline_store
from results import at_once
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.mail import pop3
from zope.interface import implementer

from relaygw.config.schema import ListenerConfig, MailboxConfig
from relaygw.core.events import Event
from relaygw.mailbox.pop3_factory import Pop3Factory
from relaygw.realm import account_portal
from relaygw.sasl import Authenticator
from relaygw.tables.passwords import hash_password
from relaygw.testing.threads import InlineReactor

PASSWORD = "open sesame"
HASH = hash_password(PASSWORD)
LOGIN = b"USER alice\r\nPASS open sesame\r\n"


class Wire(StringTransportWithDisconnection):
    """Asks a pull producer for its data, as a socket would; `lost` once the connection has ended."""

    lost = False

    def loseConnection(self) -> None:
        self.lost = True
        super().loseConnection()

    def pump(self) -> None:
        while self.producer is not None and not self.streaming:
            self.producer.resumeProducing()


class Session:
    """One connection. `say` answers what came back for it."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.wire = Wire(peerAddress=IPv4Address("TCP", "192.0.2.1", 4711))
        self.wire.protocol = protocol
        protocol.makeConnection(self.wire)
        self.greeting = self.read()

    def read(self) -> bytes:
        self.wire.pump()
        data = bytes(self.wire.value())
        self.wire.clear()
        return data

    def say(self, data: bytes) -> bytes:
        self.protocol.dataReceived(data)
        return self.read()

    def log_in(self) -> None:
        assert self.say(LOGIN).count(b"+OK") == 2


class House:
    """Our server with one user, alice, and the messages given."""

    def __init__(
        self, folder: Path, *messages: bytes, portal: Portal | None = None, logins: Any = None, **listener: Any
    ) -> None:
        users = folder / "users"
        if not users.exists():
            users.touch(0o600)
            users.write_text(f"alice {HASH}\nbob {HASH}\n")
        self.folder = folder
        self.reactor = InlineReactor()
        self.reactor.advance(1_000_000_000)
        self.store = inline_store(folder / "mail")
        for message in messages:
            at_once(self.store.deliver("alice", [message]))
        self.events: list[Event] = []
        self.directory = directory_for(folder, self.reactor)
        settings = {"name": "pop3", "endpoint": "tcp:110", "protocol": "pop3", "auth": "always"}
        self.factory = Pop3Factory(
            authenticator=Authenticator(
                portal=portal or account_portal(self.directory),
                clock=self.reactor,
                journal=self.events.append,
                **(logins or {}),
            ),
            store=self.store,
            tls=None,
            clock=self.reactor,
            journal=self.events.append,
            mailbox=MailboxConfig(),
            listener=ListenerConfig(**{**settings, **listener}),
            hostname="pop.example.com",
        )

    def connect(self) -> Session:
        return Session(self.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 4711)))


@implementer(pop3.IMailbox)
class StockMailbox:
    """Messages in memory for Twisted's class; `broken` makes reading and the update fail."""

    def __init__(self, messages: list[bytes], broken: bool = False) -> None:
        self._messages = list(messages)
        self._deleted: set[int] = set()
        self._broken = broken

    def __len__(self) -> int:
        return len(self._messages)

    def listMessages(self, index: int | None = None) -> Any:
        sizes = [0 if place in self._deleted else len(data) for place, data in enumerate(self._messages)]
        if index is None:
            return sizes
        return sizes[index]

    def getMessage(self, index: int) -> Any:
        if self._broken:
            raise OSError("the disk")
        return io.BytesIO(self._messages[index])

    def getUidl(self, index: int) -> bytes:
        return b"7.%d" % (index + 1)

    def deleteMessage(self, index: int) -> None:
        self._deleted.add(range(len(self._messages))[index])

    def undeleteMessages(self) -> None:
        self._deleted.clear()

    def sync(self) -> Any:
        return maybeDeferred(self.getMessage, 0) if self._broken else succeed(None)


class StockPortal(Portal):
    """Logs alice in; later, where `later` is a Deferred to wait for."""

    def __init__(self, mailbox: StockMailbox, later: Deferred[None] | None) -> None:
        @implementer(IRealm)
        class Realm:
            def requestAvatar(self, avatar_id: object, mind: object, *interfaces: object) -> Any:
                return pop3.IMailbox, mailbox, lambda: None

        checker = InMemoryUsernamePasswordDatabaseDontUse()
        checker.addUser(b"alice", PASSWORD.encode())
        super().__init__(Realm(), [checker])
        self._later = later

    def login(self, *arguments: Any) -> Any:
        answer = super().login(*arguments)
        return answer if self._later is None else self._later.addCallback(lambda _: answer)


class StockHouse:
    """Twisted's POP3 over files with LF line ends, as it wants them, or as given."""

    def __init__(self, *messages: bytes, lf: bool = True, broken: bool = False, later: Any = None) -> None:
        stored = [message.replace(b"\r\n", b"\n") if lf else message for message in messages]
        self._portal = StockPortal(StockMailbox(stored, broken), later)

    def connect(self) -> Session:
        protocol = pop3.POP3()
        protocol.portal = self._portal
        protocol.factory = type("Factory", (), {"noisy": False, "challengers": {}})()
        protocol.schedule = _at_once
        protocol.callLater = Clock().callLater
        return Session(protocol)


def _at_once(iterator: Any) -> Any:
    for _ in iterator:
        pass
    return succeed(iterator)
