"""What the extensions of a next hop change: BDAT, binary content, SMTPUTF8 and the next host, DSN, LIMITS, AUTH=<>."""

from pathlib import Path
from typing import Any

import pytest
from egress_support import (
    CLOSE,
    ChunkServer,
    MemoryReactor,
    Server,
    converse,
    make_attempt,
    make_record,
    make_services,
    outcomes_with,
    result,
    run,
)

from relaygw.core.address import parse_address
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Body, Notify, Recipient
from relaygw.core.mx import Target
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Record, Route
from relaygw.egress.delivery import Courier, Stop
from relaygw.egress.hop import Hop, Login, TlsMode
from relaygw.egress.parameters import manners
from relaygw.egress.secrets import Secret
from relaygw.egress.suitability import another_may

BINARY = ("PIPELINING", "SIZE 0", "8BITMIME", "CHUNKING", "BINARYMIME")
OCTETS = b"Subject: x\r\n\r\n" + bytes(range(256)) + b"\n.\n\r\n.\r\nQUIT\r\n\r"


def binary(*recipients: str, **facts: Any) -> Record:
    return make_record(*recipients, body=Body.BINARY, **facts)


def codes(outcomes: tuple[Outcome, ...]) -> list[tuple[str, str]]:
    return [(outcome.status.value, outcome.reply.enhanced) for outcome in outcomes]


# BDAT


def test_binary_content_arrives_octet_for_octet() -> None:
    server = ChunkServer(BINARY)
    outcomes = outcomes_with(server, binary("b@example.org", "c@example.org"), content=OCTETS)
    assert [outcome.status for outcome in outcomes] == [Status.DELIVERED] * 2
    assert server.messages == [OCTETS]
    assert server.commands[1] == f"MAIL FROM:<a@example.com> SIZE={len(OCTETS)} BODY=BINARYMIME"
    assert server.commands[-1] == f"BDAT {len(OCTETS)} LAST"
    assert "DATA" not in server.commands


def test_large_binary_content_goes_in_pieces() -> None:
    server = ChunkServer(BINARY)
    reactor = MemoryReactor(lambda address, port: server)
    reactor.limit = 300_000
    content = OCTETS * 4000
    _, outcomes = result(run(reactor, converse(reactor, binary(), content)))
    assert outcomes[0].status is Status.DELIVERED
    assert server.messages == [content]
    assert reactor.wires[0].most < 700_000


@pytest.mark.parametrize("offers", [("PIPELINING", "8BITMIME"), ("8BITMIME", "CHUNKING"), ("8BITMIME", "BINARYMIME")])
def test_binary_content_goes_nowhere_else(offers: tuple[str, ...]) -> None:
    server = ChunkServer(offers)
    assert codes(outcomes_with(server, binary(), content=OCTETS)) == [("failed", "5.6.3")]
    assert server.messages == []


def test_binarymime_that_is_text_goes_as_text() -> None:
    text = b"Subject: x\r\n\r\n\xff\r\n"
    server = ChunkServer(("PIPELINING", "8BITMIME"))
    assert codes(outcomes_with(server, binary(), content=text)) == [("delivered", "2.0.0")]
    assert server.commands[1].endswith(" BODY=8BITMIME")
    assert server.messages == [text]


@pytest.mark.parametrize(("offers", "ends"), [(("CHUNKING",), b"end"), ((), b"end\r\n")])
def test_a_last_line_without_its_end_is_kept_where_that_is_possible(offers: tuple[str, ...], ends: bytes) -> None:
    server = ChunkServer(offers)
    outcomes_with(server, make_record(), content=b"Subject: x\r\n\r\nend")
    assert server.messages == [b"Subject: x\r\n\r\n" + ends]


def test_content_that_ends_as_all_lines_do_goes_by_data() -> None:
    server = ChunkServer(BINARY)
    outcomes_with(server, make_record())
    assert server.commands[-1] == "DATA"


