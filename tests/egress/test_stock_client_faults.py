"""Each fault of Twisted's own SMTP client: shown on it, absent here, against the same server."""

from typing import Any

import pytest
from egress_support import (
    CLEAR,
    CLOSE,
    MANNERS,
    SILENCE,
    TARGET,
    MemoryReactor,
    Server,
    converse,
    make_opener,
    make_record,
    outcomes_with,
    result,
    run,
)
from stock_client import stock
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import StringTransport
from twisted.mail.smtp import quoteaddr
from twisted.protocols.tls import TLSMemoryBIOFactory

from relaygw.core.address import Address, AddressError, parse_address
from relaygw.core.envelope import Recipient
from relaygw.core.mail_commands import UnsafePath, safe_path
from relaygw.core.outcome import Status
from relaygw.core.stuffing import BareLineEnd
from relaygw.egress.broken import Broken, Phase
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.tls import ClientCreator

SMUGGLED = b".\nMAIL FROM:<smuggled@example.net>\nRCPT TO:<v@example.org>\nDATA\nSubject: evil\n\nx\n"
LINE = b"x" * 63 + b"\n"
CHUNK = 16 * 1024
REFUSED = b"550 5.1.1 no\r\n"


def ours(server: Server, data: bytes, **facts: object) -> None:
    outcomes_with(server, content=data.replace(b"\n", b"\r\n"), **facts)


@pytest.mark.parametrize("before", [CHUNK, 2 * CHUNK, 17 * CHUNK])
def test_a_dot_at_a_chunk_border_makes_two_messages_of_one(before: int) -> None:
    # The stock class counts chunks in its LF-only file; ours in CRLF content, so that the dot falls on borders of both.
    stock_server, our_server = Server(), Server()
    stock(stock_server, LINE * (before // 64) + SMUGGLED)
    assert "MAIL FROM:<smuggled@example.net>" in stock_server.commands
    assert len(stock_server.messages) == 2
    wide = b"x" * 62 + b"\n"
    ours(our_server, wide * (before // 64) + SMUGGLED)
    assert [command[:4] for command in our_server.commands] == ["EHLO", "MAIL", "RCPT", "DATA"]
    assert len(our_server.messages) == 1


def test_the_first_line_is_not_stuffed() -> None:
    stock_server, our_server = Server(), Server()
    stock(stock_server, SMUGGLED)
    assert "MAIL FROM:<smuggled@example.net>" in stock_server.commands
    ours(our_server, SMUGGLED)
    assert our_server.messages == [SMUGGLED.replace(b"\n", b"\r\n")]


def test_answers_sent_in_clear_are_taken_for_answers_inside_tls() -> None:
    injected = b"220 go\r\n250-mx.example.org\r\n250 SIZE\r\n"
    stock_server = Server(("STARTTLS",), starttls=injected)
    stock_server.answers["ehlo"] = [b"250-mx.example.org\r\n250 STARTTLS\r\n", SILENCE]
    stock(stock_server, context=CertificateOptions())
    # The server never answered EHLO inside TLS, and yet:
    assert stock_server.raw.endswith(b"MAIL FROM:<a@example.com>\r\n")
    with pytest.raises(Broken) as caught:
        outcomes_with(Server(("STARTTLS",), starttls=injected), hop=Hop(tls=TlsMode.MAY))
    assert caught.value.phase is Phase.STARTTLS


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a@b@example.org", {b"<>"}),  # the null path: a bounce address for mail that has another
        ("a@example.org>\r\nRSET", {b"<a@example.org>", b"<>"}),  # cut instead of refused, or that: Pythons differ
    ],
)
def test_an_odd_address_becomes_another(text: str, wrong: set[bytes]) -> None:
    assert quoteaddr(text) in wrong
    with pytest.raises(AddressError):
        parse_address(text)
    local, _, domain = text.rpartition("@")
    try:
        assert safe_path(Address(local, domain)) == '<"a@b"@example.org>'
    except UnsafePath:
        assert "\r" in domain


def test_an_address_in_utf8_is_an_exception() -> None:
    with pytest.raises(UnicodeDecodeError):
        stock(Server(), recipients=["ü@example.org".encode()])  # type: ignore[list-item]  # bytes are taken as well
    server = Server(("SMTPUTF8", "8BITMIME"))
    outcomes_with(server, make_record("ü@example.org"))
    assert "RCPT TO:<ü@example.org>" in server.commands


def test_tls_that_cannot_begin_is_followed_by_ehlo_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twisted.mail.smtp.log.err", lambda *_: None)  # the stock class logs what the test provokes
    server = Server(("STARTTLS",), starttls=b"220 go\r\n")
    client, wire = stock(server, context=CertificateOptions(), fail_tls=True)
    assert client.errors
    assert wire.secured == 1
    assert server.commands.count("EHLO relay.example") == 2
    refused = Server(("STARTTLS",), starttls=b"220 go\r\n")
    missing = Hop(tls=TlsMode.VERIFY, authorities="/nonexistent/authorities.pem")
    with pytest.raises(Broken):
        outcomes_with(refused, hop=missing)
    assert refused.commands.count("EHLO relay.example") == 1


def test_nothing_offered_is_used() -> None:
    offers = ("PIPELINING", "SIZE 1000", "8BITMIME")
    stock_server, our_server = Server(offers), Server(offers)
    stock(stock_server, b"\n\xe9\n")
    assert stock_server.commands[1] == "MAIL FROM:<a@example.com>"
    assert [read.count(b"\r\n") for read in stock_server.reads[:4]] == [1, 1, 1, 1]
    ours(our_server, b"\n\xe9\n")
    assert our_server.commands[1] == "MAIL FROM:<a@example.com> SIZE=5 BODY=8BITMIME"
    assert our_server.reads[1].count(b"\r\n") == 3


def test_keywords_are_seen_in_upper_case_only() -> None:
    stock_server = Server(("starttls",), starttls=b"220 go\r\n")
    stock(stock_server, context=CertificateOptions())
    assert "STARTTLS" not in stock_server.commands
    our_server = Server(("starttls",), starttls=b"454 4.7.0 not now\r\n")
    ours(our_server, b"\nx\n", hop=Hop(tls=TlsMode.MAY))
    assert "STARTTLS" in our_server.commands


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"a\r\nb\r\n", b"a\r\r\nb\r\r\n"),
        (b"a\rb\n", b"a\rb\r\n"),
    ],
)
def test_line_ends_are_changed_or_passed_bare(data: bytes, wrong: bytes) -> None:
    stock_server = Server()
    stock(stock_server, data)
    assert stock_server.messages == [wrong]
    our_server = Server()
    try:
        outcomes_with(our_server, content=data)
    except BareLineEnd:
        assert our_server.messages == []
    else:
        assert our_server.messages == [data]


