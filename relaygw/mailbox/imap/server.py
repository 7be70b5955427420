"""One IMAP connection: bytes in, strictly one command at a time, answers in order, whatever is pipelined.

A subclass of Twisted's IMAP4Server, of which the line layer, parsing, dispatch and rendering are replaced; the names
that Twisted calls stay. Bounded in both directions: a client that sends ahead is not read, one that does not read is
not served, and each has its time.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.mail.imap4 import IMAP4Server
from twisted.python.failure import Failure
from zope.interface import implementer

from relaygw.channel import Channel, channel
from relaygw.core.events import Connected, Disconnected, Secured, TaskFailed
from relaygw.mailbox.imap.access import capabilities
from relaygw.mailbox.imap.awaited import AwaitedLine
from relaygw.mailbox.imap.commands import State
from relaygw.mailbox.imap.dispatch import perform
from relaygw.mailbox.imap.lines import Collected, CommandReader, Continue, Offered, Skipped
from relaygw.mailbox.imap.offers import bearable, judge_offer
from relaygw.mailbox.imap.output import Output
from relaygw.mailbox.imap.parser import BadCommand, parse_command, parse_tag
from relaygw.mailbox.imap.patience import CLOSING, LOGIN_ALL, LOGIN_COMMAND, STALLED, Patience
from relaygw.mailbox.imap.session import Completion, Gone, Session, Settings, bad, no
from relaygw.mailbox.imap.tokens import StoredLiteral
from relaygw.mailbox.imap.upload import Upload

AHEAD = 64 * 1024
"""Octets a client may send ahead of the command being answered."""
TURN = 100
"""Commands answered in one turn of the reactor."""
MAX_ERRORS = 50
"""Commands that make no sense before the connection is closed."""


@implementer(IHandshakeListener)
class ImapServer(IMAP4Server):
    """`identity` names the session in the journal; `left` is called once, when nothing of it is left."""

    transport: Any  # a stream of Twisted's: ITransport, IConsumer, IPushProducer, ITLSTransport

    def __init__(self, settings: Settings, identity: str, left: "Callable[[ImapServer], None]") -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's class has no types
        self.peer: Any = None  # the client's address where the transport's is another's: behind a load balancer
        self._settings = settings
        self._identity = identity
        self._left = left
        self._clock = settings.clock
        self._reader = CommandReader()
        self._output = Output(self._pump)
        self._upload: Upload | None = None
        self._awaited = AwaitedLine(settings.clock)
        self._busy = self._pumping = self._later = False
        self._over = self._lost = self._ended = False
        self._tls_next = False
        self._paused = False
        self._cause = "lost"
        self._commands = self._errors = 0
        self._calls: list[IDelayedCall] = []
        self._patience = Patience(settings.clock, self.timeoutConnection)
        self._running: Deferred[None] = Deferred()

    # --- what Twisted calls ---

    def connectionMade(self) -> None:
        settings = self._settings
        self._started = self._clock.seconds()
        peer = self.peer or self.transport.getPeer()
        client = str(getattr(peer, "host", ""))
        self.session = Session(settings, self, self._identity, client)
        self.session.on_news = self._awaited.news
        settings.journal(
            Connected(
                session=self._identity,
                listener=settings.listener.name,
                client=client,
                port=int(getattr(peer, "port", 0)),
            )
        )
        if self.secure:
            self.session.logins.secured(Channel(self.transport))
        self._output.attach(self.transport)
        self._calls.append(self._clock.callLater(LOGIN_ALL, self._login_late))
        # With implicit TLS the client's certificate decides about AUTH=EXTERNAL, and is known after the handshake.
        self._greeted = not (self.secure and settings.authenticator.certificate_login is not None)
        if self._greeted:
            self._greet()

    def _greet(self) -> None:
        self._greeted = True
        self.send(b"* OK [CAPABILITY " + b" ".join(capabilities(self.session)) + b"] relaygw is ready\r\n")
        self._pump()

    def handshakeCompleted(self) -> None:
        found = channel(self.transport)
        self.session.logins.secured(Channel(self.transport))
        self._settings.journal(Secured(session=self._identity, version=found.version, cipher=found.cipher))
        if not self._greeted:
            self._greet()

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._reader.feed(data)
        if self.session.state is not State.UNAUTHENTICATED:
            self._patience.renew()
        self._pump()

    def timeoutConnection(self) -> None:
        if self._output.blocked:
            self.abort("stalled")
            return
        self.send(b"* BYE Nothing was heard of you for too long\r\n")
        self._close("timeout")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = self._over = True
        self._patience.stop()
        for call in self._calls:
            if call.active():
                call.cancel()
        self._output.lose()
        self._awaited.lose()
        if not self._busy:
            self._end()

    # --- one thing after the other ---

    def _pump(self) -> None:
        """Take from the reader what can be taken. Called whenever something changed; never runs inside itself."""
        if self._pumping or self._lost:
            return
        self._pumping = True
        try:
            turns = 0
            while turns < TURN and self._step():
                turns += 1
        finally:
            self._pumping = False
        if turns == TURN and not self._later:
            self._later = True
            self._calls = [call for call in self._calls if call.active()]
            self._calls.append(self._clock.callLater(0, self._pump_later))
        if not self._busy or self._awaited.open:
            self._output.flush()
        self._flow()
        self._arm()

    def _pump_later(self) -> None:
        self._later = False
        self._pump()

    def _step(self) -> bool:
        """Whether there was something to do."""
        if self._over:
            return False
        if self._awaited.open:
            line = self._reader.line(self._awaited.limit)
            if line is not None:
                self._awaited.give(line)
            return line is not None
        if self._busy or self._output.blocked:
            return False
        event = self._reader.next()
        if event is None:
            return False
        self._take(event)
        return True

    def _take(self, event: Collected | Continue | Offered | Skipped) -> None:
        if isinstance(event, Continue):
            self.send(b"+ Go ahead\r\n")
        elif isinstance(event, Offered):
            self._start(self._consider(event))
        elif isinstance(event, Collected):
            self._start(self._answer(event))
        else:
            self._complete(parse_tag(event.start), bad(event.fault.value, b"LIMIT"))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._busy = True
        self._commands += 1
        self._running = Deferred.fromCoroutine(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Gone:
            pass
        except Exception as error:
            # Not even an answer could be made: what the client believes is anybody's guess.
            self._broke("imap command", error)
            self.abort("failure")
        finally:
            self._finished()

    def _finished(self) -> None:
        self._busy = self._awaited.idling = False
        if self._lost:
            self._end()
        else:
            self._pump()

    async def _answer(self, command: Collected) -> None:
        self._upload = None
        try:
            request = parse_command(command.texts, command.literals)
            self._complete(request.tag, await perform(self.session, request))
        except BadCommand as error:
            charset = no(error.reason, b"BADCHARSET (US-ASCII UTF-8)")
            self._complete(error.tag, charset if error.charset else bad(error.reason))
        finally:
            for literal in command.literals:
                if isinstance(literal, StoredLiteral) and isinstance(literal.handle, Upload):
                    literal.handle.close()

    async def _consider(self, offered: Offered) -> None:
        """Take the message an APPEND brings, or refuse it before it comes."""
        judged = await judge_offer(self.session, offered)
        if self._over:
            return
        if isinstance(judged, Upload):
            self._upload = judged
            self._reader.take(judged)
            if offered.waits:
                self.send(b"+ Go ahead\r\n")
            return
        self._complete(parse_tag(offered.texts[0]), judged)
        if offered.waits or bearable(self.session, offered.size):
            self._reader.skip()
        else:
            self.send(b"* BYE Nobody wants to hear all of this\r\n")
            self._close("too large")

    def _complete(self, tag: bytes, completion: Completion) -> None:
        """The command's last line, and what follows from it."""
        if self._tls_next:
            self._begin_tls(tag, completion)
            return
        self.send(completion.line(tag or b"*"))
        self._errors += completion.status == b"BAD"
        if self.session.state is State.LOGOUT:
            self._close("quit")
        elif self._errors > MAX_ERRORS:
            self.send(b"* BYE Too many errors\r\n")
            self._close("too many errors")

    def _begin_tls(self, tag: bytes, completion: Completion) -> None:
        """Whatever was sent in clear behind STARTTLS is an attack, or as good as one (RFC 3501 6.2.1)."""
        self._tls_next = False
        if self._reader.buffered or self._settings.tls is None:
            self.send(b"* BYE Nothing may follow STARTTLS in clear\r\n")
            self._close("clear text behind STARTTLS")
            return
        self.send(completion.line(tag))
        self._output.flush()
        self._reader.drop()
        self.transport.startTLS(self._settings.tls.context_factory)

    # --- the Channel of a session ---

    @property
    def secure(self) -> bool:
        return bool(ISSLTransport.providedBy(self.transport))

    def send(self, data: bytes) -> None:
        self._output.send(data)

    async def drained(self) -> None:
        if self._over:
            raise Gone
        await self._output.drained()

    async def breathe(self) -> None:
        await self.drained()
        await deferLater(self._clock, 0, _nothing)
        if self._over:
            raise Gone

    async def read_line(self, limit: int) -> bytes:
        line = await self._await_line(limit)
        if line is None:
            raise Gone
        return line

    async def read_line_or_news(self, limit: int, patience: float) -> bytes | None:
        self._awaited.idling = True
        wake = self._clock.callLater(patience, self._awaited.give, None)
        try:
            return await self._await_line(limit)
        finally:
            if wake.active():
                wake.cancel()

    async def _await_line(self, limit: int) -> bytes | None:
        if self._over:
            raise Gone
        waiting = self._awaited.ask(limit)
        self._pump()
        return await waiting

    def start_tls(self) -> None:
        self._tls_next = True

    def abort(self, cause: str) -> None:
        if not self._over:
            self._over, self._cause = True, cause
            self._output.detach()
        self.transport.abortConnection()

    # --- time and flow ---

    def _flow(self) -> None:
        """Read on only while there is room for what comes."""
        full = self._reader.buffered > AHEAD and not self._over
        if full is not self._paused:
            self._paused = full
            if full:
                self.transport.pauseProducing()
            else:
                self.transport.resumeProducing()

    def _arm(self) -> None:
        """How long to wait for what the client owes us; for ever while we owe it an answer."""
        if self._over:
            return
        period: float | None = self._settings.mailbox.idle_timeout
        if self._output.blocked:
            period = STALLED
        elif self._busy and not (self._awaited.open or self._awaited.idling):
            period = None
        elif self.session.state is State.UNAUTHENTICATED:
            period = LOGIN_COMMAND
        self._patience.wait(period, self._commands)

    def _login_late(self) -> None:
        if self.session.state is State.UNAUTHENTICATED and not self._over:
            self.send(b"* BYE Logging in takes too long\r\n")
            self._close("timeout")

    # --- the end ---

    def shut_down(self) -> None:
        """The service stops."""
        if not self._over:
            self.send(b"* BYE The server is going down\r\n")
            self._close("shutdown")

    def _close(self, cause: str) -> None:
        """Let what is queued leave, and nothing more come in."""
        if self._over:
            return
        self._over, self._cause = True, cause
        self._patience.stop()
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        self._output.detach()
        self._awaited.lose()
        self._calls.append(self._clock.callLater(CLOSING, self.transport.abortConnection))
        self.transport.loseConnection()

    def _end(self) -> None:
        """Once, when the connection is lost and no command runs."""
        if self._ended:
            return
        self._ended = True
        self._reader.drop()
        if self._upload is not None:
            self._upload.close()
        self._running = Deferred.fromCoroutine(self._leave())

    async def _leave(self) -> None:
        try:
            await self.session.leave()
        except Exception as error:
            self._broke("imap leave", error)
        seconds = self._clock.seconds() - self._started
        self._settings.journal(
            Disconnected(session=self._identity, cause=self._cause, commands=self._commands, seconds=seconds)
        )
        self._left(self)

    def _broke(self, task: str, error: Exception) -> None:
        self._settings.journal(TaskFailed(session=self._identity, task=task, error=type(error).__qualname__))


def _nothing() -> None:
    """A turn of the reactor."""
