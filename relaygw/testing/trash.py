"""What a spool must do to keep what operators removed, and for their conditions and orders in bulk: checks for writers
of spools, to be run as those of `relaygw.testing.spool`.
"""

import math
from ipaddress import ip_network
from typing import Any

import attrs
from zope.interface.verify import verifyObject

from relaygw.core.address import Address
from relaygw.core.outcome import deferred
from relaygw.core.patterns import compile_patterns
from relaygw.core.record import Origin, Progress, RecipientState, Record
from relaygw.core.selection import Selection
from relaygw.core.trash import Aside, bring_back, throw_away
from relaygw.interfaces import ISpool, ITrash, Settlement
from relaygw.testing.spool import LARGE, NOW, PREFIX, SMALL, Factory, make_record, progressed, read, store


def removed(record: Record, *positions: int) -> Record:
    """The record with these recipients removed; all of them where none is named."""
    states = tuple(
        attrs.evolve(state, progress=Progress.REMOVED) if not positions or place in positions else state
        for place, state in enumerate(record.recipients)
    )
    return attrs.evolve(record, recipients=states)


def removal(record: Record, *positions: int, moment: float = NOW) -> Settlement:
    """The settlement of an operator's removal that can be undone."""
    after = removed(record, *positions)
    return Settlement(record=after, aside=Aside(put=throw_away(record, after, now=moment, reason="a test")))


def trash_of(spool: ISpool) -> Any:
    """The spool as what keeps a trash."""
    verifyObject(ITrash, spool)
    return spool


async def check_removal_and_return(spool: ISpool) -> None:
    """What was removed is not in the queue, comes back as it was with the same octets, and comes back once."""
    trash = trash_of(spool)
    for queue_id, data in (("small", SMALL), ("large", LARGE)):
        record = attrs.evolve(make_record(queue_id, NOW + 7, recipients=2), held="a reason")
        await store(spool, record, data)
        await spool.settle(removal(record))
        assert await spool.record(queue_id) is None, "it is still in the queue"
        assert await spool.content(queue_id) is None
        assert await spool.count() == 0, "trash counts as queued"
        (kept,) = await trash.trashed_of([queue_id])
        assert (kept.record, kept.removed, kept.reason) == (record, NOW, "a test")
        assert await trash.restore([kept.entry, kept.entry]) == (record,), "it came back more than once, or not"
        assert await trash.restore([kept.entry]) == ()
        assert await spool.record(queue_id) == record
        assert read(await spool.content(queue_id)) == PREFIX + data, "the octets changed"
        assert await trash.trash_count() == 0
        await spool.settle(Settlement(record=progressed(record, Progress.DELIVERED)))


async def check_partial_removal(spool: ISpool) -> None:
    """Some of a message's recipients: the trash has a content of its own, and what goes on is not touched."""
    trash = trash_of(spool)
    record = make_record("a", recipients=3)
    await store(spool, record, LARGE)
    await spool.settle(removal(record, 1))
    rest = await spool.record("a")
    assert rest == removed(record, 1)
    (kept,) = await trash.trashed_of(["a"])
    assert [_waits(state) for state in kept.record.recipients] == [False, True, False]
    assert await trash.restore([kept.entry]) == (), "a second message of the same id"
    back = bring_back(rest, [kept.record])
    assert back == record
    await spool.settle(Settlement(record=back, aside=Aside(taken=(kept.entry,))))
    assert (await spool.record("a"), await trash.trash_count()) == (record, 0)
    await spool.settle(removal(record, 0, 2))
    await spool.settle(Settlement(record=progressed(record, Progress.DELIVERED)))
    (kept,) = await trash.trashed_of(["a"])
    (again,) = await trash.restore([kept.entry])
    assert [_waits(state) for state in again.recipients] == [True, False, True]
    assert read(await spool.content("a")) == PREFIX + LARGE, "the content went with the message"


def _waits(state: RecipientState) -> bool:
    return state.progress is Progress.WAITING


async def check_a_gone_record(spool: ISpool) -> None:
    """A settlement for a record that is gone does nothing to the trash."""
    trash = trash_of(spool)
    record = make_record("a")
    await spool.settle(removal(record))
    assert await trash.trash_count() == 0
    await store(spool, record)
    await spool.settle(removal(record))
    (kept,) = await trash.trashed_of(["a"])
    await spool.settle(Settlement(record=record, aside=Aside(taken=(kept.entry,))))
    assert await trash.trash_count() == 1


async def check_expiry(spool: ISpool) -> None:
    """The oldest go first, a bounded number at a time; a purge is for those it names; pages are in order of removal."""
    trash = trash_of(spool)
    assert await trash.oldest() == math.inf
    for number in range(7):
        record = make_record(f"id{number}")
        await store(spool, record, LARGE if number % 2 else SMALL)
        await spool.settle(removal(record, moment=NOW + number))
    assert await trash.oldest() == NOW
    first, after = await trash.trashed(0, 4)
    rest, end = await trash.trashed(after, 4)
    assert [kept.record.queue_id for kept in (*first, *rest)] == [f"id{number}" for number in range(7)]
    assert end == 0
    assert await trash.expire(NOW + 3, 2) == ("id0", "id1")
    assert await trash.expire(NOW + 3, 2) == ("id2",), "what is as old as that stays"
    assert await trash.expire(NOW + 3, 2) == ()
    await trash.purge([rest[0].entry, 999])
    assert [kept.record.queue_id for kept in (await trash.trashed(0, 9))[0]] == ["id3", "id5", "id6"]
    assert await trash.oldest() == NOW + 3


