"""The POP3 server (RFC 1939, 2449, 2595, 3206, 5034) on Twisted's class, with a receive loop of its own.

Commands are answered strictly in order, one at a time, whatever is pipelined and however long one takes. Bad input is
answered -ERR and never ends the session; only a message cut off by a failing disk does, as nothing else tells the
client. Memory is bounded: by line, by unread commands (the transport is paused) and by unsent replies (Outlet).
Deletions happen at QUIT and nowhere else, and its +OK waits for them. Knows nothing of files.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.mail import pop3
from twisted.python.failure import Failure
from zope.interface import implementer

from relaygw.channel import Channel, channel
from relaygw.config.schema import ListenerConfig, MailboxConfig
from relaygw.core.events import Connected, Disconnected, Event, MailboxOpened, Secured, TaskFailed
from relaygw.mailbox.maildrop import Maildrop, NoSuchNumber, open_maildrop
from relaygw.mailbox.outlet import Lost, Outlet
from relaygw.mailbox.pop3_authorization import Authorization
from relaygw.mailbox.pop3_commands import AUTHORIZATION, COMMANDS, TRANSACTION, Refuse
from relaygw.mailbox.pop3_replies import CutOff, Replies
from relaygw.mailbox.pop3_text import MAX_COMMAND, CommandLines, TooLong
from relaygw.mailbox.pop3_transaction import Transaction
from relaygw.mailbox.store import Store
from relaygw.mailbox.values import MaildropLocked, NoSuchMessage
from relaygw.sasl import MAX_RESPONSE, Authenticated, Authenticator
from relaygw.tasks import describe
from relaygw.tls import ServerTls

MAX_UNREAD = 16 * 1024
"""Octets of commands that wait for their turn; beyond, the peer must wait."""

_MINIMUM_IDLE = 600.0
"""Seconds without a command that a client may always have (RFC 1939 3)."""

_TURN = 100
"""Commands of one client before others get their turn."""

_CLOSING = 30.0
"""Seconds a peer has to take the last reply and close, before the connection is cut."""


@attrs.frozen(kw_only=True)
class Shared:
    """What all sessions of a listener have in common. `tls` None: there is no STLS."""

    authenticator: Authenticator
    store: Store
    tls: ServerTls | None
    clock: Any  # IReactorTime
    journal: Callable[[Event], None]
    mailbox: MailboxConfig
    listener: ListenerConfig
    hostname: str

    @property
    def idle_timeout(self) -> float:
        return max(self.mailbox.idle_timeout, _MINIMUM_IDLE)


@implementer(IHandshakeListener)
class Pop3Server(pop3.POP3):
    """One session. `client` is the peer's address as text; `refusal` non-empty: say it instead of a greeting.

    `ended` is called when the connection is gone and the account is let go of.
    """

    transport: Any

    def __init__(
        self, shared: Shared, session: str, client: str, port: int, ended: Callable[["Pop3Server"], None]
    ) -> None:
        self.client = client
        self.refusal = ""
        self.state = AUTHORIZATION
        self._shared = shared
        self._session = session
        self._port = port
        self._ended = ended
        self._began = shared.clock.seconds()
        self._logins = shared.authenticator.logins(session, client)
        self._lines = CommandLines()
        self._drop: Maildrop | None = None
        self._logout: Callable[[], None] | None = None
        self._commands = 0
        self._busy = False
        self._closing = False
        self._paused = False
        self._lost = False
        self._cause = "lost"
        self._cut: IDelayedCall | None = None
        self.callLater = shared.clock.callLater  # type: ignore[method-assign]  # how TimeoutMixin is given a clock

    # --- what Twisted calls ---

    def connectionMade(self) -> None:
        self._outlet = Outlet(self.transport)
        self._replies = Replies(self.transport, self._writable, self._shared.store)
        listener = self._shared.listener
        self._authorization = Authorization(
            logins=self._logins,
            listener=listener,
            replies=self._replies,
            offers_tls=self._shared.tls is not None,
            secure=lambda: bool(ISSLTransport.providedBy(self.transport)),
            begin_tls=self._begin_tls,
            enter=self._enter,
            finish=self._finish,
        )
        self._stage: Authorization | Transaction = self._authorization
        self._event(Connected(session=self._session, listener=listener.name, client=self.client, port=self._port))
        if self.refusal:
            self._replies.say(f"-ERR {self.refusal}")
            self._finish("refused")
            return
        self._replies.say(f"+OK {self._shared.hostname} POP3 server ready")
        self._idle(self._shared.idle_timeout)

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        self._lines.receive(data)
        if len(self._lines) > MAX_UNREAD and not self._paused:
            self._paused = True
            self.transport.pauseProducing()
        if not self._busy:
            self._busy = True
            self._background(self._serve())

    def handshakeCompleted(self) -> None:
        secured = channel(self.transport)
        self._logins.secured(Channel(self.transport))
        self._event(Secured(session=self._session, version=secured.version, cipher=secured.cipher))

    def timeoutConnection(self) -> None:
        """RFC 1939 3: nothing is removed and nothing is said."""
        self._cause = "timeout"
        self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closing = self._lost = True
        self._outlet.lose()
        self._idle(None)
        if self._cut is not None and self._cut.active():
            self._cut.cancel()
        self._event(
            Disconnected(
                session=self._session,
                cause=self._cause,
                commands=self._commands,
                seconds=self._shared.clock.seconds() - self._began,
            )
        )
        if not self._busy:
            self._background(self._leave())

    # --- the receive loop ---

    async def _serve(self) -> None:
        """Answer what waits, in order. The idle timer stands still while we work, not while the peer is awaited."""
        self._idle(None)
        try:
            while not self._closing and (line := self._lines.next(self._limit)) is not None:
                self._commands += 1
                await self._writable()
                await self._answer(line)
                if self._commands % _TURN == 0:
                    await deferLater(self._shared.clock, 0, _nothing)
                self._read_on()
        except Lost:
            self._closing = True
        finally:
            self._busy = False
            if self._lost:
                await self._leave()
            elif not self._closing:
                self._idle(self._shared.idle_timeout)

    @property
    def _limit(self) -> int:
        return MAX_COMMAND if self._authorization.exchange is None else MAX_RESPONSE + 2

    def _read_on(self) -> None:
        if self._paused and len(self._lines) <= MAX_UNREAD:
            self._paused = False
            self.transport.resumeProducing()

    async def _writable(self) -> None:
        """The peer has read enough of what we sent; it has the idle timeout to do so."""
        if not self._outlet.ready:
            self._idle(self._shared.idle_timeout)
            await self._outlet.writable()
            self._idle(None)

    async def _answer(self, line: bytes | TooLong) -> None:
        """Exactly one reply, whatever happens."""
        try:
            exchange = self._authorization.exchange
            if isinstance(line, TooLong):
                self._authorization.exchange = None
                raise Refuse("line too long")
            await (self._command(line) if exchange is None else self._authorization.respond(exchange, line))
        except (Refuse, NoSuchNumber) as refused:
            self._replies.say(f"-ERR {refused}")
        except NoSuchMessage:
            self._replies.say("-ERR the message is gone")
        except MaildropLocked:
            self._replies.say("-ERR [IN-USE] another session has the mailbox")
        except Lost:
            raise
        except CutOff as error:
            self._event(TaskFailed(session=self._session, task="pop3", error=describe(error)))
            self._cause = "message unreadable"
            self._abort()
            raise Lost from error
        except Exception as error:
            self._event(TaskFailed(session=self._session, task="pop3", error=describe(error)))
            self._replies.say("-ERR [SYS/TEMP] internal error, try again later")

    async def _command(self, line: bytes) -> None:
        verb, _, rest = line.partition(b" ")
        name = verb.decode("ascii", "replace").upper()
        command = COMMANDS.get(name)
        if command is None:
            raise Refuse("unknown command")
        if self.state not in command.states:
            raise Refuse("log in first" if self.state == AUTHORIZATION else "already logged in")
        if command.arguments is None:
            arguments = [rest]
        else:
            arguments = rest.split()
            if len(arguments) not in command.arguments:
                raise Refuse("wrong number of arguments")
        handler = self if len(command.states) > 1 else self._stage  # what may be said in both states is of neither
        await getattr(handler, f"do_{name}")(*arguments)

    # --- from one state to the next ---

    async def _enter(self, login: Authenticated) -> None:
        """From AUTHORIZATION to TRANSACTION; stays where it is when the maildrop cannot be had."""
        account = login.account
        try:
            drop = self._drop = await open_maildrop(self._shared.store, account)
        except BaseException:
            login.logout()
            raise
        self._logout = login.logout
        self.state = TRANSACTION
        self._stage = Transaction(drop, self._replies)
        self._event(MailboxOpened(session=self._session, protocol="pop3", login=account.name, client=self.client))
        self._replies.say("+OK {} messages ({} octets)".format(*drop.totals()))

    def _begin_tls(self) -> None:
        """RFC 2595 4. What came in clear behind the command is an attack or a fault, and never read as a command."""
        if len(self._lines) or self._shared.tls is None:
            self._replies.say("-ERR something came behind STLS")
            self._finish("STLS with trailing bytes")
            return
        self._replies.say("+OK begin TLS")
        self.transport.startTLS(self._shared.tls.context_factory)

    # --- both states ---

    async def do_QUIT(self) -> None:
        """The UPDATE state. The account is free again before the client reads that we are done."""
        reply = "+OK bye"
        try:
            if self._drop is not None:
                await self._drop.update()
        except Exception as error:
            self._event(TaskFailed(session=self._session, task="pop3 update", error=describe(error)))
            reply = "-ERR [SYS/TEMP] some deleted messages were not removed"
        await self._let_go()
        self._replies.say(reply)
        self._finish("quit")

    async def do_CAPA(self) -> None:
        await self._replies.list("capabilities follow", iter(self.listCapabilities()))

    def listCapabilities(self) -> list[bytes]:
        """RFC 2449 6, in the words of its registry."""
        everywhere = (b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING", b"EXPIRE NEVER")
        here = self._authorization.capabilities() if self.state == AUTHORIZATION else ()
        return [*everywhere, *here, b"IMPLEMENTATION relaygw"]

    # --- the end ---

    def _finish(self, cause: str) -> None:
        """Close when the last reply is sent; cut when the peer does not take it."""
        self._closing = True
        self._cause = cause
        self._lines.clear()
        self._idle(None)
        if self._paused:
            self.transport.resumeProducing()
        self._cut = self._shared.clock.callLater(_CLOSING, self._abort)
        self._outlet.finish()

    def shut_down(self) -> None:
        """The service stops: nothing is removed but what QUIT is removing already."""
        if self._cause == "lost":
            self._cause = "shutdown"
        self._abort()

    def _abort(self) -> None:
        """A TLS transport that is gone already must not be asked."""
        if not self._lost:
            self.transport.abortConnection()

    async def _let_go(self) -> None:
        """Of the account, once; deletions that QUIT did not do are forgotten."""
        drop, self._drop = self._drop, None
        logout, self._logout = self._logout, None
        if logout is not None:
            logout()
        if drop is not None:
            await drop.close()

    async def _leave(self) -> None:
        try:
            await self._let_go()
        finally:
            self._ended(self)

    def _idle(self, seconds: float | None) -> None:
        """Start the idle timer anew; None: stop it."""
        self.setTimeout(seconds)  # type: ignore[no-untyped-call]  # Twisted's is not annotated

    def _event(self, event: Event) -> None:
        self._shared.journal(event)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        """Nobody waits for it: a fault of ours is journaled, and the session ends."""
        _ = Deferred.fromCoroutine(self._watched(work))

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._event(TaskFailed(session=self._session, task="pop3", error=describe(error)))
            self._abort()


def _nothing() -> None:
    """Others had their turn."""
