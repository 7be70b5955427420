"""What every ISpool must do, as checks that plugin writers run against their own: `await check_spool(factory)`.

`factory()` answers a new, empty, open spool each time. A check fails with an AssertionError that says what is wrong. A
spool that outlives its process is also given to `check_durable_spool`.
"""

import math
from collections.abc import Awaitable, Callable

import attrs
from zope.interface.verify import verifyObject

from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.envelope import Body, Envelope, Notify, Recipient
from relaygw.core.outcome import deferred, failed
from relaygw.core.record import Origin, Progress, RecipientState, Record
from relaygw.interfaces import ISink, ISpool, Mark, NewMessage, Settlement, SpoolError

BEGIN: Mark = (-math.inf, "", 0)
NOW = 1_800_000_000.0
HEAD = b"From: <sender@example.org>\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n"
SMALL = HEAD + b"\r\nbody\x00\xff\r\n.\r\n"
LARGE = HEAD + b"\r\n" + bytes(range(256)) * 4800
PREFIX = b"Received: from client by relay\r\n"

Factory = Callable[[], ISpool]
Check = Callable[[ISpool], Awaitable[None]]


def make_record(queue_id: str, due: float = NOW, *, size: int = 0, recipients: int = 1) -> Record:
    """A record with something in every field, whose recipients are all due at `due`."""
    paths = tuple(
        Recipient(address=Address(f"jörg.{number}", "example.net"), notify=frozenset({Notify.DELAY}), orcpt="x;ü")
        for number in range(recipients)
    )
    envelope = Envelope(
        sender=Address("sender", "example.org"), recipients=paths, body=Body.EIGHT_BIT, smtputf8=True, envid="e+1"
    )
    return Record(
        queue_id=queue_id,
        envelope=envelope,
        arrived=NOW - 10,
        recipients=tuple(RecipientState(recipient=path, due=due) for path in paths),
        size=size,
        session_id="session",
        client="192.0.2.1",
        hello="client.example.org",
        listener="mx",
        message_id="<\udcff@example.org>",
        header_from="example.org",
    )


def fill(sink: ISink, data: bytes, piece: int = 5000) -> ISink:
    """Write data in pieces."""
    for start in range(0, len(data), piece):
        sink.write(data[start : start + piece])
    return sink


async def store(spool: ISpool, record: Record, data: bytes = SMALL, *, lease: float = 0.0) -> Content:
    """Commit a message with our usual prefix."""
    return await spool.commit(record, fill(spool.sink(), data), PREFIX, lease)


def read(content: Content | None, start: int = 0) -> bytes:
    """All of a content from `start`."""
    assert content is not None, "there is no content"
    return b"".join(content.chunks(start))


def progressed(record: Record, progress: Progress) -> Record:
    """The record with all its recipients there."""
    states = tuple(attrs.evolve(state, progress=progress) for state in record.recipients)
    return attrs.evolve(record, recipients=states)


async def refused(operation: Awaitable[object]) -> None:
    """The operation raises SpoolError."""
    try:
        await operation
    except SpoolError:
        return
    raise AssertionError("SpoolError was not raised")


async def check_interface(spool: ISpool) -> None:
    """It provides what it says."""
    verifyObject(ISpool, spool)
    verifyObject(ISink, spool.sink())


async def check_content(spool: ISpool) -> None:
    """What came in goes out, small and large, whole and from any offset, with the prefix on top."""
    for queue_id, data in (("a", SMALL), ("b", LARGE), ("c", b""), ("d", b"\r\nno header")):
        answered = await store(spool, make_record(queue_id), data)
        kept = await spool.content(queue_id)
        assert kept is not None, "content() does not find what was committed"
        for content in (answered, kept):
            whole = PREFIX + data
            assert read(content) == whole, "the octets changed"
            assert content.size == len(whole), "the size is wrong"
            for start in (1, len(PREFIX) - 1, len(PREFIX), len(PREFIX) + 1, len(whole) - 1, len(whole)):
                assert read(content, start) == whole[start:], f"reading from {start} is wrong"
            assert content.head.startswith(PREFIX), "the head lacks the prefix"
        assert answered.head == kept.head == PREFIX + (HEAD if data.startswith(HEAD) else b""), "the head is wrong"


