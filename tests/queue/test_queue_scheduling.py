"""The queue's scheduling on a Clock: dead destinations rest as a whole, a mailing does not delay a letter, shapes and
replies are obeyed, and an operator is told why.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs
import pytest
from clocks import put_back
from queue_kit import START, Kit, busy, make_kit, make_record, run
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from relaygw.config.schema import QueueConfig, ReplyConfig, RetryConfig, RouteConfig, ShapingConfig
from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.events import Attempted, HeldByRule, Reported, Throttled
from relaygw.core.holds import HoldRule
from relaygw.core.lanes import Lanes
from relaygw.core.orders import Order, Verb
from relaygw.core.outcome import Outcome, Status, deferred, from_reply
from relaygw.core.owner import owner_of
from relaygw.core.record import Progress, Record, Route
from relaygw.core.reply import Reply
from relaygw.core.routing import compile_routes, make_rule
from relaygw.core.selection import Selection
from relaygw.interfaces import Attempt, Found, ILocator, ITransport, Settlement
from relaygw.queue.books import AHEAD, ENOUGH, Books
from relaygw.queue.claims import BATCH, LEASE, RENEWED, Claims
from relaygw.queue.parking import SHARE
from relaygw.queue.service import CROWD
from relaygw.queue.traffic import make_traffic
from relaygw.queue.work import Delivery
from relaygw.spool.memory import MemorySpool
from relaygw.testing.transport import ManualTransport, ScriptedTransport, delivered, in_turn

ANY = make_rule(1, RouteConfig(transport=""), {})


def unreachable(recipient: Address) -> Outcome:
    return deferred(recipient, "4.4.1", "the connection was refused while connecting")


def said(code: int, enhanced: str, text: str, recipient: Address, host: str = "mx.example") -> Outcome:
    return from_reply(recipient, Reply(code, enhanced, text), host=host, address="192.0.2.1")


def shaped(
    transport: ITransport,
    *,
    config: QueueConfig | None = None,
    shaping: tuple[ShapingConfig, ...] = (),
    replies: tuple[ReplyConfig, ...] = (),
    retries: tuple[RetryConfig, ...] = (),
) -> Kit:
    config = config or QueueConfig()
    kit = make_kit(transport, config=config)
    kit.queue.reconfigure(
        transports={"mx": transport},
        routing=compile_routes((RouteConfig(transport="mx"),)),
        config=config,
        traffic=make_traffic(config, shaping, replies, retries),
    )
    return kit


class TimedTransport(ScriptedTransport):
    """Every attempt takes its time on the clock; `ended` has when which sender's message arrived."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = seconds
        self.running = self.most = 0
        self.arrived: dict[str, float] = {}

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        self.running += 1
        self.most = max(self.most, self.running)
        pause: Deferred[None] = Deferred()
        self.clock.callLater(self.seconds, pause.callback, None)
        await pause
        self.running -= 1
        self.arrived[attempt.record.queue_id] = self.clock.seconds()
        return tuple(delivered(state.address) for state in attempt.recipients)


