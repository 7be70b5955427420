"""From a message that has ended to the promise of 250: fields on top, the record, the commit, the offer to the queue.

The order is the contract: nothing is answered before the spool has said that content and record survive, and nothing
that happens after that can take the 250 back.
"""

from collections.abc import Callable, Sequence
from functools import partial

import attrs

from relaygw.core.address import Address
from relaygw.core.authres import compose as authentication_results
from relaygw.core.content import Content
from relaygw.core.envelope import Envelope, path
from relaygw.core.events import Accepted, Discarded, Expanded, TaskFailed
from relaygw.core.facts import Facts, read_facts
from relaygw.core.holds import HoldRule
from relaygw.core.lifecycle import begin
from relaygw.core.record import Record
from relaygw.core.reply import Reply
from relaygw.core.session import Role, Transaction
from relaygw.core.trace import missing_fields, received
from relaygw.holds import HoldBook
from relaygw.ingress.answers import LOCAL_FAILURE
from relaygw.ingress.house import Findings, House
from relaygw.ingress.quotas import Held
from relaygw.ingress.rewriting import copied, rewrite, with_head
from relaygw.ingress.spreading import NO_EXPANSIONS, Expansions, spread
from relaygw.interfaces import ISink, SpoolError

MAX_FINDINGS = 50
"""Findings that are kept with a message; filters we ship have a dozen at most."""


@attrs.frozen(kw_only=True)
class Message:
    """A message ready for the spool. `head` replaces the content's header section where it is not None; `held` is set
    for mail beyond a quota, `ruling` for what a rule holds. `others` are further records of the same content, for the
    members of lists."""

    record: Record
    prefix: bytes
    head: bytes | None = None
    held: Held | None = None
    others: tuple[Record, ...] = ()
    expansions: Expansions = NO_EXPANSIONS
    ruling: HoldRule | None = None


def compose(
    house: House,
    transaction: Transaction,
    content: Content,
    found: Findings | None,
    held: Held | None = None,
    expansions: Expansions = NO_EXPANSIONS,
) -> Message | None:
    """The record, and the fields that go on top: the filters' findings above our Received (RFC 8601 4.1). None where
    its recipients lead nowhere."""
    now = house.now()
    written = rewrite(house, transaction, content)
    facts = read_facts(written.head)
    prefix = _prefix(house, transaction, found, now) + _added(house, transaction, facts, now)
    envelopes = spread(written.envelope, expansions) if expansions else (written.envelope,)
    if not envelopes:
        return None
    record = begin(
        queue_id=transaction.queue_id,
        envelope=envelopes[0],
        now=now,
        session=transaction.session,
        size=len(prefix) + content.size + len(written.head) - len(content.head),
        message_id=facts.message_id or _message_id(house, transaction, facts),
        header_from=facts.header_from,
        held=_held(found, held),
        quarantined=found is not None and bool(found.quarantine),
        findings=_findings(found),
    )
    records = (record, *(_another(house, record, envelope) for envelope in envelopes[1:]))
    if record.quarantined and all(house.wants_quarantined(each, written.head) for each in records):
        records = tuple(attrs.evolve(each, held=_held_besides(found, held)) for each in records)
    ruling = None
    if house.holds is not None and house.holds.active:
        ruling = _ruling(house.holds, records, written.envelope.sender, written.head)
    if ruling is not None:
        records = tuple(_ruled(each, ruling) for each in records)
    return Message(
        record=records[0],
        prefix=prefix,
        head=written.head if written.changed else None,
        held=held,
        others=records[1:],
        expansions=expansions,
        ruling=ruling,
    )


def _another(house: House, record: Record, envelope: Envelope) -> Record:
    """The same message in another envelope, under a name of its own."""
    fresh = begin(queue_id=house.new_id(), envelope=envelope, now=record.arrived)
    return attrs.evolve(record, queue_id=fresh.queue_id, envelope=envelope, recipients=fresh.recipients)


def _ruling(holds: HoldBook, records: Sequence[Record], sender: Address | None, head: bytes) -> HoldRule | None:
    """The rule that holds the message, all of it: members of a list are recipients of it as others are, and their
    message has the sender it came with as well as the list's owner."""
    for record in records:
        ruling = holds.judge(record, head)
        if ruling is None and record.envelope.sender != sender:
            came = attrs.evolve(record, envelope=attrs.evolve(record.envelope, sender=sender))
            ruling = holds.judge(came, head)
        if ruling is not None:
            return ruling
    return None


def _ruled(record: Record, ruling: HoldRule) -> Record:
    return attrs.evolve(record, held=ruling.words, quarantined=record.quarantined or ruling.quarantine)


def _prefix(house: House, transaction: Transaction, found: Findings | None, now: float) -> bytes:
    recipients = tuple(recipient.address for recipient in transaction.envelope.recipients)
    utf8 = transaction.envelope.smtputf8
    trace = received(transaction.session, house.hostname, transaction.queue_id, recipients, now, utf8)
    if found is None:
        return trace
    results = authentication_results(house.hostname, found.auth, utf8=utf8) if found.auth else b""
    return b"".join((results, *found.fields, trace))


