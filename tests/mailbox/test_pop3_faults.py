"""Each known fault of Twisted's POP3 class: the dialogue is right with ours, and goes wrong with the stock class.

Each runs twice. With the stock class it must fail (strict xfail): the day it passes, the fault was repaired there.
"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pop3_sessions import LOGIN, House, Session, StockHouse
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred

from relaygw.realm import AccountRealm

Open = Callable[..., Session]


@pytest.fixture(params=["ours", pytest.param("stock", marks=pytest.mark.xfail(strict=True, reason="a stock fault"))])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a session over the messages given."""

    def ours(*messages: bytes, **options: Any) -> Session:
        return House(tmp_path, *messages).connect()

    def stock(*messages: bytes, **options: Any) -> Session:
        return StockHouse(*messages, **options).connect()

    return ours if request.param == "ours" else stock


ONE, TWO = b"Subject: one\r\n\r\nbody\r\n", b"Subject: two\r\n\r\nlonger body\r\n"


def retrieved(answer: bytes) -> bytes:
    """The message in a multi-line reply, read as a client reads it."""
    status, _, rest = answer.partition(b"\r\n")
    assert status.startswith(b"+OK")
    assert rest.endswith(b"\r\n.\r\n") or rest == b".\r\n"
    lines = rest.removesuffix(b".\r\n").split(b"\r\n")
    assert b"." not in lines, "the reply would end here"
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)


def test_the_stock_class_can_be_talked_to_here() -> None:
    """What fails below fails for its own reasons."""
    session = StockHouse(ONE, TWO).connect()
    session.log_in()
    assert session.say(b"LIST\r\n").endswith(b"\r\n.\r\n")
    assert retrieved(session.say(b"RETR 1\r\n")) == ONE
    assert session.say(b"DELE 1\r\n").startswith(b"+OK")
    assert session.say(b"QUIT\r\n").startswith(b"+OK")


def test_uidl_of_one_message_names_its_number(connect: Open) -> None:
    session = connect(ONE)
    session.log_in()
    assert session.say(b"UIDL 1\r\n").split()[:2] == [b"+OK", b"1"]


@pytest.mark.parametrize("command", [b"LIST", b"UIDL", b"STAT"])
def test_deleted_messages_are_listed_and_counted_no_more(connect: Open, command: bytes) -> None:
    session = connect(ONE, TWO)
    session.log_in()
    session.say(b"DELE 1\r\n")
    answer = session.say(command + b"\r\n")
    if command == b"STAT":
        assert answer == b"+OK 1 %d\r\n" % len(TWO)
    else:
        assert [line.split()[0] for line in answer.split(b"\r\n")[1:-2]] == [b"2"]


def test_there_is_no_message_zero(connect: Open) -> None:
    session = connect(ONE, TWO)
    session.log_in()
    assert session.say(b"DELE 0\r\n").startswith(b"-ERR")


def test_an_empty_message_is_a_message(connect: Open) -> None:
    session = connect(b"")
    session.log_in()
    assert retrieved(session.say(b"RETR 1\r\n")) in (b"", b"\r\n")


def test_nobody_logs_in_twice(connect: Open) -> None:
    session = connect(ONE)
    session.log_in()
    assert session.say(LOGIN).count(b"-ERR") == 2


