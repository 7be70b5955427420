"""One connection to a next hop: bytes out, replies in, and never a reply that was not asked for.

Knows the wire (reply parser, timers, TLS handshake, back-pressure) and nothing of what commands mean. Rules: exactly
one wait at a time; a reply that comes before its command was sent ends the connection (it would be taken for the
answer to something else); what went wrong first is kept in `failure`, and such a connection is aborted, not repaired.
"""

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from relaygw.core.reply import Reply
from relaygw.core.reply_parser import ReplyError, ReplyParser
from relaygw.egress.broken import Broken, Phase, broken
from relaygw.promptly import write
from relaygw.rounds import at_once

QUIT_TIMEOUT = 5.0
"""Seconds we wait for 221 before we close all the same."""


@implementer(IHandshakeListener, IPushProducer)
class SmtpConnection(Protocol):
    """`alive` until it is lost or given up; `made` and `gone` are called once, when it opens and when it is
    closed; `failure` says what broke it. `source` is our address, `helo` the name that the server gave itself."""

    transport: Any  # ITCPTransport; Twisted sets it

    def __init__(self, clock: IReactorTime, at_round_end: Callable[[Callable[[], None]], None] = at_once) -> None:
        self.alive = False
        self.failure: Broken | None = None
        self.source = self.helo = ""
        self.gone: Callable[[], None] | None = None
        self.made: Callable[[SmtpConnection], None] | None = None
        self._clock: Any = clock
        self._at_round_end = at_round_end
        self._unsent = b""
        self._parser = ReplyParser()
        self._phase = Phase.GREETING
        self._wait: Deferred[list[Reply]] | None = None
        self._wanted = 0
        self._got: list[Reply] = []
        self._handshake: Deferred[None] | None = None
        self._writable: Deferred[None] | None = None
        self._streaming = False
        self._timer: Any = None
        self._timeout = 0.0
        self._deadline: float | None = None
        self._farewell: Deferred[None] | None = None

    # What the conversation asks for.

    def ask(self, data: bytes, count: int, timeout: float, phase: Phase) -> Deferred[list[Reply]]:
        """Send `data` and wait for `count` replies, `timeout` seconds each. Fewer come only where `failure` tells why.

        A 421 is the last reply of its connection, whatever it answers (RFC 5321 3.8).
        """
        answer = self.expect(count, timeout, phase)
        if data and self.failure is None:
            self._unsent += data
            self._at_round_end(self._flush)
        return answer

    def _flush(self) -> None:
        """What is asked for leaves together with what other connections ask for (rounds.py)."""
        data, self._unsent = self._unsent, b""
        if data and self.alive and self.failure is None:
            write(self.transport, data)

    def expect(self, count: int, timeout: float, phase: Phase) -> Deferred[list[Reply]]:
        """Wait for replies to what is sent by other means."""
        self._phase = phase
        wait: Deferred[list[Reply]] = Deferred(self._cancelled)
        self._wait = wait
        self._wanted, self._got = count, []
        if self.failure is not None or not self.alive:
            self._end(self.failure or broken(phase, "4.4.2", "the connection was lost", closed=True))
        else:
            self._arm(timeout)
        return wait

    def start_tls(self, creator: object, timeout: float) -> Deferred[None]:
        """Negotiate TLS now; fails with Broken. All that was learnt in clear must be forgotten (RFC 3207 4.2)."""
        self._phase = Phase.HANDSHAKE
        self._parser = ReplyParser()
        handshake: Deferred[None] = Deferred(self._cancelled)
        self._handshake = handshake
        self._arm(timeout)
        self.transport.startTLS(creator)
        return handshake

    def handle(self) -> Any:
        """The OpenSSL connection after a handshake."""
        return self.transport.getHandle()

    def begin_stream(self) -> None:
        """From here to `end_stream` content is written; a reply that comes in between is too early."""
        self._streaming = True
        self.transport.registerProducer(self, True)

    async def write_piece(self, data: bytes) -> bool:
        """Write when there is room. False: the connection is broken, and the wait for the reply tells why."""
        while self._writable is not None and self.alive:
            await self._writable
        if not self.alive:
            return False
        self._flush()
        write(self.transport, data)
        self._arm(self._timeout)
        return True

    def end_stream(self, timeout: float) -> None:
        """All is written: what comes now is the answer, for which `timeout` counts."""
        self._streaming = False
        self._writable = None
        self.transport.unregisterProducer()
        if self.alive:
            self._phase = Phase.END
            self._arm(timeout)

    def quit(self) -> None:
        """Say QUIT, wait a moment for the answer (RFC 5321 4.1.1.10), close."""
        if self.alive and self.failure is None and self._wait is None:
            self._farewell = self.ask(b"QUIT\r\n", 1, QUIT_TIMEOUT, Phase.IDLE).addBoth(lambda _: self.close())
        else:
            self.abort()

    def close(self) -> None:
        self.alive = False
        self._stop_clock()
        self.transport.loseConnection()

    def abort(self) -> None:
        """Close at once: nothing that is still unsent may arrive."""
        self.alive = False
        self._stop_clock()
        if self.transport is not None:
            self.transport.abortConnection()

    # What Twisted calls.

    def connectionMade(self) -> None:
        self.alive = True
        if ITCPTransport.providedBy(self.transport):  # a UNIX socket has nothing to delay
            self.transport.setTcpNoDelay(True)
            self.source = getattr(self.transport.getHost(), "host", "")
        made, self.made = self.made, None
        if made is not None:
            made(self)

    def dataReceived(self, data: bytes) -> None:
        if self.failure is not None or not self.alive:
            return
        try:
            replies = self._parser.feed(data)
        except ReplyError as error:
            self._break(broken(self._phase, "4.5.0", f"the server does not speak SMTP ({error})"))
            return
        self._got += replies
        if self._wait is None or self._streaming or self._unsent:
            self._unasked()
        elif any(reply.code == 421 for reply in replies):
            self._shut_down()
        elif len(self._got) > self._wanted or (len(self._got) == self._wanted and self._parser.partial):
            self._answered_too_much()
        elif len(self._got) == self._wanted:
            self._answer(self._got)
        elif replies:
            self._arm(self._timeout)

    def handshakeCompleted(self) -> None:
        handshake, self._handshake = self._handshake, None
        if handshake is not None:
            self._disarm()
            handshake.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.alive = False
        self._end(self.failure or broken(self._phase, *_loss(self._phase, reason), closed=True))
        gone, self.gone = self.gone, None
        if gone is not None:
            gone()

    def pauseProducing(self) -> None:
        if self._writable is None:
            self._writable = Deferred(self._cancelled)

    def resumeProducing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None:
            writable.callback(None)

    def stopProducing(self) -> None:
        """The transport is being lost; connectionLost follows and wakes whoever waits."""

    # Inside.

    def _unasked(self) -> None:
        """A reply to nothing that was sent, or before the content has ended: a refusal is believed, no more."""
        if not self._got and (self._streaming or not self._parser.partial):
            return
        refusal = next((reply for reply in self._got if not reply.positive), None)
        if refusal is None:
            self._answered_too_much()
            return
        self._got = []
        self._break(Broken(self._phase, refusal, remote=True, closed=refusal.code == 421))

    def _answered_too_much(self) -> None:
        """What answers what is no longer known: none of these replies counts."""
        self._got = []
        self._break(broken(self._phase, "4.5.0", "the server answered before it was asked"))

    def _shut_down(self) -> None:
        """421: the server closes, whatever was asked (RFC 5321 3.8). What came before it still counts."""
        last = next(number for number, reply in enumerate(self._got) if reply.code == 421)
        self.failure = Broken(self._phase, self._got[last], remote=True, closed=True)
        self._answer(self._got[: last + 1])
        self.close()

    def _answer(self, replies: list[Reply]) -> None:
        self._disarm()
        wait, self._wait, self._got = self._wait, None, []
        self._phase = Phase.IDLE
        if wait is not None:
            wait.callback(replies)

    def _break(self, failure: Broken) -> None:
        self.abort()
        self._end(failure)

    def _end(self, failure: Broken) -> None:
        """Tell whoever waits, once."""
        self._stop_clock()
        self.failure = failure
        writable, self._writable = self._writable, None
        wait, self._wait = self._wait, None
        handshake, self._handshake = self._handshake, None
        if writable is not None:
            writable.callback(None)
        if wait is not None:
            wait.callback(self._got)
        if handshake is not None:
            handshake.errback(failure)

    def _cancelled(self, _: object) -> None:
        """Whoever waited was cancelled: in the middle of a conversation there is nothing to keep."""
        self._wait = self._handshake = self._writable = None
        self.failure = broken(self._phase, "4.4.2", "the attempt was cancelled")
        self.abort()

    # Time. One timer, which is not moved by every command: when it fires it looks for how long there is still to wait.

    def _arm(self, timeout: float) -> None:
        self._timeout = timeout
        self._deadline = deadline = self._clock.seconds() + timeout
        if self._timer is not None and self._timer.getTime() > deadline:
            self._stop_clock()
            self._deadline = deadline
        if self._timer is None:
            self._timer = self._clock.callLater(timeout, self._tick)

    def _disarm(self) -> None:
        self._deadline = None

    def _stop_clock(self) -> None:
        timer, self._timer, self._deadline = self._timer, None, None
        if timer is not None:
            timer.cancel()

    def _tick(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        left = self._deadline - self._clock.seconds()
        if left > self._timeout:  # by a clock that was put back meanwhile
            left = self._timeout
            self._deadline = self._clock.seconds() + left
        if left > 0:
            self._timer = self._clock.callLater(left, self._tick)
        else:
            self._break(broken(self._phase, "4.4.2", "the server was silent for too long"))


def _loss(phase: Phase, reason: Failure) -> tuple[str, str]:
    """Enhanced code and words for a lost connection."""
    if phase is Phase.HANDSHAKE:
        return "4.7.5", f"TLS failed ({tls_error(reason)})"
    if isinstance(reason.value, ConnectionLost):
        return "4.4.2", "the connection was lost"
    return "4.4.2", "the server closed the connection"


def tls_error(reason: Failure) -> str:
    """What OpenSSL says, in its own last words."""
    if isinstance(reason.value, SSL.Error) and reason.value.args and reason.value.args[0]:
        return str(reason.value.args[0][-1][-1])
    return "the connection was closed"
