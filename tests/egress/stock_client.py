"""Twisted's own SMTP client against the same servers in memory, so that a fault can be shown beside its absence."""

import io
from typing import Any

from egress_support import Server, Wire
from twisted.internet.task import Clock
from twisted.mail.smtp import ESMTPClient

ROUNDS = 5_000


class StockWire(Wire):
    """A transport for pull producers, and for TLS that only pretends: the same server reads what follows startTLS."""

    def __init__(self, server: Server, protocol: Any) -> None:
        super().__init__(server, protocol, single_octets=False, limit=0, stall_after=0)
        self.secured = 0
        self.fail_tls = False

    @property
    def disconnecting(self) -> bool:
        return self.closed

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer
        if not streaming:
            producer.resumeProducing()

    def writeSequence(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def startTLS(self, context: object) -> None:
        self.secured += 1
        if self.fail_tls:
            raise ValueError("no TLS today")


class StockClient(ESMTPClient):
    """One message. `sent` is what sentMail was told, `errors` what sendError was."""

    debug = False

    def __init__(self, sender: str, recipients: list[str], data: bytes, context: object = None) -> None:
        super().__init__(None, contextFactory=context, identity="relay.example")
        self._mail: list[Any] = [sender]
        self._recipients, self._data = recipients, data
        self.sent: list[tuple[Any, ...]] = []
        self.errors: list[Exception] = []
        self.clock = Clock()

    def callLater(self, delay: float, function: Any) -> Any:
        return self.clock.callLater(delay, function)

    def getMailFrom(self) -> Any:
        return self._mail.pop() if self._mail else None

    def getMailTo(self) -> Any:
        return self._recipients

    def getMailData(self) -> Any:
        return io.BytesIO(self._data)

    def sentMail(self, *told: Any) -> None:
        self.sent.append(told)

    def sendError(self, exc: Exception) -> None:
        self.errors.append(exc)
        super().sendError(exc)


def stock(
    server: Server,
    data: bytes = b"Subject: x\n\nbody\n",
    sender: str = "a@example.com",
    recipients: list[str] | None = None,
    context: object = None,
    fail_tls: bool = False,
) -> tuple[StockClient, StockWire]:
    """A whole conversation of the stock class."""
    client = StockClient(sender, recipients or ["b@example.org"], data, context)
    wire = StockWire(server, client)
    wire.fail_tls = fail_tls
    client.makeConnection(wire)
    wire.feed(server.greet())
    for _ in range(ROUNDS):
        if not wire.pump():
            return client, wire
    raise AssertionError("the conversation does not come to an end")
