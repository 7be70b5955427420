"""From a fresh connection to a session ready for mail: greeting, EHLO or HELO, STARTTLS, AUTH.

Nothing learnt in clear survives STARTTLS; nothing secret is sent in clear unless the route asks for that by name.
Fails with Broken, whose phase tells the opener whether another way (HELO, in clear) is worth a new connection.
"""

import attrs

from relaygw.channel import Channel as TlsChannel
from relaygw.core.capabilities import Capabilities, parse_capabilities
from relaygw.core.mx import Target
from relaygw.core.reply import Reply
from relaygw.egress.broken import Broken, Phase, broken
from relaygw.egress.connection import SmtpConnection
from relaygw.egress.hop import Hop, Manners, TlsMode
from relaygw.egress.login import Channel, Keyring, log_in
from relaygw.egress.proof import chain_doubt, doubt
from relaygw.egress.resumption import Resumption
from relaygw.egress.tls import AuthoritiesError, ClientCreator, TlsFacts, Watch, facts

_PROVEN = (TlsMode.VERIFY, TlsMode.FINGERPRINT, TlsMode.DANE)


@attrs.define(kw_only=True, eq=False)
class Session:
    """A conversation that can carry mail. `dirty`: a transaction is left open, RSET is due before the next.

    `domains` are those of its recipients, where the server limits them (RFC 9422 4.3).
    `reused`: it was kept after other mail, and the server has not yet shown that it still listens. `doubt` is what TLS
    reports call it where the session is less protected than the server seemed to offer.
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
    doubt: str = ""
    domains: set[str] = attrs.field(factory=set)

    @property
    def spent(self) -> bool:
        """Whether the server has said that it takes no further transaction in this session (RFC 9422 4.1)."""
        return 0 < self.offered.max_messages <= self.transactions

    @property
    def worn(self) -> bool:
        """Whether it is of no use for the next message, whoever that is for."""
        return self.spent or 0 < self.offered.max_domains <= len(self.domains)

    @property
    def tls_version(self) -> str:
        return self.tls.version if self.tls is not None else ""


@attrs.frozen(kw_only=True)
class Approach:
    """What this connection tries; an opener retreats from EHLO to HELO, from a resumed session to a full handshake, and
    from TLS to clear where that is allowed."""

    ehlo: bool = True
    tls: TlsMode = TlsMode.MAY
    doubt: str = ""
    resume: bool = True


async def exchange(connection: SmtpConnection, command: bytes, timeout: float, phase: Phase) -> Reply:
    """One command, one reply; raises Broken."""
    replies = await connection.ask(command, 1, timeout, phase)
    if connection.failure is not None:
        raise connection.failure
    return replies[0]


async def begin(
    connection: SmtpConnection,
    target: Target,
    hop: Hop,
    approach: Approach,
    manners: Manners,
    keyring: Keyring,
    resumption: Resumption,
) -> Session:
    """Lead a connection just made to where mail can be sent; raises Broken."""
    tls = await _handshake(connection, target, hop, approach, manners, resumption) if hop.implicit else None
    greeting = await exchange(connection, b"", manners.greeting_timeout, Phase.GREETING)
    if greeting.code != 220:
        raise Broken(Phase.GREETING, greeting, remote=True)
    offered = await _hello(connection, hop, approach, manners)
    if tls is None and await _start_tls(connection, offered, approach.tls, manners):
        tls = await _handshake(connection, target, hop, approach, manners, resumption)
        offered = await _hello(connection, hop, approach, manners)
    if tls is not None:
        resumption.keep(target, hop, connection.handle(), tls)
    session = Session(
        connection=connection, target=target, hop=hop, offered=offered, tls=tls, doubt=_doubt(tls, approach)
    )
    if hop.login is not None:
        await _log_in(session, manners, keyring)
    return session


def _doubt(tls: TlsFacts | None, approach: Approach) -> str:
    if tls is not None:
        return tls.doubt
    return approach.doubt or "starttls-not-supported"


async def _hello(connection: SmtpConnection, hop: Hop, approach: Approach, manners: Manners) -> Capabilities:
    """EHLO, or HELO where the server does not know EHLO (RFC 5321 3.2); LHLO has nothing to fall back on."""
    name = (hop.hello or manners.hostname).encode("ascii")
    if approach.ehlo:
        verb = b"LHLO " if hop.lmtp else b"EHLO "
        reply = await exchange(connection, verb + name + b"\r\n", manners.hello_timeout, Phase.HELLO)
        if reply.code // 100 == 2:
            connection.helo = _announced(reply)
            return parse_capabilities(reply)
        if not reply.permanent or hop.lmtp:
            raise Broken(Phase.HELLO, reply, remote=True)
    reply = await exchange(connection, b"HELO " + name + b"\r\n", manners.hello_timeout, Phase.HELLO)
    if reply.code // 100 != 2:
        raise Broken(Phase.HELLO, reply, remote=True)
    connection.helo = _announced(reply)
    return Capabilities()


def _announced(reply: Reply) -> str:
    """The server's own name (RFC 5321 4.1.1.1)."""
    words = reply.text.split(None, 1)
    return words[0][:255] if words else ""


