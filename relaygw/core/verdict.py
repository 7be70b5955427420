"""What a filter answers. Always a value: a filter that raises or hangs is turned into one by the chain (`on_error`)."""

import re
from functools import lru_cache

import attrs

from relaygw.core.reply import Reply
from relaygw.core.words import Word


class Action(Word):
    """REJECT, DEFER and DISCARD decide; QUARANTINE and HOLD mark the message and let the next filter speak."""

    PASS = "pass"  # noqa: S105
    REJECT = "reject"
    DEFER = "defer"
    QUARANTINE = "quarantine"
    DISCARD = "discard"
    HOLD = "hold"


class Phase(Word):
    CONNECT = "connect"
    HELLO = "hello"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


_KEYWORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?\Z")  # RFC 5321 4.1.2 Ldh-str


@lru_cache(maxsize=256)
def _is_keyword(text: str) -> bool:
    return _KEYWORD.match(text) is not None


@lru_cache(maxsize=256)
def _is_property(text: str) -> bool:
    kind, _, which = text.partition(".")
    return _is_keyword(kind) and _is_keyword(which)


def _keyword(_: object, attribute: object, value: str) -> None:
    if not isinstance(value, str) or not _is_keyword(value):
        raise ValueError(f"not a keyword: {value!r:.100}")


def _properties(_: object, attribute: object, properties: tuple[tuple[str, str], ...]) -> None:
    if not isinstance(properties, tuple):
        raise ValueError(f"properties must be a tuple: {properties!r:.100}")
    for pair in properties:
        if not isinstance(pair, tuple):
            raise ValueError(f"a property must be a tuple: {pair!r:.100}")
        name, value = pair
        if not isinstance(name, str) or not isinstance(value, str) or not _is_property(name):
            raise ValueError(f"not a property: {name!r:.100}")


@attrs.frozen(kw_only=True, cache_hash=True)
class AuthResult:
    """One resinfo of Authentication-Results (RFC 8601 2.2): method "spf", result "pass", reason, and properties
    such as ("smtp.mailfrom", "example.org"). Values and reason may be any text; the words around them are checked."""

    method: str = attrs.field(validator=_keyword)
    result: str = attrs.field(validator=_keyword)
    reason: str = ""
    properties: tuple[tuple[str, str], ...] = attrs.field(default=(), validator=_properties)


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


_FIELD = re.compile(rb"[!-9;-~]{1,200}:[^\0\r\n]*(?:\r\n[ \t][^\0\r\n]*)*\r\n\Z")
_BLANK_LINE = re.compile(rb"\n\s*\n")
_MAX_LINE = 998  # RFC 5322 2.1.1
_MAX_KEPT = 1000
"""Octets of a field of which it is remembered whether it is one."""


def flaw(verdict: Verdict) -> str:
    """What makes a verdict unusable, "" where it is sound. Plugins make verdicts; nobody else checks them."""
    if not isinstance(verdict.action, Action):
        return f"the action is {verdict.action!r}, not an Action"
    if not isinstance(verdict.fields, tuple) or not isinstance(verdict.auth, tuple):
        return "fields and auth must be tuples"
    for result in verdict.auth:
        if not isinstance(result, AuthResult):
            return "auth holds something else than an AuthResult"
    if verdict.reply is not None and (found := _reply_flaw(verdict.action, verdict.reply)):
        return found
    for field in verdict.fields:
        if found := field_flaw(field):
            return found
    return ""


def _reply_flaw(action: Action, reply: Reply) -> str:
    wanted = {Action.REJECT: 5, Action.DEFER: 4}.get(action)
    if wanted is None:
        return ""
    if not isinstance(reply, Reply):
        return f"the reply is {type(reply).__name__}, not a Reply"
    if reply.code // 100 != wanted or (reply.enhanced and not reply.enhanced.startswith(f"{wanted}.")):
        return f"the reply {reply.code} {reply.enhanced} does not fit the action {action.value}"
    return ""


def field_flaw(field: bytes) -> str:
    """What makes bytes something else than exactly one header field (RFC 5322 2.2), "" where they are one."""
    if type(field) is bytes and len(field) <= _MAX_KEPT:
        return _known_flaw(field)
    return _field_flaw(field)


@lru_cache(maxsize=1024)
def _known_flaw(field: bytes) -> str:
    """Filters find out the same about the same clients again and again."""
    return _field_flaw(field)


def _field_flaw(field: bytes) -> str:
    if not isinstance(field, bytes) or _FIELD.match(field) is None:
        return f"not one header field with CRLF at its end: {field!r:.100}"
    long = len(field) > _MAX_LINE and any(len(line) > _MAX_LINE for line in field[:-2].split(b"\r\n"))
    if long or _BLANK_LINE.search(field):
        return f"a header field with a line too long or empty: {field!r:.100}"
    return ""