async def check_sink(spool: ISpool) -> None:
    """A sink counts and can be read before its commit; it is of one use; abort forgets it and is always harmless."""
    for data in (SMALL, LARGE):
        sink = fill(spool.sink(), data)
        assert sink.size == len(data), "the sink's size is wrong"
        assert read(sink.content()) == data, "the sink reads back something else"
        assert sink.content().head == HEAD, "the sink's head is wrong"
        fill(sink, b"more")
        assert read(sink.content()) == data + b"more", "writing after reading is wrong"
        sink.abort()
        sink.abort()
        await refused(spool.commit(make_record("aborted"), sink, b"", 0.0))
    sink = fill(spool.sink(), LARGE)
    await spool.commit(make_record("kept"), sink, b"", 0.0)
    sink.abort()
    assert read(await spool.content("kept")) == LARGE, "abort after commit lost the content"
    await refused(spool.commit(make_record("again"), sink, b"", 0.0))
    assert await spool.count() == 1, "a refused commit left something behind"


async def check_records(spool: ISpool) -> None:
    """Records come back equal in every field, one by one and in pages by queue id; an id is committed once."""
    records = [make_record(f"id{number:02}", recipients=number) for number in range(1, 12)]
    records[3] = attrs.evolve(records[3], held="by hand", quarantined=True, origin=Origin.LOCAL)
    last = attrs.evolve(deferred(records[4].recipients[0].address, "4.4.1", "refuséd\nhere"), remote=True, host="mx")
    state = attrs.evolve(records[4].recipients[0], attempts=3, warned=NOW, last=last, due=NOW + 0.125)
    records[4] = attrs.evolve(records[4], recipients=(state, *records[4].recipients[1:]))
    records[5] = attrs.evolve(records[5], envelope=attrs.evolve(records[5].envelope, sender=None))
    for record in reversed(records):
        await store(spool, record)
    assert [await spool.record(record.queue_id) for record in records] == records, "a record changed"
    assert await spool.record("nobody") is None
    assert await spool.content("nobody") is None
    await refused(store(spool, records[0]))
    assert await spool.named(["nobody", records[1].queue_id]) == (records[1],)
    contents = await spool.contents([records[0].queue_id, "nobody"])
    assert {name: read(content) for name, content in contents.items()} == {records[0].queue_id: PREFIX + SMALL}
    assert await spool.count() == len(records)
    first = await spool.records("", 5)
    assert first == tuple(records[:5]), "the first page is wrong"
    assert await spool.records(first[-1].queue_id, 100) == tuple(records[5:]), "the second page is wrong"
    assert await spool.records(records[-1].queue_id, 100) == ()


async def check_claims(spool: ISpool) -> None:
    """Due records are claimed once, the earliest first, until their lease ends or they are given back."""
    for queue_id, due in (("c", NOW), ("a", NOW + 1), ("d", NOW - 1), ("b", NOW + 2)):
        await store(spool, make_record(queue_id, due))
    await store(spool, attrs.evolve(make_record("held", NOW - 5), held="by hand"))
    await store(spool, make_record("claimed", NOW - 5), lease=NOW + 100)
    assert await _next_due(spool) == NOW - 1
    assert await _claim(spool, NOW - 2) == []
    assert await _claim(spool, NOW + 1, limit=2) == ["d", "c"], "not the earliest first"
    assert await _claim(spool, NOW + 1) == ["a"]
    assert await _claim(spool, NOW + 1) == [], "claimed twice"
    assert await _next_due(spool) == NOW + 2
    await spool.release("c")
    await spool.release("nobody")
    assert await _next_due(spool) == NOW
    assert await _claim(spool, NOW + 1) == ["c"], "a claim given back is not free"
    assert await _claim(spool, NOW + 49) == ["b"]
    assert await _next_due(spool) == NOW + 50, "the end of a lease is not seen"
    assert await _claim(spool, NOW + 49.9) == [], "claimed before the lease ended"
    assert sorted(await _claim(spool, NOW + 50)) == ["a", "b", "c", "d"], "a lease did not end at its end"
    await spool.renew(["a", "b", "nobody"], NOW + 200)
    assert sorted(await _claim(spool, NOW + 150)) == ["c", "claimed", "d"], "renewed claims were not kept"