@pytest.mark.parametrize("offset", [0, 16384, 65536])
def test_a_lone_dot_is_stuffed_wherever_a_file_is_cut(connect: Open, offset: int) -> None:
    lines = b"0123456789abcde\n" * (offset // 16)
    message = lines.replace(b"\n", b"\r\n") + b".\r\nDELE 1\r\n"
    session = connect(message)
    session.log_in()
    assert retrieved(session.say(b"RETR 1\r\n")) == message


def test_crlf_on_disk_is_crlf_on_the_wire(connect: Open) -> None:
    session = connect(ONE, lf=False)
    session.log_in()
    assert retrieved(session.say(b"RETR 1\r\n")) == ONE


def test_top_ends_with_a_header_that_lies_across_a_read(connect: Open) -> None:
    header = b"X-Long: " + b"x" * (16384 - 9) + b"\n"
    message = header.replace(b"\n", b"\r\n") + b"\r\nfirst\r\nsecond\r\n"
    session = connect(message)
    session.log_in()
    assert retrieved(session.say(b"TOP 1 1\r\n")) == message.removesuffix(b"second\r\n")


def test_top_gives_a_long_line_whole(connect: Open) -> None:
    message = b"Subject: x\r\n\r\n" + b"y" * 40_000 + b"\r\nsecond\r\n"
    session = connect(message)
    session.log_in()
    assert retrieved(session.say(b"TOP 1 1\r\n")) == message.removesuffix(b"second\r\n")


def test_top_gives_a_last_line_without_its_end(connect: Open) -> None:
    session = connect(b"Subject: x\r\n\r\nfirst\r\nlast")
    session.log_in()
    assert retrieved(session.say(b"TOP 1 10\r\n")) == b"Subject: x\r\n\r\nfirst\r\nlast\r\n"


@pytest.mark.parametrize(
    "command",
    [
        b"RETR",
        b"LIST 1 2",
        b"NOOP x",
        b"AUTH PLAIN =",
        b"DELE x",
        b"DELE 99",
        b"\xff\xfe",
        b"TOP 1",
    ],
)
def test_a_bad_command_is_refused_and_the_session_goes_on(connect: Open, command: bytes) -> None:
    session = connect(ONE)
    session.log_in()
    assert session.say(command + b"\r\n").startswith(b"-ERR")
    assert session.say(b"NOOP\r\n").startswith(b"+OK")


def test_spaces_between_words_do_no_harm(connect: Open) -> None:
    session = connect(ONE)
    session.log_in()
    assert session.say(b"LIST  1 \r\n") == b"+OK 1 %d\r\n" % len(ONE)


def test_an_unknown_command_does_not_swallow_what_is_pipelined_behind_it(connect: Open) -> None:
    session = connect(ONE)
    session.log_in()
    answer = session.say(b"RETR 1\r\nBOGUS\r\nNOOP\r\n")
    assert answer.endswith(b"\r\n.\r\n-ERR unknown command\r\n+OK\r\n")


def test_an_empty_mailbox_is_open_all_the_same(connect: Open) -> None:
    session = connect()
    session.log_in()
    assert session.say(b"STAT\r\n") == b"+OK 0 0\r\n"


def test_capabilities_are_those_of_the_registry(connect: Open) -> None:
    lines = connect().say(b"CAPA\r\n").split(b"\r\n")
    known = {b"TOP", b"UIDL", b"USER", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE", b"STLS", b"SASL", b"EXPIRE"}
    assert {b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE", b"SASL"} <= {line.split(b" ")[0] for line in lines[1:-2]}
    assert {line.split(b" ")[0] for line in lines[1:-2]} <= known | {b"IMPLEMENTATION"}


def test_sasl_plain_logs_in(connect: Open) -> None:
    response = base64.b64encode(b"\0alice\0open sesame")
    assert connect(ONE).say(b"AUTH PLAIN " + response + b"\r\n").startswith(b"+OK")


class Later(Portal):
    """A portal whose answer waits."""

    def __init__(self, realm: Any, checkers: Any, gate: Deferred[None]) -> None:
        super().__init__(realm, checkers)
        self._gate = gate

    def login(self, *arguments: Any) -> Any:
        answer = super().login(*arguments)
        return self._gate.addCallback(lambda _: answer)


@pytest.mark.parametrize(
    "kind", ["ours", pytest.param("stock", marks=pytest.mark.xfail(strict=True, reason="a stock fault"))]
)
def test_commands_behind_a_login_that_takes_time_wait_for_it(kind: str, tmp_path: Path) -> None:
    gate: Deferred[None] = Deferred()
    if kind == "ours":
        directory = House(tmp_path).directory
        session = House(tmp_path, ONE, portal=Later(AccountRealm(directory), directory.checkers, gate)).connect()
    else:
        session = StockHouse(ONE, later=gate).connect()
    assert session.say(LOGIN + b"STAT\r\n").count(b"\r\n") == 1
    gate.callback(None)
    assert session.read().endswith(b"+OK 1 %d\r\n" % len(ONE))


@pytest.mark.parametrize(
    "kind", ["ours", pytest.param("stock", marks=pytest.mark.xfail(strict=True, reason="a stock fault"))]
)
@pytest.mark.parametrize("command", [b"RETR 1\r\n", b"DELE 1\r\nQUIT\r\n"])
def test_a_disk_that_fails_is_told(kind: str, command: bytes, tmp_path: Path) -> None:
    if kind == "ours":
        house = House(tmp_path, ONE)
        session = house.connect()
        session.log_in()
        _break_disk(tmp_path)
    else:
        session = StockHouse(ONE, broken=True).connect()
        session.log_in()
    last = session.say(command).split(b"\r\n")[-2]
    assert last.startswith(b"-ERR [SYS/TEMP]")


def _break_disk(folder: Path) -> None:
    """A directory in the file's place: it can be neither read nor unlinked, not even by root."""
    (file,) = (folder / "mail" / "alice" / "new").iterdir()
    file.unlink()
    file.mkdir()