class TestDeadDestination:
    """What nothing gets through to rests as a whole."""

    CONFIG = QueueConfig(retry=(60.0,), initial_destination_concurrency=2, delay_warning=(86400.0 * 9,))

    def dead(self) -> tuple[Kit, ScriptedTransport]:
        transport = ScriptedTransport(lambda attempt, recipient: unreachable(recipient))
        return make_kit(transport, config=self.CONFIG), transport

    def test_its_messages_are_put_off_without_an_attempt_until_one_probe_gets_through(self) -> None:
        kit, transport = self.dead()
        records = [kit.send("bob@dead.example") for _ in range(10)]
        assert len(transport.attempts) == 2
        untouched = [kit.stored(record) for record in records[2:]]
        assert [each.recipients[0].attempts for each in untouched if each is not None] == [0] * 8
        assert {each.due for each in untouched if each is not None} == {START + 300.0}
        (rest,) = kit.told(Throttled)
        assert (rest.destination, rest.action, rest.seconds) == ("dead.example", "rest", 300.0)
        assert "refused" in rest.reason
        kit.clock.pump([50.0] * 5)
        assert len(transport.attempts) == 2
        kit.clock.advance(50.0)
        assert len(transport.attempts) == 3, "one probe"
        assert [event.seconds for event in kit.told(Throttled)] == [300.0, 600.0]
        transport.answer = lambda attempt, recipient: delivered(recipient)
        kit.clock.advance(600.0)
        assert kit.all_stored() == ()
        assert len(transport.attempts) == 3 + 10

    def test_other_destinations_and_what_is_in_line_do_not_suffer(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=self.CONFIG)
        for _ in range(30):
            kit.send("bob@dead.example")
        kit.send("bob@alive.example")
        assert [pending.attempt.recipients[0].address.domain for pending in transport.pending] == [
            "dead.example", "dead.example", "alive.example",
        ]  # fmt: skip
        transport.pending[0].finish(unreachable)
        while transport.pending and transport.pending[0].attempt.recipients[0].address.domain == "dead.example":
            transport.pending[0].finish(unreachable)
        kit.clock.advance(0)
        assert kit.queue.counts["parked"] == 0
        assert kit.queue.counts["active"] == 1
        assert {state.due >= START + 60 for record in kit.all_stored() for state in record.recipients} >= {True}
        assert transport.started <= 5
        transport.pending[0].finish()
        assert len(kit.all_stored()) == 30

    def test_a_sender_is_told_and_a_message_expires_although_nothing_is_attempted(self) -> None:
        transport = ScriptedTransport(lambda attempt, recipient: unreachable(recipient))
        config = QueueConfig(
            retry=(60.0,), initial_destination_concurrency=1, expire=1000.0, delay_warning=(200.0,), expire_reports=1.0
        )
        kit = make_kit(transport, config=config)
        kit.send("bob@dead.example")
        late = kit.send("carol@dead.example")
        kit.clock.pump([100.0, 99.0])
        assert kit.told(Reported) == []
        kit.clock.advance(1.0)
        about = [(event.kind, event.queue_id == late.queue_id) for event in kit.told(Reported)]
        assert ("delay", True) in about
        stored = kit.stored(late)
        assert stored is not None
        assert stored.recipients[0].attempts == 0
        assert "is not tried for now" in str(stored.recipients[0].last.reply)  # type: ignore[union-attr]  # it is there
        kit.clock.pump([50.0] * 18)
        assert kit.stored(late) is None
        failures = [
            event for event in kit.told(Reported) if event.kind == "failure" and event.queue_id == late.queue_id
        ]
        assert len(failures) == 1

    def test_an_operator_reads_why_and_until_when(self) -> None:
        kit, _ = self.dead()
        records = [kit.send("bob@dead.example") for _ in range(3)]
        why = run(kit.queue.operations.why(records[2].queue_id))
        assert "dead.example: It rests for 5 minutes, then one attempt probes it: 451 4.4.1 the connection was" in why
        (standing,) = kit.queue.operations.destinations()
        assert (standing.destination, standing.resting_until) == (("mx", "dead.example"), START + 300.0)

    def test_an_operator_who_orders_a_retry_has_it_probed_at_once(self) -> None:
        kit, transport = self.dead()
        records = [kit.send("bob@dead.example") for _ in range(10)]
        assert len(transport.attempts) == 2
        retry = Order(verb=Verb.RETRY)
        run(kit.queue.operations.order(records[9].queue_id, retry))
        kit.clock.advance(0)
        assert len(transport.attempts) == 3
        assert [event.seconds for event in kit.told(Throttled)] == [300.0, 300.0], "it rests no longer for being asked"
        transport.answer = lambda attempt, recipient: delivered(recipient)
        run(kit.queue.operations.order_all(Selection(), retry))
        kit.clock.pump([0.0] * 20)
        assert kit.all_stored() == ()
        assert len(transport.attempts) == 3 + 10


