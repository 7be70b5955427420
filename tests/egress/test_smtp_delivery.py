"""An attempt over several hosts and kept sessions: who is tried next, what is final, and what is used again."""

from collections.abc import Iterator
from typing import Any

import pytest
from egress_support import (
    CLOSE,
    SILENCE,
    MemoryReactor,
    Server,
    make_attempt,
    make_record,
    make_services,
    pending,
    result,
    run,
)
from twisted.internet.defer import CancelledError

from relaygw.core.content import Content
from relaygw.core.mx import Target
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Record, Route
from relaygw.egress.delivery import MAX_TARGETS, MAX_VISITS, Courier, Stop
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.parameters import manners
from relaygw.egress.pool import MAX_IDLE
from relaygw.interfaces import Services

CLEAR = Hop(tls=TlsMode.NONE)
LATER, BAD = b"451 4.3.0 later\r\n", b"550 5.1.1 no\r\n"
ROUTE = Route(transport="mx")


class World:
    """Hosts 1, 2 … at 192.0.2.N, each a list of the servers its connections meet; the last one repeats."""

    def __init__(self, *hosts: list[Server | None] | Server | None, signer: Any = None, **egress: Any) -> None:
        self.hosts = [list(host) if isinstance(host, list) else [host] for host in hosts]
        self.reactor = MemoryReactor(self._server)
        services: Services = make_services(self.reactor, signer=signer, **egress)
        self.courier = Courier(services, manners("relay.example", services.settings.egress))
        self.preferences = list(range(len(hosts)))

    def _server(self, address: str, port: int) -> Server | None:
        host = self.hosts[int(address.rpartition(".")[2]) - 1]
        return host.pop(0) if len(host) > 1 else host[0]

    def stops(self) -> list[Stop]:
        return [
            Stop(target=Target(host=f"m{n + 1}", address=f"192.0.2.{n + 1}", preference=self.preferences[n]), hop=CLEAR)
            for n in range(len(self.hosts))
        ]

    def carry(self, *recipients: str, content: bytes = b"\r\nx\r\n") -> Any:
        attempt = make_attempt(make_record(*recipients), ROUTE, content)
        return run(self.reactor, self.courier.carry(attempt, self.stops()))

    def connected(self) -> str:
        """The hosts connected to, in order."""
        return "".join(address.rpartition(".")[2] for address, _ in self.reactor.connections)


def shown(outcomes: tuple[Outcome, ...]) -> str:
    return " ".join(f"{outcome.status.value}@{outcome.host}" for outcome in outcomes)


@pytest.mark.parametrize(
    "first",
    [
        None,
        Server(greeting=CLOSE),
        Server(greeting=LATER),
        Server(greeting=b"554 no service\r\n"),
        Server(ehlo=LATER),
        Server(mail=LATER, rcpt=b"503 5.5.1 no\r\n", data=b"503 5.5.1 no\r\n"),
        Server(rcpt=LATER, data=b"503 5.5.1 no\r\n"),
        Server(data=LATER),
        Server(end=LATER),
        Server(data=CLOSE),
    ],
)
def test_a_host_that_cannot_now_is_followed_by_the_next(first: Server | None) -> None:
    assert shown(result(World(first, Server()).carry())) == "delivered@m2"


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (Server(rcpt=BAD, data=b"503 5.5.1 no\r\n"), "failed@m1"),
        (Server(mail=BAD, rcpt=BAD, data=BAD), "failed@m1"),
        (Server(end=BAD), "failed@m1"),
        (Server(end=CLOSE), "deferred@m1"),
    ],
)
def test_what_is_final_is_not_tried_again_elsewhere(first: Server, expected: str) -> None:
    world = World(first, Server())
    assert shown(result(world.carry())) == expected
    assert world.connected() == "1"


