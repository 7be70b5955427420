"""When to try again, when to warn, when to give up. Times are POSIX seconds; the random part is an argument.

The waits follow the attempts in turn and the last one repeats. One attempt always falls on the moment of the delay
warning and one on the moment of expiry, so that the sender is told on time and with a fresh reason.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import attrs

from relaygw.core.outcome import Outcome
from relaygw.core.patterns import Patterns, compile_patterns, is_among
from relaygw.core.record import RecipientState, Record
from relaygw.core.trouble import Trouble, greylist_wait, trouble_of

JITTER = 0.1
"""A wait is lengthened by up to this part of itself, so that messages deferred together do not return together."""


@attrs.frozen(kw_only=True)
class Schedule:
    """`waits` after attempt 1, 2 …; `expire` and `expire_reports` (null reverse-path) count from arrival.

    `delay_warnings` count from arrival, too, in any order; without one nobody is warned.
    """

    waits: tuple[float, ...]
    expire: float
    expire_reports: float
    delay_warnings: tuple[float, ...] = ()

    def chosen(self, record: Record, state: RecipientState, outcome: Outcome) -> "Schedule":
        """The schedule for a recipient with this outcome: this one for all."""
        return self

    def expiry(self, arrived: float, is_report: bool) -> float:
        """The moment after which a deferral is final; what nobody may be told about is given up sooner."""
        return arrived + (min(self.expire, self.expire_reports) if is_report else self.expire)

    def warning(self, arrived: float, warned: float | None = None) -> float:
        """The moment from which a deferral is worth a warning, or after one another (infinity: never, no more)."""
        moments = [arrived + each for each in self.delay_warnings]
        return min((each for each in moments if warned is None or each > warned), default=float("inf"))

    def wait(self, attempts: int, random: float) -> float:
        """How long to wait after this many attempts; `random` in [0, 1)."""
        if not self.waits:
            return self.expire
        return self.waits[min(attempts, len(self.waits)) - 1] * (1 + JITTER * random)


def next_due(now: float, until: float, *moments: float) -> float:
    """`until`, or the first of the moments that lies in between."""
    return min([until, *(moment for moment in moments if moment > now)])


class Schedules(Protocol):
    """What tells the schedule of each recipient: one for all, or a table of rules."""

    def chosen(self, record: Record, state: RecipientState, outcome: Outcome) -> Schedule:
        """The schedule for a recipient with this outcome."""


class Entry(Protocol):
    """A rule as the configuration has it; empty conditions hold for all, None leaves what [queue] says."""

    @property
    def name(self) -> str: ...
    @property
    def recipient(self) -> tuple[str, ...]: ...
    @property
    def sender(self) -> tuple[str, ...]: ...
    @property
    def login(self) -> tuple[str, ...]: ...
    @property
    def host(self) -> tuple[str, ...]: ...
    @property
    def trouble(self) -> tuple[str, ...]: ...
    @property
    def waits(self) -> tuple[float, ...]: ...
    @property
    def expire(self) -> float | None: ...
    @property
    def delay_warning(self) -> tuple[float, ...] | None: ...


@attrs.frozen(kw_only=True)
class RetryRule:
    """A rule with its conditions compiled; the schedule is complete."""

    name: str
    schedule: Schedule
    recipient: Patterns | None = None
    sender: Patterns | None = None
    login: frozenset[str] = frozenset()
    host: tuple[str, ...] = ()
    trouble: frozenset[Trouble] = frozenset()

    def matches(self, record: Record, state: RecipientState, outcome: Outcome, trouble: Trouble) -> bool:
        return (
            (not self.trouble or trouble in self.trouble)
            and (self.recipient is None or self.recipient.match(state.address) != "")
            and (self.sender is None or self.sender.match(record.envelope.sender) != "")
            and (not self.login or record.login in self.login)
            and (not self.host or is_among(outcome.host.lower(), self.host))
        )


@attrs.frozen(kw_only=True)
class Retries:
    """The table: the first rule that matches decides, else `base`. A greylisted message comes back when it was told
    to, or when a greylist usually lets it in, the first times; then as its schedule says."""

    base: Schedule
    rules: tuple[RetryRule, ...] = ()

    def rule(self, record: Record, state: RecipientState, outcome: Outcome) -> RetryRule | None:
        """The first rule that matches."""
        trouble = trouble_of(outcome)
        return next((rule for rule in self.rules if rule.matches(record, state, outcome, trouble)), None)

    def chosen(self, record: Record, state: RecipientState, outcome: Outcome) -> Schedule:
        rule = self.rule(record, state, outcome)
        schedule = rule.schedule if rule is not None else self.base
        if trouble_of(outcome) is not Trouble.GREYLISTED:
            return schedule
        return attrs.evolve(schedule, waits=(greylist_wait(outcome.reply.text),) * GREY_ATTEMPTS + schedule.waits)


GREY_ATTEMPTS = 3
"""Attempts after which a greylist is believed no more."""


def compile_retries(base: Schedule, entries: Sequence[Entry], domains: Iterable[str] = ()) -> Retries:
    """The table for these rules, and ours beneath them; raises PatternError."""
    groups = {"local": tuple(domains)}
    return Retries(base=base, rules=(*(_rule(base, entry, groups) for entry in entries), *_provided(base)))


def _rule(base: Schedule, entry: Entry, groups: dict[str, tuple[str, ...]]) -> RetryRule:
    return RetryRule(
        name=entry.name,
        schedule=Schedule(
            waits=entry.waits or base.waits,
            expire=base.expire if entry.expire is None else entry.expire,
            expire_reports=base.expire_reports,
            delay_warnings=base.delay_warnings if entry.delay_warning is None else entry.delay_warning,
        ),
        recipient=compile_patterns(entry.recipient, dict(groups)) if entry.recipient else None,
        sender=compile_patterns(entry.sender, dict(groups)) if entry.sender else None,
        login=frozenset(entry.login),
        host=entry.host,
        trouble=frozenset(map(Trouble, entry.trouble)),
    )


FULL_WAITS = (3600.0, 2 * 3600.0, 4 * 3600.0, 8 * 3600.0)
"""A mailbox that is full is emptied by its owner, in his own time."""


def _provided(base: Schedule) -> tuple[RetryRule, ...]:
    return (
        RetryRule(
            name="a full mailbox",
            schedule=attrs.evolve(base, waits=FULL_WAITS),
            trouble=frozenset({Trouble.FULL}),
        ),
    )
