"""The reports a step owes, as messages ready to be settled with it: who is told, in whose words, and who is not.

Delays of automatic mail and of mailing lists are told to nobody who did not ask for it (NOTIFY=DELAY): programs do not
read them, and lists would get one for each member. A double bounce is told to the postmaster, unless it was on its way
to him.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs

from relaygw.config.schema import Config, ReportsConfig
from relaygw.core.address import Address, parse_address
from relaygw.core.content import BytesContent, Content
from relaygw.core.dsn import Facts, Reporter, Words, make_report, our_words
from relaygw.core.envelope import Notify, path
from relaygw.core.events import Accepted, Event, Reported, TaskFailed, Unreported
from relaygw.core.expansion import expand
from relaygw.core.headers import first, values
from relaygw.core.lifecycle import Kind, Report, Step, begin
from relaygw.core.record import RecipientState, Record
from relaygw.core.retry import Schedules
from relaygw.interfaces import NewMessage, SpoolError

if TYPE_CHECKING:  # templates are read only where there are any
    from relaygw.queue.texts import Texts

_OF_LISTS = (b"list-id", b"list-post", b"list-unsubscribe", b"list-help")


@attrs.frozen(kw_only=True)
class Reports:
    """Makes DSNs. `new_id` gives a fresh queue id; `double_bounces` is who is told of those that fail, None nobody;
    `collect` how many seconds a report may wait for more of its message. `lead` tells where mail to an address goes
    where it is an alias of ours: a report does not come by RCPT."""

    by: Reporter
    new_id: Callable[[], str]
    double_bounces: Address | None = None
    texts: "Texts | None" = None
    warn_bulk: bool = False
    collect: float = 0.0
    lead: Callable[[Address], Sequence[Address]] = lambda address: (address,)

    def make(
        self, step: Step, content: Content, schedule: Schedules, now: float
    ) -> tuple[tuple[NewMessage, ...], tuple[Event, ...]]:
        """The messages, and the events that are true once they are stored."""
        added: list[NewMessage] = []
        events: list[Event] = []
        for report in step.reports:
            told = self._told(report, step.record, content)
            if isinstance(told, str):
                events.append(_unreported(report, step.record, told))
            elif told is not None:
                new = self._message(told, step.record, content, schedule, now, events)
                added.append(new)
                events += _events(told, step.record, new)
        return tuple(added), tuple(events)

    def _told(self, report: Report, record: Record, content: Content) -> Report | str | None:
        """The report without those it is not to be about; a text: why a failure is told to nobody."""
        if report.kind is Kind.DOUBLE:
            if self.double_bounces is None:
                return "a report that fails is told to nobody here"
            if all(state.address == self.double_bounces for state in report.recipients):
                return "it was on its way to whom it would be told"
        if report.kind is Kind.DELAY and not self.warn_bulk and _is_bulk(_head(content)):
            asked = tuple(state for state in report.recipients if Notify.DELAY in state.recipient.notify)
            return attrs.evolve(report, recipients=asked) if asked else None
        return report

    def _message(
        self,
        report: Report,
        record: Record,
        content: Content,
        schedule: Schedules,
        now: float,
        events: list[Event],
    ) -> NewMessage:
        queue_id = self.new_id()
        until = _expiry(report, record, schedule)

        def words(facts: Facts) -> Words:
            return self._words(facts, events)

        def make(content: Content) -> tuple[Record, bytes]:
            return make_report(
                report,
                record,
                content,
                queue_id=queue_id,
                now=now,
                retry_until=until,
                by=self.by,
                to=self.double_bounces,
                words=words,
            )

        try:
            made, data = make(content)
        except (OSError, SpoolError):  # the content cannot be read: the sender is told all the same, without it
            made, data = make(BytesContent(b""))
        return NewMessage(record=self._expanded(made), content=data)

    def _expanded(self, made: Record) -> Record:
        """The report to whom its recipient leads."""
        (recipient,) = made.envelope.recipients
        targets = tuple(self.lead(recipient.address))
        if targets in ((recipient.address,), ()):
            return made
        envelope = attrs.evolve(
            made.envelope,
            recipients=expand(recipient, targets),
            smtputf8=made.envelope.smtputf8 or not all(target.ascii for target in targets),
        )
        fresh = begin(queue_id=made.queue_id, envelope=envelope, now=made.arrived)
        return attrs.evolve(made, envelope=envelope, recipients=fresh.recipients)

    def _words(self, facts: Facts, events: list[Event]) -> Words:
        """The operator's words, or ours where they fail: whatever a template does, people are told."""
        text = self.texts.choose(facts.report.kind, facts.head) if self.texts is not None else None
        if text is None:
            return our_words(facts)
        try:
            return text.words(facts)
        except Exception as error:
            events.append(
                TaskFailed(
                    queue_id=facts.record.queue_id,
                    session=facts.record.session_id,
                    task=f"write a report with {text.file}",
                    error=f"{type(error).__name__}: {error}",
                )
            )
            return our_words(facts)


