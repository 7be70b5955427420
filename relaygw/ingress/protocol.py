"""The connection: Twisted's ESMTP by name and by factory, with a receive loop of its own.

One command is answered at a time, whatever is pipelined; replies leave in the order of the commands, joined into one
write. Memory is bounded in both directions: reading stops while much input waits for an answer, and while the client
does not take what was written to it. The clock runs only while it is the client's turn.

Bytes become lines and data here, and answers become bytes; what they mean is the conversation's (`conversation`).
"""

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.mail.smtp import ESMTP
from twisted.python.failure import Failure
from zope.interface import implementer

from relaygw.bridge import as_deferred, resolve, sleep
from relaygw.channel import Channel, channel
from relaygw.core.events import Connected, Disconnected, Secured, TaskFailed
from relaygw.core.reply import Reply
from relaygw.ingress import answers
from relaygw.ingress.answers import Answer, Then, Turn
from relaygw.ingress.conversation import MAX_LINE, Conversation, line_limit
from relaygw.ingress.framing import Fault, Lines
from relaygw.ingress.house import House
from relaygw.ingress.login import MAX_RESPONSE
from relaygw.ingress.mailing import Later
from relaygw.ingress.repairing import make_lines
from relaygw.ingress.valve import Valve
from relaygw.promptly import part, send

MAX_WAITING = 64 * 1024
"""Octets of unread input above which reading stops while an answer is being found."""
TURN = 100
"""Commands answered, and pieces of messages taken, of one client before others get their turn."""
MAX_UNSENT = 16 * 1024
"""Octets of replies that are joined before they are written."""
LINGER = 10.0
"""Seconds in which a client may take our last words before the connection is cut."""

_FAULTS = {Fault.BARE: answers.BARE, Fault.LONG: answers.LONG}


