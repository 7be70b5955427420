"""The reports a step owes, as messages ready to be settled with it."""

from collections.abc import Callable

import attrs

from relaygw.core.content import BytesContent, Content
from relaygw.core.dsn import Reporter, make_report
from relaygw.core.envelope import path
from relaygw.core.events import Accepted, Event, Reported
from relaygw.core.lifecycle import Report, Step
from relaygw.core.record import Record
from relaygw.core.retry import Schedules
from relaygw.interfaces import NewMessage


@attrs.frozen(kw_only=True)
class Reports:
    """Makes DSNs. `new_id` gives a fresh queue id."""

    by: Reporter
    new_id: Callable[[], str]

    def make(
        self, step: Step, content: Content, schedule: Schedules, now: float
    ) -> tuple[tuple[NewMessage, ...], tuple[Event, ...]]:
        """The messages, and the events that are true once they are stored."""
        added: list[NewMessage] = []
        events: list[Event] = []
        for report in step.reports:
            new = self._message(report, step.record, content, schedule, now)
            added.append(new)
            events += _events(report, step.record, new)
        return tuple(added), tuple(events)

    def _message(self, report: Report, record: Record, content: Content, schedule: Schedules, now: float) -> NewMessage:
        queue_id = self.new_id()
        until = _expiry(report, record, schedule)
        try:
            made, data = make_report(report, record, content, queue_id=queue_id, now=now, retry_until=until, by=self.by)
        except OSError:  # the content cannot be read: the sender is told all the same, without it
            nothing = BytesContent(b"")
            made, data = make_report(report, record, nothing, queue_id=queue_id, now=now, retry_until=until, by=self.by)
        return NewMessage(record=made, content=data)


def _expiry(report: Report, record: Record, schedule: Schedules) -> float:
    """When the last of those it is about will be given up."""
    chosen = [schedule.chosen(record, state, state.last) for state in report.recipients if state.last is not None]
    return max((each.expiry(record.arrived, record.envelope.sender is None) for each in chosen), default=record.arrived)


def _events(report: Report, record: Record, new: NewMessage) -> tuple[Event, Event]:
    about = tuple(str(state.address) for state in report.recipients)
    return (
        Reported(
            queue_id=record.queue_id,
            session=record.session_id,
            kind=report.kind.value,
            report_id=new.record.queue_id,
            recipients=about,
        ),
        Accepted(
            queue_id=new.record.queue_id,
            origin=new.record.origin.value,
            sender=path(None),
            recipients=tuple(str(state.address) for state in new.record.recipients),
            size=new.record.size,
            message_id=new.record.message_id,
        ),
    )
