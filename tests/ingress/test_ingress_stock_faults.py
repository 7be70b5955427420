"""Each fault of the stock ESMTP class: shown on it, absent here, with the same bytes."""

from typing import Any

import pytest
from ingress_rig import BODY, HELLO, MAIL, MESSAGE, PASSWORD, RCPT, Rig, Scripted, reply_codes
from stock_rig import StockSession
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail
from twisted.mail.smtp import IMessageDelivery, SMTPBadRcpt, SMTPServerError
from twisted.trial.unittest import SynchronousTestCase

from relaygw.config.schema import LimitsConfig
from relaygw.core.events import TaskFailed
from relaygw.core.session import Role
from relaygw.core.verdict import PASS, Phase, Verdict, reject

LATER = "MAIL FROM:<a@client.test>\r\nRCPT TO:<user@here.test>\r\nRCPT TO:<other@here.test>\r\nDATA\r\n"


class FakeTls:
    """Stands for ServerTls where no handshake is made."""

    context_factory = object()

    def wrap(self, factory: Any, clock: Any = None) -> Any:
        return factory


class StockPortal:
    """A portal as the stock class wants it."""

    @staticmethod
    def make() -> Portal:
        class Realm:
            def requestAvatar(self, avatar_id: Any, mind: Any, *interfaces: Any) -> Any:
                return IMessageDelivery, None, lambda: None

        database = InMemoryUsernamePasswordDatabaseDontUse()
        database.addUser(b"user", PASSWORD)
        return Portal(Realm(), [database])


def test_commands_behind_starttls_in_one_segment_are_never_executed() -> None:
    attack = HELLO + "STARTTLS\r\nMAIL FROM:<evil@client.test>\r\n"
    stock = StockSession(tls=object())
    assert reply_codes(stock.send(attack)) == [220, 250, 220, 250][1:]  # the MAIL was executed after the 220
    assert stock.wire.tls_started == 1

    rig = Rig(tls=FakeTls())
    client = rig.connect()
    assert client.codes(attack) == [250, 501]
    assert client.wire.tls_started == 0
    assert not client.open


def test_half_a_command_sent_in_the_clear_is_not_glued_to_what_comes_under_tls() -> None:
    stock = StockSession(tls=object())
    stock.send(HELLO + "STARTTLS\r\nMAIL FROM:<half@")
    assert reply_codes(stock.send("tls.test>\r\n")) == [250]

    client = Rig(tls=FakeTls()).connect()
    assert client.codes(HELLO + "STARTTLS\r\nMAIL FROM:<half@") == [250, 501]
    assert not client.open


def test_the_envelope_does_not_survive_starttls() -> None:
    stock = StockSession(tls=object())
    stock.send(HELLO + MAIL)
    stock.send("STARTTLS\r\n")
    assert reply_codes(stock.send(RCPT)) == [250]

    client = Rig(tls=FakeTls()).connect()
    client.send(HELLO + MAIL)
    assert client.codes("STARTTLS\r\n") == [220]
    client.secure()
    assert client.codes(RCPT) == [503]
    assert client.codes(MAIL) == [503]  # not even the EHLO is remembered
    assert client.codes(HELLO + MAIL) == [250, 250]


def test_starttls_takes_no_argument() -> None:
    stock = StockSession(tls=object())
    stock.send(HELLO)
    assert reply_codes(stock.send("STARTTLS now\r\n")) == [220]
    client = Rig(tls=FakeTls()).connect()
    client.send(HELLO)
    assert client.codes("STARTTLS now\r\n") == [501]
    assert client.wire.tls_started == 0


def test_starttls_is_not_offered_under_implicit_tls() -> None:
    stock = StockSession(tls=object())  # the stock class cannot know that it is inside TLS already
    assert "STARTTLS" in stock.send(HELLO)
    client = Rig(tls=FakeTls(), implicit=True).connect()
    assert client.heard() == ""  # the greeting waits for the handshake
    client.secure()
    client.protocol._begin()
    assert "STARTTLS" not in client.send(HELLO)
    assert client.codes("STARTTLS\r\n") == [503]


