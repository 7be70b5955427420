"""How a session hears whether its client takes what is written to it."""

from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


@implementer(IPushProducer)
class Valve:
    """Registered with the transport as the producer of what we write; `turned(True)` says that it takes no more."""

    def __init__(self, turned: Callable[[bool], None]) -> None:
        self._turned = turned

    def pauseProducing(self) -> None:
        self._turned(True)

    def resumeProducing(self) -> None:
        self._turned(False)

    def stopProducing(self) -> None:
        """The connection is lost; connectionLost follows."""