def reports_of(hostname: str, postmaster: str, new_id: Callable[[], str]) -> Reports:
    """How reports are made under this name; without a postmaster people are sent to postmaster@hostname."""
    return _reports(hostname, postmaster, new_id, ReportsConfig(), None)


def reports_for(config: Config, new_id: Callable[[], str]) -> Reports:
    """How reports are made by a configuration; raises TextError."""
    return _reports(config.hostname, config.postmaster, new_id, config.reports, texts_for(config.reports))


def texts_for(config: ReportsConfig) -> "Texts | None":
    """The operator's own texts, if he has any; raises TextError."""
    if config.templates is None:
        return None
    from relaygw.queue.texts import load_texts

    return load_texts(config.templates, config.language)


def _reports(
    hostname: str, postmaster: str, new_id: Callable[[], str], config: ReportsConfig, texts: "Texts | None"
) -> Reports:
    postmaster = postmaster or f"postmaster@{hostname}"
    double = {"postmaster": postmaster, "none": ""}.get(config.double_bounces, config.double_bounces)
    return Reports(
        by=Reporter(
            hostname=hostname,
            postmaster=postmaster,
            return_limit=config.return_limit,
            returns_full=config.returned == "full",
        ),
        new_id=new_id,
        double_bounces=parse_address(double) if double else None,
        texts=texts,
        warn_bulk=config.warn_bulk,
        collect=config.collect,
    )


def _head(content: Content) -> bytes:
    try:
        return content.head
    except (OSError, SpoolError):
        return b""


def _is_bulk(head: bytes) -> bool:
    """Whether no person waits for an answer (RFC 3834 2, RFC 2369, RFC 2919)."""
    automatic = first(head, b"auto-submitted").split(b";")[0].strip().lower()
    if automatic not in (b"", b"no"):
        return True
    if first(head, b"precedence").strip().lower() in (b"bulk", b"list", b"junk"):
        return True
    return any(values(head, name) for name in _OF_LISTS)


def _expiry(report: Report, record: Record, schedule: Schedules) -> float:
    """When the last of those it is about will be given up."""
    chosen = [schedule.chosen(record, state, state.last) for state in report.recipients if state.last is not None]
    return max((each.expiry(record.arrived, record.envelope.sender is None) for each in chosen), default=record.arrived)


def _addresses(states: tuple[RecipientState, ...]) -> tuple[str, ...]:
    return tuple(str(state.address) for state in states)


def _unreported(report: Report, record: Record, reason: str) -> Unreported:
    return Unreported(
        queue_id=record.queue_id,
        session=record.session_id,
        recipients=_addresses(report.recipients),
        reason=reason,
    )


def _events(report: Report, record: Record, new: NewMessage) -> tuple[Event, Event]:
    return (
        Reported(
            queue_id=record.queue_id,
            session=record.session_id,
            kind=report.kind.value,
            report_id=new.record.queue_id,
            recipients=_addresses(report.recipients),
        ),
        Accepted(
            queue_id=new.record.queue_id,
            origin=new.record.origin.value,
            sender=path(None),
            recipients=_addresses(new.record.recipients),
            size=new.record.size,
            message_id=new.record.message_id,
        ),
    )
