"""Events of a message that waits and goes out: attempts, what was learned of next hops, reports, and the end."""

import attrs

from relaygw.core.events.event import Event
from relaygw.core.outcome import Outcome


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
class Throttled(Event):
    """A destination is given a rest ("rest") or less at once ("slow") for so many seconds."""

    transport: str
    destination: str
    action: str
    seconds: float
    reason: str


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