async def _start_tls(connection: SmtpConnection, offered: Capabilities, mode: TlsMode, manners: Manners) -> bool:
    """Whether the server is waiting for our handshake now."""
    if mode is TlsMode.NONE:
        return False
    if not offered.offers("STARTTLS"):
        if mode is TlsMode.MAY:
            return False
        raise broken(
            Phase.STARTTLS,
            "4.7.4",
            "TLS is required, but the server does not offer it",
            result="starttls-not-supported",
        )
    reply = await exchange(connection, b"STARTTLS\r\n", manners.hello_timeout, Phase.STARTTLS)
    if reply.code == 220:
        return True
    if mode is TlsMode.MAY:  # refused in good order: the conversation goes on as it was (RFC 3207 4)
        return False
    failure = Broken(Phase.STARTTLS, Reply(451, "4.7.4", f"TLS is required, but the server refused it: {reply}"))
    failure.result = "starttls-not-supported"
    raise failure


async def _handshake(
    connection: SmtpConnection, target: Target, hop: Hop, approach: Approach, manners: Manners, resumption: Resumption
) -> TlsFacts:
    mode = approach.tls
    name = target.address if target.host.startswith("[") else target.host
    watch = Watch(lenient=mode is TlsMode.MAY and hop.observed)
    base = hop.dane.base if hop.dane is not None else name  # RFC 7672 8.1: in SNI the name that has the records
    creator = ClientCreator(base, mode, hop.authorities, hop.own, watch)
    try:
        context = creator.context()
    except AuthoritiesError as error:
        raise broken(Phase.STARTTLS, "4.3.5", f"the files for TLS are wrong ({error})") from error
    if approach.resume:
        creator = attrs.evolve(creator, session=resumption.take(target, hop, context))
    try:
        await connection.start_tls(creator, manners.hello_timeout)
    except Broken as failure:
        raise _resuming(_explained(failure, watch), creator) from None
    handle = connection.handle()
    found = doubt(handle, name, hop, mode, watch)
    if found is None:
        return facts(handle, mode in _PROVEN)
    if mode is TlsMode.MAY:
        return facts(handle, False, found.result, found.words)
    raise _resuming(broken(Phase.HANDSHAKE, "4.7.5", found.words, result=found.result), creator)


def _resuming(failure: Broken, creator: ClientCreator) -> Broken:
    failure.resuming = creator.session is not None
    return failure


def _explained(failure: Broken, watch: Watch) -> Broken:
    """A handshake that we ended because of the chain, with the reason; any other with what reports call it."""
    found = chain_doubt(watch.error)
    if found is None:
        failure.result = failure.result or "validation-failure"
        return failure
    words = f"TLS failed (certificate verify failed: {found.words})"
    return broken(Phase.HANDSHAKE, "4.7.5", words, closed=failure.closed, result=found.result)


async def _log_in(session: Session, manners: Manners, keyring: Keyring) -> None:
    login = session.hop.login
    if login is None:
        return
    if session.tls is None and not login.in_clear:
        raise broken(Phase.AUTH, "4.7.4", "a login needs TLS, and this connection has none")

    async def ask(line: bytes) -> Reply:
        return await exchange(session.connection, line, manners.hello_timeout, Phase.AUTH)

    binding = None
    if session.tls is not None:
        binding = TlsChannel(session.connection.transport).binding("tls-exporter")
    channel = Channel(host=session.target.host, port=session.hop.port, binding=binding)
    await log_in(login, session.offered.mechanisms, ask, channel, keyring)