async def check_search(spool: ISpool) -> None:
    """Nothing that is meant is left out, page by page, whatever the conditions."""
    records = [
        attrs.evolve(
            make_record(f"id{number:02}", recipients=1 + number % 2),
            held="by hand" if number % 3 == 0 else "",
            login=f"user{number % 4}",
            quarantined=number % 5 == 0,
            findings=("dmarc=fail",) if number % 2 else (),
            message_id=f"<ü{number}@example.org>",
        )
        for number in range(20)
    ]
    records[7] = attrs.evolve(records[7], envelope=attrs.evolve(records[7].envelope, sender=None))
    other = attrs.evolve(records[8].recipients[0].recipient, address=Address("x", "sub.example.com"))
    records[8] = attrs.evolve(records[8], recipients=(attrs.evolve(records[8].recipients[0], recipient=other),))
    for number, local in ((9, "SENDER"), (10, "sender+tag"), (11, "straße"), (12, "news-17")):
        sender = Address(local, "example.org")
        envelope = attrs.evolve(records[number].envelope, sender=sender)
        records[number] = attrs.evolve(records[number], login="", envelope=envelope)
    tried = attrs.evolve(records[13].recipients[0], attempts=1, last=deferred(other.address, "4.4.1", "refused"))
    records[13] = attrs.evolve(records[13], recipients=(tried,), size=11)
    for record in records:
        await store(spool, record)
    for selection in (
        Selection(),
        Selection(sender=compile_patterns(["sender+tag@example.org", "STRASSE@example.org"], {})),
        Selection(sender=compile_patterns(["NEWS-17@example.org"], {})),
        Selection(ids=frozenset({"id03", "id17", "nobody"})),
        Selection(held=True),
        Selection(held=False),
        Selection(logins=frozenset({"user1", "user2"})),
        Selection(quarantined=True),
        Selection(findings=frozenset({"dmarc=fail"})),
        Selection(sender=compile_patterns(["<>", "nobody.example"], {})),
        Selection(sender=compile_patterns(["SENDER@example.org"], {})),
        Selection(recipient=compile_patterns([".example.com"], {})),
        Selection(recipient=compile_patterns(["example.net"], {}), held=True, logins=frozenset({"user0"})),
        Selection(message_id="<ü4@example.org>"),
        Selection(header_from=compile_patterns(["example.org"], {}), listeners=frozenset({"mx"}), older_than=10.0),
        Selection(clients=(ip_network("192.0.2.1/32"),), younger_than=10.0),
        Selection(clients=(ip_network("192.0.0.0/8", strict=False),), held=False),
        Selection(reply="4.4.1 REFUSED", min_attempts=1),
        Selection(larger_than=10, smaller_than=12),
        Selection(held_for="HAND", origin=Origin.RECEIVED),
    ):
        wanted = [record.queue_id for record in records if selection.matches(record, NOW)]
        for limit in (1, 3, 100):
            assert await _found(spool, selection, limit) == wanted, f"{selection} in pages of {limit}"


async def _found(spool: ISpool, selection: Selection, limit: int) -> list[str]:
    found, after = [], ""
    while True:
        records, after = await spool.search(selection, after, limit, NOW)
        assert len(records) <= limit
        found += [record.queue_id for record in records if selection.matches(record, NOW)]
        if not after:
            return found


async def check_in_bulk(spool: ISpool) -> None:
    """Many records are claimed and settled at once as each would be by itself."""
    records = [make_record(f"id{number}") for number in range(5)]
    for record in records:
        await store(spool, record, lease=NOW + 50 if record.queue_id == "id2" else 0.0)
    ids = [record.queue_id for record in records]
    taken = await spool.take_all([*ids, "nobody"], NOW, NOW + 10)
    assert sorted(record.queue_id for record in taken) == ["id0", "id1", "id3", "id4"]
    assert await spool.take_all(ids, NOW + 9, NOW + 20) == ()
    held = attrs.evolve(records[1], held="by hand")
    await spool.settle_all(
        [Settlement(record=progressed(records[0], Progress.REMOVED)), Settlement(record=held), removal(records[3])]
    )
    assert [await spool.record(queue_id) for queue_id in ids] == [None, held, records[2], None, records[4]]
    assert [record.queue_id for record in await spool.take_all(ids, NOW + 9, NOW + 20)] == ["id1"]


TRASH_CHECKS = (
    check_removal_and_return,
    check_partial_removal,
    check_a_gone_record,
    check_expiry,
    check_search,
    check_in_bulk,
)


async def check_trash(factory: Factory) -> None:
    """Every check, each on a spool of its own; `factory()` answers a new, empty, open one."""
    for check in TRASH_CHECKS:
        spool = factory()
        try:
            await check(spool)
        finally:
            await spool.close()
