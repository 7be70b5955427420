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
from relaygw.mailbox.pop3_commands import AUTHORIZATION, COMMANDS, TRANSACTION, Refuse
from relaygw.mailbox.pop3_replies import CutOff, Replies
from relaygw.mailbox.pop3_text import MAX_COMMAND, CommandLines, TooLong
from relaygw.mailbox.pop3_transaction import Transaction
from relaygw.mailbox.store import Store
from relaygw.mailbox.values import MaildropLocked, NoSuchMessage
from relaygw.sasl import MAX_RESPONSE, Authenticated, Authenticator, Challenge, Exchange, Refusal, Step
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

_REFUSALS = {
    Refusal.CANCELLED: "authentication cancelled",
    Refusal.MALFORMED: "malformed authentication response",
    Refusal.CREDENTIALS: "[AUTH] wrong user name or password",
    Refusal.UNAVAILABLE: "[SYS/TEMP] cannot check passwords now, try again later",
    Refusal.EXHAUSTED: "[AUTH] too many failed logins",
}


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
        self._exchange: Exchange | None = None
        self._user = b""
        self._drop: Maildrop | None = None
        self._transaction: Transaction | None = None
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
        return MAX_COMMAND if self._exchange is None else MAX_RESPONSE + 2

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
            if isinstance(line, TooLong):
                self._exchange = None
                raise Refuse("line too long")
            await (self._command(line) if self._exchange is None else self._respond(self._exchange, line))
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
        handler = self if AUTHORIZATION in command.states else self._transaction
        await getattr(handler, f"do_{name}")(*arguments)

    # --- authorization ---

    @property
    def _secure(self) -> bool:
        return bool(ISSLTransport.providedBy(self.transport))

    @property
    def _may_login(self) -> bool:
        allowed = self._shared.listener.auth or "tls"
        return allowed == "always" or (allowed == "tls" and self._secure)

    def _require_login_allowed(self) -> None:
        if not self._may_login:
            raise Refuse("no login here" if self._shared.listener.auth == "never" else "STLS must come first")

    async def do_USER(self, user: bytes) -> None:
        self._require_login_allowed()
        if not user:
            raise Refuse("no user name")
        self._user = user
        self._replies.say("+OK send PASS")

    async def do_PASS(self, password: bytes) -> None:
        self._require_login_allowed()
        if not self._user:
            raise Refuse("USER must come first")
        user, self._user = self._user, b""
        await self._step(await self._logins.password(user, password, "PASS"))

    async def do_AUTH(self, mechanism: bytes | None = None, initial: bytes | None = None) -> None:
        self._require_login_allowed()
        if mechanism is None:
            await self._replies.list("mechanisms follow", (name.encode("ascii") for name in self._logins.mechanisms))
            return
        exchange = self._logins.begin(mechanism.decode("ascii", "replace"))
        if exchange is None:
            raise Refuse("unknown mechanism")
        await self._step(await exchange.start(initial), exchange)

    async def _respond(self, exchange: Exchange, line: bytes) -> None:
        self._exchange = None
        await self._step(await exchange.respond(line), exchange)

    async def _step(self, step: Step, exchange: Exchange | None = None) -> None:
        if isinstance(step, Challenge):
            self._exchange = exchange
            self.transport.write(b"+ " + step.data + b"\r\n")
        elif isinstance(step, Authenticated):
            await self._enter(step)
        else:
            self._replies.say(f"-ERR {_REFUSALS[step.kind]}")
            if step.kind is Refusal.EXHAUSTED:
                self._finish("too many failed logins")

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
        self._transaction = Transaction(drop, self._replies)
        self._event(MailboxOpened(session=self._session, protocol="pop3", login=account.name, client=self.client))
        self._replies.say("+OK {} messages ({} octets)".format(*drop.totals()))

    async def do_STLS(self) -> None:
        """RFC 2595 4. What came in clear behind the command is an attack or a fault, and never read as a command."""
        if self._shared.tls is None or self._secure:
            raise Refuse("TLS is active already" if self._secure else "no TLS here")
        if len(self._lines):
            self._replies.say("-ERR something came behind STLS")
            self._finish("STLS with trailing bytes")
            return
        self._replies.say("+OK begin TLS")
        self._user = b""
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
        capabilities = [b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING", b"EXPIRE NEVER"]
        if self.state == AUTHORIZATION:
            if self._may_login:
                mechanisms = " ".join(self._logins.mechanisms).encode("ascii")
                capabilities += [b"USER", b"SASL " + mechanisms]
            if self._shared.tls is not None and not self._secure:
                capabilities.append(b"STLS")
        return [*capabilities, b"IMPLEMENTATION relaygw"]

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
