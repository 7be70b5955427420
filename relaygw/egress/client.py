"""From a fresh connection to a session ready for mail: greeting, EHLO or HELO, STARTTLS, AUTH.

Nothing learnt in clear survives STARTTLS; nothing secret is sent in clear unless the route asks for that by name.
Fails with Broken, whose phase tells the opener whether another way (HELO, in clear) is worth a new connection.
"""

import attrs

from relaygw.core.capabilities import Capabilities, parse_capabilities
from relaygw.core.mx import Target
from relaygw.core.reply import Reply
from relaygw.egress.broken import Broken, Phase, broken
from relaygw.egress.connection import SmtpConnection
from relaygw.egress.hop import Hop, Manners, TlsMode
from relaygw.egress.login import log_in
from relaygw.egress.tls import AuthoritiesError, ClientCreator, TlsFacts, facts, name_mismatch


@attrs.define(kw_only=True, eq=False)
class Session:
    """A conversation that can carry mail. `dirty`: a transaction is left open, RSET is due before the next.

    `reused`: it was kept after other mail, and the server has not yet shown that it still listens.
    """

    connection: SmtpConnection
    target: Target
    hop: Hop
    offered: Capabilities
    tls: TlsFacts | None = None
    messages: int = 0
    transactions: int = 0
    dirty: bool = False
    reused: bool = False

    @property
    def spent(self) -> bool:
        """Whether the server has said that it takes no further transaction in this session (RFC 9422 4.1)."""
        return 0 < self.offered.max_messages <= self.transactions

    @property
    def tls_version(self) -> str:
        return self.tls.version if self.tls is not None else ""


@attrs.frozen(kw_only=True)
class Approach:
    """What this connection tries; an opener retreats from EHLO to HELO, and from TLS to clear where that is allowed."""

    ehlo: bool = True
    tls: TlsMode = TlsMode.MAY


async def exchange(connection: SmtpConnection, command: bytes, timeout: float, phase: Phase) -> Reply:
    """One command, one reply; raises Broken."""
    replies = await connection.ask(command, 1, timeout, phase)
    if connection.failure is not None:
        raise connection.failure
    return replies[0]


async def begin(connection: SmtpConnection, target: Target, hop: Hop, approach: Approach, manners: Manners) -> Session:
    """Lead a connection just made to where mail can be sent; raises Broken."""
    tls = await _handshake(connection, target, hop, approach.tls, manners) if hop.implicit else None
    greeting = await exchange(connection, b"", manners.greeting_timeout, Phase.GREETING)
    if greeting.code != 220:
        raise Broken(Phase.GREETING, greeting, remote=True)
    offered = await _hello(connection, hop, approach, manners)
    if tls is None and await _start_tls(connection, offered, approach.tls, manners):
        tls = await _handshake(connection, target, hop, approach.tls, manners)
        offered = await _hello(connection, hop, approach, manners)
    session = Session(connection=connection, target=target, hop=hop, offered=offered, tls=tls)
    if hop.login is not None:
        await _log_in(session, manners)
    return session


async def _hello(connection: SmtpConnection, hop: Hop, approach: Approach, manners: Manners) -> Capabilities:
    """EHLO, or HELO where the server does not know EHLO (RFC 5321 3.2); LHLO has nothing to fall back on."""
    name = manners.hostname.encode("ascii")
    if approach.ehlo:
        verb = b"LHLO " if hop.lmtp else b"EHLO "
        reply = await exchange(connection, verb + name + b"\r\n", manners.command_timeout, Phase.HELLO)
        if reply.code // 100 == 2:
            return parse_capabilities(reply)
        if not reply.permanent or hop.lmtp:
            raise Broken(Phase.HELLO, reply, remote=True)
    reply = await exchange(connection, b"HELO " + name + b"\r\n", manners.command_timeout, Phase.HELLO)
    if reply.code // 100 != 2:
        raise Broken(Phase.HELLO, reply, remote=True)
    return Capabilities()


async def _start_tls(connection: SmtpConnection, offered: Capabilities, mode: TlsMode, manners: Manners) -> bool:
    """Whether the server is waiting for our handshake now."""
    if mode is TlsMode.NONE:
        return False
    if not offered.offers("STARTTLS"):
        if mode is TlsMode.MAY:
            return False
        raise broken(Phase.STARTTLS, "4.7.4", "TLS is required, but the server does not offer it")
    reply = await exchange(connection, b"STARTTLS\r\n", manners.command_timeout, Phase.STARTTLS)
    if reply.code == 220:
        return True
    if mode is TlsMode.MAY:  # refused in good order: the conversation goes on as it was (RFC 3207 4)
        return False
    raise Broken(Phase.STARTTLS, Reply(451, "4.7.4", f"TLS is required, but the server refused it: {reply}"))


async def _handshake(connection: SmtpConnection, target: Target, hop: Hop, mode: TlsMode, manners: Manners) -> TlsFacts:
    name = target.address if target.host.startswith("[") else target.host
    creator = ClientCreator(name, mode, hop.authorities)
    try:
        creator.context()
    except AuthoritiesError as error:
        raise broken(Phase.STARTTLS, "4.3.5", f"the trusted authorities are missing ({error})") from error
    await connection.start_tls(creator, manners.command_timeout)
    if mode is TlsMode.VERIFY:
        mismatch = name_mismatch(connection.handle(), name)
        if mismatch:
            raise broken(Phase.HANDSHAKE, "4.7.5", mismatch)
    return facts(connection.handle(), mode is TlsMode.VERIFY)


async def _log_in(session: Session, manners: Manners) -> None:
    login = session.hop.login
    if login is None:
        return
    if session.tls is None and not login.in_clear:
        raise broken(Phase.AUTH, "4.7.4", "a login needs TLS, and this connection has none")

    async def ask(line: bytes) -> Reply:
        return await exchange(session.connection, line, manners.command_timeout, Phase.AUTH)

    await log_in(login, session.offered.mechanisms, ask)