class TestFairness:
    """A mailing and a letter, with the real queue and time on a Clock."""

    @pytest.mark.parametrize("same", [True, False])
    def test_a_mailing_that_overflows_all_bounds_does_not_delay_a_letter_by_more_than_seconds(self, same: bool) -> None:
        """Half of what the queue may hold is in its hands, the rest waits in the spool, as with 100,000 messages."""
        clock = Clock()
        clock.advance(START)
        transport = TimedTransport(clock, 1.0)
        kit = make_kit(transport, clock=clock, config=QueueConfig(concurrency=100), parked=2000)
        for number in range(3_000):
            domain = "big.example" if same else f"d{number % 997}.example"
            kit.send(f"u{number}@{domain}", sender="news@lists.example")
        before = len(transport.arrived)
        kit.clock.pump([0.1] * 20)
        letters: list[tuple[Record, float]] = []
        for number in range(20):
            kit.clock.pump([0.1] * 3)
            domain = "big.example" if same else f"d{number}.example"
            letters.append((kit.send(f"bob{number}@{domain}", sender="alice@example.org"), clock.seconds()))
        kit.clock.pump([0.1] * 60)
        waits = [transport.arrived[record.queue_id] - sent for record, sent in letters]
        assert max(waits) < 5.0, waits
        assert len(transport.arrived) - before > 50, "and the mailing goes on"
        assert transport.most <= 100

    def test_what_is_offered_after_it_was_found_again_waits_once(self) -> None:
        """Its commit took longer than its claim."""
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(concurrency=1, destination_concurrency=1))
        records = [kit.send("bob@example.com") for _ in range(8)]
        late = records[7]
        content = run(kit.spool.content(late.queue_id))
        assert content is not None
        kit.queue.offer(late, content)
        assert kit.queue.counts["parked"] + kit.queue.counts["active"] == 8
        for record in records:
            assert transport.pending[0].attempt.record == record
            transport.pending[0].finish()
        assert (transport.started, kit.all_stored()) == (8, ())
        assert kit.queue._parking.held(owner_of(late)) == 0

    def test_what_waited_since_it_came_is_not_read_again(self) -> None:
        class Forgetful(MemorySpool):
            async def contents(self, queue_ids: Sequence[str]) -> Mapping[str, Content]:
                raise AssertionError(queue_ids)

        transport = ManualTransport()
        config = QueueConfig(concurrency=1, destination_concurrency=1)
        kit = make_kit(transport, config=config, spool=Forgetful())
        records = [kit.send("bob@example.com") for _ in range(8)]
        assert kit.queue.operations.state(records[7]) == "parked"
        for number in range(8):
            assert transport.pending[0].attempt.record == records[number]
            transport.pending[0].finish()
        assert kit.all_stored() == ()

    def test_the_record_of_what_waits_is_not_read_again(self) -> None:
        class Forgetful(MemorySpool):
            async def named(self, queue_ids: Sequence[str]) -> tuple[Record, ...]:
                raise AssertionError(queue_ids)

        transport = ManualTransport()
        config = QueueConfig(concurrency=10, destination_concurrency=1)
        kit = make_kit(transport, config=config, spool=Forgetful(), start=False)
        records = [make_record(kit.clock, "bob@example.com", random=number) for number in range(18)]
        for record in records:
            kit.commit(record, claimed=False)
        kit.queue.startService()
        assert kit.queue.operations.state(records[17]) == "parked"
        for record in records:
            assert transport.pending[0].attempt.record == record
            transport.pending[0].finish()
        assert kit.all_stored() == ()

    def test_what_comes_next_does_not_wait_until_the_last_is_stored(self) -> None:
        answers: list[Deferred[None]] = []

        class Slow(MemorySpool):
            async def settle(self, settlement: Settlement) -> None:
                answers.append(Deferred())
                await answers[-1]
                await super().settle(settlement)

        transport = ManualTransport()
        config = QueueConfig(concurrency=50, destination_concurrency=4)
        kit = make_kit(transport, config=config, spool=Slow())
        for _ in range(30):
            kit.send("bob@example.com")
        assert kit.queue.counts["parked"] == 30 - 4 - 8, "a line of twice what it bears"
        for _ in range(30):
            transport.pending[0].finish()
        assert (transport.started, len(answers)) == (30, 30)
        for answer in answers:
            answer.callback(None)
        assert (kit.all_stored(), kit.queue.counts["active"]) == ((), 0)

    def test_a_mailing_to_slow_destinations_leaves_room_for_others(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(concurrency=50))
        for number in range(300):
            kit.send(f"u@slow{number}.example", sender="news@lists.example")
        assert len(transport.pending) == 45
        kit.send("bob@example.com", sender="alice@example.org")
        assert transport.pending[-1].attempt.recipients[0].address.domain == "example.com"

    @pytest.mark.parametrize("same", [True, False])
    def test_a_letter_that_is_due_behind_a_mailing_at_a_start_is_found_at_once(self, same: bool) -> None:
        clock = Clock()
        clock.advance(START)
        transport = TimedTransport(clock, 1.0)
        kit = make_kit(transport, clock=clock, config=QueueConfig(concurrency=20), start=False)
        for number in range(2 * CROWD):
            domain = "big.example" if same else f"d{number % 97}.example"
            kit.commit(make_record(clock, f"u@{domain}", sender="news@lists.example", random=number), claimed=False)
        clock.advance(1.0)
        letter = make_record(clock, f"bob@{'big' if same else 'd5'}.example", sender="alice@example.org", random=1)
        kit.commit(letter, claimed=False)
        began = clock.seconds()
        kit.queue.startService()
        clock.pump([0.1] * 40)
        assert transport.arrived[letter.queue_id] - began <= (3.0 if same else 1.5)
        assert 10 < len(transport.arrived) < CROWD, "the mailing goes on, and is far from its end"
        clock.pump([1.0] * 200)
        assert kit.all_stored() == ()
        assert len(transport.arrived) == 2 * CROWD + 1

    def test_a_letter_that_falls_due_again_while_a_mailing_is_on_its_way_does_not_wait_for_it(self) -> None:
        clock = Clock()
        clock.advance(START)
        transport = TimedTransport(clock, 1.0)
        config = QueueConfig(concurrency=20, retry=(60.0,))
        kit = make_kit(transport, clock=clock, config=config, start=False)
        for number in range(3 * CROWD):
            record = make_record(clock, f"u@d{number % 97}.example", sender="news@lists.example", random=number)
            kit.commit(record, claimed=False)
        (late,) = (make_record(clock, "bob@d5.example", sender="alice@example.org", random=3 * CROWD),)
        state = attrs.evolve(late.recipients[0], due=START + 30.0, attempts=1)
        kit.commit(attrs.evolve(late, recipients=(state,)), claimed=False)
        kit.queue.startService()
        clock.pump([0.5] * 80)
        assert len(transport.arrived) < 2 * CROWD, "the mailing is at its end already"
        assert START + 30.0 <= transport.arrived[late.queue_id] < START + 34.0

    def test_an_operator_reads_that_more_of_a_sender_is_due_than_is_taken_up(self) -> None:
        transport = ManualTransport()
        kit = make_kit(transport, config=QueueConfig(concurrency=20), start=False)
        for number in range(2 * CROWD):
            record = make_record(kit.clock, f"u@d{number % 97}.example", sender="news@lists.example", random=number)
            kit.commit(record, claimed=False)
        kit.queue.startService()
        kit.clock.advance(0)
        asked = {kit.queue.operations.state(each): each for each in kit.all_stored()}
        why = {state: run(kit.queue.operations.why(each.queue_id)) for state, each in asked.items()}
        kept = "18 attempts run; the last 2 of 20 are for senders for whom nothing runs."
        assert why["parked"].startswith("It waits behind others: ")
        assert kept in why["parked"]
        assert kept in why["in line"]
        assert {each.why for each in kit.queue.operations.destinations() if each.waiting} == {kept}
        more = "More of news@lists.example is due than is taken up at once: its messages come in turns with others'."
        assert why["waiting"] == (
            f"It has not been attempted yet. The next attempt is as soon as there is room. {more}"
        )

    def test_of_a_crowd_that_waits_here_already_more_comes_without_haste(self) -> None:
        """It may be for other destinations, so that all of it is found in the end."""
        clock = Clock()
        clock.advance(START)
        transport = TimedTransport(clock, 1.0)
        kit = make_kit(transport, clock=clock, config=QueueConfig(concurrency=50), start=False)
        for number in range(ENOUGH + 1000):
            kit.commit(make_record(clock, "u@slow.example", sender="news@lists.example", random=number), claimed=False)
        (other,) = (make_record(clock, "u@other.example", sender="news@lists.example", random=ENOUGH + 1000),)
        kit.commit(other, claimed=False)
        kit.queue.startService()
        clock.advance(0)
        assert ENOUGH <= kit.queue.counts["parked"] <= ENOUGH + 2 * BATCH
        clock.pump([0.1] * 5)
        assert ENOUGH + 4 * BATCH <= kit.queue.counts["parked"] <= ENOUGH + 7 * BATCH
        clock.pump([0.1] * 20)
        assert transport.arrived[other.queue_id] - START < 2.5

    def test_a_quick_destination_has_a_line_for_longer_than_a_read_of_the_spool_takes(self) -> None:
        lanes: Lanes[Delivery] = Lanes(50, make_traffic(QueueConfig(destination_concurrency=20)).shape)
        books, place = Books(lanes, 100), ("mx", "quick.example")
        assert [books.short_line(place), books.runs_out(place)] == [True, True]
        for _ in range(9):
            lanes.enter(place, "news", Delivery(*[None] * 4), START)  # type: ignore[arg-type]
        assert [books.short_line(place), lanes.in_line(place)] == [True, 4]
        books.coming[place] = 2 * 5 - 4
        assert [books.short_line(place), books.runs_out(place)] == [False, False]
        for _ in range(40):
            lanes.answered(place, START, 0.01)
        line = int(AHEAD * lanes.throughput(place))
        assert line > 2 * lanes.most(place)
        books.coming[place] = line - 4 - 1
        assert [books.short_line(place), books.runs_out(place)] == [True, False]
        books.coming[place] = line - line // 2 - 4 - 1
        assert books.runs_out(place)

    def test_what_is_given_back_while_its_owner_is_claimed_for_is_not_forgotten(self) -> None:
        """The claim comes back with nothing, and what it did not see is in the spool by then."""
        clock, asked = Clock(), []
        spawned: list[Deferred[None]] = []

        class Empty:
            async def look(self, now: float, *_: object) -> Found:
                return Found(records=(), mark=(now, "", 0), next_due=float("inf"))

            async def claim(self, now: float, lease: float, limit: int, owner: str) -> tuple[Record, ...]:
                asked.append(owner)
                if len(asked) == 1:
                    claims.leave(owner)
                return ()

        claims = Claims(
            spool=Empty(),  # type: ignore[arg-type]  # all that is asked of it
            clock=clock,
            write_event=lambda event: None,
            spawn=lambda name, task: spawned.append(Deferred.fromCoroutine(task)),  # type: ignore[arg-type]  # one
            room=lambda: 10,
            enough=lambda owner: False,
            arrived=lambda record: None,
            ours=lambda: (),
        )
        claims.leave("alice")
        claims.open()
        assert asked == ["alice", "alice"]
        assert not claims.wants_more()

    @pytest.mark.parametrize(("number", "parts"), [(RENEWED, [RENEWED]), (RENEWED + 1, [RENEWED, 1])])
    def test_claims_are_lengthened_a_part_at_a_time(self, number: int, parts: list[int]) -> None:
        renewed: list[int] = []

        class Counting(MemorySpool):
            async def renew(self, queue_ids: Sequence[str], lease: float) -> None:
                renewed.append(len(queue_ids))
                await super().renew(queue_ids, lease)

        kit = make_kit(ManualTransport(), config=QueueConfig(concurrency=20), spool=Counting())
        for _ in range(number):
            kit.send("bob@example.com")
        kit.clock.advance(LEASE / 3)
        assert renewed == parts
        kit.clock.pump([LEASE / 3] * 9)
        assert run(kit.spool.claim(kit.clock.seconds(), 0.0, 1)) == (), "all are still ours"

    def test_what_is_given_back_while_claims_are_lengthened_stays_given_back(self) -> None:
        asked: list[Sequence[str]] = []
        ours = [f"id{number:04}" for number in range(RENEWED + 2)]
        clock = Clock()

        class Slow:
            async def renew(self, queue_ids: Sequence[str], lease: float) -> None:
                asked.append(queue_ids)
                del ours[-1:]

        claims = Claims(
            spool=Slow(),  # type: ignore[arg-type]  # all that is asked of it
            clock=clock,
            write_event=lambda event: None,
            spawn=lambda name, task: Deferred.fromCoroutine(task),  # type: ignore[arg-type]  # one
            room=lambda: 0,
            enough=lambda owner: False,
            arrived=lambda record: None,
            ours=lambda: tuple(ours),
        )
        claims.keep()
        clock.advance(LEASE / 3)
        assert [list(part) for part in asked] == [[f"id{number:04}" for number in range(RENEWED)], [f"id{RENEWED:04}"]]

    def test_crowds_take_turns(self) -> None:
        clock = Clock()
        clock.advance(START)
        transport = TimedTransport(clock, 1.0)
        kit = make_kit(transport, clock=clock, config=QueueConfig(concurrency=20), start=False)
        senders: dict[str, str] = {}
        for number in range(4 * CROWD):
            sender = "first" if number < 2 * CROWD else "second"
            record = make_record(clock, f"u@d{number % 97}.example", sender=f"{sender}@lists.example", random=number)
            senders[record.queue_id] = sender
            kit.commit(record, claimed=False)
        kit.queue.startService()
        clock.pump([0.5] * 80)
        found = Counter(senders[queue_id] for queue_id in transport.arrived)
        assert min(found["first"], found["second"]) > 0.3 * len(transport.arrived)

    def test_a_mailing_that_was_in_the_spool_does_not_hide_what_is_due_behind_it(self) -> None:
        """What finds no place even to wait is put off, so that claims go on."""
        transport = ManualTransport()
        kit = make_kit(transport, start=False, config=QueueConfig(concurrency=50), parked=500)
        mailing = 500 // SHARE + 300
        for number in range(mailing):
            kit.commit(make_record(kit.clock, "u@slow.example", sender="news@lists.example", random=number))
        for record in kit.all_stored():
            run(kit.spool.release(record.queue_id))
        kit.clock.advance(1.0)
        kit.commit(make_record(kit.clock, "bob@example.com", random=1), claimed=False)
        kit.queue.startService()
        assert "example.com" in {pending.attempt.recipients[0].address.domain for pending in transport.pending}


