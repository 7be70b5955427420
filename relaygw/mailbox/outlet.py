"""What a session sends, no faster than its peer reads: a transport's full buffer as something to await."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


class Lost(Exception):
    """The connection is gone while somebody waited to write."""


@implementer(IPushProducer)
class Outlet:
    """Registered with a transport as its streaming producer. One waits at a time."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._waiting: Deferred[None] | None = None
        self._full = False
        self._lost = False
        transport.registerProducer(self, True)

    @property
    def ready(self) -> bool:
        return not (self._full or self._lost)

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False
        self._wake()

    def stopProducing(self) -> None:
        self.lose()

    async def writable(self) -> None:
        """Answers when the peer has read enough; raises Lost when it never will."""
        if self._full and not self._lost:
            self._waiting = Deferred()
            await self._waiting
        if self._lost:
            raise Lost

    def finish(self) -> None:
        """Close once everything is sent."""
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def lose(self) -> None:
        """The connection is gone."""
        self._lost = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
