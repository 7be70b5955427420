"""What goes to the client: gathered, written in large pieces, and held back while the client does not read."""

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ITransport
from zope.interface import implementer

from relaygw.mailbox.imap.session import Gone

PIECE = 64 * 1024
"""Octets gathered before they are written."""


@implementer(IPushProducer)
class Output:
    """Registered with the transport as its producer, so that it is told when the client falls behind.

    `changed` is called whenever `blocked` has changed.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.blocked = False
        self._changed = changed
        self._transport: ITransport | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._waiting: deque[Deferred[None]] = deque()

    def attach(self, transport: ITransport) -> None:
        """Begin. The transport keeps us until `detach`."""
        self._transport = transport
        transport.registerProducer(self, True)  # type: ignore[attr-defined]  # IConsumer, as all Twisted's streams

    def detach(self) -> None:
        """Write what is there and let go of the transport, which may then close."""
        self.flush()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.unregisterProducer()  # type: ignore[attr-defined]  # as above
        self._release(Gone())

    def lose(self) -> None:
        """The connection is gone: its transport is asked for nothing more, as under TLS nothing is left of it."""
        self._transport = None
        self._pieces.clear()
        self._release(Gone())

    def send(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= PIECE:
            self.flush()

    def flush(self) -> None:
        if self._pieces and self._transport is not None:
            self._transport.write(b"".join(self._pieces))
        self._pieces.clear()
        self._size = 0

    async def drained(self) -> None:
        """Until the client has taken enough; raises Gone when it never will."""
        if self._transport is None:
            raise Gone
        self.flush()
        if self.blocked:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting

    def _release(self, error: Gone | None = None) -> None:
        waiting, self._waiting = self._waiting, deque()
        for one in waiting:
            if error is None:
                one.callback(None)
            else:
                one.errback(error)

    def pauseProducing(self) -> None:
        self.blocked = True
        self._changed()

    def resumeProducing(self) -> None:
        self.blocked = False
        self._release()
        self._changed()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost tells the rest."""