class TestShaping:
    """Layers: everywhere, provider, destination."""

    def test_recipients_are_split_into_several_attempts(self) -> None:
        transport = ScriptedTransport()
        kit = shaped(transport, shaping=(ShapingConfig(name="all", recipients_per_message=2),))
        record = kit.send(*(f"u{number}@a.example" for number in range(5)))
        assert [len(attempt.recipients) for attempt in transport.attempts] == [2, 2, 1]
        assert kit.stored(record) is None

    def test_messages_per_minute_are_kept_to_the_second(self) -> None:
        transport = ScriptedTransport()
        entry = ShapingConfig(name="slow", destination=("a.example",), messages_per_minute=60)
        kit = shaped(transport, shaping=(entry,))
        for _ in range(5):
            kit.send("bob@a.example")
            kit.send("bob@b.example")
        assert [attempt.recipients[0].address.domain for attempt in transport.attempts].count("a.example") == 1
        assert len(transport.attempts) == 6
        kit.clock.pump([0.5] * 4)
        assert len(transport.attempts) == 8
        kit.clock.pump([0.5] * 4)
        assert kit.all_stored() == ()

    def test_a_clock_put_back_by_hours_stops_no_pace_and_makes_nothing_slow(self) -> None:
        transport = ManualTransport()
        kit = shaped(
            transport, shaping=(ShapingConfig(name="slow", destination=("a.example",), messages_per_minute=60),)
        )
        for _ in range(3):
            kit.send("bob@a.example")
        put_back(kit.clock, 7200)
        kit.queue.put_back(7200)
        for _ in range(3):
            kit.clock.advance(1)
            transport.pending[0].finish()
        assert kit.all_stored() == ()
        assert {event.seconds for event in kit.told(Attempted)} == {1.0}

    def test_a_destination_says_otherwise_than_the_default(self) -> None:
        transport = ManualTransport()
        shaping = (
            ShapingConfig(name="all", connections=1, messages_per_connection=7),
            ShapingConfig(name="b", destination=("b.example",), connections=3),
        )
        kit = shaped(transport, shaping=shaping)
        for _ in range(5):
            kit.send("bob@a.example")
            kit.send("bob@b.example")
        domains = [pending.attempt.recipients[0].address.domain for pending in transport.pending]
        assert (domains.count("a.example"), domains.count("b.example")) == (1, 3)
        assert {pending.attempt.messages_per_connection for pending in transport.pending} == {7}


