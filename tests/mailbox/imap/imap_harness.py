"""An IMAP server in memory for tests: a real store in a temporary directory, threads that run at once, a Clock."""

from pathlib import Path
from typing import Any

import attrs
from results import at_once
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ISSLTransport, ITLSTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer

from relaygw.bridge import as_deferred
from relaygw.config.schema import ListenerConfig, MailboxConfig
from relaygw.core.events import Event
from relaygw.interfaces import Account
from relaygw.mailbox.imap.factory import ImapFactory
from relaygw.mailbox.store import Store
from relaygw.realm import account_portal
from relaygw.sasl import Authenticator
from relaygw.testing.threads import InlinePool, InlineReactor

MESSAGE = b"From: a@example.org\r\nSubject: hello\r\n\r\nbody\r\n"


class OneAccount:
    """A directory of one."""

    def __init__(self) -> None:
        self.checkers = (InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret"),)

    def named(self, login: str) -> Account | None:
        return Account(name="alice", addresses=(), mailbox="alice") if login == "alice" else None

    def account(self, address: object) -> None:
        return None


class Wire(StringTransport):
    """A transport that tells its producer when it is full, on demand."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True


@implementer(ITLSTransport)
class SecurableWire(Wire):
    """A transport on which TLS can be begun; what goes over it stays readable here."""

    secured = False

    def startTLS(self, context: object) -> None:
        self.secured = True
        directlyProvides(self, ISSLTransport)


@attrs.define
class Client:
    """The other end: `say` gives bytes to the server and answers what came back."""

    world: "World"
    server: Any
    wire: SecurableWire

    def read(self) -> bytes:
        data = self.wire.value()
        self.wire.clear()
        return data

    def say(self, data: bytes) -> bytes:
        self.server.dataReceived(data)
        self.world.settle()
        return self.read()

    def ask(self, *lines: bytes) -> list[bytes]:
        """Each line as a command of its own (CRLF added); all lines of the answers."""
        found: list[bytes] = []
        for line in lines:
            found += self.say(line + b"\r\n").split(b"\r\n")[:-1]
        return found

    def lose(self) -> None:
        self.server.connectionLost(Failure(ConnectionError()))
        self.world.settle()


class World:
    """Store, factory and clients of one test."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.reactor = InlineReactor()
        self.events: list[Event] = []
        self.store = Store(str(path), self.reactor, InlinePool())
        authenticator = Authenticator(
            portal=settings.pop("portal", None) or account_portal(OneAccount()),
            clock=self.reactor,
            journal=self.events.append,
            delay=settings.pop("login_delay", 0.0),
            **settings.pop("logins", {}),
        )
        values: dict[str, Any] = {
            "authenticator": authenticator,
            "store": self.store,
            "tls": None,
            "clock": self.reactor,
            "journal": self.events.append,
            "mailbox": MailboxConfig(),
            "listener": ListenerConfig(name="imap", endpoint="tcp:0", protocol="imap", auth="always"),
            "max_append": 1024 * 1024,
            **settings,
        }
        self.factory = ImapFactory(**values)

    def settle(self) -> None:
        """Let everything happen that takes no time."""
        for _ in range(1000):
            if not any(call.getTime() <= self.reactor.seconds() for call in self.reactor.getDelayedCalls()):
                return
            self.reactor.advance(0)

    def connect(self, host: str = "192.0.2.1") -> Client:
        address = IPv4Address("TCP", host, 40000)
        server = self.factory.buildProtocol(address)
        wire = SecurableWire(peerAddress=address)
        server.makeConnection(wire)
        self.settle()
        return Client(self, server, wire)

    def login(self) -> Client:
        client = self.connect()
        client.read()
        assert client.say(b"l LOGIN alice secret\r\n").startswith(b"l OK")
        return client

    def select(self, name: bytes = b"INBOX") -> Client:
        client = self.login()
        client.say(b"s SELECT " + name + b"\r\n")
        return client

    def deliver(self, *messages: bytes, folder: str = "INBOX") -> None:
        for message in messages:
            self.run(self.store.deliver("alice", [message], folder))

    def run(self, awaitable: Any) -> Any:
        """The result of something that needs no time."""
        deferred = as_deferred(awaitable)
        self.settle()
        return at_once(deferred)