async def _claim(spool: ISpool, now: float, limit: int = 10) -> list[str]:
    lease = NOW + 50 if now < NOW + 50 else now + 50
    return [record.queue_id for record in await spool.claim(now, lease, limit)]


async def _next_due(spool: ISpool) -> float:
    found = await spool.look(0.0, 0.0, 1, BEGIN, frozenset())
    assert found.next_due is not None, "a look at nothing does not end"
    return found.next_due


async def check_owners(spool: ISpool) -> None:
    """One owner's records can be claimed alone, and what is due behind a crowd is found."""
    for number in range(5):
        await store(spool, _of("mailing", f"m{number}", NOW + number))
    await store(spool, _of("alice", "letter", NOW + 3.5))
    await store(spool, _of("bob", "later", NOW + 9))
    await store(spool, _of("bob", "ours", NOW + 1), lease=NOW + 20)
    mailing = frozenset({"mailing"})
    found = await spool.look(NOW + 5, NOW + 50, 10, BEGIN, mailing)
    assert [record.queue_id for record in found.records] == ["letter"], "the letter behind the mailing was not found"
    assert found.next_due == NOW + 9
    again = await spool.look(NOW + 5, NOW + 50, 10, found.mark, frozenset())
    assert again.records == (), "it looked at what is before the mark"
    first = await spool.claim(NOW + 5, NOW + 50, 2, "mailing")
    assert [record.queue_id for record in first] == ["m0", "m1"], "not the owner's earliest"
    assert await spool.claim(NOW + 5, NOW + 50, 9, "nobody") == ()
    part = await spool.look(NOW + 5, NOW + 50, 2, BEGIN, frozenset())
    assert [record.queue_id for record in part.records] == ["m2", "m3"]
    assert part.next_due is None, "it says that it came to the end"
    rest = await spool.look(NOW + 5, NOW + 50, 2, part.mark, frozenset())
    assert [record.queue_id for record in rest.records] == ["m4"], "it did not go on where it ended"
    await spool.release("m0")
    before = await spool.look(NOW + 5, NOW + 50, 9, (NOW, "", 0), mailing)
    assert before.records == (), "an owner to be passed over was not"
    late = await spool.look(NOW + 20, NOW + 50, 9, rest.mark, frozenset())
    assert sorted(record.queue_id for record in late.records) == ["later", "ours"], "the end of a claim was not seen"


def _of(login: str, queue_id: str, due: float) -> Record:
    return attrs.evolve(make_record(queue_id, due), login=login)


async def check_take(spool: ISpool) -> None:
    """One named record can be claimed whether due or held, but not from under another claim."""
    held = attrs.evolve(make_record("held", NOW + 1000), held="by hand")
    await store(spool, held)
    assert await spool.take("held", NOW, NOW + 10) == held
    assert await spool.take("held", NOW + 9, NOW + 20) is None, "taken from under a claim"
    assert await spool.take("held", NOW + 10, NOW + 20) == held, "the lease did not end"
    await spool.release("held")
    assert await spool.take("held", NOW + 11, NOW + 20) == held
    assert await spool.take("nobody", NOW, NOW + 10) is None
    assert await _next_due(spool) >= NOW + 20, "a held record falls due"


async def check_settle(spool: ISpool) -> None:
    """A settlement stores, removes and adds as a whole; a record that is gone stays gone."""
    record = make_record("a", recipients=2)
    await store(spool, record, LARGE, lease=NOW + 50)
    waiting = (record.recipients[0], attrs.evolve(record.recipients[1], attempts=1, due=NOW + 30))
    changed = attrs.evolve(record, recipients=(attrs.evolve(waiting[0], progress=Progress.DELIVERED), waiting[1]))
    await spool.settle(Settlement(record=changed, release=False))
    assert await spool.record("a") == changed, "the change was not stored"
    assert await _claim(spool, NOW + 49) == [], "the claim was not kept"
    await spool.settle(Settlement(record=changed))
    assert await _next_due(spool) == NOW + 30
    assert await _claim(spool, NOW + 30) == ["a"], "the claim was not given back"
    assert read(await spool.content("a")) == PREFIX + LARGE, "the change touched the content"
    await _check_finish(spool, changed)