def test_only_those_still_waiting_go_to_the_next_host() -> None:
    first = Server(rcpt=[b"250 ok\r\n", BAD, LATER])
    second = Server()
    outcomes = result(World(first, second).carry("b@example.org", "c@example.org", "d@example.org"))
    assert shown(outcomes) == "delivered@m1 failed@m1 delivered@m2"
    assert [command for command in second.commands if command.startswith("RCPT")] == ["RCPT TO:<d@example.org>"]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ([None, None], "deferred@m2"),
        ([Server(greeting=BAD), None], "deferred@m2"),
        ([None, Server(greeting=BAD)], "deferred@m1"),
        ([Server(greeting=BAD), Server(greeting=BAD)], "failed@m2"),
        ([Server(rcpt=LATER, data=b"503 no\r\n"), None], "deferred@m2"),
        ([Server(rcpt=LATER, data=b"503 no\r\n"), Server(greeting=BAD)], "deferred@m1"),
    ],
)
def test_a_refusal_to_talk_counts_only_when_all_refuse(hosts: list[Server | None], expected: str) -> None:
    assert shown(result(World(*hosts).carry())) == expected


@pytest.mark.parametrize(("count", "tried"), [(MAX_VISITS, MAX_VISITS), (MAX_VISITS + 1, MAX_VISITS)])
def test_conversations_are_bounded(count: int, tried: int) -> None:
    world = World(*[Server(rcpt=LATER, data=b"503 no\r\n") for _ in range(count)])
    assert result(world.carry())[0].status is Status.DEFERRED
    assert len(world.reactor.connections) == tried


def test_addresses_tried_are_bounded_and_what_was_not_tried_is_not_refused() -> None:
    world = World(*[Server(greeting=BAD) for _ in range(MAX_TARGETS + 1)])
    assert result(world.carry())[0].status is Status.DEFERRED
    assert len(world.reactor.connections) == MAX_TARGETS


def test_without_a_host_everybody_is_deferred() -> None:
    assert result(World().carry())[0].reply.enhanced == "4.4.4"


def test_content_with_a_bare_line_end_fails_without_a_connection() -> None:
    world = World(Server())
    [outcome] = result(world.carry(content=b"\r\nx\n.\r\ny\r\n"))
    assert (outcome.status, outcome.reply.enhanced, outcome.remote) == (Status.FAILED, "5.6.11", False)
    assert world.connected() == ""


class Stamp:
    """Signs with a fixed field."""

    async def sign(self, record: Record, content: Content) -> bytes:
        return b"DKIM-Signature: v=1\r\n"


def test_signatures_go_on_top_at_every_host() -> None:
    hosts = [Server(end=LATER), Server()]
    result(World(*hosts, signer=Stamp()).carry())
    assert [server.messages for server in hosts] == [[b"DKIM-Signature: v=1\r\n\r\nx\r\n"]] * 2


# What is known is never lost with an attempt that ends early: it would be delivered twice.


def test_a_cancelled_attempt_tells_who_has_the_message() -> None:
    world = World(Server(rcpt=[b"250 ok\r\n", LATER]), Server(rcpt=SILENCE))
    attempt = world.carry("b@example.org", "c@example.org")
    assert pending(attempt)
    attempt.cancel()
    assert shown(result(attempt)) == "delivered@m1 deferred@m2"


def test_a_cancelled_attempt_tells_who_may_have_the_message() -> None:
    world = World(Server(end=SILENCE), Server())
    attempt = world.carry()
    attempt.cancel()
    [outcome] = result(attempt)
    assert outcome.uncertain
    assert world.connected() == "1"


@pytest.mark.parametrize("greeting", [SILENCE, b"220 hello\r\n"])
def test_a_cancelled_attempt_that_came_to_nothing_is_just_that(greeting: bytes) -> None:
    world = World(Server(greeting=greeting, mail=SILENCE))
    attempt = world.carry()
    attempt.cancel()
    with pytest.raises(CancelledError):
        result(attempt)
    world.reactor.settle()
    assert world.reactor.getDelayedCalls() == []


