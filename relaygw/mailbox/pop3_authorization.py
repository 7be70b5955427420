"""The commands of the AUTHORIZATION state (RFC 1939 4 and 7, RFC 2595, RFC 5034): they end in a login, or leave the
session where it is."""

from collections.abc import Awaitable, Callable

from relaygw.config.schema import ListenerConfig
from relaygw.mailbox.pop3_commands import Refuse
from relaygw.mailbox.pop3_replies import Replies
from relaygw.sasl import Authenticated, Challenge, Exchange, Logins, Refusal, Step

_REFUSALS = {
    Refusal.CANCELLED: "authentication cancelled",
    Refusal.MALFORMED: "malformed authentication response",
    Refusal.CREDENTIALS: "[AUTH] wrong user name or password",
    Refusal.UNAVAILABLE: "[SYS/TEMP] cannot check passwords now, try again later",
    Refusal.EXHAUSTED: "[AUTH] too many failed logins",
}


class Authorization:
    """`secure` tells whether TLS is active, `begin_tls` answers STLS; `enter` opens the mailbox of who has logged in,
    `finish` ends the session of who tried too often. `exchange` is the one whose next response is awaited.

    Arguments come as the client wrote them; errors are Refuse and what `enter` raises."""

    def __init__(
        self,
        *,
        logins: Logins,
        listener: ListenerConfig,
        replies: Replies,
        offers_tls: bool,
        secure: Callable[[], bool],
        begin_tls: Callable[[], None],
        enter: Callable[[Authenticated], Awaitable[None]],
        finish: Callable[[str], None],
    ) -> None:
        self.exchange: Exchange | None = None
        self._user = b""
        self._logins = logins
        self._listener = listener
        self._replies = replies
        self._offers_tls = offers_tls
        self._secure = secure
        self._begin_tls = begin_tls
        self._enter = enter
        self._finish = finish

    def capabilities(self) -> list[bytes]:
        """Those of this state (RFC 2449 6)."""
        found = []
        if self._may_login:
            mechanisms = " ".join(self._logins.mechanisms).encode("ascii")
            found += [b"USER", b"SASL " + mechanisms]
        if self._offers_tls and not self._secure():
            found.append(b"STLS")
        return found

    @property
    def _may_login(self) -> bool:
        allowed = self._listener.auth or "tls"
        return allowed == "always" or (allowed == "tls" and self._secure())

    def _require_login_allowed(self) -> None:
        if not self._may_login:
            raise Refuse("no login here" if self._listener.auth == "never" else "STLS must come first")

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

    async def respond(self, exchange: Exchange, line: bytes) -> None:
        """The client's next line in an exchange."""
        self.exchange = None
        await self._step(await exchange.respond(line), exchange)

    async def _step(self, step: Step, exchange: Exchange | None = None) -> None:
        if isinstance(step, Challenge):
            self.exchange = exchange
            self._replies.challenge(step.data)
        elif isinstance(step, Authenticated):
            await self._enter(step)
        else:
            self._replies.say(f"-ERR {_REFUSALS[step.kind]}")
            if step.kind is Refusal.EXHAUSTED:
                self._finish("too many failed logins")

    async def do_STLS(self) -> None:
        if not self._offers_tls or self._secure():
            raise Refuse("TLS is active already" if self._secure() else "no TLS here")
        self._user = b""
        self._begin_tls()
