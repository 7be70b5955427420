"""What a filter answers. Always a value: a filter that raises or hangs is turned into one by the chain (`on_error`)."""

import enum

import attrs

from relaygw.core.reply import Reply


class Action(enum.Enum):
    """In the order of the field's words; only PASS lets the next filter speak with effect."""

    PASS = "pass"  # noqa: S105
    REJECT = "reject"
    DEFER = "defer"
    QUARANTINE = "quarantine"
    DISCARD = "discard"
    HOLD = "hold"


class Phase(enum.Enum):
    CONNECT = "connect"
    HELLO = "hello"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


@attrs.frozen(kw_only=True)
class AuthResult:
    """One resinfo of Authentication-Results (RFC 8601 2.2): method "spf", result "pass", reason, and properties
    such as ("smtp.mailfrom", "example.org")."""

    method: str
    result: str
    reason: str = ""
    properties: tuple[tuple[str, str], ...] = ()


@attrs.frozen(kw_only=True)
class Verdict:
    """`reply` is what the peer reads where the action refuses (None: the chain's default for the action);
    `reason` is what the log says. `fields` are complete header fields (`Name: value`, CRLF at the end) to put on
    top; `auth` joins our one Authentication-Results field; `result` is kept for later filters and routing."""

    action: Action = Action.PASS
    reply: Reply | None = None
    reason: str = ""
    fields: tuple[bytes, ...] = ()
    auth: tuple[AuthResult, ...] = ()
    result: object | None = None


PASS = Verdict()


def reject(reason: str, reply: Reply | None = None) -> Verdict:
    """Refuse for good: 550 5.7.1 unless `reply` says otherwise."""
    return Verdict(action=Action.REJECT, reason=reason, reply=reply or Reply(550, "5.7.1", reason))


def defer(reason: str, reply: Reply | None = None) -> Verdict:
    """Ask the client to come back: 451 4.7.1 unless `reply` says otherwise."""
    return Verdict(action=Action.DEFER, reason=reason, reply=reply or Reply(451, "4.7.1", reason))