class Fading:
    """Large content that can be read twice, then not any more."""

    head = b"Subject: x\r\n"
    size = 300_000
    times = 2

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        self.times -= 1
        if self.times < 0:
            raise OSError("the disk is gone")
        yield (self.head + b"\r\n").ljust(self.size - 2, b"x") + b"\r\n"


def test_content_that_can_no_longer_be_read_loses_no_outcome() -> None:
    world = World(Server(rcpt=[b"250 ok\r\n", LATER]), Server())
    attempt = make_attempt(make_record("b@example.org", "c@example.org"), ROUTE, Fading())
    assert shown(result(run(world.reactor, world.courier.carry(attempt, world.stops())))) == "delivered@m1 deferred@m2"
    with pytest.raises(OSError, match="gone"):
        result(run(world.reactor, world.courier.carry(attempt, world.stops())))


# Kept sessions.


def test_a_session_is_used_again() -> None:
    server = Server()
    world = World(server)
    for _ in range(3):
        result(world.carry())
    assert world.connected() == "1"
    assert len(server.messages) == 3
    assert server.commands.count("EHLO relay.example") == 1


def test_a_session_is_left_after_its_share_of_messages() -> None:
    world = World(Server(), messages_per_connection=2)
    for _ in range(4):
        result(world.carry())
    assert world.connected() == "11"


def test_an_idle_session_is_left_with_quit() -> None:
    server = Server()
    world = World(server, idle_timeout=10)
    result(world.carry())
    world.reactor.pass_time(9.9)
    assert "QUIT" not in server.commands
    world.reactor.pass_time(0.1)
    assert server.commands[-1] == "QUIT"
    assert world.reactor.getDelayedCalls() == []
    result(world.carry())
    assert world.connected() == "11"


def test_no_session_is_kept_where_none_is_wanted() -> None:
    server = Server()
    world = World(server, idle_timeout=0)
    result(world.carry())
    assert server.commands[-1] == "QUIT"


@pytest.mark.parametrize("word", [b"421 4.4.2 idle too long\r\n", CLOSE, b"250 surprise\r\n", b"2"])
def test_a_kept_session_that_ends_or_says_anything_is_not_used_again(word: bytes) -> None:
    world = World([Server(), Server()])
    result(world.carry())
    world.reactor.wires[0].feed(word)
    world.reactor.settle()
    assert shown(result(world.carry())) == "delivered@m1"
    assert world.connected() == "11"


@pytest.mark.parametrize("last", [CLOSE, b"421 4.4.2 idle too long\r\n" + CLOSE])
@pytest.mark.parametrize("offers", [("PIPELINING",), ()])
def test_a_kept_session_found_dead_is_replaced_at_once(last: bytes, offers: tuple[str, ...]) -> None:
    first, second = Server(offers, mail=[b"250 ok\r\n", last]), Server()
    world = World([first, second])
    result(world.carry())
    assert shown(result(world.carry())) == "delivered@m1"
    assert (len(first.messages), len(second.messages)) == (1, 1)


def test_it_is_replaced_once_and_a_fresh_one_that_dies_is_a_failure() -> None:
    world = World([Server(mail=[b"250 ok\r\n", CLOSE]), Server(mail=CLOSE), Server()])
    result(world.carry())
    assert shown(result(world.carry())) == "deferred@m1"
    assert world.connected() == "11"


@pytest.mark.parametrize("later", [{"rcpt": [b"250 ok\r\n", CLOSE]}, {"end": [b"250 ok\r\n", CLOSE]}])
def test_a_kept_session_that_answered_is_not_replaced(later: dict[str, Any]) -> None:
    world = World([Server(**later), Server()])
    result(world.carry())
    assert shown(result(world.carry())) == "deferred@m1"


def test_a_silent_kept_session_is_a_failure_not_a_reason_to_send_twice() -> None:
    world = World([Server(mail=[b"250 ok\r\n", SILENCE]), Server()])
    result(world.carry())
    attempt = world.carry()
    assert pending(attempt)
    world.reactor.pass_time(300)
    assert shown(result(attempt)) == "deferred@m1"