@pytest.mark.parametrize(
    ("reply", "expected", "uncertain"),
    [
        (b"550 5.6.0 no\r\n", ("failed", "5.6.0"), False),
        (b"451 4.3.0 later\r\n", ("deferred", "4.3.0"), False),
        (CLOSE, ("deferred", "4.4.2"), True),
    ],
)
def test_the_answer_to_the_last_chunk_decides(reply: bytes, expected: tuple[str, str], uncertain: bool) -> None:
    outcomes = outcomes_with(ChunkServer(BINARY, bdat=reply), binary(), content=OCTETS)
    assert codes(outcomes) == [expected]
    assert outcomes[0].uncertain is uncertain


def test_no_chunk_is_sent_for_nobody_and_the_session_stays_usable() -> None:
    server = ChunkServer(BINARY, rcpt=[b"550 5.1.1 no\r\n", b"250 ok\r\n"])
    reactor = MemoryReactor(lambda address, port: server)
    session, outcomes = result(run(reactor, converse(reactor, binary(), OCTETS)))
    assert codes(outcomes) == [("failed", "5.1.1")]
    assert server.messages == []
    assert session.dirty
    assert session.connection.alive


def test_lmtp_answers_the_last_chunk_for_each_recipient() -> None:
    server = ChunkServer(BINARY, bdat=b"250 2.1.5 ok\r\n452 4.2.2 full\r\n")
    outcomes = outcomes_with(
        server, binary("b@example.org", "c@example.org"), content=OCTETS, hop=Hop(tls=TlsMode.NONE, lmtp=True)
    )
    assert codes(outcomes) == [("delivered", "2.1.5"), ("deferred", "4.2.2")]


# The next host may have what this one lacks.


def carry(record: Record, content: bytes, *servers: Server | None) -> tuple[Outcome, ...]:
    reactor = MemoryReactor(lambda address, port: servers[int(address.rpartition(".")[2]) - 1])
    services = make_services(reactor)
    courier = Courier(services, manners("relay.example", services.settings.egress))
    stops = [
        Stop(target=Target(host=f"m{n}", address=f"192.0.2.{n}", preference=n), hop=Hop(tls=TlsMode.NONE))
        for n in range(1, len(servers) + 1)
    ]
    attempt = make_attempt(record, Route(transport="mx"), BytesContent(content))
    outcomes: tuple[Outcome, ...] = result(run(reactor, courier.carry(attempt, stops)))
    return outcomes


UTF8 = ("SMTPUTF8", "8BITMIME")


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (["no", "yes"], ("delivered", "2.0.0")),
        (["no", "no"], ("failed", "5.6.7")),
        (["no", "away"], ("deferred", "4.4.1")),
        (["away", "no"], ("deferred", "4.4.1")),
        (["no", "no", "yes"], ("delivered", "2.0.0")),
    ],
)
def test_a_host_without_smtputf8_is_followed_by_the_next(hosts: list[str], expected: tuple[str, str]) -> None:
    kinds = {"no": lambda: Server(("8BITMIME",)), "yes": lambda: Server(UTF8), "away": lambda: None}
    record = make_record("jörg@example.org", smtputf8=True)
    assert codes(carry(record, b"\r\nx\r\n", *(kinds[host]() for host in hosts))) == [expected]


def test_so_is_one_without_binarymime() -> None:
    second = ChunkServer(BINARY)
    assert codes(carry(binary(), OCTETS, Server(), second)) == [("delivered", "2.0.0")]
    assert second.messages == [OCTETS]


def test_a_refusal_of_the_hosts_own_is_final() -> None:
    [outcome] = carry(make_record(), b"\r\n", Server(mail=b"550 5.6.7 no\r\n"), Server())
    assert (outcome.status, outcome.host) == (Status.FAILED, "m1")
    assert not another_may(outcome)


def test_requiretls_wants_verified_tls_whatever_the_route_says() -> None:
    """RFC 8689 4.2.1: these servers offer no TLS, and the route asks for none."""
    offering = Server(("REQUIRETLS", "STARTTLS"), starttls=b"454 4.7.0 not now\r\n")
    [outcome] = carry(make_record(requiretls=True), b"\r\n", Server(("REQUIRETLS",)), offering)
    assert (outcome.status, outcome.reply.enhanced) == (Status.DEFERRED, "4.7.4")
    assert not any(command.startswith("MAIL") for command in offering.commands)