def test_a_long_line_in_data_does_not_turn_the_message_into_commands() -> None:
    inner = "MAIL FROM:<evil@client.test>\r\nRCPT TO:<user@here.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
    attack = HELLO + MAIL + RCPT + "DATA\r\n" + "Subject: x\r\n\r\n" + "y" * 20_000 + "\r\n" + inner
    stock = StockSession()
    cut = attack.index(inner)  # where a segment happens to end, which padding can arrange
    stock.send(attack[:cut])
    stock.send(attack[cut:])
    assert any(b"smuggled" in message and b"yyyy" not in message for message in stock.delivery.messages)

    rig = Rig()
    client = rig.connect()
    # Everything up to the first CRLF.CRLF is one message, which is the inner one's end.
    assert client.codes(attack[:cut]) + client.codes(attack[cut:]) == [250, 250, 250, 354, 250]
    (stored,) = rig.stored()
    assert stored.endswith(b"y" * 20_000 + b"\r\n" + inner[:-3].encode())


class FailingSpool(SynchronousTestCase):
    def test_a_failing_disk_is_temporary(self) -> None:
        """The stock class makes 550 of every failure at the end of data."""
        stock = StockSession()
        stock.delivery.end = lambda: fail(SMTPServerError(451, "disk full"))
        assert reply_codes(stock.send(HELLO + MESSAGE))[-1] == 550
        self.flushLoggedErrors(SMTPServerError)

        rig = Rig()
        client = rig.connect()
        client.send(HELLO + MAIL + RCPT + "DATA\r\n")
        rig.spool.broken = "no space left on device"
        answer = client.send(BODY + ".\r\n")
        assert answer.startswith("451 4.3.0 ")
        assert "space" not in answer
        assert any("no space left" in event.error for event in rig.said(TaskFailed))
        rig.spool.broken = ""
        assert client.codes(MESSAGE) == [250, 250, 354, 250]

    def test_a_pipelined_group_is_answered_in_order_while_mail_waits(self) -> None:
        """The stock class answers RCPT and DATA with 503 before the 250 of MAIL."""
        stock = StockSession()
        waiting: Deferred[Any] = Deferred()
        stock.delivery.sender = lambda origin: waiting
        assert reply_codes(stock.send(HELLO + LATER)) == [250, 503, 503, 503]

        held: Deferred[Verdict] = Deferred()
        client = Rig(filters=[Scripted({Phase.MAIL: lambda transaction: held})]).connect()
        assert client.codes(HELLO + LATER) == [250]
        client.wire.clear()
        held.callback(PASS)
        assert reply_codes(client.heard()) == [250, 250, 250, 354]

    def test_replies_to_two_recipients_never_swap(self) -> None:
        first: Deferred[Any] = Deferred()
        stock = StockSession()
        stock.delivery.recipient = lambda user: (
            first if b"other" not in bytes(user.dest) else fail(SMTPBadRcpt(user, 550, "no"))
        )
        stock.send(HELLO + MAIL)
        assert reply_codes(stock.send("RCPT TO:<user@here.test>\r\nRCPT TO:<other@here.test>\r\n")) == [550]

        held: Deferred[Verdict] = Deferred()
        chosen = Scripted(
            {Phase.RCPT: lambda transaction: held if transaction.recipient.address.local == "user" else reject("no")}
        )
        client = Rig(filters=[chosen]).connect()
        client.send(HELLO + MAIL)
        assert client.codes("RCPT TO:<user@here.test>\r\nRCPT TO:<other@here.test>\r\n") == []
        client.wire.clear()
        held.callback(PASS)
        assert reply_codes(client.heard()) == [250, 550]

    def test_rset_waits_for_the_mail_before_it(self) -> None:
        """The stock class answers RSET first, and the MAIL it should have undone then stands."""
        waiting: Deferred[Any] = Deferred()
        stock = StockSession()
        stock.delivery.sender = lambda origin: waiting
        stock.send(HELLO + "MAIL FROM:<a@client.test>\r\nRSET\r\n")
        waiting.callback("a@client.test")
        assert reply_codes(stock.send(RCPT)) == [250]

        held: Deferred[Verdict] = Deferred()
        client = Rig(filters=[Scripted({Phase.MAIL: lambda transaction: held})]).connect()
        client.send(HELLO + "MAIL FROM:<a@client.test>\r\nRSET\r\n")
        client.wire.clear()
        held.callback(PASS)
        assert reply_codes(client.heard()) == [250, 250]
        assert client.codes(RCPT) == [503]

    def test_quit_waits_for_the_answer_to_the_message(self) -> None:
        stock = StockSession()
        stock.delivery.end = Deferred
        assert reply_codes(stock.send(HELLO + MESSAGE + "QUIT\r\n"))[-1] == 221
        assert not stock.wire.connected

        held: Deferred[Verdict] = Deferred()
        client = Rig(filters=[Scripted({Phase.DATA: lambda transaction: held})]).connect()
        assert client.codes(HELLO + MESSAGE + "QUIT\r\n") == [250, 250, 250, 354]
        client.wire.clear()
        held.callback(PASS)
        assert reply_codes(client.heard()) == [250, 221]

    def test_the_clock_stands_still_while_the_server_works(self) -> None:
        """The stock class closes the connection on a client that waits for the server, and keeps the message."""
        stock = StockSession()
        stock.delivery.end = Deferred
        stock.send(HELLO + MESSAGE)
        stock.clock.advance(stock.protocol.timeout + 1)
        assert not stock.wire.connected

        held: Deferred[Verdict] = Deferred()
        filters = Scripted({Phase.DATA: lambda transaction: held})
        rig = Rig(filters=[filters], limits=LimitsConfig(command_timeout=10, data_timeout=5))
        client = rig.connect()
        client.send(HELLO + MESSAGE)
        rig.clock.pump([4.0] * 4)  # below the filter's own time of 20 s, beyond every patience with the client
        assert client.open
        client.wire.clear()
        held.callback(PASS)
        assert reply_codes(client.heard()) == [250]

    def test_hostile_input_leaves_the_connection_and_the_log_alone(self) -> None:
        """The stock class drops the connection with a traceback on each of these."""
        hostile: list[tuple[bytes, list[int]]] = [
            (b"\xff\xfe\r\n", [500]),
            (b"AUTH\r\n", [501]),
            (b"AUTH PLAIN =\r\n", [501]),
            (b"AUTH PLAIN YQ==\r\n", [501]),
            (b"AUTH PLAIN !!!\r\n", [501]),
        ]
        for line, codes in hostile:
            rig = Rig(auth="always")
            client = rig.connect()
            client.send(HELLO)
            client.send(line)
            rig.clock.advance(3)
            assert reply_codes(client.heard()) == codes, line
            assert client.open
        for line in (b"\xff\xfe\r\n", b"AUTH\r\n", b"AUTH PLAIN YQ==\r\n"):
            stock = StockSession(portal=StockPortal.make())
            stock.send(HELLO)
            with pytest.raises(Exception):  # noqa: B017  # one of several, none of them meant
                stock.send(line)

    def test_an_exception_of_ours_is_answered_as_temporary(self) -> None:
        stock = StockSession()
        stock.delivery.end = lambda: None
        with pytest.raises(AttributeError):
            stock.send(HELLO + MESSAGE)

        rig = Rig()
        client = rig.connect()
        client.send(HELLO + MAIL)
        rig.directory.broken = ValueError("bug")
        assert client.codes(RCPT) == [451]
        assert [event.error for event in rig.said(TaskFailed)] == ["ValueError: bug"]
        rig.directory.broken = None
        assert client.codes(RCPT) == [250]


