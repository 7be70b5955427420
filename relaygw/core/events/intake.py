"""Events of a message that comes in: what was found out about it, what was changed, and what became of it."""

import attrs

from relaygw.core.events.event import Event


@attrs.frozen(kw_only=True)
class Judged(Event):
    """A filter answered something other than a bare pass, or found a result worth keeping. `shadow`: without effect.

    `found` is what it says for Authentication-Results, such as "spf=pass"."""

    filter: str
    phase: str
    action: str
    reason: str
    recipient: str = ""
    shadow: bool = False
    found: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class FilterBroke(Event):
    """A filter raised or ran out of time; `on_error` is what was done instead. `found` is what cannot be told now."""

    filter: str
    phase: str
    error: str
    on_error: str
    found: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class QuestionsLimited(Event):
    """A message, or all mail of a client within a minute (told once in it), has asked the DNS as often as it may:
    `limit` is "message" or "client", `most` how often. What it cannot ask any more is a temporary error."""

    client: str
    limit: str
    most: int


@attrs.frozen(kw_only=True)
class Refused(Event):
    """A command was answered 4xx or 5xx. `reply` is what the peer read, `reason` what the log says. `recipient` is the
    one the command names, `recipients` (the first of them) are those of a message that is refused."""

    command: str
    reply: str
    reason: str = ""
    sender: str = ""
    recipient: str = ""
    recipients: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class LineEndsRepaired(Event):
    """A message came with bare LF and was taken all the same, as its listener's `line_ends` says."""

    client: str
    listener: str
    line_ends: str


@attrs.frozen(kw_only=True)
class ForgeryRemoved(Event):
    """A message came with Authentication-Results fields that bear our name, or one nobody can read; they are gone.

    `fields` are their values (RFC 8601 5)."""

    client: str
    fields: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Rewritten(Event):
    """A rewriter changed a message: before it was stored, or, where `route` is set, for one attempt by it."""

    rewriter: str
    sender: str
    header_from: str = ""
    route: str = ""
    reason: str = ""


@attrs.frozen(kw_only=True)
class Expanded(Event):
    """A recipient led to others. `tables` say why; to the members of a list the message goes as `list_id`, from
    `sender`."""

    recipient: str
    addresses: tuple[str, ...]
    tables: tuple[str, ...]
    sender: str = ""
    list_id: str = ""


@attrs.frozen(kw_only=True)
class QuotaExceeded(Event):
    """A message is beyond a quota and is held. `key` is the login, client or network; `told`: an alert was sent."""

    quota: str
    key: str
    reason: str
    client: str = ""
    login: str = ""
    told: bool = False


@attrs.frozen(kw_only=True)
class HeldByRule(Event):
    """A rule held the message, or put it into quarantine, as it was accepted, or when it was known where it goes."""

    rule: str
    reason: str
    quarantined: bool = False


@attrs.frozen(kw_only=True)
class Accepted(Event):
    """The message is committed: the promise of 250 (or: a report or local message entered the spool)."""

    origin: str
    sender: str
    recipients: tuple[str, ...]
    size: int
    message_id: str = ""
    client: str = ""
    login: str = ""
    listener: str = ""


@attrs.frozen(kw_only=True)
class Discarded(Event):
    """A filter decided that the message is taken and thrown away."""

    reason: str
    sender: str
    recipients: tuple[str, ...]