def test_an_empty_message_gets_a_line() -> None:
    stock_server, our_server = Server(), Server()
    stock(stock_server, b"")
    assert stock_server.messages == [b"\r\n"]
    ours(our_server, b"")
    assert our_server.messages == [b""]


def test_all_refused_is_one_code_and_a_text_of_its_own() -> None:
    answers = [b"450 4.2.1 busy\r\n", b"550 5.1.1 no such user\r\n"]
    client, _ = stock(Server(rcpt=list(answers)), recipients=["b@example.org", "c@example.org"])
    assert client.sent[0][:2] == (550, "No recipients accepted")
    outcomes = outcomes_with(
        Server(rcpt=list(answers), data=b"503 5.5.1 none\r\n"), make_record("b@example.org", "c@example.org")
    )
    assert [str(outcome.reply) for outcome in outcomes] == ["450 4.2.1 busy", "550 5.1.1 no such user"]
    assert [outcome.reply.enhanced for outcome in outcomes] == ["4.2.1", "5.1.1"]


def test_421_is_followed_by_rset_on_a_dying_link() -> None:
    stock_server, our_server = Server(mail=b"421 4.3.2 bye\r\n"), Server(mail=b"421 4.3.2 bye\r\n")
    stock(stock_server)
    assert stock_server.commands[-1] == "QUIT"
    assert "RSET" in stock_server.commands
    reactor = MemoryReactor(lambda address, port: our_server)
    session, _ = result(run(reactor, converse(reactor, make_record())))
    assert not session.connection.alive
    assert "RSET" not in our_server.commands