@pytest.mark.parametrize(("command", "code"), [("NOOP", 250), ("VRFY user", 252), ("HELP", 214), ("EXPN list", 502)])
def test_the_commands_every_server_must_have(command: str, code: int) -> None:
    stock = StockSession()
    stock.send(HELLO)
    assert reply_codes(stock.send(f"{command}\r\n")) == [500]
    client = Rig().connect()
    client.send(HELLO)
    assert client.codes(f"{command}\r\n") == [code]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("FOO=bar", 555),
        ("SIZE=99999999999", 552),
        ("SIZE=x", 501),
        ("SIZE=123456789012345678901", 501),
        ("BODY=BINARY", 501),
        ("SMTPUTF8=1", 501),
        ("RET=ALL", 501),
        ("NOTIFY=NEVER", 555),
        ("SIZE=1 SIZE=2", 501),
        ("=", 501),
        ("AUTH=<>", 555),
    ],
)
def test_parameters_are_not_thrown_away(parameters: str, code: int) -> None:
    stock = StockSession()
    stock.send(HELLO)
    assert reply_codes(stock.send(f"MAIL FROM:<a@client.test> {parameters}\r\n")) == [250]
    client = Rig().connect()
    client.send(HELLO)
    assert client.codes(f"MAIL FROM:<a@client.test> {parameters}\r\n") == [code]