class TestReplies:
    """Rules on what next hops answer."""

    def test_a_rest_stops_the_destination_for_its_time(self) -> None:
        rule = ReplyConfig(name="wait", text=("come back*later",), action="rest", time=120.0)
        transport = ScriptedTransport(
            in_turn([lambda recipient: said(450, "4.7.1", "Come back much LATER", recipient)])
        )
        kit = shaped(transport, config=QueueConfig(retry=(10.0,)), replies=(rule,))
        kit.send("a@x.example")
        kit.send("b@x.example")
        kit.clock.pump([10.0] * 11)
        assert len(transport.attempts) == 1
        kit.clock.pump([10.0] * 2)
        assert kit.all_stored() == ()
        (event,) = kit.told(Throttled)
        assert event.reason == "wait (mx.example said: 450 4.7.1 Come back much LATER)"

    def test_fail_and_defer_turn_what_a_reply_means(self) -> None:
        rules = (
            ReplyConfig(code=("450",), text=("never",), action="fail"),
            ReplyConfig(code=("554",), text=("later",), action="defer"),
        )
        answers = {
            "a": lambda recipient: said(450, "4.1.1", "never here", recipient),
            "b": lambda recipient: said(554, "5.7.1", "rather later", recipient),
        }
        transport = ScriptedTransport(lambda attempt, recipient: answers.get(recipient.local, delivered)(recipient))
        kit = shaped(transport, replies=rules)
        record = kit.send("a@x.example", "b@x.example")
        stored = kit.stored(record)
        assert stored is not None
        assert [state.progress for state in stored.recipients] == [Progress.REPORTED, Progress.WAITING]

    def test_retry_puts_off_the_message_and_nobody_else(self) -> None:
        rule = ReplyConfig(text=("mailbox busy",), action="retry", time=40.0)
        transport = ScriptedTransport(in_turn([lambda recipient: said(450, "4.2.0", "mailbox busy", recipient)]))
        kit = shaped(transport, replies=(rule,))
        record = kit.send("a@x.example")
        kit.send("b@x.example")
        assert len(transport.attempts) == 2
        assert kit.stored(record).due == START + 40.0  # type: ignore[union-attr]  # it is there

    def test_what_big_providers_answer_is_understood(self) -> None:
        class Google(ScriptedTransport):
            def destination(self, route: Route, recipient: Address) -> str:
                return "google"

        text = "Our system has detected an unusual rate of unsolicited mail originating from your IP address."
        transport = Google(in_turn([lambda recipient: said(421, "4.7.28", text, recipient)]))
        kit = shaped(transport)
        kit.send("a@gmail.com")
        kit.send("b@gmail.com")
        assert len(transport.attempts) == 1
        (event,) = kit.told(Throttled)
        assert (event.action, event.seconds) == ("rest", 600.0)

    @pytest.mark.parametrize(
        ("text", "wait"),
        [
            ("Recipient address rejected: Greylisted, see http://example.org/?r=x", 300.0),
            ("Greylisted for 90 seconds", 95.0),
            ("you have been graylisted, try again in 2 minutes", 125.0),
            ("greylisting in action, please come back in 00:04:59", 304.0),
        ],
    )
    def test_a_greylisted_message_comes_back_when_it_is_let_in(self, text: str, wait: float) -> None:
        transport = ScriptedTransport(in_turn([lambda recipient: said(450, "4.7.1", text, recipient)]))
        kit = shaped(transport, config=QueueConfig(retry=(1800.0,)))
        assert kit.stored(kit.send("a@x.example")).due == START + wait  # type: ignore[union-attr]  # it is there


