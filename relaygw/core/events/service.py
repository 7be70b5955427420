"""Events of operators at work and of the service itself."""

import attrs

from relaygw.core.events.event import Event


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
class SetAside(Event):
    """What the spool keeps of a message cannot be read: it is kept apart for the operator, and attempted no more."""

    error: str


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
class ClockChanged(Event):
    """Somebody set the system's clock while the service ran: forward by so many seconds, or back (less than 0)."""

    seconds: float


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