def test_what_is_offered_and_that_every_reply_has_an_enhanced_code() -> None:
    stock = StockSession()
    assert stock.send(HELLO).count("\r\n") == 1
    assert stock.send(MAIL)[4:].startswith("Sender")
    client = Rig().connect()
    offered = client.send(HELLO)
    for keyword in ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES"):
        assert keyword in offered
    for command in ("MAIL FROM:<a@client.test>", "RCPT TO:<user@here.test>", "NOOP", "RSET", "FOO", "DATA", "AUTH X"):
        reply = client.send(command + "\r\n")
        assert reply[4:10].startswith(f"{reply[0]}."), reply


def test_the_number_of_recipients_is_bounded() -> None:
    stock = StockSession()
    stock.send(HELLO + MAIL)
    assert reply_codes(stock.send(RCPT * 50)) == [250] * 50
    client = Rig(limits=LimitsConfig(recipients=2)).connect()
    client.send(HELLO + MAIL)
    names = ("user", "other", "postmaster")
    assert [client.codes(f"RCPT TO:<{name}@here.test>\r\n")[0] for name in names] == [250, 250, 452]
    assert client.codes("DATA\r\n") == [354]


def test_the_number_of_errors_is_bounded_at_n_and_n_plus_one() -> None:
    stock = StockSession()
    assert reply_codes(stock.send("FOO\r\n" * 500)) == [500] * 500
    client = Rig(limits=LimitsConfig(errors=3)).connect()
    assert client.codes("FOO\r\n" * 3) == [500] * 3
    assert client.open
    assert client.codes("FOO\r\nNOOP\r\n") == [421]
    assert not client.open


def test_failed_logins_are_slow_and_few() -> None:
    attempt = "AUTH PLAIN AHVzZXIAd3Jvbmc=\r\n"
    stock = StockSession(portal=StockPortal.make())
    stock.send(HELLO)
    assert reply_codes(stock.send(attempt * 200)) == [535] * 200
    rig = Rig(auth="always")
    client = rig.connect()
    client.send(HELLO)
    assert client.codes(attempt * 200) == []  # nothing before the delay has passed
    rig.clock.pump([2.0, 2.0, 2.0])
    assert reply_codes(client.heard()) == [535, 535, 421]
    assert not client.open


def test_the_size_of_a_message_is_bounded() -> None:
    body = "Subject: x\r\n\r\n" + "y" * 998 + "\r\n"
    stock = StockSession()
    assert reply_codes(stock.send(HELLO + MAIL + RCPT + "DATA\r\n" + body * 100 + ".\r\n"))[-1] == 250
    rig = Rig(limits=LimitsConfig(message_size=len(body)))
    client = rig.connect()
    client.send(HELLO)
    start = MAIL + RCPT + "DATA\r\n"
    assert client.codes(start + body + ".\r\n") == [250, 250, 354, 250]
    assert client.codes(start + "z" + body + ".\r\n") == [250, 250, 354, 552]
    assert client.codes(start + body * 100 + ".\r\nNOOP\r\n") == [250, 250, 354, 552, 250]
    assert client.codes(f"MAIL FROM:<a@client.test> SIZE={len(body)}\r\nRSET\r\n") == [250, 250]
    assert client.codes(f"MAIL FROM:<a@client.test> SIZE={len(body) + 1}\r\n") == [552]
    assert len(rig.stored()) == 1


def test_a_client_that_never_reads_cannot_fill_our_memory() -> None:
    flood = b"NOOP\r\n" * 10_000
    stock = StockSession()
    for _ in range(10):
        stock.protocol.dataReceived(flood)
    assert len(stock.wire.value()) > 1_000_000

    server = Rig()
    client = server.connect()
    client.wire.clear()
    producer: Any = client.wire.producer
    producer.pauseProducing()  # the transport says that the client takes no more
    for _ in range(3):
        client.feed(flood)
    assert client.wire.value() == b""
    assert client.wire.producerState == "paused"  # and nothing more is read
    producer.resumeProducing()
    client.rest(server.clock)
    assert client.wire.producerState == "producing"
    assert reply_codes(client.heard()) == [250] * 30_000


