"""Faults of the stock IMAP4 server: each check holds for ours and fails for the stock class, given the same bytes."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from effort import costs_less_than
from imap_harness import MESSAGE, World
from imap_stock import Stock
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

Talk = Callable[[bytes], bytes]

TWICE = (
    b"Received: one\r\nReceived: two\r\nX-CamelCase: x\r\nMessage-ID: <1@x>\r\nTo: a:;\r\nSubject: Hello\r\n"
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\nbody\r\n"
)
PARTS = (
    b'Subject: x\r\nContent-Type: multipart/mixed; boundary="A;B"\r\n\r\n--A;B\r\n\r\none\r\n'
    b"--A;B\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n"
    b"Subject: in\r\n\r\ntwo\r\n--A;B--\r\n"
)


def partial(talk: Talk) -> None:
    assert b"BODY[]<0> {20}\r\n" + TWICE[:20] in talk(b"a FETCH 1 BODY[]<0.20>\r\n")
    assert b"BODY[]<9> {5}\r\n" + TWICE[9:14] in talk(b"a FETCH 1 BODY.PEEK[]<9.5>\r\n")


def seen(talk: Talk) -> None:
    assert b"FLAGS (\\Seen" in talk(b"a FETCH 1 BODY[]\r\nb FETCH 1 FLAGS\r\n")


def no_such_part(talk: Talk) -> None:
    assert b"BODY[2] NIL" in talk(b"a FETCH 1 BODY.PEEK[2]\r\n")


def header_as_it_is(talk: Talk) -> None:
    assert TWICE.partition(b"body")[0] in talk(b"a FETCH 1 BODY.PEEK[HEADER]\r\n")


def body_as_it_is(talk: Talk) -> None:
    assert b"{%d}\r\n" % len(TWICE) + TWICE in talk(b"a FETCH 1 BODY.PEEK[]\r\n")


def boundary_as_it_is(talk: Talk) -> None:
    assert b'"A;B"' in talk(b"a FETCH 2 BODYSTRUCTURE\r\n")


def type_by_default(talk: Talk) -> None:
    assert b'("text" "plain" ("charset" "us-ascii") nil nil "7bit" 6 1' in talk(b"a FETCH 1 BODYSTRUCTURE\r\n").lower()


def message_part_in_order(talk: Talk) -> None:
    answer = talk(b"a FETCH 2 BODYSTRUCTURE\r\n").lower()
    assert b'"message" "rfc822" nil nil nil "7bit" 18 (nil "in" nil' in answer


def empty_group(talk: Talk) -> None:
    assert b'((NIL NIL "a" NIL)(NIL NIL NIL NIL))' in talk(b"a FETCH 1 ENVELOPE\r\n")


def search_subject(talk: Talk) -> None:
    assert b"* SEARCH 1\r\n" in talk(b"a SEARCH SUBJECT hello\r\n")


def search_sent(talk: Talk) -> None:
    assert b"* SEARCH 1\r\n" in talk(b"a SEARCH SENTON 1-Jan-2024\r\n")


def search_keyword(talk: Talk) -> None:
    talk(b"a STORE 1 +FLAGS (k)\r\n")
    assert b"* SEARCH 1\r\n" in talk(b"a SEARCH KEYWORD k\r\n")


def search_text_in_headers(talk: Talk) -> None:
    assert b"* SEARCH 1\r\n" in talk(b"a SEARCH TEXT camelcase\r\n")


def search_charset(talk: Talk) -> None:
    assert b"a NO [BADCHARSET" in talk(b"a SEARCH CHARSET X-NONE ALL\r\n")


def search_literal(talk: Talk) -> None:
    assert b"+ " in talk(b"a SEARCH SUBJECT {5}\r\n")
    assert b"* SEARCH 1\r\n" in talk(b"hello\r\n")


def search_finds_nothing(talk: Talk) -> None:
    assert b"* SEARCH\r\n" in talk(b"a SEARCH DRAFT\r\n")


def append_without_flags(talk: Talk) -> None:
    assert b"+ " in talk(b"a APPEND INBOX {3}\r\n")
    assert b"a OK" in talk(b"abc\r\n")


def append_try_create(talk: Talk) -> None:
    assert b"a NO [TRYCREATE]" in talk(b"a APPEND nowhere () {3}\r\n") + talk(b"abc\r\n")


def append_is_bounded(talk: Talk) -> None:
    assert b"a NO [TOOBIG]" in talk(b"a APPEND INBOX () {1000000000000}\r\n")


def status_of_a_name_with_a_space(talk: Talk) -> None:
    talk(b'a CREATE "OTHER BOX"\r\n')
    assert b'* STATUS "OTHER BOX" (MESSAGES 0)' in talk(b'a STATUS "OTHER BOX" (MESSAGES)\r\n')


def status_unknown(talk: Talk) -> None:
    assert b"a BAD" in talk(b"a STATUS INBOX (FROB)\r\n")


def select_says_all(talk: Talk) -> None:
    answer = talk(b"a SELECT INBOX\r\n")
    assert all(code in answer for code in (b"[PERMANENTFLAGS ", b"[UIDNEXT 3]", b"[UIDVALIDITY ", b"[UNSEEN 1]"))


def delimiter(talk: Talk) -> None:
    assert talk(b'a LIST "" ""\r\n').startswith(b'* LIST (\\Noselect) "/" ""\r\n')


def list_is_anchored(talk: Talk) -> None:
    talk(b"a CREATE other\r\n")
    talk(b"a CREATE otherwise\r\n")
    assert b"otherwise" not in talk(b'a LIST "" other\r\n').lower()


def quoted_quote(talk: Talk) -> None:
    assert b"a OK" in talk(b'a CREATE "a\\"b"\r\n')


def literals_in_lists(talk: Talk) -> None:
    assert b"+ " in talk(b"a FETCH 1 (BODY.PEEK[HEADER.FIELDS ({10}\r\n")
    assert b"Message-ID: <1@x>" in talk(b"message-id)])\r\n")


def rename_is_answered_no(talk: Talk) -> None:
    assert b"a NO" in talk(b"a COPY 1 nowhere\r\n")


def long_sequence_set(talk: Talk) -> None:
    numbers = b",".join([b"1"] * 20_000)
    assert b"a OK" in talk(b"a FETCH " + numbers + b" UID\r\n")


def idle_ends_with_done(talk: Talk) -> None:
    assert b"+ " in talk(b"a IDLE\r\n")
    assert b"a OK" not in talk(b"b LOGOUT\r\n")


CHECKS = [
    partial, seen, no_such_part, header_as_it_is, body_as_it_is, boundary_as_it_is, type_by_default,
    message_part_in_order, empty_group, search_subject, search_sent, search_keyword, search_text_in_headers,
    search_charset, search_literal, search_finds_nothing, append_without_flags, append_try_create, append_is_bounded,
    status_of_a_name_with_a_space, status_unknown, select_says_all, delimiter, list_is_anchored, quoted_quote,
    literals_in_lists, rename_is_answered_no, long_sequence_set, idle_ends_with_done,
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_ours_does_it_right(check: Callable[[Talk], None], tmp_path: Path) -> None:
    world = World(tmp_path)
    world.deliver(TWICE, PARTS)
    check(world.select().say)


class StockTests(SynchronousTestCase):
    """A fault that Twisted has mended is no reason any more for code of ours: then its check here fails."""

    def test_the_stock_class_does_not(self) -> None:
        mended = []
        for check in CHECKS:
            stock = Stock(TWICE, PARTS).select()
            with contextlib.suppress(AssertionError):
                check(stock.say)
                mended.append(check.__name__)
            self.flushLoggedErrors()
        assert mended == []

    def test_stock_runs_what_was_sent_behind_starttls(self) -> None:
        stock = Stock(MESSAGE, context=object())
        answer = stock.say(b"a STARTTLS\r\nb LOGIN alice secret\r\n")
        assert stock.wire.secured
        assert b"b OK" in answer

    def test_stock_lets_authenticate_in_where_login_is_disabled(self) -> None:
        stock = Stock(MESSAGE, context=object())
        stock.server.challengers = {b"LOGIN": lambda: None}
        assert b"LOGINDISABLED" in stock.say(b"a CAPABILITY\r\n")
        stock.server.authenticate = lambda challenge, tag: stock.server.sendPositiveResponse(tag, b"begun")
        assert b"b OK begun" in stock.say(b"b AUTHENTICATE LOGIN\r\n")

    def test_stock_answers_out_of_order(self) -> None:
        stock = Stock(MESSAGE)
        stock.realm.hold = Deferred()
        assert b"b BAD" in stock.say(b"a LOGIN alice secret\r\nb SELECT INBOX\r\n")
        stock.realm.hold.callback(None)
        assert b"a OK" in stock.wire.value()

    def test_stock_keeps_listeners_of_lost_connections(self) -> None:
        from twisted.python.failure import Failure

        stock = Stock(MESSAGE).select()
        stock.server.connectionLost(Failure(ConnectionError()))
        assert stock.account.inbox.listeners == [stock.server]

    def test_stock_counts_no_failed_logins(self) -> None:
        stock = Stock(MESSAGE)
        for _ in range(50):
            assert b"a NO" in stock.say(b"a LOGIN alice wrong\r\n")
        assert not stock.wire.disconnecting
        self.flushLoggedErrors()


def test_list_patterns_take_little_time(tmp_path: Path) -> None:
    """The stock matcher needs a minute for this one."""
    world = World(tmp_path)
    client = world.login()
    client.say(b"a CREATE " + b"a" * 200 + b"\r\n")

    def listed() -> None:
        assert client.say(b'a LIST "" "' + b"*a" * 8 + b'b"\r\n').startswith(b"a OK")
        assert client.say(b'a LIST "" "' + b"*a" * 400 + b'"\r\n').startswith(b"a OK")

    costs_less_than(1.0, listed)


def test_commands_sent_ahead_are_not_gathered(tmp_path: Path) -> None:
    """Commands sent ahead while one is answered wait in the kernel, not here (the stock class queues any number)."""
    world = World(tmp_path)
    world.deliver(MESSAGE)
    client = world.select()
    client.server._output.pauseProducing()
    client.server.dataReceived(b"a NOOP\r\n" * 20_000)
    assert client.wire.producerState == "paused"
    assert client.read() == b""
    client.server._output.resumeProducing()
    world.settle()
    assert client.wire.producerState == "producing"
    assert client.read().count(b"a OK") == 20_000
