"""A queue on a Clock with a spool in memory and transports that do what the test says."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import attrs
from results import at_once as run
from twisted.internet.task import Clock

from relaygw.config.schema import MatchConfig, QueueConfig, RouteConfig
from relaygw.core.address import Address, parse_address
from relaygw.core.content import Content
from relaygw.core.envelope import Envelope, Notify, Recipient
from relaygw.core.events import Event
from relaygw.core.ids import new_id
from relaygw.core.lifecycle import begin
from relaygw.core.outcome import Outcome, from_reply
from relaygw.core.record import Record
from relaygw.core.reply import Reply
from relaygw.core.routing import compile_routes
from relaygw.interfaces import ISpool, ITransport
from relaygw.queue.parts import QueueSetup
from relaygw.queue.service import QueueService
from relaygw.spool.memory import MemorySpool

T = TypeVar("T")
START = 1_700_000_000.0
DEFAULTS = QueueConfig()
CONTENT = b"Subject: greetings\r\nMessage-ID: <one@example.org>\r\n\r\nhello\r\n"


def busy(recipient: Address) -> Outcome:
    """A next hop that is not ready."""
    return from_reply(recipient, Reply(451, "4.3.0", "come back later"), host="mx.example", address="192.0.2.1")


def refused(recipient: Address) -> Outcome:
    """A next hop that does not know the recipient."""
    return from_reply(recipient, Reply(550, "5.1.1", "no such user"), host="mx.example", address="192.0.2.1")


def make_record(
    clock: Clock,
    *recipients: str,
    sender: str | None = "alice@example.org",
    notify: frozenset[Notify] = frozenset(),
    ret: str = "",
    held: str = "",
    random: int = 0,
) -> Record:
    """A record as the ingress makes it."""
    envelope = Envelope(
        sender=None if sender is None else parse_address(sender),
        recipients=tuple(Recipient(address=parse_address(text), notify=notify) for text in recipients),
        ret=ret,
    )
    queue_id = new_id(clock.seconds(), random)
    return begin(queue_id=queue_id, envelope=envelope, now=clock.seconds(), size=len(CONTENT), held=held)


@attrs.define(eq=False)
class Kit:
    """Everything around one QueueService; `events` is the journal."""

    clock: Clock
    spool: ISpool
    events: list[Event]
    queue: QueueService
    ids: Iterator[int]
    made: int = 0

    def commit(self, record: Record, content: bytes = CONTENT, *, claimed: bool = True) -> Content:
        """Put it in the spool, as the ingress does."""
        sink = self.spool.sink()
        sink.write(content)
        lease = self.clock.seconds() + self.queue.lease if claimed else 0.0
        return run(self.spool.commit(record, sink, b"", lease))

    def send(self, *recipients: str, content: bytes = CONTENT, **more: Any) -> Record:
        """Commit a fresh message and offer it."""
        self.made += 1
        record = make_record(self.clock, *recipients, random=self.made, **more)
        self.queue.offer(record, self.commit(record, content))
        return record

    def told(self, kind: type[T]) -> list[T]:
        """The journal's events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def stored(self, record: Record) -> Record | None:
        return run(self.spool.record(record.queue_id))

    def all_stored(self) -> tuple[Record, ...]:
        return run(self.spool.records("", 100_000))


def make_kit(
    transport: ITransport | Mapping[str, ITransport],
    *,
    spool: ISpool | None = None,
    config: QueueConfig = DEFAULTS,
    routes: tuple[RouteConfig, ...] = (),
    start: bool = True,
    clock: Clock | None = None,
    random: Callable[[], float] = lambda: 0.0,
    ids: Iterator[int] | None = None,
    **more: Any,
) -> Kit:
    """A running queue in which every message goes to the transport "mx", unless `routes` say otherwise.

    `ids` are those of the kit before it, where one follows another on the same spool in the same moment."""
    if clock is None:
        clock = Clock()
        clock.advance(START)
    events: list[Event] = []
    count = ids or iter(range(1 << 30, 1 << 31))
    spool = spool if spool is not None else MemorySpool()
    queue = QueueService(
        QueueSetup(
            spool=spool,
            transports=transport if isinstance(transport, Mapping) else {"mx": transport},
            routing=compile_routes(routes or (RouteConfig(transport="mx", match=MatchConfig()),)),
            config=config,
            clock=clock,
            write_event=events.append,
            hostname="mail.example.net",
            postmaster="",
            random=random,
            new_id=lambda: new_id(clock.seconds(), next(count)),
            **more,
        )
    )
    if start:
        queue.startService()
    return Kit(clock, spool, events, queue, count)
