"""The ends of real connections: trial wants none to be left when a test is over, and the far side of one learns of its
end a moment after the near side.

    def setUp(self) -> None:
        self.addCleanup(all_ended)  # before all other cleanups, so that it runs after them
"""

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.tcp import Connection

reactor: Any = _reactor


@inlineCallbacks
def all_ended() -> Any:
    """Both sides of every connection know that it is over; the test's own timeout bounds the wait."""
    while any(isinstance(each, Connection) for each in (*reactor.getReaders(), *reactor.getWriters())):
        yield deferLater(reactor, 0.01)