def test_a_server_that_hangs_up_on_ehlo_is_never_asked_with_helo() -> None:
    stock_server = Server(ehlo=CLOSE)
    stock(stock_server)
    assert stock_server.commands == ["EHLO relay.example"]
    second = Server()
    servers = [Server(ehlo=CLOSE), second]
    reactor = MemoryReactor(lambda address, port: servers.pop(0))
    result(run(reactor, make_opener(reactor).open(TARGET, CLEAR)))
    assert second.commands == ["HELO relay.example"]


def test_a_silent_server_is_waited_for_without_end() -> None:
    client, wire = stock(Server(greeting=SILENCE))
    client.clock.advance(10 * 24 * 3600)
    assert not wire.closed
    reactor = MemoryReactor(lambda address, port: Server(greeting=SILENCE))
    opening = run(reactor, make_opener(reactor).open(TARGET, CLEAR))
    reactor.pass_time(MANNERS.greeting_timeout)
    with pytest.raises(Broken, match="silent"):
        result(opening)


def test_454_to_starttls_fails_mail_that_need_not_be_encrypted() -> None:
    refusal = b"454 4.7.0 TLS not available\r\n"
    client, _ = stock(Server(("STARTTLS",), starttls=refusal), context=CertificateOptions())
    assert client.errors
    assert not client.sent
    server = Server(("STARTTLS",), starttls=refusal)
    [outcome] = outcomes_with(server, hop=Hop(tls=TlsMode.MAY))
    assert outcome.status is Status.DELIVERED


def test_a_context_without_a_name_tells_no_name() -> None:
    assert b"example" not in hello(CertificateOptions())
    for mode in TlsMode:
        assert b"mx.example.org" in hello(ClientCreator("mx.example.org", mode))


def hello(creator: Any) -> bytes:
    """The first octets a client sends in TLS."""
    protocol = TLSMemoryBIOFactory(creator, True, Factory.forProtocol(Protocol)).buildProtocol(None)
    wire = StringTransport()
    protocol.makeConnection(wire)
    return wire.value()


def test_a_connection_cannot_wait_for_the_next_message() -> None:
    stock_server = Server()
    stock(stock_server)
    assert stock_server.commands[-2:] == ["RSET", "QUIT"]
    our_server = Server()
    reactor = MemoryReactor(lambda address, port: our_server)
    session, _ = result(run(reactor, converse(reactor, make_record())))
    assert session.connection.alive
    assert our_server.commands[-1] == "DATA"


def test_answers_for_each_recipient_after_data_are_not_understood() -> None:
    each = b"250 2.1.5 stored\r\n552 5.2.2 full\r\n"
    client, _ = stock(Server(end=each), recipients=["b@example.org", "c@example.org"])
    assert client.sent[0][:1] == (250,)
    outcomes = outcomes_with(
        Server(end=each), make_record("b@example.org", "c@example.org"), hop=Hop(tls=TlsMode.NONE, lmtp=True)
    )
    assert [outcome.status for outcome in outcomes] == [Status.DELIVERED, Status.FAILED]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"25 what is this\r\n", 25),
        (b"250-taken\r\n550 or not\r\n", 550),
    ],
)
def test_what_is_no_reply_is_taken_for_one(reply: bytes, code: int) -> None:
    client, _ = stock(Server(end=reply))
    assert client.sent[0][0] == code
    [outcome] = outcomes_with(Server(end=reply))
    assert (outcome.status, outcome.remote, outcome.reply.enhanced) == (Status.DEFERRED, False, "4.5.0")


def test_a_reply_may_go_on_without_end() -> None:
    endless = b"250-more\r\n" * 50_000
    client, wire = stock(Server(mail=endless))
    assert not wire.closed
    assert len(client.resp) == 50_000
    reactor = MemoryReactor(lambda address, port: Server(mail=endless))
    session, [outcome] = result(run(reactor, converse(reactor, make_record())))
    assert outcome.status is Status.DEFERRED
    assert not session.connection.alive


def test_recipients_named_alike_are_told_apart_by_place() -> None:
    recipient = Recipient(address=parse_address("b@example.org"))
    outcomes = outcomes_with(Server(rcpt=[b"250 ok\r\n", REFUSED]), make_record(recipient, recipient))
    assert [outcome.status for outcome in outcomes] == [Status.DELIVERED, Status.FAILED]