def _added(house: House, transaction: Transaction, facts: Facts, now: float) -> bytes:
    if not _adds(house) or (facts.has_date and facts.has_message_id):
        return b""
    return missing_fields(
        date=not facts.has_date,
        message_id=not facts.has_message_id,
        queue_id=transaction.queue_id,
        hostname=house.hostname,
        now=now,
    )


def _adds(house: House) -> bool:
    """Whether what the author's program left out is added here (RFC 6409 8)."""
    return house.role is Role.SUBMISSION or house.adds_fields


def _message_id(house: House, transaction: Transaction, facts: Facts) -> str:
    """The one that `_added` gives."""
    given = _adds(house) and not facts.has_message_id
    return f"<{transaction.queue_id}@{house.hostname}>" if given else ""


def _findings(found: Findings | None) -> tuple[str, ...]:
    """For routing: each method with its result, once."""
    if found is None:
        return ()
    return tuple(dict.fromkeys(f"{result.method}={result.result}".lower() for result in found.auth))[:MAX_FINDINGS]


def _held(found: Findings | None, held: Held | None) -> str:
    quarantine = found.quarantine if found is not None else ""
    return f"quarantine: {quarantine}" if quarantine else _held_besides(found, held)


def _held_besides(found: Findings | None, held: Held | None) -> str:
    """What it is held for where it is no quarantine."""
    return (found.hold if found is not None else "") or (held.reason if held is not None else "")


async def commit(house: House, message: Message, sink: ISink) -> Reply:
    """Store the message and answer for it. A spool that fails is a temporary failure, whatever it says."""
    record = message.record
    try:
        if message.head is not None:
            sink = await with_head(house, sink, message.head)
        lease = 0.0 if record.held else record.arrived + house.lease
        lists = await _commit_others(house, message, sink, lease) if message.others else ()
        content = await house.spool.commit(record, sink, message.prefix, lease)
    except Exception as error:
        sink.abort()
        _failed(house, record, "commit", error)
        if house.pressure is not None and isinstance(error, SpoolError):
            house.pressure.spool_failed(str(error))
        return LOCAL_FAILURE
    if message.expansions:
        _tell_expansions(house, message)
    house.journal(_accepted(record))
    if message.ruling is not None:
        house.journal(message.ruling.event(record))
    if message.held is not None and house.quotas is not None:
        _attempt(house, record, "report a quota", partial(house.quotas.report, record, message.held))
    if not record.held:  # where it is not taken the record is safe: the queue finds it when the lease ends
        _attempt(house, record, "offer", partial(house.offer, record, content))
    for other, its_content in lists:
        if message.ruling is not None:
            house.journal(message.ruling.event(other))
        if not other.held and house.now() < lease:  # beyond that the queue may have found it by itself
            _attempt(house, other, "offer", partial(house.offer, other, its_content))
    return Reply(250, "2.0.0", f"Ok, queued as {record.queue_id}")


async def _commit_others(
    house: House, message: Message, sink: ISink, lease: float
) -> tuple[tuple[Record, Content], ...]:
    """Store what goes to lists, before the message itself takes the sink. Where a later one fails the client sends all
    again, and members of the lists before it get two copies: better than none."""
    stored = []
    for record in message.others:
        copy = await copied(house, sink)
        stored.append((record, await house.spool.commit(record, copy, message.prefix, lease)))
        house.journal(_accepted(record))  # it goes out, whatever becomes of the others
    return tuple(stored)


def _tell_expansions(house: House, message: Message) -> None:
    """Each recipient that led to others."""
    ids = {other.envelope.sender: other.queue_id for other in message.others}
    for recipient, expansion in message.expansions.items():
        owner = next((final.owner for final in expansion.finals if final.owner is not None), None)
        house.journal(
            Expanded(
                session=message.record.session_id,
                queue_id=message.record.queue_id,
                recipient=str(recipient.address),
                addresses=tuple(map(str, expansion.addresses)),
                tables=expansion.tables,
                sender=path(owner) if owner is not None else "",
                list_id=ids.get(owner, "") if owner is not None else "",
            )
        )


def _attempt(house: House, record: Record, task: str, function: Callable[[], None]) -> None:
    """What follows the commit: its failure is journaled, and takes nothing back."""
    try:
        function()
    except Exception as error:
        _failed(house, record, task, error)


def _failed(house: House, record: Record, task: str, error: Exception) -> None:
    text = f"{type(error).__name__}: {error}"
    house.journal(TaskFailed(session=record.session_id, queue_id=record.queue_id, task=task, error=text))


def _accepted(record: Record) -> Accepted:
    return Accepted(
        session=record.session_id,
        queue_id=record.queue_id,
        origin=record.origin.value,
        sender=path(record.envelope.sender),
        recipients=tuple(str(recipient.address) for recipient in record.envelope.recipients),
        size=record.size,
        message_id=record.message_id,
        client=record.client,
        login=record.login,
        listener=record.listener,
    )


def discard(house: House, transaction: Transaction, reason: str) -> Reply:
    """The answer to a message that a filter has taken and thrown away: nobody outside can tell."""
    house.journal(
        Discarded(
            session=transaction.session.id,
            queue_id=transaction.queue_id,
            reason=reason,
            sender=path(transaction.envelope.sender),
            recipients=tuple(str(recipient.address) for recipient in transaction.envelope.recipients),
        )
    )
    return Reply(250, "2.0.0", f"Ok, queued as {transaction.queue_id}")
