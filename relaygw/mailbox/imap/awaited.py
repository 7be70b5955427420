"""The line that a command in progress waits for: the client's next in an exchange, or what ends IDLE. There is one at
a time, and the news of a mailbox may come in its place."""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from relaygw.mailbox.imap.session import Gone


class AwaitedLine:
    """`limit` is for a line that is `open`, which is asked for and has not come. `idling`: news are welcome."""

    def __init__(self, clock: IReactorTime) -> None:
        self.limit = 0
        self.idling = False
        self._clock = clock
        self._waiting: Deferred[bytes | None] | None = None

    @property
    def open(self) -> bool:
        return self._waiting is not None

    def ask(self, limit: int) -> Deferred[bytes | None]:
        """Answers with the line, or None for news; raises Gone when neither will come."""
        waiting: Deferred[bytes | None] = Deferred()
        self._waiting, self.limit = waiting, limit
        return waiting

    def give(self, line: bytes | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(line)

    def lose(self) -> None:
        """The connection ends."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(Gone())

    def news(self) -> None:
        """From within the store's own work: the session is woken when that is done."""
        if self.idling and self._waiting is not None:
            waiting = self._waiting
            self._clock.callLater(0, lambda: self.give(None) if self._waiting is waiting else None)
