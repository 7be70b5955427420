"""However a connection ends while it is being told what came, its protocol hears of that once, and nothing after it."""

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from relaygw.bridge import deferred
from relaygw.promptly import PromptEndpoint, part

WORDS = b"221 2.0.0 Bye\r\n"


class _Near(Protocol):
    """Ends by `leave` when it is told something; notes what it hears."""

    transport: Any

    def __init__(self, leave: Callable[[Any], None]) -> None:
        self.heard: list[object] = []
        self._leave = leave

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)
        self._leave(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.heard.append(type(reason.value))


class _Far(Protocol):
    def __init__(self) -> None:
        self.heard = b""
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


def _part(transport: Any) -> None:
    assert part(transport, WORDS)


def _part_and_fail(transport: Any) -> None:
    _part(transport)
    raise ZeroDivisionError


def _part_and_abort(transport: Any) -> None:
    _part(transport)
    transport.abortConnection()


def _part_and_lose(transport: Any) -> None:
    _part(transport)
    transport.loseConnection()


class Ends(TestCase):
    async def _told(self, leave: Callable[[Any], None]) -> tuple[list[object], bytes]:
        running: Any = reactor
        near = _Near(leave)
        endpoint = PromptEndpoint(TCP4ServerEndpoint(running, 0, interface="127.0.0.1"))
        port: Any = await endpoint.listen(Factory.forProtocol(lambda: near))
        self.addCleanup(port.stopListening)
        far: Any = await connectProtocol(TCP4ClientEndpoint(running, "127.0.0.1", port.getHost().port), _Far())
        far.transport.write(b"QUIT\r\n")
        await far.lost
        await deferLater(running, 0)
        return near.heard, far.heard

    @deferred
    async def test_with_its_last_words(self) -> None:
        assert await self._told(_part) == ([b"QUIT\r\n", ConnectionDone], WORDS)

    @deferred
    async def test_with_its_last_words_before_it_is_asked_to_end_again(self) -> None:
        assert await self._told(_part_and_lose) == ([b"QUIT\r\n", ConnectionDone], WORDS)

    @deferred
    async def test_with_its_last_words_before_something_fails(self) -> None:
        assert await self._told(_part_and_fail) == ([b"QUIT\r\n", ZeroDivisionError], WORDS)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    @deferred
    async def test_with_its_last_words_before_it_is_aborted(self) -> None:
        heard, words = await self._told(_part_and_abort)
        assert heard == [b"QUIT\r\n", ConnectionDone]
        assert words == WORDS

    @deferred
    async def test_aborted(self) -> None:
        heard, _ = await self._told(lambda transport: transport.abortConnection())
        assert heard == [b"QUIT\r\n", ConnectionAborted]
