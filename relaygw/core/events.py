"""The closed set of events: every step of a message's life is one of these, written to the journal.

An event says what happened in the operator's words. `session` and `queue_id` tie it to its message; "" where it
has none. No event carries a password, token or key. Texts from peers stay data: the writer encodes them.
"""

import attrs

from relaygw.core.outcome import Outcome

AUTHENTICATION = "authentication"
"""The kind under which results of checks ("spf=pass") are counted, beside the names of events."""


@attrs.frozen(kw_only=True)
class Event:
    """`session` is the SMTP session's id, `queue_id` the message's; "" where the event has none."""

    session: str = ""
    queue_id: str = ""


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
    """A filter raised or ran out of time; `on_error` is what was done instead."""

    filter: str
    phase: str
    error: str
    on_error: str


@attrs.frozen(kw_only=True)
class QuestionsLimited(Event):
    """A message, or all mail of a client within a minute (told once in it), has asked the DNS as often as it may:
    `limit` is "message" or "client", `most` how often. What it cannot ask any more is a temporary error."""

    client: str
    limit: str
    most: int


@attrs.frozen(kw_only=True)
class Refused(Event):
    """A command was answered 4xx or 5xx. `reply` is what the peer read, `reason` what the log says."""

    command: str
    reply: str
    reason: str = ""
    sender: str = ""
    recipient: str = ""


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
class OldClient(Event):
    """A client of a legacy listener sends mail without TLS (`tls` is "") or with an old version; told once a day."""

    client: str
    listener: str
    tls: str = ""
    hello: str = ""
    login: str = ""
    sender: str = ""


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
class PressureChanged(Event):
    """No more mail is accepted for these reasons; none: mail is accepted again."""

    reasons: tuple[str, ...] = ()


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


@attrs.frozen(kw_only=True)
class Attempted(Event):
    """One attempt ended for one recipient."""

    outcome: Outcome
    transport: str
    route: str
    attempts: int
    seconds: float
    next_due: float | None = None


@attrs.frozen(kw_only=True)
class TlsChecked(Event):
    """A new session with a next hop, as TLS reports count it (RFC 8460 4.4). `result` is "" for a success, else the
    report's word for the failure; `delivering`: the session carries mail all the same. `policy_type` is "tlsa", "sts"
    or "no-policy-found", `policy` its lines, `mx_patterns` the hosts it allows. Of a failure also `source`, our
    address, and `helo`, the host's own name, as far as it came to that."""

    domain: str
    host: str
    address: str
    policy_type: str
    result: str = ""
    reason: str = ""
    delivering: bool = False
    tls: str = ""
    cipher: str = ""
    mode: str = ""
    policy: tuple[str, ...] = ()
    mx_patterns: tuple[str, ...] = ()
    source: str = ""
    helo: str = ""


@attrs.frozen(kw_only=True)
class PolicyNotRenewed(Event):
    """A domain's policy (MTA-STS) could not be fetched again, for `reason`, which TLS reports call `result`; the one
    that is kept holds for `seconds` more. Told once a day (RFC 8461 3.3)."""

    domain: str
    mode: str
    result: str
    reason: str
    seconds: int


@attrs.frozen(kw_only=True)
class Reported(Event):
    """A DSN was made: `kind` is "failure", "delay", "success" … `report_id` the queue id of the new message."""

    kind: str
    report_id: str
    recipients: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Unreported(Event):
    """A recipient failed and nobody may be told (null reverse-path, NOTIFY=NEVER)."""

    recipients: tuple[str, ...]
    reason: str


@attrs.frozen(kw_only=True)
class Completed(Event):
    """No recipient waits any more: the record left the spool."""

    seconds: float


@attrs.frozen(kw_only=True)
class Operated(Event):
    """An operator held, released, retried, rerouted, returned or removed a message, or brought a removed one back.

    `to` is where it was rerouted to, "" back to the routing table."""

    verb: str
    reason: str = ""
    recipients: tuple[str, ...] = ()
    to: str = ""


@attrs.frozen(kw_only=True)
class Purged(Event):
    """A removed message left the trash for good."""

    reason: str


@attrs.frozen(kw_only=True)
class HeldByRule(Event):
    """A rule held the message, or put it into quarantine, as it was accepted, or when it was known where it goes."""

    rule: str
    reason: str
    quarantined: bool = False


@attrs.frozen(kw_only=True)
class RuleChanged(Event):
    """An operator made a rule that holds mail, or ended one."""

    rule: str
    verb: str
    reason: str = ""


@attrs.frozen(kw_only=True)
class Imported(Event):
    """A message came into the queue from an archive."""

    archive: str
    sender: str
    recipients: tuple[str, ...]
    size: int


@attrs.frozen(kw_only=True)
class Throttled(Event):
    """A destination is given a rest ("rest") or less at once ("slow") for so many seconds."""

    transport: str
    destination: str
    action: str
    seconds: float
    reason: str


@attrs.frozen(kw_only=True)
class MailboxOpened(Event):
    """A POP3 or IMAP4 login opened a mailbox."""

    protocol: str
    login: str
    client: str


@attrs.frozen(kw_only=True)
class KeyAdvanced(Event):
    """A DKIM key came from one stage of its life into the next (docs/signing.md)."""

    domain: str
    selector: str
    before: str
    stage: str


@attrs.frozen(kw_only=True)
class KeyTrouble(Event):
    """A DKIM key and what the DNS shows of it differ; `problem` "": no more. `serious`: mail is signed with it."""

    domain: str
    selector: str
    problem: str = ""
    serious: bool = False


@attrs.frozen(kw_only=True)
class TaskFailed(Event):
    """A background task of the service failed; `error` names the exception and its place."""

    task: str
    error: str


@attrs.frozen(kw_only=True)
class Started(Event):
    """The service listens."""

    version: str
    listeners: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Stopped(Event):
    """The service has drained and stops."""

    unfinished: int = 0


@attrs.frozen(kw_only=True)
class Reloaded(Event):
    """The configuration was read again; `errors` non-empty: nothing changed. `waiting` takes effect at a restart."""

    errors: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class SetAside(Event):
    """What the spool keeps of a message cannot be read: it is kept apart for the operator, and attempted no more."""

    error: str