def test_among_equal_hosts_the_one_with_a_session_comes_first() -> None:
    world = World(Server(), Server())
    world.preferences = [1, 0]
    result(world.carry())
    assert world.connected() == "2"
    world.preferences = [0, 0]
    result(world.carry())
    assert world.connected() == "2"
    world.preferences = [0, 1]
    result(world.carry())
    assert world.connected() == "21"


def test_a_want_of_sockets_here_is_no_fault_of_any_host() -> None:
    """It waits for reasons of our own, and is at the first host again when there are some."""
    world = World(Server(), Server())
    world.reactor.out_of_sockets = True
    (outcome,) = result(world.carry())
    assert (outcome.status, outcome.reply.enhanced, outcome.remote) == (Status.DEFERRED, "4.3.0", False)
    assert not any(world.courier.failing.avoided((f"192.0.2.{number}", 25)) for number in (1, 2))
    world.reactor.out_of_sockets = False
    assert shown(result(world.carry())) == "delivered@m1"


def test_after_a_refused_transaction_the_session_is_kept_and_reset() -> None:
    server = Server(rcpt=[BAD, b"250 ok\r\n"], data=[b"503 no\r\n", b"354 go\r\n"])
    world = World(server)
    assert shown(result(world.carry())) == "failed@m1"
    assert shown(result(world.carry())) == "delivered@m1"
    assert world.connected() == "1"
    assert "RSET" in server.commands


@pytest.mark.parametrize("offers", [("PIPELINING",), ()])
@pytest.mark.parametrize("refusal", [b"451 no\r\n", b"502 what?\r\n"])
def test_a_session_that_cannot_be_reset_is_replaced(offers: tuple[str, ...], refusal: bytes) -> None:
    """What it says to MAIL is about the transaction that is still open, and no word on the message."""
    nested = Server(offers, rcpt=[BAD, b"250 ok\r\n"], data=b"503 no\r\n", rset=refusal)
    nested.answers["mail"] = [b"250 ok\r\n", b"503 5.5.1 nested MAIL\r\n"]
    world = World([nested, Server(offers)])
    assert shown(result(world.carry())) == "failed@m1"
    assert shown(result(world.carry())) == "delivered@m1"
    assert world.connected() == "11"


def test_two_attempts_at_once_never_share_a_session() -> None:
    world = World([Server(end=SILENCE), Server()])
    first = world.carry()
    assert shown(result(world.carry())) == "delivered@m1"
    assert pending(first)
    assert world.connected() == "11"
    first.cancel()
    first.addErrback(lambda _: None)


def test_kept_sessions_are_bounded_and_the_oldest_goes() -> None:
    world = World(*[Server() for _ in range(MAX_IDLE + 1)])
    for stop in world.stops():
        attempt = make_attempt(make_record(), ROUTE)
        result(run(world.reactor, world.courier.carry(attempt, [stop])))
    quits = [number for number, [server] in enumerate(world.hosts) if server is not None and "QUIT" in server.commands]
    assert quits == [0]


def test_stop_says_quit_everywhere_and_waits() -> None:
    servers = [Server(), Server(quit=SILENCE)]
    world = World(*servers)
    for stop in world.stops():
        result(run(world.reactor, world.courier.carry(make_attempt(make_record(), ROUTE), [stop])))
    stopping = run(world.reactor, world.courier.pool.stop())
    assert [server.commands[-1] for server in servers] == ["QUIT", "QUIT"]
    assert pending(stopping)
    world.reactor.pass_time(10)
    assert result(stopping) is None
    assert world.reactor.getDelayedCalls() == []


def test_stop_with_nothing_open_is_over_at_once() -> None:
    world = World(Server())
    assert result(run(world.reactor, world.courier.pool.stop())) is None
    assert world.reactor.getDelayedCalls() == []
