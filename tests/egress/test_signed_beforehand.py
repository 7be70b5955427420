"""What is signed while an attempt waits in line is sent as it is, once, and is no harm where it is of no use."""

from typing import Any

from egress_support import MemoryReactor, Server, make_attempt, make_record, make_services, pending, result, run
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from relaygw.core.content import BytesContent, Content
from relaygw.core.mx import Target
from relaygw.core.outcome import Status
from relaygw.core.record import Record, Route
from relaygw.egress.delivery import FRESH, Courier, Stop
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.parameters import manners

ROUTE = Route(transport="mx")
CONTENT = BytesContent(b"Subject: x\r\n\r\nbody\r\n")
STOPS = [Stop(target=Target(host="m1", address="192.0.2.1"), hop=Hop(tls=TlsMode.NONE))]


class Signer:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Deferred[bytes]] = []

    async def sign(self, record: Record, content: Content) -> bytes:
        self.asked.append(Deferred())
        return await self.asked[-1]


class World:
    def __init__(self) -> None:
        self.server, self.signer = Server(), Signer()
        self.reactor = MemoryReactor(lambda address, port: self.server)
        services = make_services(self.reactor, signer=self.signer)
        self.courier = Courier(services, manners("relay.example", services.settings.egress))

    def signed(self, number: int, prefix: bytes) -> None:
        self.signer.asked[number].callback(prefix)
        self.reactor.settle()

    def carry(self, prepared: object) -> Any:
        attempt = make_attempt(make_record(), ROUTE, CONTENT, prepared=prepared)
        return run(self.reactor, self.courier.carry(attempt, STOPS))


def test_it_is_sent_with_what_was_signed_and_not_signed_again() -> None:
    world = World()
    prepared = world.courier.prepare(make_record(), CONTENT)
    world.signed(0, b"Signed: 1\r\n")
    result(world.carry(prepared))
    assert world.server.messages == [b"Signed: 1\r\n" + CONTENT.data]
    assert len(world.signer.asked) == 1


def test_it_waits_for_a_signature_that_is_still_being_made() -> None:
    world = World()
    prepared = world.courier.prepare(make_record(), CONTENT)
    attempt = world.carry(prepared)
    assert pending(attempt)
    assert not world.reactor.connections
    world.signed(0, b"Signed: 1\r\n")
    assert result(attempt)[0].status is Status.DELIVERED


def test_one_that_failed_or_is_too_old_is_made_again() -> None:
    world = World()
    failed = world.courier.prepare(make_record(), CONTENT)
    world.signer.asked[0].errback(OSError("no key"))
    first = world.carry(failed)
    world.signed(1, b"Signed: 2\r\n")
    result(first)
    old = world.courier.prepare(make_record(), CONTENT)
    world.signed(2, b"Signed: old\r\n")
    world.reactor.advance(FRESH)
    second = world.carry(old)
    world.signed(3, b"Signed: 4\r\n")
    result(second)
    assert [message[:9] for message in world.server.messages] == [b"Signed: 2", b"Signed: 4"]


def test_a_cancelled_attempt_ends_with_its_signature() -> None:
    world = World()
    attempt = world.carry(world.courier.prepare(make_record(), CONTENT))
    outcomes: list[object] = []
    attempt.addBoth(outcomes.append)
    attempt.cancel()
    assert len(world.signer.asked) == 1
    assert isinstance(outcomes[0], Failure)
    assert outcomes[0].check(CancelledError)


def test_without_a_signer_there_is_nothing_to_prepare() -> None:
    services = make_services(MemoryReactor(lambda address, port: Server()))
    courier = Courier(services, manners("relay.example", services.settings.egress))
    assert courier.prepare(make_record(), CONTENT) is None
