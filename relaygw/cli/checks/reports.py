"""The operator's texts for delivery reports: each is written once about mail made up for it, so that a template that
fails for what a report holds fails here.
"""

from collections.abc import Iterator

import attrs

from relaygw.cli.checks.finding import Finding, error, warning
from relaygw.config.schema import Config
from relaygw.core.address import Address
from relaygw.core.dsn import Facts, Reporter
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.lifecycle import Kind, Report, begin
from relaygw.core.outcome import Outcome, Status, failed
from relaygw.core.record import Origin, RecipientState
from relaygw.core.reply import Reply
from relaygw.queue.reports import texts_for

HEAD = b"From: Alice <alice@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
STATUSES = {Kind.DELAY: Status.DEFERRED, Kind.SUCCESS: Status.DELIVERED, Kind.EXPANSION: None}
CODES = {Status.FAILED: (550, "5.1.1"), Status.DEFERRED: (451, "4.4.1"), Status.DELIVERED: (250, "2.1.5")}


def check(config: Config) -> Iterator[Finding]:
    try:
        texts = texts_for(config.reports)
    except ValueError:
        return  # told with the parts already
    for (kind, _), text in texts.found.items() if texts is not None else ():
        try:
            said = text.words(sample(kind, config))
        except Exception as failure:
            yield error(
                "reports.templates", f"{text.file} fails: {failure}", "docs/reports.md names what a text may use"
            )
        else:
            if not said.text.strip():
                yield error("reports.templates", f"{text.file} says nothing")
    if texts is not None and texts.found and all(language != texts.default for _, language in texts.found):
        yield warning("reports.language", f'no text is in "{texts.default}": who asks for no other reads ours')


def sample(kind: Kind, config: Config) -> Facts:
    """A report of the kind: a recipient a host spoke about, and one it did not."""
    double = kind is Kind.DOUBLE
    sender = Address("alice", config.domains[0] if config.domains else config.hostname)
    people = tuple(Recipient(address=Address(name, "example.org")) for name in ("bob", "jörg"))
    record = begin(
        queue_id="0123456789abcdef",
        envelope=Envelope(sender=None if double else sender, recipients=people),
        now=0.0,
        origin=Origin.REPORT if double else Origin.RECEIVED,
        size=4711,
        message_id="<sample@example.com>",
    )
    status = STATUSES.get(kind, Status.FAILED)
    states = [RecipientState(recipient=each, attempts=1, last=_outcome(each, status)) for each in people]
    states[1] = attrs.evolve(
        states[1], attempts=0, last=states[1].last and failed(people[1].address, "5.1.2", "no host")
    )
    return Facts(
        report=Report(kind=kind, recipients=tuple(states)),
        record=record,
        head=HEAD,
        to=sender,
        retry_until=432000.0,
        by=Reporter(hostname=config.hostname, postmaster=config.postmaster or f"postmaster@{config.hostname}"),
    )


def _outcome(recipient: Recipient, status: Status | None) -> Outcome | None:
    if status is None:
        return None
    code, enhanced = CODES[status]
    reply = Reply(code, enhanced, "what the host <says> {{ about }} it")
    return Outcome(
        recipient=recipient.address, status=status, reply=reply, remote=True, host="mx.example.org", address="192.0.2.1"
    )