class TestRetries:
    """The first rule that matches decides about waits, warning and expiry."""

    RULES = (
        RetryConfig(name="dead", trouble=("connect", "dns"), waits=(11.0,), expire=50.0),
        RetryConfig(name="partner", recipient=("partner.example",), waits=(22.0,)),
        RetryConfig(name="news", sender=("news@lists.example",), waits=(33.0,), expire=40.0),
        RetryConfig(name="slow host", host=(".slow.example",), waits=(44.0,)),
    )

    @pytest.mark.parametrize(
        ("recipient", "sender", "answer", "wait"),
        [
            ("a@x.example", "alice@example.org", unreachable, 11.0),
            ("a@partner.example", "news@lists.example", unreachable, 11.0),
            ("a@partner.example", "news@lists.example", busy, 22.0),
            ("a@x.example", "news@lists.example", busy, 33.0),
            ("a@x.example", "alice@example.org", lambda r: said(450, "4.3.0", "x", r, "mx.slow.example"), 44.0),
            ("a@x.example", "alice@example.org", busy, 600.0),
            ("a@x.example", "alice@example.org", lambda r: said(452, "4.2.2", "mailbox full", r), 3600.0),
        ],
    )
    def test_waits(self, recipient: str, sender: str, answer: object, wait: float) -> None:
        transport = ScriptedTransport(lambda attempt, address: answer(address))  # type: ignore[operator]  # a script
        kit = shaped(transport, config=QueueConfig(retry=(600.0,)), retries=self.RULES)
        assert kit.stored(kit.send(recipient, sender=sender)).due == START + wait  # type: ignore[union-attr]  # there

    def test_expiry_by_class_and_reports_no_later_than_they_would(self) -> None:
        transport = ScriptedTransport(lambda attempt, recipient: busy(recipient))
        kit = shaped(transport, config=QueueConfig(retry=(600.0,), expire_reports=10.0), retries=self.RULES)
        news, letter = kit.send("a@x.example", sender="news@lists.example"), kit.send("b@x.example")
        report = kit.send("c@x.example", sender=None)
        kit.clock.pump([10.0] * 4)
        assert (kit.stored(news), kit.stored(report)) == (None, None)
        assert kit.stored(letter) is not None