async def _check_finish(spool: ISpool, record: Record) -> None:
    content = await spool.content(record.queue_id)
    reading = content.chunks(0) if content else iter(())
    begun = next(reading, b"") + next(reading, b"")
    report = make_record("report", NOW + 5)
    finished = progressed(record, Progress.REPORTED)
    settlement = Settlement(record=finished, added=(NewMessage(record=report, content=LARGE),))
    await spool.settle(settlement)
    assert begun + b"".join(reading) == PREFIX + LARGE, "reading that had begun was cut off by the removal"
    assert await spool.record(record.queue_id) is None
    assert await spool.content(record.queue_id) is None
    assert await spool.record("report") == report
    assert read(await spool.content("report")) == LARGE, "the added message's content changed"
    assert await _claim(spool, NOW + 5) == ["report"], "the added message is not there to be claimed"
    await spool.settle(settlement)
    late = attrs.evolve(settlement, added=(NewMessage(record=make_record("late"), content=b"\r\n"),))
    await spool.settle(late)
    await spool.settle(Settlement(record=record))
    assert await spool.count() == 1, "settling a record that is gone did something"
    await spool.settle(Settlement(record=progressed(report, Progress.DELIVERED)))
    assert await spool.count() == 0
    assert await _next_due(spool) == math.inf


async def check_settle_again(spool: ISpool) -> None:
    """A settlement whose answer was lost can be made again: what it adds is there once."""
    record = make_record("a")
    await store(spool, record)
    outcome = failed(record.recipients[0].address, "5.1.1", "unknown")
    state = attrs.evolve(record.recipients[0], last=outcome, warned=NOW)
    changed = attrs.evolve(record, recipients=(state,))
    settlement = Settlement(record=changed, added=(NewMessage(record=make_record("warning"), content=SMALL),))
    await spool.settle(settlement)
    await spool.settle(settlement)
    assert await spool.count() == 2
    assert await spool.record("a") == changed
    assert read(await spool.content("warning")) == SMALL
    await spool.settle(Settlement(record=progressed(make_record("warning"), Progress.DELIVERED)))
    await spool.settle(settlement)
    assert await spool.record("warning") is None, "what was added before and is done with was added again"


async def check_close(spool: ISpool) -> None:
    """After close every operation is refused; closing again is harmless."""
    sink = fill(spool.sink(), SMALL)
    await store(spool, make_record("a"))
    await spool.close()
    await spool.close()
    await refused(spool.commit(make_record("b"), sink, b"", 0.0))
    await refused(spool.settle(Settlement(record=make_record("a"))))
    await refused(spool.claim(NOW, NOW + 1, 1))
    await refused(spool.record("a"))


CHECKS: tuple[Check, ...] = (
    check_interface,
    check_content,
    check_sink,
    check_records,
    check_claims,
    check_owners,
    check_take,
    check_settle,
    check_settle_again,
    check_close,
)


async def check_spool(factory: Factory) -> None:
    """Every check, each on a spool of its own."""
    for check in CHECKS:
        spool = factory()
        try:
            await check(spool)
        finally:
            await spool.close()


async def check_durable_spool(open_again: Factory) -> None:
    """What was committed is there when the same store is opened again; `open_again()` opens it each time.

    Claims of the former owner may be kept until their lease ends or be given back; the check looks after their end.
    """
    spool = open_again()
    for queue_id, data in (("small", SMALL), ("large", LARGE), ("gone", LARGE)):
        await store(spool, make_record(queue_id), data, lease=NOW + 50)
    await spool.settle(Settlement(record=progressed(make_record("gone"), Progress.DELIVERED)))
    fill(spool.sink(), LARGE)
    await spool.close()
    again = open_again()
    try:
        for queue_id, data in (("small", SMALL), ("large", LARGE)):
            assert await again.record(queue_id) == make_record(queue_id), "a record did not survive"
            assert read(await again.content(queue_id)) == PREFIX + data, "a content did not survive"
        assert await again.count() == 2, "something came back"
        assert len(await again.claim(NOW + 50, NOW + 99, 10)) == 2, "a claim outlived its lease"
    finally:
        await again.close()
