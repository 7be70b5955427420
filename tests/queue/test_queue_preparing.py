"""A transport that can begin beforehand is asked to while an attempt waits in line, and gets back what it made."""

import pytest
from queue_kit import Kit, make_kit
from zope.interface import implementer

from relaygw.config.schema import QueueConfig, RouteConfig, ShapingConfig
from relaygw.core.content import Content
from relaygw.core.record import Record
from relaygw.core.routing import compile_routes
from relaygw.interfaces import IPreparer, ITransport
from relaygw.queue.traffic import make_traffic
from relaygw.testing.transport import ManualTransport

CONFIG = QueueConfig(concurrency=20, destination_concurrency=1)


@implementer(ITransport, IPreparer)
class Preparing(ManualTransport):
    """Makes a word of each message; `broken`: it cannot."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()
        self.broken = broken
        self.prepared: list[str] = []

    def prepare(self, record: Record, content: Content) -> object:
        self.prepared.append(record.queue_id)
        if self.broken:
            raise OSError("no key")
        return f"prepared {record.queue_id}"


def in_line(kit: Kit) -> list[Record]:
    """One is attempted, two wait in line, one is parked."""
    records = [kit.send("bob@example.com") for _ in range(4)]
    assert [kit.queue.operations.state(record) for record in records] == ["active", "in line", "in line", "parked"]
    return records


def reconfigured(kit: Kit, transport: ITransport, *shaping: ShapingConfig) -> None:
    kit.queue.reconfigure(
        transports={"mx": transport},
        routing=compile_routes((RouteConfig(transport="mx"),)),
        config=CONFIG,
        traffic=make_traffic(CONFIG, shaping, (), ()),
    )


def test_it_is_asked_for_those_who_wait_in_line_and_nobody_else() -> None:
    transport = Preparing()
    _, *others = in_line(make_kit(transport, config=CONFIG))
    assert transport.prepared == [record.queue_id for record in others[:2]]
    assert transport.pending[0].attempt.prepared is None
    transport.pending[0].finish()
    for record in others:
        assert transport.pending[0].attempt.prepared == f"prepared {record.queue_id}"
        transport.pending[0].finish()
    assert transport.prepared == [record.queue_id for record in others]


def test_what_it_raises_is_left_to_the_attempt() -> None:
    transport = Preparing(broken=True)
    kit = make_kit(transport, config=CONFIG)
    for _ in in_line(kit):
        assert transport.pending[0].attempt.prepared is None
        transport.pending[0].finish()
    assert kit.all_stored() == ()


@pytest.mark.parametrize("other", [Preparing(), ManualTransport()])
def test_another_transport_under_its_name_does_not_get_it(other: ManualTransport) -> None:
    transport = Preparing()
    kit = make_kit(transport, config=CONFIG)
    in_line(kit)
    reconfigured(kit, other)
    transport.pending[0].finish()
    assert other.pending[0].attempt.prepared is None


def test_nothing_is_prepared_long_before_its_turn() -> None:
    transport = Preparing()
    kit = make_kit(transport, config=CONFIG)
    reconfigured(kit, transport, ShapingConfig(name="slow", messages_per_minute=1))
    in_line(kit)
    assert transport.prepared == []