@implementer(ITransport, ILocator)
class Located(ManualTransport):
    """Finds out where a domain's mail goes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.sites: dict[str, str] = {}
        self.asked: list[tuple[str, Deferred[None]]] = []

    def destination(self, route: Route, recipient: Address) -> str:
        return self.sites.get(recipient.domain, recipient.domain)

    def locate(self, route: Route, recipient: Address) -> Deferred[None] | None:
        if recipient.domain in self.sites:
            return None
        answer: Deferred[None] = Deferred()
        self.asked.append((recipient.domain, answer))
        return answer

    def found(self, site: str) -> None:
        domain, answer = self.asked.pop(0)
        self.sites[domain] = site
        answer.callback(None)


class TestSites:
    """A thousand domains at one provider are one destination, from the first message on."""

    def test_domains_share_the_limit_of_their_site_and_the_first_is_not_delayed(self) -> None:
        transport = Located()
        kit = make_kit(transport, config=QueueConfig(destination_concurrency=2))
        for number in range(10):
            kit.send(f"bob@d{number}.example")
        assert transport.started == 0
        for started in (1, 2, 2, 2):
            transport.found("provider")
            assert transport.started == started
        while transport.asked:
            transport.found("provider")
        assert kit.queue.operations.destinations()[0].waiting == 8
        while transport.pending:
            assert len(transport.pending) <= 2
            transport.pending[0].finish()
        assert transport.started == 10
        assert kit.all_stored() == ()
        assert [each.destination for each in kit.queue.operations.destinations()] == [("mx", "provider")]

    def test_recipients_of_two_domains_never_travel_together_although_their_site_is_one(self) -> None:
        transport = Located()
        transport.sites = {"a.example": "provider", "b.example": "provider"}
        kit = make_kit(transport)
        kit.send("x@a.example", "y@b.example", "z@a.example")
        travelled = [[state.address.local for state in pending.attempt.recipients] for pending in transport.pending]
        assert sorted(travelled) == [["x", "z"], ["y"]]

    def test_no_more_travel_together_than_the_site_takes_also_in_the_first_message(self) -> None:
        transport = Located()
        kit = shaped(transport, shaping=(ShapingConfig(name="p", destination=("provider",), recipients_per_message=2),))
        kit.send(*(f"r{number}@a.example" for number in range(5)))
        transport.found("provider")
        sizes = [len(pending.attempt.recipients) for pending in transport.pending]
        assert sorted(sizes) == [1, 2, 2]
        while transport.pending:
            transport.pending[0].finish()
        assert kit.all_stored() == ()
        assert [(each.running, each.waiting) for each in kit.queue.operations.destinations()] == [(0, 0)]

    def test_a_search_that_fails_is_no_harm(self) -> None:
        transport = Located()
        kit = make_kit(transport)
        kit.send("x@a.example")
        transport.asked.pop()[1].errback(RuntimeError("DNS"))
        assert transport.started == 1

    def test_a_message_whose_site_rests_is_put_off(self) -> None:
        transport = Located()
        kit = make_kit(transport, config=QueueConfig(initial_destination_concurrency=1))
        kit.send("x@a.example")
        transport.found("provider")
        transport.pending[0].finish(unreachable)
        record = kit.send("x@b.example")
        transport.found("provider")
        assert transport.started == 1
        stored = kit.stored(record)
        assert stored is not None
        assert (stored.recipients[0].attempts, stored.due) == (0, START + 300.0)

    def test_a_rule_on_a_destination_holds_what_turns_out_to_go_there_once(self) -> None:
        transport = Located()
        kit = make_kit(transport)
        rule = HoldRule(name="r", reason="why", quarantine=True, conditions=ANY, destinations=frozenset({"provider"}))
        kit.queue.hold_by(lambda record, content, to, place: None if record.released or place != "provider" else rule)
        record, other = kit.send("x@a.example"), kit.send("x@b.example")
        transport.found("provider")
        transport.found("elsewhere")
        assert [str(pending.attempt.recipients[0].address) for pending in transport.pending] == ["x@b.example"]
        stored = kit.stored(record)
        assert stored is not None
        assert (stored.held, stored.quarantined) == ("quarantine: rule r: why", True)
        assert [(event.queue_id, event.rule) for event in kit.told(HeldByRule)] == [(record.queue_id, "r")]
        assert [standing.running for standing in kit.queue.operations.destinations("elsewhere")] == [1]
        transport.sites.clear()  # as after a start
        assert run(kit.queue.operations.order(record.queue_id, Order(verb=Verb.RELEASE))).done
        kit.clock.advance(1.0)
        transport.found("provider")
        assert transport.started == 2
        for pending in list(transport.pending):
            pending.finish()
        assert (kit.stored(record), kit.stored(other)) == (None, None)

    def test_a_stop_while_searching_leaves_the_message_as_it_was(self) -> None:
        transport = Located()
        kit = make_kit(transport, config=QueueConfig(drain_timeout=5.0))
        record = kit.send("x@a.example")
        stopped = kit.queue.stopService()
        kit.clock.pump([5.0, 5.0])
        run(stopped)
        assert kit.stored(record) == record
        assert transport.started == 0


def test_every_message_of_a_busy_mix_ends_once() -> None:
    """Dead, slow, greylisting and refusing destinations together: time passes, and all end, each recipient once."""
    ends: dict[str, list[Status]] = {}

    def answer(attempt: Attempt, recipient: Address) -> Outcome:
        kind = recipient.domain[0]
        state = next(state for state in attempt.recipients if state.address == recipient)
        if kind == "d":
            made = unreachable(recipient)
        elif kind == "g" and state.attempts == 0:
            made = said(450, "4.7.1", "greylisted", recipient)
        elif kind == "s" and state.attempts < 2:
            made = said(421, "4.7.0", "too many connections", recipient)
        elif kind == "r":
            made = said(550, "5.1.1", "unknown", recipient)
        else:
            made = delivered(recipient)
        return made

    transport = ScriptedTransport(answer)
    config = QueueConfig(retry=(60.0, 600.0), expire=7200.0, expire_reports=3600.0, concurrency=10)
    kit = shaped(transport, config=config)
    for number in range(200):
        domain = f"{'dgsrk'[number % 5]}{number % 3}.example"
        kit.send(f"u{number}@{domain}", sender=f"s{number % 7}@example.org")
    kit.clock.pump([30.0] * 400)
    assert kit.all_stored() == ()
    for event in kit.told(Attempted):
        if event.next_due is None:
            ends.setdefault(event.queue_id, []).append(event.outcome.status)
    assert all(len(statuses) == 1 for statuses in ends.values())


def test_a_destination_is_found_by_its_name_its_hosts_and_the_domains_that_go_there() -> None:
    transport = Located()
    transport.sites = {"a.example": "mx1.p.example,mx2.p.example"}
    kit = make_kit(transport)
    kit.send("x@a.example")
    for name in ("mx1.p.example,mx2.p.example", "mx2.p.example", "a.example", "A.EXAMPLE"):
        assert [each.running for each in kit.queue.operations.destinations(name)] == [1], name
    for name in ("b.example", "p.example", "not a domain", "@"):
        assert kit.queue.operations.destinations(name) == (), name
