"""Connecting: the reasons of failure in words, and a cancelled attempt that ends as cancelled."""

import errno
from typing import Any

import attrs
import pytest
from egress_support import result
from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from relaygw.core.address import Address
from relaygw.core.outcome import from_reply
from relaygw.core.trouble import Trouble, trouble_of
from relaygw.egress.broken import Broken, Phase
from relaygw.egress.connector import connect


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (error.ConnectionRefusedError(), "the connection was refused"),
        (error.TimeoutError(), "no answer"),
        (error.NoRouteError(), "there is no route"),
        (error.ConnectError(string="odd"), "no connection"),
        (error.ConnectBindError(errno.EADDRNOTAVAIL, "odd"), "the source address is not one of this host"),
    ],
)
def test_why_there_is_no_connection(reason: Exception, words: str) -> None:
    reactor = MemoryReactorClock()
    connecting = connect(reactor, "192.0.2.1", 25, 7.5)
    host, port, factory, timeout, _ = reactor.tcpClients[0]
    assert (host, port, timeout) == ("192.0.2.1", 25, 7.5)
    factory.clientConnectionFailed(None, Failure(reason))
    with pytest.raises(Broken, match=words) as caught:
        result(connecting)
    assert (caught.value.phase, caught.value.reply.enhanced) == (Phase.CONNECT, "4.4.1")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRINUSE])
def test_that_no_socket_is_left_here_says_nothing_of_the_host(number: int) -> None:
    reactor = MemoryReactorClock()
    connecting = connect(reactor, "192.0.2.1", 25, 7.5)
    reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(error.ConnectBindError(number, "odd")))
    with pytest.raises(Broken, match="no socket is left here") as caught:
        result(connecting)
    assert caught.value.ours
    told = from_reply(Address("bob", "example.com"), caught.value.reply, host="m1.example", address="192.0.2.1")
    assert trouble_of(attrs.evolve(told, remote=False)) is Trouble.LOCAL


class Connector:
    """Tells its factory at once when it is stopped, as the real one does."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self.stopped = 0

    def stopConnecting(self) -> None:
        self.stopped += 1
        self._factory.clientConnectionFailed(self, Failure(error.UserError()))


def test_a_cancelled_connection_is_stopped_and_stays_cancelled() -> None:
    reactor = MemoryReactorClock()
    connecting = connect(reactor, "192.0.2.1", 25, 30)
    factory = reactor.tcpClients[0][2]
    connector = Connector(factory)
    factory.startedConnecting(connector)
    connecting.cancel()
    assert connector.stopped == 1
    with pytest.raises(CancelledError):
        result(connecting)