def test_reading_stops_while_much_input_waits_for_an_answer() -> None:
    held: Deferred[Verdict] = Deferred()
    stock = StockSession()
    stock.delivery.sender = lambda origin: Deferred()
    stock.send(HELLO + MAIL + "NOOP\r\n" * 20_000)
    assert stock.wire.pauses == 0

    client = Rig(filters=[Scripted({Phase.MAIL: lambda transaction: held})]).connect()
    client.send(HELLO + MAIL)
    client.feed(b"x" * 65_536)
    assert client.wire.producerState == "producing"
    client.feed(b"x")
    assert client.wire.producerState == "paused"
    held.callback(PASS)
    assert client.wire.producerState == "producing"


def test_the_order_of_commands_is_kept() -> None:
    stock = StockSession()
    assert reply_codes(stock.send(MAIL)) == [250]  # before EHLO
    assert reply_codes(stock.send("EHLO\r\n")) == [250]
    client = Rig().connect()
    assert client.codes(MAIL) == [503]
    assert client.codes("EHLO\r\n") == [501]
    assert client.codes("AUTH PLAIN\r\n") == [503]


def test_a_client_must_wait_for_the_greeting() -> None:
    held: Deferred[Verdict] = Deferred()
    client = Rig(filters=[Scripted({Phase.CONNECT: lambda transaction: held})]).connect()
    assert client.codes(HELLO) == [554]
    assert not client.open


def test_auth_is_neither_offered_nor_taken_in_clear() -> None:
    stock = StockSession(portal=StockPortal.make())
    assert "AUTH" in stock.send(HELLO)
    assert reply_codes(stock.send("AUTH PLAIN AHVzZXIAY29ycmVjdCBob3JzZQ==\r\n")) == [235]
    client = Rig(role=Role.SUBMISSION, tls=FakeTls()).connect()
    assert "AUTH" not in client.send(HELLO)
    assert client.codes("AUTH PLAIN AHVzZXIAY29ycmVjdCBob3JzZQ==\r\n") == [530]


def test_a_bare_line_feed_cannot_write_a_header_field() -> None:
    attack = "EHLO foo\nX-Injected: yes\r\n"
    stock = StockSession()
    stock.send(attack + MESSAGE)
    assert b"\nX-Injected" in stock.delivery.heloes[0][0]
    rig = Rig()
    client = rig.connect()
    assert client.codes(attack) == [500]
    assert client.codes(HELLO + MESSAGE)[-1] == 250
    assert b"X-Injected" not in rig.stored()[0]


def test_content_is_kept_to_the_octet() -> None:
    body = "no header here\r\n..dot\r\n.x"  # not a field: the stock class puts an empty line in front
    stock = StockSession()
    stock.send(HELLO + MAIL + RCPT + "DATA\r\nno header here\r\n\r\n.\r\n")
    assert stock.delivery.messages[0].startswith(b"\r\n") or stock.delivery.messages[0].startswith(b"\n")
    rig = Rig()
    client = rig.connect()
    client.send(HELLO + MAIL + RCPT + "DATA\r\n")
    assert client.codes(body.replace("\r\n.", "\r\n..") + "\r\n.\r\n") == [250]
    assert rig.stored()[0].endswith(b"+0000\r\n" + body.encode() + b"\r\n")


def test_a_received_field_is_written_without_a_delivery_object() -> None:
    stock = StockSession()
    stock.protocol.delivery = None
    with pytest.raises(TypeError):
        stock.protocol.receivedHeader((b"client.test", b"192.0.2.1"), "a", ["b"])
    rig = Rig()
    client = rig.connect()
    client.send(HELLO + MESSAGE)
    assert rig.stored()[0].startswith(
        b"Received: from client.test ([192.0.2.1])\r\n\tby gateway.test (relaygw) with ESMTP"
    )


@pytest.mark.parametrize(
    ("path", "stock_code", "code"),
    [
        ("<user@[127.0.0.1]>", 501, 250),
        ("<user@[IPv6:2001:db8::1]>", 501, 250),
        ("<a..b@x.test>", 250, 501),
        ("<a@>", 250, 501),
        ('<"a\\"b"@x.test>', 501, 250),
        ("a@b.test", 250, 501),
        ("<a@b@c>", 501, 501),
    ],
)
def test_addresses_are_read_as_the_rfc_says(path: str, stock_code: int, code: int) -> None:
    stock = StockSession()
    stock.send(HELLO)
    got = reply_codes(stock.send(f"MAIL FROM:{path}\r\n"))
    assert got in ([stock_code], [553 if stock_code == 501 else stock_code])
    client = Rig().connect()
    client.send(HELLO)
    assert client.codes(f"MAIL FROM:{path}\r\n") == [code]