@implementer(IHandshakeListener)
class RelayESMTP(ESMTP):
    """One session. `ended` is called once with it when the connection is gone."""

    def __init__(self, house: House, conversation: Conversation, ended: Callable[["RelayESMTP"], None]) -> None:
        ESMTP.__init__(self)
        self.host = house.hostname
        self.conversation = conversation
        self._transport: Any = None  # Twisted's come in too many interfaces for one type
        self._house = house
        self._ended = ended
        self._lines: Lines = make_lines(house.line_ends)
        self._replies: list[bytes] = []
        self._unsent = 0
        self._working: Deferred[None] | None = None
        self._others_turn: Deferred[None] | None = None  # the last one worked on for that alone
        self._timer: IDelayedCall | None = None
        self._started = self._heard = 0.0
        self._cause = "lost"
        self._greeted = False
        self._pumping = self._closing = self._draining = self._gone = False
        self._shaking_hands = house.implicit_tls
        self._watched = self._client_full = False
        self._reading = True

    # The transport's calls.

    def connectionMade(self) -> None:
        self._transport = self.transport
        # Replies are joined already: waiting for more only delays them. A UNIX socket has no such option.
        with contextlib.suppress(OSError, AttributeError):
            self._transport.setTcpNoDelay(True)
        session = self.conversation.session
        self._started = self._heard = self._house.clock.seconds()
        self._house.journal(
            Connected(session=session.id, listener=session.listener, client=session.client, port=session.port)
        )
        self._arm(self._heard + self._shortest)
        if not self._shaking_hands:
            self._begin()

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        if self.conversation.receiving:  # a command has to be whole in time, each piece of a message anew
            self._heard = self._house.clock.seconds()
        self._lines.receive(data)
        self._pump()

    def handshakeCompleted(self) -> None:
        tls = channel(self._transport)
        self._shaking_hands = False
        self.conversation.secured(tls, Channel(self._transport))
        self._house.journal(Secured(session=self.conversation.session.id, version=tls.version, cipher=tls.cipher))
        if not self._greeted:
            self._begin()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = self._closing = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self.conversation.lost()
        if self._working is not None and self.conversation.interruptible:
            self._working.cancel()
        if self._shaking_hands:
            self._cause = f"no TLS handshake: {reason.value!r}"[:300]
        self._house.journal(
            Disconnected(
                session=self.conversation.session.id,
                cause=self._cause,
                commands=self.conversation.commands,
                seconds=round(self._house.clock.seconds() - self._started, 3),
            )
        )
        self._ended(self)

    # From bytes to answers.

    def _begin(self) -> None:
        self._pumping = True
        self._perform(self._greet)
        self._pumping = False
        self._pump()

    def _greet(self) -> Later:
        """The greeting, not before strangers have shown that they can wait."""
        greeting = self.conversation.greet()
        delay = 0.0 if self.conversation.session.trusted else self._house.greeting_delay
        return self._greet_late(greeting, delay) if delay else greeting

    async def _greet_late(self, greeting: Later, delay: float) -> Answer:
        began = self._house.clock.seconds()
        answer: Answer = await resolve(greeting)  # the filters work meanwhile
        return await sleep(max(0.0, began + delay - self._house.clock.seconds()), self._house.clock, answer)

    def _pump(self) -> None:
        """Take what can be taken from the input, then write all that was answered."""
        if self._pumping:
            return
        self._pumping = True
        lines, left = self._lines, TURN
        while lines.left and not (self._working or self._closing or self._client_full or self._shaking_hands):
            if not left:
                self._wait(sleep(0.0, self._house.clock, answers.OK), lambda _: None)
                self._others_turn = self._working
            elif not self._step():
                break
            left -= 1
            if self._unsent > MAX_UNSENT:
                self._flush()
        self._pumping = False
        if not (self._greeted or self._closing or self._shaking_hands) and lines.left:
            self._answer(answers.TOO_EARLY)  # RFC 5321 3.1: the server speaks first
        if self._replies:
            self._house.at_round_end(self._flush)
        self._regulate()

    def _step(self) -> bool:
        """One line, or all the data there is; whether there was any."""
        conversation, lines = self.conversation, self._lines
        if conversation.receiving:
            return self._receive()
        responding = conversation.responding
        short = lines.left < MAX_LINE and not responding  # then no limit matters
        line = lines.next(MAX_LINE if short else MAX_RESPONSE if responding else line_limit(lines.beginning()))
        if line is None:
            return False
        self._heard = self._house.clock.seconds()
        if type(line) is Fault:
            self._answer(conversation.fault(_FAULTS[line]))
        elif responding:
            self._perform(conversation.response, line)
        else:
            self._perform(conversation.command, line, lines.left > 0)
        return True

    def _receive(self) -> bool:
        data = self._lines.take()
        if not data:
            return False
        rest = self.conversation.feed(data)
        if rest is None:
            return False
        self._lines.receive(rest)
        self._perform(self.conversation.end_of_data)
        return True

    def _perform(self, function: Callable[..., Later | None], *arguments: object) -> None:
        try:
            answer = function(*arguments)
        except Exception as error:
            answer = self._broken(error)
        if isinstance(answer, Answer):
            self._answer(answer)
        elif answer is not None:
            self._wait(answer)

    def _wait(self, answer: Awaitable[Answer], then: Callable[[Answer], None] | None = None) -> None:
        waiting = as_deferred(answer)
        self._working = finished = waiting.addCallbacks(partial(self._found, then or self._answer), self._failed)
        if finished.called:
            self._working = None

    def _found(self, then: Callable[[Answer], None], answer: Answer) -> None:
        self._working = None
        if self._gone:
            return
        self._heard = self._house.clock.seconds()
        then(answer)
        self._pump()

    def _failed(self, failure: Failure) -> None:
        if self._gone:
            self._working = None
            return
        error = failure.value
        self._found(self._answer, self._broken(error) if isinstance(error, Exception) else answers.SHUTDOWN)

    def _broken(self, error: Exception) -> Answer:
        """Whatever was not foreseen (contract 4): said in the journal, answered as temporary."""
        session = self.conversation.session.id
        self._house.journal(TaskFailed(session=session, task="session", error=f"{type(error).__name__}: {error}"))
        return self.conversation.failed()

    # From answers to bytes.

    def _answer(self, answer: Answer) -> None:
        """The answer to what the client said, in its turn."""
        if type(answer) is Reply and answer.code < 400 and not (self._draining or self._closing):
            self._put(answer)  # as nearly always
            return
        reply = answer.reply if isinstance(answer, Turn) else answer
        if not reply.positive:
            counted = self.conversation.refused(reply)
            answer = counted if isinstance(counted, Turn) else answer
            penalty = self.conversation.penalty
            if penalty and reply.permanent and self._working is None:
                self._wait(sleep(penalty, self._house.clock, answer), self._answer_now)
                return
        self._answer_now(answer)

    def _answer_now(self, answer: Answer) -> None:
        self._say(answer)
        if self._draining and self.conversation.resting and not self.conversation.responding:
            self._say(answers.SHUTDOWN)

    def _say(self, answer: Answer) -> None:
        if self._closing:
            return
        if not isinstance(answer, Turn):
            self._put(answer)
            return
        self._put(answer.reply, answer.times)
        if answer.then is Then.TLS:
            self._start_tls()
        elif answer.then is Then.CLOSE:
            self._close("quit" if answer.reply.positive else answer.reply.text.lower())

    def _put(self, reply: Reply, times: int = 1) -> None:
        self._greeted = True
        wire = reply.wire() * times
        self._replies.append(wire)
        self._unsent += len(wire)

    def _flush(self) -> None:
        if self._replies and not self._gone:
            rest = send(self._transport, self._take_replies())
            if rest:
                self._watch_client()
                self._transport.write(rest)

    def _watch_client(self) -> None:
        """From now on the transport tells when it holds too much that the client does not take."""
        if not self._watched:
            self._watched = True
            self._transport.registerProducer(Valve(self._client_turned), True)

    def _take_replies(self) -> bytes:
        data = self._replies[0] if len(self._replies) == 1 else b"".join(self._replies)
        self._replies.clear()
        self._unsent = 0
        return data

    def _start_tls(self) -> None:
        assert self._house.tls is not None
        self._flush()
        self._shaking_hands = True
        try:
            self._transport.startTLS(self._house.tls.context_factory)
        except Exception as error:
            self._broken(error)
            self._close("TLS could not be started")

    def _close(self, cause: str) -> None:
        """Say what is left to be said and end the connection; what the client still sends is not looked at."""
        if self._closing:
            return
        self._closing = True
        self._cause = cause
        words = self._take_replies()
        if self._watched:
            self._transport.unregisterProducer()
        at_once = self._part(words, quit=cause == "quit" and not self._lines.left)
        if not (at_once or self._gone):
            self._arm(self._house.clock.seconds() + LINGER)

    def _part(self, words: bytes, *, quit: bool) -> bool:  # noqa: A002
        """Last words and the end; whether it comes at once. A socket closed while octets wait in it resets the
        connection, and our last words are lost with it: so we end our direction only, and read what comes until the
        client has ended its own. TLS does that by itself."""
        if quit or self.conversation.session.tls is not None or self._shaking_hands:
            return part(self._transport, words)
        if words:
            self._transport.write(words)
        self._transport.loseWriteConnection()
        if not self._reading:
            self._reading = True
            self._transport.resumeProducing()
        return False

    # Back-pressure.

    def _client_turned(self, full: bool) -> None:
        self._client_full = full
        if full:
            self._regulate()
        else:
            self._heard = self._house.clock.seconds()
            self._pump()

    def _regulate(self) -> None:
        """Read on only where what comes can be worked on soon."""
        if self._gone or self._closing:
            return
        reading = not (self._client_full or (self._working is not None and self._lines.left > MAX_WAITING))
        if reading is not self._reading:
            self._reading = reading
            if reading:
                self._transport.resumeProducing()
            else:
                self._transport.pauseProducing()

    # Time. One timer per connection, never moved by traffic: when it fires it looks how long the client was silent.

    @property
    def _shortest(self) -> float:
        limits = self._house.limits
        return min(limits.command_timeout, limits.data_timeout)

    def _arm(self, moment: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        clock = self._house.clock
        self._timer = clock.callLater(max(0.0, moment - clock.seconds()), self._tick)

    def _tick(self) -> None:
        now = self._house.clock.seconds()
        if self._closing:
            self._transport.abortConnection()
            return
        if self._working is not None or now < self._heard:  # by a clock that was put back meanwhile
            self._heard = now
        limits = self._house.limits
        patience = limits.data_timeout if self.conversation.receiving else limits.command_timeout
        silent, over = self._heard + patience, self._started + limits.session_time
        if now >= silent:
            self._end(answers.TIMEOUT)
        elif now >= over and self._working in (None, self._others_turn):  # commands may never run out
            self._end(answers.SESSION_OVER)
        else:
            self._arm(min(silent, now + self._shortest, over if now < over else now + 1.0))

    def _end(self, farewell: Turn) -> None:
        if self._shaking_hands:
            self._transport.abortConnection()
            return
        self._say(farewell)

    # The end of the service.

    def drain(self) -> None:
        """Answer what is being asked, let a transaction finish, then 421 (RFC 5321 3.8)."""
        self._draining = True
        asked = self._working not in (None, self._others_turn)
        if not (self._closing or asked) and (self._shaking_hands or self.conversation.resting):
            self._end(answers.SHUTDOWN)

    def cut(self) -> None:
        """End it now. A message being committed is still committed."""
        self._cause = "shutdown"
        self._flush()
        self._transport.abortConnection()
