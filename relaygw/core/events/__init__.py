"""The closed set of events: every step of a message's life is one of these, written to the journal.

An event says what happened in the operator's words. `session` and `queue_id` tie it to its message; "" where it
has none. No event carries a password, token or key. Texts from peers stay data: the writer encodes them.
"""

from relaygw.core.events.delivery import (
    Attempted,
    Completed,
    PolicyNotRenewed,
    Reported,
    Throttled,
    TlsChecked,
    Unreported,
)
from relaygw.core.events.event import Event
from relaygw.core.events.intake import (
    Accepted,
    Discarded,
    Expanded,
    FilterBroke,
    ForgeryRemoved,
    HeldByRule,
    Judged,
    LineEndsRepaired,
    QuestionsLimited,
    QuotaExceeded,
    Refused,
    Rewritten,
)
from relaygw.core.events.service import (
    ClockChanged,
    Imported,
    KeyAdvanced,
    KeyTrouble,
    Operated,
    Purged,
    Reloaded,
    RuleChanged,
    SetAside,
    Started,
    Stopped,
    TaskFailed,
)
from relaygw.core.events.sessions import (
    Banned,
    Connected,
    Disconnected,
    Lifted,
    LoggedIn,
    LoginRefused,
    MailboxOpened,
    OldClient,
    PressureChanged,
    Secured,
)

__all__ = [
    "AUTHENTICATION",
    "Accepted",
    "Attempted",
    "Banned",
    "ClockChanged",
    "Completed",
    "Connected",
    "Discarded",
    "Disconnected",
    "Event",
    "Expanded",
    "FilterBroke",
    "ForgeryRemoved",
    "HeldByRule",
    "Imported",
    "Judged",
    "KeyAdvanced",
    "KeyTrouble",
    "Lifted",
    "LineEndsRepaired",
    "LoggedIn",
    "LoginRefused",
    "MailboxOpened",
    "OldClient",
    "Operated",
    "PolicyNotRenewed",
    "PressureChanged",
    "Purged",
    "QuestionsLimited",
    "QuotaExceeded",
    "Refused",
    "Reloaded",
    "Reported",
    "Rewritten",
    "RuleChanged",
    "Secured",
    "SetAside",
    "Started",
    "Stopped",
    "TaskFailed",
    "Throttled",
    "TlsChecked",
    "Unreported",
]

AUTHENTICATION = "authentication"
"""The kind under which results of checks ("spf=pass") are counted, beside the names of events."""
