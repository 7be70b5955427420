"""What changes a message: once, after everybody has judged it as it came, before the commit.

Forged Authentication-Results go unasked (RFC 8601 5), the only fields that do; the rewriters do what they were put in
for.

The content in the sink stays what the client sent; a changed header section goes with the body into a new sink, a
piece at a time, so that a large message neither fills memory nor keeps others waiting.
"""

import attrs

from relaygw.bridge import sleep
from relaygw.core.authres import without_claimed
from relaygw.core.content import Content
from relaygw.core.envelope import Envelope, path
from relaygw.core.events import ForgeryRemoved, Rewritten
from relaygw.core.facts import read_facts
from relaygw.core.headers import value_of
from relaygw.core.session import Transaction
from relaygw.ingress.house import House
from relaygw.interfaces import ISink

PIECES = 16
"""Pieces of a content that are copied before others get their turn."""


@attrs.frozen(kw_only=True)
class Rewriting:
    """What the rewriters made; `changed`: `head` is not the content's any more."""

    envelope: Envelope
    head: bytes
    changed: bool


def rewrite(house: House, transaction: Transaction, content: Content) -> Rewriting:
    """All rewriters of the listener, in their order. What one raises makes the message wait (contract 4)."""
    original = content.head
    envelope, head = transaction.envelope, _without_forgeries(house, transaction, original)
    for use in house.rewriters:
        whole = head if not head or head.endswith(b"\r\n") else head + b"\r\n"
        new_envelope, new_head = use.rewriter.rewrite(envelope, whole)
        if new_envelope != envelope or new_head != whole:
            head = new_head
            house.journal(
                Rewritten(
                    session=transaction.session.id,
                    queue_id=transaction.queue_id,
                    rewriter=use.name,
                    sender=path(new_envelope.sender),
                    header_from=read_facts(new_head).header_from,
                )
            )
        envelope = new_envelope
    return Rewriting(envelope=envelope, head=head, changed=head is not original)


def _without_forgeries(house: House, transaction: Transaction, head: bytes) -> bytes:
    """The header section without what claims that we have said it."""
    kept, forged = without_claimed(head, (house.hostname,))
    if forged:
        house.journal(
            ForgeryRemoved(
                session=transaction.session.id,
                queue_id=transaction.queue_id,
                client=transaction.session.client,
                fields=tuple(value_of(field).decode("utf-8", "replace") for field in forged),
            )
        )
    return kept


async def with_head(house: House, sink: ISink, head: bytes) -> ISink:
    """A new sink with this header section before the body of the old one, which is given up."""
    content = sink.content()
    copy = await _copy(house, head, content, len(content.head))
    sink.abort()
    return copy


async def copied(house: House, sink: ISink) -> ISink:
    """A new sink with all that is in the old one, which stays."""
    return await _copy(house, b"", sink.content(), 0)


async def _copy(house: House, head: bytes, content: Content, start: int) -> ISink:
    """A new sink with `head` before what the content has from `start`."""
    copy = house.spool.sink()
    try:
        copy.write(head)
        for number, piece in enumerate(content.chunks(start), 1):
            copy.write(piece)
            if number % PIECES == 0:
                await sleep(0, house.clock, None)
    except BaseException:
        copy.abort()
        raise
    return copy
