"""What operators removed can be had back: exactly once, as it was, also where the rest of the message has gone on, and
after a restart; it goes for good when its time is over, a few at a time."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from queue_kit import Kit, busy, make_kit, make_record, run
from twisted.internet.defer import Deferred

from relaygw.config.schema import QueueConfig
from relaygw.core.address import Address
from relaygw.core.events import Completed, Operated, Purged
from relaygw.core.orders import Order, Verb
from relaygw.core.outcome import Outcome
from relaygw.core.record import Progress, Record
from relaygw.core.selection import Selection, patterns
from relaygw.core.trash import Trashed
from relaygw.queue.operations import Done
from relaygw.queue.trash import PAGE, PAUSE, Sweeper, Trash
from relaygw.spool.memory import MemorySpool
from relaygw.spool.sqlite import SqliteSpool
from relaygw.tasks import Tasks
from relaygw.testing.transport import ManualTransport, ScriptedTransport, delivered

DAY = 86400.0
EVERYTHING = Selection()


def trash_of(kit: Kit, age: float = DAY) -> Trash:
    return Trash(
        spool=kit.spool,  # type: ignore[arg-type]  # both spools of ours keep a trash
        operations=kit.queue.operations,
        age=age,
        now=kit.clock.seconds,
        write_event=kit.events.append,
    )


def remove(kit: Kit, selection: Selection) -> tuple[Done, ...]:
    order = Order(verb=Verb.REMOVE, reason="a mistake", keep=True)
    return run(kit.queue.operations.order_all(selection, order))


def ids(*records: Record) -> Selection:
    return Selection(ids=frozenset(record.queue_id for record in records))


def putting_off(spool: MemorySpool | None = None) -> Kit:
    """Everybody is put off once, for five minutes, and lies idle then."""
    seen: set[Address] = set()

    def once(_: int, recipient: Address) -> Outcome:
        if recipient in seen:
            return delivered(recipient)
        seen.add(recipient)
        return busy(recipient)

    return make_kit(ScriptedTransport(once), config=QueueConfig(retry=(300.0,)), spool=spool)


@pytest.fixture
def kit() -> Kit:
    return putting_off()


def test_a_removed_message_comes_back_as_it_was_and_once(kit: Kit) -> None:
    trash = trash_of(kit)
    sent = kit.send("bob@example.com", "eve@example.net")
    before = kit.stored(sent)
    assert [done.message for done in remove(kit, EVERYTHING)] == ["removed: 2 recipients"]
    assert (kit.stored(sent), run(kit.spool.count())) == (None, 0)
    (kept,) = run(trash.listing(EVERYTHING)).entries
    assert (kept.record, kept.reason, kept.removed) == (before, "a mistake", kit.clock.seconds())
    back = run(trash.undo(ids(sent)))
    assert [done.message for done in back.answers] == ["brought back: 2 recipients"]
    assert kit.stored(sent) == before
    assert run(trash.undo(EVERYTHING)).answers == ()
    assert [event.verb for event in kit.told(Operated)] == ["remove", "undo"]
    kit.clock.advance(1000)
    assert kit.stored(sent) is None, "it was not attempted when it was due"
    assert len(kit.told(Completed)) == 2


def test_only_the_recipients_that_are_meant_go_and_they_come_back_into_their_message(kit: Kit) -> None:
    trash = trash_of(kit)
    sent = kit.send("bob@example.com", "eve@example.net")
    before = kit.stored(sent)
    (done,) = remove(kit, Selection(recipient=patterns(["example.net"])))
    assert done.message == "removed: 1 recipient"
    rest = kit.stored(sent)
    assert rest is not None
    assert [state.progress for state in rest.recipients] == [Progress.WAITING, Progress.REMOVED]
    (done,) = run(trash.undo(EVERYTHING)).answers
    assert done.message == "brought back: 1 recipient"
    assert kit.stored(sent) == before
    assert run(trash.count()) == 0


def test_what_was_removed_of_a_message_that_is_done_comes_back_alone(kit: Kit) -> None:
    trash = trash_of(kit)
    sent = kit.send("bob@example.com", "eve@example.net")
    remove(kit, Selection(recipient=patterns(["example.net"])))
    kit.clock.advance(1000)
    assert kit.stored(sent) is None, "bob has it"
    assert [done.done for done in run(trash.undo(EVERYTHING)).answers] == [True]
    again = kit.stored(sent)
    assert again is not None
    assert [str(state.address) for state in again.waiting] == ["eve@example.net"]


def test_two_removals_of_one_message_come_back_together(kit: Kit) -> None:
    trash = trash_of(kit)
    sent = kit.send("bob@example.com", "eve@example.net", "joe@example.org")
    before = kit.stored(sent)
    for domain in ("example.net", "example.com", "example.org"):
        remove(kit, Selection(recipient=patterns([domain])))
    assert (kit.stored(sent), run(trash.count())) == (None, 3)
    run(trash.undo(EVERYTHING))
    assert kit.stored(sent) == before
    assert run(trash.count()) == 0


def test_a_recipient_that_is_being_attempted_is_removed_later_and_comes_back_too() -> None:
    transport = ManualTransport()
    kit = make_kit(transport, config=QueueConfig(retry=(300.0,)))
    trash = trash_of(kit)
    sent = kit.send("bob@example.com")
    order = Order(verb=Verb.REMOVE, keep=True)
    done = run(kit.queue.operations.order(sent.queue_id, order))
    assert "being attempted now" in done.message
    transport.pending[0].finish(busy)
    assert kit.stored(sent) is None
    assert [each.message for each in run(trash.undo(EVERYTHING)).answers] == ["brought back: 1 recipient"]
    again = kit.stored(sent)
    assert again is not None
    assert again.recipients[0].attempts == 1


def test_a_held_message_comes_back_held(kit: Kit) -> None:
    trash = trash_of(kit)
    record = make_record(kit.clock, "bob@example.com", held="quarantine: dmarc")
    kit.commit(record, claimed=False)
    remove(kit, Selection(held=True))
    (done,) = run(trash.undo(Selection(held=True))).answers
    assert done.message == "brought back: 1 recipient; held: quarantine: dmarc"
    assert kit.stored(record) == record


def test_without_an_age_nothing_is_kept(kit: Kit) -> None:
    trash = trash_of(kit, age=0.0)
    sent = kit.send("bob@example.com")
    remove(kit, EVERYTHING)
    assert kit.stored(sent) is None
    assert run(trash.count()) == 0


def test_what_is_removed_forever_is_not_kept(kit: Kit) -> None:
    trash = trash_of(kit)
    sent = kit.send("bob@example.com")
    run(kit.queue.operations.order(sent.queue_id, Order(verb=Verb.REMOVE)))
    assert run(trash.count()) == 0


def test_removals_are_chosen_by_their_time_and_conditions(kit: Kit) -> None:
    trash = trash_of(kit)
    first, second = kit.send("bob@example.com"), kit.send("eve@example.net")
    remove(kit, ids(first))
    kit.clock.advance(100)
    remove(kit, ids(second))
    assert [each.record.queue_id for each in run(trash.listing(EVERYTHING, within=99.0)).entries] == [second.queue_id]
    assert len(run(trash.listing(EVERYTHING, within=100.0)).entries) == 2
    chosen = Selection(recipient=patterns(["example.com"]))
    assert [each.record.queue_id for each in run(trash.listing(chosen)).entries] == [first.queue_id]
    assert [(done.done, done.message) for done in run(trash.purge(chosen)).answers] == [(True, "gone for good")]
    assert [event.queue_id for event in kit.told(Purged)] == [first.queue_id]
    assert [done.queue_id for done in run(trash.undo(EVERYTHING)).answers] == [second.queue_id]


def test_what_is_brought_back_when_it_was_due_already_is_attempted_at_once(kit: Kit) -> None:
    trash = trash_of(kit)
    sent = kit.send("bob@example.com")
    remove(kit, EVERYTHING)
    kit.clock.advance(1000)
    run(trash.undo(EVERYTHING))
    kit.clock.advance(0)
    assert kit.stored(sent) is None
    assert [event.seconds for event in kit.told(Completed)] == [0.0, 1000.0], "removed, and delivered"


def test_what_is_brought_back_while_the_rest_of_its_message_ends_is_a_message_of_its_own() -> None:
    class Slow(MemorySpool):
        """Has an answer only when the rest of the message has been delivered."""

        async def trashed_of(self, queue_ids: Sequence[str]) -> tuple[Trashed, ...]:
            found = await super().trashed_of(queue_ids)
            kit.clock.advance(1000)
            return found

    kit = putting_off(Slow())
    trash = trash_of(kit)
    sent = kit.send("bob@example.com", "eve@example.net")
    remove(kit, Selection(recipient=patterns(["example.net"])))
    (done,) = run(trash.undo(EVERYTHING)).answers
    assert (done.done, done.message) == (True, "brought back: 1 recipient")
    again = kit.stored(sent)
    assert again is not None
    assert [str(state.address) for state in again.waiting] == ["eve@example.net"]
    assert run(trash.count()) == 0


def test_of_two_removals_of_a_message_only_the_one_that_is_meant_comes_back(kit: Kit) -> None:
    trash = trash_of(kit)
    sent = kit.send("bob@example.com", "eve@example.net", "joe@example.org")
    for domain in ("example.net", "example.com"):
        remove(kit, Selection(recipient=patterns([domain])))
    (done,) = run(trash.undo(Selection(recipient=patterns(["example.net"])))).answers
    assert done.message == "brought back: 1 recipient"
    rest = kit.stored(sent)
    assert rest is not None
    assert [str(state.address) for state in rest.waiting] == ["eve@example.net", "joe@example.org"]
    assert run(trash.count()) == 1


@pytest.mark.parametrize("named", [False, True])
def test_the_trash_is_listed_in_parts_in_the_order_of_removal(kit: Kit, named: bool) -> None:
    """Whether messages are named or not."""
    trash = trash_of(kit)
    sent = [kit.send(f"bob{number}@example.com", "eve@example.net") for number in range(3)]
    for record in (sent[2], sent[0], sent[1]):
        remove(kit, ids(record))
    selection = ids(*sent) if named else EVERYTHING
    found: list[str] = []
    parts, after = [], 0
    while True:
        part = run(trash.listing(selection, after=after, limit=2))
        found += [each.record.queue_id for each in part.entries]
        parts.append(len(part.entries))
        after = part.after
        if not after:
            break
    assert found == [sent[2].queue_id, sent[0].queue_id, sent[1].queue_id]
    assert parts == [2, 1]
    assert run(trash.listing(selection, limit=4)).after == 0


def test_what_is_meant_is_looked_for_behind_all_that_is_not(kit: Kit) -> None:
    trash = trash_of(kit)
    for _ in range(PAGE + 1):
        kit.send("bob@example.com")
    remove(kit, EVERYTHING)
    last = kit.send("eve@example.net")
    remove(kit, ids(last))
    chosen = Selection(recipient=patterns(["example.net"]))
    assert [each.record.queue_id for each in run(trash.listing(chosen)).entries] == [last.queue_id]


def test_the_trash_is_swept_a_few_at_a_time_when_its_time_is_over() -> None:
    kit = make_kit(ScriptedTransport(), start=False)
    trash = trash_of(kit, age=1000.0)
    tasks = Tasks(kit.events.append)
    sweeper = Sweeper(trash, kit.clock, tasks.spawn, kit.events.append)
    kit.queue.operations.kept = sweeper.look
    sweeper.start()
    assert kit.clock.getDelayedCalls() == [], "nothing is kept, and nothing is looked for"
    records = [make_record(kit.clock, "bob@example.com", random=number) for number in range(PAGE + 1)]
    for record in records:
        kit.commit(record, claimed=False)
    remove(kit, EVERYTHING)
    assert run(trash.count()) == PAGE + 1
    kit.clock.advance(1000.0)
    assert run(trash.count()) == PAGE + 1, "what is as old as that stays"
    kit.clock.advance(PAUSE)
    assert run(trash.count()) == 1
    kit.clock.advance(PAUSE)
    assert run(trash.count()) == 0
    assert len(kit.told(Purged)) == PAGE + 1
    assert kit.clock.getDelayedCalls() == []
    sweeper.stop()


def test_a_shorter_age_holds_for_what_is_kept_already(kit: Kit) -> None:
    trash = trash_of(kit)
    sweeper = Sweeper(trash, kit.clock, Tasks(kit.events.append).spawn, kit.events.append)
    kit.send("bob@example.com")
    remove(kit, EVERYTHING)
    sweeper.start()
    kit.clock.advance(10)
    sweeper.reconfigure(0.0)
    assert run(trash.count()) == 0
    sweeper.stop()


def test_a_removal_survives_a_restart(tmp_path: Path) -> None:
    def opened() -> SqliteSpool:
        spool = SqliteSpool(str(tmp_path), None)
        spool.open()
        return spool

    kit = make_kit(ScriptedTransport(), spool=opened(), start=False)
    trash_of(kit)
    record = make_record(kit.clock, "bob@example.com", "eve@example.net")
    kit.commit(record, claimed=False)
    remove(kit, Selection(recipient=patterns(["example.net"])))
    run(kit.spool.close())
    again = make_kit(ScriptedTransport(), spool=opened(), start=False, clock=kit.clock)
    assert [done.done for done in run(trash_of(again).undo(EVERYTHING)).answers] == [True]
    assert again.stored(record) == record
    run(again.spool.close())


def test_thousands_are_removed_and_brought_back_in_pages() -> None:
    kit = make_kit(ScriptedTransport(), start=False, spool=MemorySpool())
    trash = trash_of(kit)
    for number in range(450):
        kit.commit(make_record(kit.clock, "bob@example.com", random=number), claimed=False)
    part = run(kit.queue.operations.order_some(EVERYTHING, Order(verb=Verb.REMOVE, keep=True), after="", limit=300))
    assert (len(part.answers), run(kit.spool.count())) == (300, 150)
    assert part.after == part.answers[-1].queue_id
    after = 0
    back = 0
    while True:
        some = run(trash.undo(EVERYTHING, after=after, limit=128))
        back, after = back + len(some.answers), some.after
        if not after:
            break
    assert (back, run(kit.spool.count())) == (300, 450)


def test_an_order_that_is_carried_out_twice_at_once_brings_back_once(kit: Kit) -> None:
    trash = trash_of(kit)
    sent = kit.send("bob@example.com")
    remove(kit, EVERYTHING)
    both = [Deferred.fromCoroutine(trash.undo(EVERYTHING)) for _ in range(2)]
    done = [answer for each in both for answer in run(each).answers]
    assert len(done) == 1
    assert kit.stored(sent) is not None
