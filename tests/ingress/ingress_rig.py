"""What the ingress tests share: a listener made of fakes, and a client at the other end of an in-memory wire."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITLSTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from zope.interface import implementer

from relaygw.config.schema import LimitsConfig, ListenerConfig, QuotaConfig
from relaygw.core.address import Address
from relaygw.core.events import Event
from relaygw.core.ids import new_id
from relaygw.core.permission import Permission, domains_of
from relaygw.core.quota import Ledger
from relaygw.core.session import Role, Tls, Transaction
from relaygw.core.verdict import PASS, Phase
from relaygw.filters.chain import Chain
from relaygw.filters.uses import Use
from relaygw.ingress.binding import Binding
from relaygw.ingress.factory import IngressFactory
from relaygw.ingress.house import House
from relaygw.ingress.protocol import RelayESMTP
from relaygw.ingress.quotas import Office, Quotas
from relaygw.interfaces import Account, IDirectory, IFilter
from relaygw.realm import account_portal
from relaygw.rounds import Rounds, at_once
from relaygw.sasl import Authenticator
from relaygw.spool.memory import MemorySpool
from relaygw.tasks import Tasks

USERS = ("user", "other", "postmaster")
PASSWORD = b"correct horse"


@implementer(ITLSTransport)
class Wire(StringTransportWithDisconnection):
    """Remembers what a transport was asked to do. `full` makes it refuse to take more, as a slow client does."""

    def __init__(self, peer: IPv4Address) -> None:
        super().__init__(peerAddress=peer)
        self.tls_started = 0
        self.aborted = self.half_closed = self.lingers = False
        self.pauses = 0

    def startTLS(self, context: object, normal: bool = True) -> None:
        self.tls_started += 1

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()

    def loseWriteConnection(self) -> None:
        """This client ends its direction as soon as we have ended ours; `lingers` makes it stay."""
        self.half_closed = True
        if not self.lingers:
            self.loseConnection()

    def pauseProducing(self) -> None:
        self.pauses += 1
        super().pauseProducing()


@implementer(IDirectory)
class Directory:
    """`USERS` exist in every domain asked about; `later` holds a Deferred back for each name in it."""

    def __init__(self) -> None:
        database = InMemoryUsernamePasswordDatabaseDontUse()
        for name in USERS:
            database.addUser(name.encode(), PASSWORD)
        self.checkers = (database,)
        self.later: dict[str, Deferred[Account | None]] = {}
        self.broken: Exception | None = None

    def account(self, address: Address) -> Any:
        if self.broken is not None:
            raise self.broken
        if address.local in self.later:
            return self.later[address.local]
        return self.named(address.local)

    def named(self, login: str) -> Account | None:
        return Account(name=login, addresses=(), mailbox=login) if login.lower() in USERS else None


@implementer(IFilter)
class Scripted:
    """Answers by phase with a verdict, or whatever a function makes of the transaction."""

    def __init__(self, answers: dict[Phase, Any]) -> None:
        self.answers = answers
        self.phases = frozenset(answers)
        self.seen: list[tuple[Phase, Transaction]] = []

    def check(self, phase: Phase, transaction: Transaction) -> Any:
        self.seen.append((phase, transaction))
        answer = self.answers.get(phase, PASS)
        return answer(transaction) if callable(answer) else answer


class Rig:
    """One listener. Local domain here.test, relay domain relayed.test, trusted network 203.0.113.0/24."""

    def __init__(
        self,
        *,
        role: Role = Role.MX,
        tls: Any = None,
        implicit: bool = False,
        auth: str | None = None,
        filters: Sequence[Scripted] = (),
        limits: LimitsConfig | None = None,
        listener: dict[str, Any] | None = None,
        checkers: tuple[Any, ...] | None = None,
        clock: Any = None,
        binding: dict[str, Any] | None = None,
        quotas: Sequence[QuotaConfig] = (),
        logins: dict[str, Any] | None = None,
        **house: Any,
    ) -> None:
        self.clock = clock if clock is not None else Clock()
        if clock is None:
            self.clock.advance(1_700_000_000)
        self.events: list[Event] = []
        self.offered: list[tuple[Any, Any]] = []
        self.spool = MemorySpool()
        self.directory = Directory()
        if checkers is not None:
            self.directory.checkers = checkers
        self.portal: Portal = account_portal(self.directory)
        self._ids = 0
        uses = [Use(name=f"filter{n}", filter=f, listeners=frozenset({"in"})) for n, f in enumerate(filters)]
        role_auth = auth or ("never" if role is Role.MX else "tls")
        self.house = House(
            hostname="gateway.test",
            listener="in",
            role=role,
            limits=limits if limits is not None else LimitsConfig(),
            permission=Permission(
                local=domains_of(["here.test"]),
                relay=domains_of(["relayed.test", ".below.test"]),
                trusted=(ipaddress.ip_network("203.0.113.0/24"),),
            ),
            postmaster=Address("postmaster", "here.test"),
            directory=self.directory,
            chain=Chain(uses, self.clock, self.events.append),
            spool=self.spool,
            journal=self.events.append,
            offer=lambda record, content: self.offered.append((record, content)),
            new_id=self._new_id,
            now=self.clock.seconds,
            clock=self.clock,
            lease=60.0,
            at_round_end=at_once if isinstance(self.clock, Clock) else Rounds(self.clock).join,
            tls=tls,
            implicit_tls=implicit,
            authenticator=None
            if role_auth == "never"
            else Authenticator(portal=self.portal, clock=self.clock, journal=self.events.append, **(logins or {})),
            auth_in_clear=role_auth == "always",
        )
        if binding is not None:
            policy = Binding(directory=self.directory, permission=self.house.permission, **binding)
            self.house = attrs.evolve(self.house, binding=policy)
        if quotas:
            self.house = attrs.evolve(self.house, quotas=self._quotas(quotas))
        self.house = attrs.evolve(self.house, **house)
        config = ListenerConfig(name="in", endpoint="tcp:25", role=role, **(listener or {}))
        self.factory = IngressFactory(self.house, config)

    def _quotas(self, quotas: Sequence[QuotaConfig]) -> Quotas:
        self.ledger = Ledger()
        self.tasks = Tasks(self.events.append)
        office = Office(
            hostname="gateway.test",
            postmaster=self.house.postmaster,
            directory=self.directory,
            spool=self.spool,
            offer=self.house.offer,
            lease=60.0,
            new_id=self._new_id,
            journal=self.events.append,
            spawn=self.tasks.spawn,
        )
        return Quotas(quotas, self.ledger, office, self.clock.seconds)

    def _new_id(self) -> str:
        self._ids += 1
        return new_id(self.clock.seconds(), self._ids)

    def connect(self, client: str = "192.0.2.1") -> "Client":
        address = IPv4Address("TCP", client, 40_000)
        protocol = self.factory.buildProtocol(address)
        wire = Wire(address)
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return Client(protocol, wire)

    def stored(self) -> list[bytes]:
        """The contents in the spool, our fields on top included, in order of arrival."""
        return [b"".join(entry.content.chunks()) for entry in self.spool._entries.values()]

    def records(self) -> list[Any]:
        return [entry.record for entry in self.spool._entries.values()]

    def said(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@attrs.define
class Client:
    protocol: Any
    wire: Wire

    def send(self, data: bytes | str) -> str:
        """Everything the server says after these bytes have arrived in one segment."""
        self.wire.clear()
        self.feed(data.encode() if isinstance(data, str) else data)
        return self.heard()

    def feed(self, data: bytes) -> None:
        if self.wire.connected:
            self.protocol.dataReceived(data)

    def heard(self) -> str:
        return self.wire.value().decode()

    def rest(self, clock: Clock) -> None:
        """The turns of the reactor that the session asks for while others have theirs."""
        while any(call.getTime() <= clock.seconds() for call in clock.getDelayedCalls()):
            clock.advance(0)

    def codes(self, data: bytes | str) -> list[int]:
        """The codes of the replies."""
        return reply_codes(self.send(data))

    @property
    def open(self) -> bool:
        return bool(self.wire.connected)

    def secure(self) -> None:
        """As after a handshake."""
        session: RelayESMTP = self.protocol
        session._shaking_hands = False
        session.conversation.secured(Tls(version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384"))


def reply_codes(text: str) -> list[int]:
    """One number per reply, continuation lines left out; every line must be a reply line."""
    assert text == "" or text.endswith("\r\n"), text
    lines = text.split("\r\n")[:-1]
    assert all(line[:3].isdigit() and line[3:4] in ("-", " ") for line in lines), text
    return [int(line[:3]) for line in lines if line[3:4] == " "]


def in_pieces(data: bytes, sizes: Callable[[], int]) -> list[bytes]:
    pieces = []
    while data:
        size = max(1, sizes())
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def was_ended(content: bytes, stream: bytes) -> bool:
    """Whether the client's stream holds this content with an end: CRLF.CRLF, or BDAT … LAST behind all its chunks."""
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    return stuffed + b".\r\n" in stream or _in_chunks(content, stream, len(stream), b" +LAST *")


def _in_chunks(content: bytes, stream: bytes, until: int, last: bytes) -> bool:
    """Whether chunks before this place in the stream make up the content, the last of them marked so."""
    for found in re.finditer(rb"BDAT (\d{1,20})" + last + rb"\r\n", stream[:until], re.IGNORECASE):
        chunk = stream[found.end() : found.end() + int(found[1])]
        if len(chunk) == int(found[1]) and content.endswith(chunk):
            before = content[: len(content) - len(chunk)]
            if not before or _in_chunks(before, stream, found.start(), b""):
                return True
    return False


HELLO = "EHLO client.test\r\n"
MAIL = "MAIL FROM:<a@client.test>\r\n"
RCPT = "RCPT TO:<user@here.test>\r\n"
BODY = "From: a@client.test\r\nSubject: x\r\n\r\nhello\r\n"
MESSAGE = MAIL + RCPT + "DATA\r\n" + BODY + ".\r\n"