# LIMITS


def test_no_more_recipients_than_announced_travel_together() -> None:
    server = Server(("PIPELINING", "LIMITS RCPTMAX=2 OTHER=x MAILMAX=9"))
    outcomes = outcomes_with(server, make_record(*(f"{n}@example.org" for n in range(5))))
    assert [outcome.status for outcome in outcomes] == [Status.DELIVERED] * 5
    groups = "".join(command[0] for command in server.commands if command[0] in "MRD")
    assert groups == "MRRDMRRDMRD"


@pytest.mark.parametrize(("limit", "delivered"), [(2, 4), (3, 5)])
def test_no_more_transactions_than_announced_are_begun(limit: int, delivered: int) -> None:
    server = Server((f"LIMITS MAILMAX={limit} RCPTMAX=2",))
    reactor = MemoryReactor(lambda address, port: server)
    record = make_record(*(f"{n}@example.org" for n in range(5)))
    session, outcomes = result(run(reactor, converse(reactor, record)))
    assert [outcome.status for outcome in outcomes].count(Status.DELIVERED) == delivered
    assert all(outcome.reply.enhanced == "4.5.3" for outcome in outcomes[delivered:])
    assert session.spent


def test_recipients_of_more_domains_than_a_session_takes_are_for_another() -> None:
    server = Server(("PIPELINING", "LIMITS RCPTDOMAINMAX=2"))
    record = make_record("a@one.example", "b@two.example", "c@three.example", "d@one.example")
    reactor = MemoryReactor(lambda address, port: server)
    session, outcomes = result(run(reactor, converse(reactor, record)))
    assert codes(outcomes) == [
        ("delivered", "2.0.0"),
        ("delivered", "2.0.0"),
        ("deferred", "4.5.3"),
        ("delivered", "2.0.0"),
    ]
    assert len(server.messages) == 1
    assert session.worn


@pytest.mark.parametrize("words", ["LIMITS", "LIMITS RCPTMAX", "LIMITS RCPTMAX=x MAILMAX=-1", "LIMITS RCPTMAX=1234567"])
def test_limits_that_say_nothing(words: str) -> None:
    server = Server(("PIPELINING", words))
    outcomes_with(server, make_record("b@example.org", "c@example.org"))
    assert sum(command.startswith("MAIL") for command in server.commands) == 1


# DSN and AUTH=


def test_wishes_for_reports_travel_where_they_are_understood() -> None:
    recipient = Recipient(
        address=parse_address("b@example.org"),
        notify=frozenset({Notify.SUCCESS, Notify.DELAY}),
        orcpt="utf-8;jörg+x@example.org",
    )
    plain = Recipient(address=parse_address("c@example.org"), orcpt="rfc822;c=d@example.org")
    record = make_record(recipient, plain, ret="HDRS", envid="a b")
    server = Server(("DSN",))
    outcomes = outcomes_with(server, record)
    assert server.commands[1].endswith(" RET=HDRS ENVID=a+20b")
    assert (
        server.commands[2] == r"RCPT TO:<b@example.org> NOTIFY=DELAY,SUCCESS ORCPT=utf-8;j\x{F6}rg\x{2B}x@example.org"
    )
    assert server.commands[3] == "RCPT TO:<c@example.org> ORCPT=rfc822;c+3Dd@example.org"
    assert all(outcome.relayed_dsn for outcome in outcomes)
    ignorant = Server(())
    outcomes = outcomes_with(ignorant, record)
    assert ignorant.commands[1:3] == ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>"]
    assert not any(outcome.relayed_dsn for outcome in outcomes)


def test_who_logged_in_with_us_is_nobody_to_the_next_hop(tmp_path: Path) -> None:
    """RFC 4954 5."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    hop = Hop(tls=TlsMode.NONE, login=Login(username="me", password=Secret("file", str(password)), in_clear=True))
    server = Server(("AUTH PLAIN",), auth=b"235 ok\r\n")
    reactor = MemoryReactor(lambda address, port: server)
    result(run(reactor, converse(reactor, make_record(login="somebody"), hop=hop)))
    assert server.commands[2] == "MAIL FROM:<a@example.com> AUTH=<>"
