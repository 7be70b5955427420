"""Commands about the connection and who is on it (RFC 3501 6.1, 6.2; RFC 2971, 2177, 4959, 5161)."""

from relaygw.core.events import MailboxOpened
from relaygw.mailbox.imap.commands import Authenticate, Enable, Login, Nothing, State
from relaygw.mailbox.imap.session import Completion, Session, bad, no, ok, refusal
from relaygw.mailbox.values import StoreError
from relaygw.sasl import MAX_RESPONSE, Authenticated, Challenge, Refusal, Refused

_ALWAYS = (b"IMAP4rev1", b"LITERAL+", b"ID", b"ENABLE", b"SASL-IR")
_INSIDE = (b"IDLE", b"NAMESPACE", b"UIDPLUS", b"UNSELECT", b"CHILDREN", b"MOVE", b"SPECIAL-USE", b"STATUS=SIZE")

_POLL = 30.0
"""Seconds between two looks, in IDLE, at what other programs did to the maildir."""


def capabilities(session: Session) -> list[bytes]:
    """What works here and now."""
    settings, secure = session.settings, session.channel.secure
    found = list(_ALWAYS)
    if session.state is not State.UNAUTHENTICATED:
        return [*found, *_INSIDE, b"APPENDLIMIT=%d" % settings.max_append]
    if settings.may_start_tls(secure):
        found.append(b"STARTTLS")
    if not settings.may_log_in(secure):
        return [*found, b"LOGINDISABLED"]
    return [*found, *(b"AUTH=" + name.encode("ascii") for name in session.logins.mechanisms)]


async def capability(session: Session, arguments: Nothing) -> Completion:
    session.channel.send(b"* CAPABILITY " + b" ".join(capabilities(session)) + b"\r\n")
    return ok("That is all")


async def noop(session: Session, arguments: Nothing) -> Completion:
    """Also CHECK: what is stored is stored, so there is nothing more to check than whether there is news."""
    if session.watching is not None:
        await session.selected.folder.refresh()
    return ok("Done")


async def logout(session: Session, arguments: Nothing) -> Completion:
    session.channel.send(b"* BYE Until next time\r\n")
    session.state = State.LOGOUT
    return ok("Logged out")


async def identify(session: Session, arguments: Nothing) -> Completion:
    """Name only: a version would tell an attacker more than anybody else (RFC 2971 4)."""
    session.channel.send(b'* ID ("name" "relaygw")\r\n')
    return ok("Pleased to meet you")


async def enable(session: Session, arguments: Enable) -> Completion:
    """Nothing here needs to be enabled; a client may ask all the same (RFC 5161 3.1)."""
    session.channel.send(b"* ENABLED\r\n")
    return ok("Done")


async def namespace(session: Session, arguments: Nothing) -> Completion:
    session.channel.send(b'* NAMESPACE (("" "/")) NIL NIL\r\n')
    return ok("Done")


async def start_tls(session: Session, arguments: Nothing) -> Completion:
    if not session.settings.may_start_tls(session.channel.secure):
        return bad("TLS is not offered here and now")
    session.channel.start_tls()
    return ok("Begin TLS now")


async def login(session: Session, arguments: Login) -> Completion:
    if not session.settings.may_log_in(session.channel.secure):
        return no("Logging in needs TLS first", b"PRIVACYREQUIRED")
    return await _concluded(session, await session.logins.password(arguments.user, arguments.password, "LOGIN"))


async def authenticate(session: Session, arguments: Authenticate) -> Completion:
    if not session.settings.may_log_in(session.channel.secure):
        return no("Logging in needs TLS first", b"PRIVACYREQUIRED")
    exchange = session.logins.begin(arguments.mechanism)
    if exchange is None:
        return no("This mechanism is not offered")
    step = await exchange.start(arguments.initial)
    while isinstance(step, Challenge):
        session.channel.send(b"+ " + step.data + b"\r\n")
        step = await exchange.respond(await session.channel.read_line(MAX_RESPONSE))
    return await _concluded(session, step)


async def _concluded(session: Session, step: Authenticated | Refused) -> Completion:
    if isinstance(step, Refused):
        return _refused(session, step)
    try:
        store = await session.settings.store.account(step.account.mailbox)
    except (StoreError, OSError, ValueError) as error:
        step.logout()
        return refusal(error) if isinstance(error, StoreError | OSError) else no("This account has no mailbox")
    session.enter(step.login, store, step.logout)
    opened = MailboxOpened(session=session.id, protocol="imap", login=step.login, client=session.client)
    session.settings.journal(opened)
    return ok("Logged in", b"CAPABILITY " + b" ".join(capabilities(session)))


def _refused(session: Session, step: Refused) -> Completion:
    if step.kind is Refusal.EXHAUSTED:
        session.channel.send(b"* BYE Too many attempts to log in\r\n")
        session.state = State.LOGOUT
    if step.kind is Refusal.CANCELLED:
        return bad("Cancelled")
    if step.kind is Refusal.MALFORMED:
        return bad("Not what the mechanism says")
    if step.kind is Refusal.UNAVAILABLE:
        return no("Nobody can log in at the moment, try again later", b"UNAVAILABLE")
    return no("Name or password is wrong", b"AUTHENTICATIONFAILED")


async def idle(session: Session, arguments: Nothing) -> Completion:
    """News as it comes until DONE (RFC 2177)."""
    session.channel.send(b"+ idling\r\n")
    line = None
    while line is None:
        await session.news(expunges=True)
        await session.channel.drained()
        if not session.has_news:
            line = await session.channel.read_line_or_news(16, _POLL)
            await _look(session)
    return ok("No more idling") if line.upper() == b"DONE" else bad("DONE expected")


async def _look(session: Session) -> None:
    """At what other programs did to the maildir, unless there is something to tell anyway."""
    if session.watching is not None and not session.has_news:
        await session.selected.folder.refresh()
