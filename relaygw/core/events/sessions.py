"""Events of sessions: who came, how it was secured, who logged in or may not, and how it ended."""

import attrs

from relaygw.core.events.event import Event


@attrs.frozen(kw_only=True)
class Connected(Event):
    """A client was accepted."""

    listener: str
    client: str
    port: int = 0


@attrs.frozen(kw_only=True)
class Disconnected(Event):
    """The session ended. `cause` is "quit", "lost", "timeout", "too many errors", "shutdown" …"""

    cause: str
    commands: int = 0
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class Secured(Event):
    """A TLS handshake succeeded on a listener."""

    version: str
    cipher: str


@attrs.frozen(kw_only=True)
class LoggedIn(Event):
    login: str
    mechanism: str


@attrs.frozen(kw_only=True)
class LoginRefused(Event):
    """`login` as the client gave it; never what it gave as a password."""

    login: str
    mechanism: str
    client: str
    reason: str


@attrs.frozen(kw_only=True)
class Banned(Event):
    """Failed logins, or an operator, closed the service to an address or a network, or a login to strangers."""

    kind: str
    subject: str
    reason: str
    seconds: float


@attrs.frozen(kw_only=True)
class Lifted(Event):
    """A ban ended: `reason` is "its time is over" or "by an operator"."""

    kind: str
    subject: str
    reason: str


@attrs.frozen(kw_only=True)
class OldClient(Event):
    """A client of a legacy listener sends mail without TLS (`tls` is "") or with an old version; told once a day."""

    client: str
    listener: str
    tls: str = ""
    hello: str = ""
    login: str = ""
    sender: str = ""


@attrs.frozen(kw_only=True)
class PressureChanged(Event):
    """No more mail is accepted for these reasons; none: mail is accepted again."""

    reasons: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class MailboxOpened(Event):
    """A POP3 or IMAP4 login opened a mailbox."""

    protocol: str
    login: str
    client: str
