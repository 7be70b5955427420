"""Twisted's own ESMTP class with a delivery that keeps everything, for tests that show what it does differently."""

from typing import Any

from ingress_rig import Wire
from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.mail.imap4 import PLAINCredentials
from twisted.mail.smtp import ESMTP, IMessage, IMessageDelivery, LOGINCredentials, User
from zope.interface import implementer


@implementer(IMessage)
class StockMessage:
    def __init__(self, delivery: "StockDelivery") -> None:
        self.delivery = delivery
        self.lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)

    def eomReceived(self) -> Any:
        if callable(self.delivery.end):
            return self.delivery.end()
        self.delivery.messages.append(b"\r\n".join(self.lines))
        return succeed(None)

    def connectionLost(self) -> None:
        self.delivery.aborted += 1


@implementer(IMessageDelivery)
class StockDelivery:
    """`sender` and `recipient` may be set to functions that answer later; `end` to what the end of data does."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.heloes: list[Any] = []
        self.aborted = 0
        self.sender: Any = None
        self.recipient: Any = None
        self.end: Any = None

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        self.heloes.append(helo)
        return b""

    def validateFrom(self, helo: Any, origin: Any) -> Any:
        return self.sender(origin) if self.sender else origin

    def validateTo(self, user: User) -> Any:
        return self.recipient(user) if self.recipient else lambda: StockMessage(self)


class StockSession:
    """One stock connection. `send` answers what the server wrote, like `ingress_rig.Client.send`."""

    def __init__(self, *, portal: Portal | None = None, tls: object | None = None) -> None:
        self.delivery = StockDelivery()
        self.clock = Clock()
        challengers = {b"PLAIN": PLAINCredentials, b"LOGIN": LOGINCredentials} if portal else None
        self.protocol: Any = ESMTP(challengers, tls)
        self.protocol.noisy = False
        self.protocol.delivery = self.delivery
        self.protocol.portal = portal
        self.protocol.host = b"stock.test"
        self.protocol.callLater = self.clock.callLater
        self.wire = Wire(IPv4Address("TCP", "192.0.2.1", 40_000))
        self.wire.protocol = self.protocol
        self.protocol.makeConnection(self.wire)

    def send(self, data: bytes | str) -> str:
        self.wire.clear()
        self.protocol.dataReceived(data.encode() if isinstance(data, str) else data)
        return self.wire.value().decode("latin-1")


def pending() -> "Deferred[Any]":
    return Deferred()
