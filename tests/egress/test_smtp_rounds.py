"""Commands leave at the end of the reactor's round, in their order, before content, and not from what is given up."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from relaygw.core.reply import Reply
from relaygw.egress.broken import Phase
from relaygw.egress.connection import SmtpConnection


class Bench:
    """A connection whose rounds end when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.connection = SmtpConnection(Clock(), self.waiting.append)  # type: ignore[arg-type]
        self.wire: Any = StringTransportWithDisconnection()
        self.wire.protocol = self.connection
        self.connection.makeConnection(self.wire)

    def ask(self, data: bytes) -> Deferred[list[Reply]]:
        return self.connection.ask(data, 1, 30.0, Phase.IDLE)

    def end_round(self) -> None:
        waiting, self.waiting[:] = list(self.waiting), []
        for action in waiting:
            action()

    @property
    def sent(self) -> bytes:
        sent: bytes = self.wire.value()
        return sent


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_command_leaves_at_the_end_of_the_round(bench: Bench) -> None:
    _ = bench.ask(b"MAIL FROM:<a@b.test>\r\n")
    assert bench.sent == b""
    bench.end_round()
    assert bench.sent == b"MAIL FROM:<a@b.test>\r\n"


def test_a_reply_to_what_has_been_sent_is_followed_by_the_next_in_order(bench: Bench) -> None:
    answer = bench.ask(b"NOOP one\r\n")
    _ = answer.addCallback(lambda _: bench.ask(b"NOOP two\r\n"))
    bench.end_round()
    bench.connection.dataReceived(b"250 Ok\r\n")
    bench.end_round()
    assert bench.sent == b"NOOP one\r\nNOOP two\r\n"


def test_content_never_overtakes_the_command_before_it(bench: Bench) -> None:
    _ = bench.ask(b"BDAT 3 LAST\r\n")
    _ = Deferred.fromCoroutine(bench.connection.write_piece(b"abc"))
    assert bench.sent == b"BDAT 3 LAST\r\nabc"
    bench.end_round()
    assert bench.sent == b"BDAT 3 LAST\r\nabc"


def test_what_was_not_sent_when_the_connection_was_given_up_is_not_sent_any_more(bench: Bench) -> None:
    _ = bench.ask(b"DATA\r\n").addErrback(lambda _: None)
    bench.connection.abort()
    bench.end_round()
    assert bench.sent == b""


def test_a_reply_that_comes_with_the_one_before_counts_for_nothing(bench: Bench) -> None:
    """A server that answers what it has not been asked yet must not be believed."""
    second: list[Deferred[list[Reply]]] = []
    _ = bench.ask(b"MAIL FROM:<a@b.test>\r\n").addCallback(
        lambda _: second.append(bench.ask(b"RCPT TO:<c@d.test>\r\n"))
    )
    bench.end_round()
    bench.connection.dataReceived(b"250 Ok\r\n250 Ok\r\n")
    assert bench.connection.failure is not None
    bench.end_round()
    assert b"RCPT" not in bench.sent


@pytest.mark.parametrize(("said", "code"), [(b"250 Ok\r\n", 451), (b"421 Bye\r\n", 421)])
def test_of_a_reply_to_what_has_not_been_sent_yet_a_refusal_is_believed_and_no_more(
    bench: Bench, said: bytes, code: int
) -> None:
    replies: list[list[Reply]] = []
    _ = bench.ask(b"DATA\r\n").addCallback(replies.append)
    bench.connection.dataReceived(said)
    assert replies == [[]]
    assert bench.connection.failure is not None
    assert bench.connection.failure.reply.code == code
    bench.end_round()
    assert bench.sent == b""
