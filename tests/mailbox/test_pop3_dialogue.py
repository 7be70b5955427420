"""POP3 sessions from greeting to QUIT: answers in order, bounded memory, deletions at QUIT only, nothing in clear."""

import base64
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pop3_sessions import LOGIN, House, Session
from results import at_once
from twisted.internet.interfaces import ISSLTransport
from zope.interface import directlyProvides

from relaygw.bridge import as_deferred
from relaygw.core.events import Connected, Disconnected, LoggedIn, LoginRefused, MailboxOpened
from relaygw.mailbox.pop3 import MAX_UNREAD
from relaygw.mailbox.pop3_text import MAX_COMMAND, CommandLines, DotStuffer, TooLong, Top, listing

ONE, TWO = b"Subject: one\r\n\r\n.body\r\n", b"Subject: two\r\n\r\nlonger body\r\n"


def stored(house: House) -> list[bytes]:
    folder = house.folder / "mail" / "alice"
    return sorted(path.read_bytes() for place in ("new", "cur") for path in (folder / place).iterdir())


SCRIPT = (
    b"CAPA\r\nuser alice@example.com\r\nPass open sesame\r\nSTAT\r\nLIST\r\nLIST 2\r\nUIDL\r\nRETR 1\r\nTOP 2 0\r\n"
    b"DELE 1\r\nRETR 1\r\nDELE 1\r\nLIST\r\nRSET\r\nSTAT\r\nDELE 2\r\nBOGUS\r\n\r\nQUIT\r\nNOOP\r\n"
)
REPLIES = (
    b"+OK capabilities follow\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUSER\r\n"
    b"SASL PLAIN LOGIN\r\nIMPLEMENTATION relaygw\r\n.\r\n"
    b"+OK send PASS\r\n"
    b"+OK 2 messages (52 octets)\r\n"
    b"+OK 2 52\r\n"
    b"+OK 2 messages (52 octets)\r\n1 23\r\n2 29\r\n.\r\n"
    b"+OK 2 29\r\n"
    b"+OK unique ids follow\r\n1 1000000000.1\r\n2 1000000000.2\r\n.\r\n"
    b"+OK 23 octets\r\nSubject: one\r\n\r\n..body\r\n.\r\n"
    b"+OK top of message follows\r\nSubject: two\r\n\r\n.\r\n"
    b"+OK marked as deleted\r\n"
    b"-ERR message is deleted\r\n"
    b"-ERR message is deleted\r\n"
    b"+OK 1 messages (29 octets)\r\n2 29\r\n.\r\n"
    b"+OK nothing is marked as deleted\r\n"
    b"+OK 2 52\r\n"
    b"+OK marked as deleted\r\n"
    b"-ERR unknown command\r\n"
    b"-ERR unknown command\r\n"
    b"+OK bye\r\n"
)


@pytest.mark.parametrize("step", [len(SCRIPT), 1, 7])
def test_a_whole_session_in_one_write_or_byte_by_byte(tmp_path: Path, step: int) -> None:
    house = House(tmp_path, ONE, TWO)
    session = house.connect()
    assert session.greeting == b"+OK pop.example.com POP3 server ready\r\n"
    answer = b""
    for at in range(0, len(SCRIPT), step):
        if not session.wire.lost:
            answer += session.say(SCRIPT[at : at + step])
    assert answer == REPLIES
    assert session.wire.lost
    assert stored(house) == [ONE]


def test_nothing_is_deleted_without_quit(tmp_path: Path) -> None:
    house = House(tmp_path, ONE, TWO)
    session = house.connect()
    session.log_in()
    session.say(b"DELE 1\r\nDELE 2\r\n")
    session.wire.loseConnection()
    assert len(stored(house)) == 2


def test_unique_ids_are_the_same_in_every_session(tmp_path: Path) -> None:
    house = House(tmp_path, ONE, TWO)
    first = house.connect()
    first.log_in()
    first.say(b"DELE 1\r\nQUIT\r\n")
    second = house.connect()
    second.log_in()
    assert second.say(b"UIDL\r\n") == b"+OK unique ids follow\r\n1 1000000000.2\r\n.\r\n"


def test_two_sessions_of_one_account_exclude_each_other(tmp_path: Path) -> None:
    house = House(tmp_path, ONE)
    first, second = house.connect(), house.connect()
    first.log_in()
    assert b"-ERR [IN-USE]" in second.say(LOGIN)
    assert second.say(b"STAT\r\n") == b"-ERR log in first\r\n"
    first.say(b"QUIT\r\n")
    second.log_in()
    second.wire.loseConnection()
    house.connect().log_in()


def test_what_another_session_expunged_is_gone_and_no_failure(tmp_path: Path) -> None:
    house = House(tmp_path, ONE, TWO)
    session = house.connect()
    session.log_in()
    folder = at_once(at_once(house.store.account("alice")).open("INBOX"))
    at_once(folder.expunge([1]))
    assert session.say(b"RETR 1\r\n") == b"-ERR the message is gone\r\n"
    assert session.say(b"DELE 1\r\nDELE 2\r\nQUIT\r\n").endswith(b"+OK bye\r\n")
    assert stored(house) == []


# --- logging in ---


@pytest.mark.parametrize(
    ("auth", "secure", "allowed"),
    [("always", False, True), ("tls", False, False), (None, False, False), ("tls", True, True), ("never", True, False)],
)
def test_a_password_goes_only_where_the_listener_says(
    tmp_path: Path, auth: str | None, secure: bool, allowed: bool
) -> None:
    session = House(tmp_path, ONE, auth=auth).connect()
    if secure:
        directlyProvides(session.wire, ISSLTransport)
    capabilities = session.say(b"CAPA\r\n")
    assert (b"\r\nUSER\r\n" in capabilities, b"\r\nSASL " in capabilities) == (allowed, allowed)
    for command in (b"USER alice\r\n", b"PASS open sesame\r\n"):
        assert session.say(command).startswith(b"+OK" if allowed else b"-ERR")
    if not allowed:
        plain = base64.b64encode(b"\0alice\0open sesame")
        assert session.say(b"AUTH PLAIN " + plain + b"\r\n").startswith(b"-ERR")


def test_sasl_with_a_challenge_and_its_cancellation(tmp_path: Path) -> None:
    session = House(tmp_path, ONE).connect()
    assert session.say(b"AUTH\r\n") == b"+OK mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n"
    assert session.say(b"AUTH CRAM-MD5\r\n") == b"-ERR unknown mechanism\r\n"
    assert session.say(b"AUTH plain\r\n") == b"+ \r\n"
    assert session.say(b"*\r\n") == b"-ERR authentication cancelled\r\n"
    assert session.say(b"AUTH PLAIN\r\n") == b"+ \r\n"
    assert session.say(base64.b64encode(b"\0alice\0open sesame") + b"\r\n").startswith(b"+OK 1 messages")


def test_wrong_passwords_cost_time_and_then_the_connection(tmp_path: Path) -> None:
    house = House(tmp_path, ONE)
    session = house.connect()
    for attempt in range(3):
        assert session.say(b"USER alice\r\nPASS wrong %d\r\nNOOP\r\n" % attempt) == b"+OK send PASS\r\n"
        house.reactor.advance(2)
        answer = session.read()
        assert answer.startswith(b"-ERR [AUTH] ")
        assert session.wire.lost is (attempt == 2)
    refused = [event for event in house.events if isinstance(event, LoginRefused)]
    assert [event.login for event in refused] == ["alice"] * 3
    assert "wrong" not in "".join(event.login + event.mechanism for event in refused)


def test_the_journal_tells_the_session_and_no_password(tmp_path: Path) -> None:
    house = House(tmp_path, ONE)
    session = house.connect()
    session.log_in()
    session.say(b"QUIT\r\n")
    assert [type(event) for event in house.events] == [Connected, LoggedIn, MailboxOpened, Disconnected]
    assert len({event.session for event in house.events}) == 1
    assert isinstance(house.events[-1], Disconnected)
    assert (house.events[-1].cause, house.events[-1].commands) == ("quit", 3)
    assert "sesame" not in repr(house.events)


# --- STLS ---


class Tls:
    """Stands for ServerTls where no handshake is wanted."""

    context_factory = object()


def starts_tls(house: House) -> tuple[Session, list[object]]:
    house.factory._shared = attrs.evolve(house.factory._shared, tls=Tls())
    session = house.connect()
    started: list[object] = []

    def start(context: object) -> None:
        started.append(context)
        directlyProvides(session.wire, ISSLTransport)

    session.wire.startTLS = start  # type: ignore[attr-defined]  # a string transport has no TLS
    return session, started


def test_stls_is_offered_used_and_offered_no_more(tmp_path: Path) -> None:
    session, started = starts_tls(House(tmp_path, ONE, auth="tls"))
    assert b"\r\nSTLS\r\n" in session.say(b"CAPA\r\n")
    assert session.say(b"STLS now\r\n") == b"-ERR wrong number of arguments\r\n"
    assert session.say(b"STLS\r\n") == b"+OK begin TLS\r\n"
    assert started == [Tls.context_factory]
    capabilities = session.say(b"CAPA\r\n")
    assert b"STLS" not in capabilities
    assert b"\r\nUSER\r\n" in capabilities
    assert session.say(b"STLS\r\n") == b"-ERR TLS is active already\r\n"
    session.log_in()
    assert session.say(b"STLS\r\n") == b"-ERR already logged in\r\n"


def test_what_comes_in_clear_behind_stls_is_never_executed(tmp_path: Path) -> None:
    for tail in (LOGIN, b"U", b"\r\n"):
        session, started = starts_tls(House(tmp_path, ONE))
        assert session.say(b"STLS\r\n" + tail) == b"-ERR something came behind STLS\r\n"
        assert session.wire.lost
        assert started == []


def test_a_user_named_in_clear_is_forgotten_under_tls(tmp_path: Path) -> None:
    session, _ = starts_tls(House(tmp_path, ONE))
    session.say(b"USER alice\r\nSTLS\r\n")
    assert session.say(b"PASS open sesame\r\n") == b"-ERR USER must come first\r\n"


def test_without_a_certificate_there_is_no_stls(tmp_path: Path) -> None:
    session = House(tmp_path, ONE).connect()
    assert b"STLS" not in session.say(b"CAPA\r\n")
    assert session.say(b"STLS\r\n") == b"-ERR no TLS here\r\n"


# --- bounds ---


@pytest.mark.parametrize(("length", "answer"), [(MAX_COMMAND, b"-ERR unknown"), (MAX_COMMAND + 1, b"-ERR line too")])
def test_a_command_line_has_a_longest_length(tmp_path: Path, length: int, answer: bytes) -> None:
    session = House(tmp_path).connect()
    assert session.say(b"x" * (length - 2) + b"\r\n").startswith(answer)
    assert session.say(b"CAPA\r\n").startswith(b"+OK")


def test_a_line_without_end_is_answered_once_and_kept_never(tmp_path: Path) -> None:
    session = House(tmp_path).connect()
    answers = [session.say(b"x" * 10_000) for _ in range(20)]
    assert b"".join(answers) == b"-ERR line too long\r\n"
    assert len(session.protocol._lines) < 10_000
    assert session.say(b"\r\nCAPA\r\n").startswith(b"+OK")


def test_a_sasl_response_has_a_longest_length(tmp_path: Path) -> None:
    house = House(tmp_path)
    session = house.connect()
    session.say(b"AUTH PLAIN\r\n" + b"x" * 12288 + b"\r\n")
    house.reactor.advance(2)
    assert session.read() == b"-ERR malformed authentication response\r\n"
    session.say(b"AUTH PLAIN\r\n")
    assert session.say(b"x" * 12289 + b"\r\nCAPA\r\n").startswith(b"-ERR line too long\r\n+OK")


def test_a_peer_that_does_not_read_is_neither_served_nor_read(tmp_path: Path) -> None:
    house = House(tmp_path, ONE)
    session = house.connect()
    session.log_in()
    session.wire.producer.pauseProducing()
    assert session.say(b"NOOP\r\n" * 50_000) == b""
    assert session.wire.producerState == "paused", "what it sends is left in the network"
    house.reactor.advance(1799)
    assert not session.wire.lost
    session.wire.producer.resumeProducing()
    house.reactor.pump([0] * 600)
    assert session.read() == b"+OK\r\n" * 50_000
    assert session.wire.producerState == "producing"


def test_a_peer_that_never_reads_again_is_cut(tmp_path: Path) -> None:
    house = House(tmp_path, ONE)
    session = house.connect()
    session.log_in()
    session.wire.producer.pauseProducing()
    session.say(b"RETR 1\r\n")
    house.reactor.advance(1800)
    assert session.wire.lost


def test_many_pipelined_commands_leave_others_their_turn(tmp_path: Path) -> None:
    house = House(tmp_path, ONE)
    session = house.connect()
    session.log_in()
    assert MAX_UNREAD > 600
    answered = session.say(b"NOOP\r\n" * 300).count(b"+OK")
    assert answered < 300
    house.reactor.pump([0] * 10)
    assert answered + session.read().count(b"+OK") == 300


def test_a_large_message_is_sent_no_faster_than_it_is_read(tmp_path: Path) -> None:
    message = b"Subject: big\r\n\r\n" + b"." * 77 + b"\r\n"
    message += message[16:] * 20_000
    house = House(tmp_path, message)
    session = house.connect()
    session.log_in()

    sent = bytearray()
    write = session.wire.write

    def full_after_each_write(data: bytes) -> None:
        write(data)
        session.wire.producer.pauseProducing()

    session.wire.write = full_after_each_write  # type: ignore[method-assign]  # a small socket buffer
    sent += session.say(b"RETR 1\r\nNOOP\r\n")
    largest = len(sent)
    while not sent.endswith(b"+OK\r\n"):
        session.wire.producer.resumeProducing()
        piece = session.read()
        largest = max(largest, len(piece))
        sent += piece
    assert largest < 200_000
    status, _, rest = bytes(sent).partition(b"\r\n")
    assert status == b"+OK %d octets" % len(message)
    assert rest.removesuffix(b".\r\n+OK\r\n").replace(b"\r\n..", b"\r\n.") == message


def test_a_listing_of_many_messages_is_not_one_write() -> None:
    pieces = list(listing(b"%d 100\r\n" % number for number in range(10_000)))
    assert max(map(len, pieces)) < 17_000
    assert b"".join(pieces).count(b"\r\n") == 10_001
    assert list(listing(iter(()))) == [b".\r\n"]


# --- time ---


def test_idle_sessions_end_after_the_configured_time_without_a_word(tmp_path: Path) -> None:
    house = House(tmp_path, ONE)
    session = house.connect()
    session.log_in()
    session.say(b"DELE 1\r\n")
    house.reactor.advance(1799)
    assert session.say(b"NOOP\r\n") == b"+OK\r\n"
    house.reactor.advance(1799)
    assert not session.wire.lost
    house.reactor.advance(1)
    assert session.wire.lost
    assert session.read() == b""
    assert stored(house) == [ONE]
    assert [event.cause for event in house.events if isinstance(event, Disconnected)] == ["timeout"]


class SlowDisk:
    """Jobs of the store wait until `work`."""

    def __init__(self, house: House) -> None:
        self._jobs: list[tuple[Any, Any]] = []
        house.store._threads.pool.callInThreadWithCallback = self._later  # type: ignore[method-assign]  # it is slow now

    def _later(self, done: Any, function: Any, *arguments: Any) -> None:
        self._jobs.append((done, function))

    def work(self) -> None:
        while self._jobs:
            done, function = self._jobs.pop(0)
            done(True, function())


def test_nobody_is_cut_off_while_the_server_works(tmp_path: Path) -> None:
    house = House(tmp_path, ONE)
    session = house.connect()
    disk = SlowDisk(house)
    session.say(LOGIN)
    house.reactor.advance(86400)
    assert not session.wire.lost
    disk.work()
    assert session.read().endswith(b"+OK 1 messages (23 octets)\r\n")
    house.reactor.advance(1800)
    assert session.wire.lost, "the timer runs again"
    disk.work()


def test_a_connection_lost_while_a_login_works_leaves_no_lock_behind(tmp_path: Path) -> None:
    house = House(tmp_path, ONE)
    first, second = house.connect(), house.connect()
    disk = SlowDisk(house)
    first.say(LOGIN)
    first.wire.loseConnection()
    disk.work()
    second.say(LOGIN)
    disk.work()
    assert second.say(b"STAT\r\n").endswith(b"+OK 1 23\r\n")


def test_the_number_of_connections_is_bounded(tmp_path: Path) -> None:
    house = House(tmp_path, max_connections=3, max_connections_per_client=2)
    sessions = [house.connect() for _ in range(3)]
    assert [session.greeting[:4] for session in sessions] == [b"+OK ", b"+OK ", b"-ERR"]
    assert sessions[2].wire.lost
    sessions[0].wire.loseConnection()
    assert house.connect().greeting.startswith(b"+OK")


def test_a_stopping_service_ends_sessions_without_their_deletions(tmp_path: Path) -> None:
    house = House(tmp_path, ONE)
    session = house.connect()
    session.log_in()
    session.say(b"DELE 1\r\n")
    at_once(house.factory.stop())
    assert session.wire.lost
    assert stored(house) == [ONE]
    assert house.connect().greeting == b"-ERR [SYS/TEMP] the service is stopping\r\n"
    assert [event.cause for event in house.events if isinstance(event, Disconnected)] == ["shutdown", "refused"]


def test_a_stopping_service_waits_for_a_quit_that_removes(tmp_path: Path) -> None:
    house = House(tmp_path, ONE)
    session = house.connect()
    session.log_in()
    disk = SlowDisk(house)
    session.say(b"DELE 1\r\nQUIT\r\n")
    stopping = as_deferred(house.factory.stop())
    assert not stopping.called
    disk.work()
    assert stopping.called
    assert stored(house) == []


# --- text, whatever it is and wherever it is cut ---

pieces = st.lists(
    st.binary(max_size=5) | st.sampled_from([b"\r\n", b"\n", b".", b"\r", b"\r\n.", b"\r\n\r\n"]), max_size=20
)


@given(pieces)
def test_a_stuffed_message_is_read_back_as_it_was(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    stuffer = DotStuffer()
    sent = b"".join(map(stuffer.feed, parts)) + stuffer.finish()
    body, end, rest = (b"\r\n" + sent).partition(b"\r\n.\r\n")
    assert (end, rest) == (b"\r\n.\r\n", b""), "it ends where it ends, and nowhere before"
    read = (body + b"\r\n").replace(b"\r\n.", b"\r\n")[2:]
    assert read == whole or (not whole.endswith(b"\r\n") and read == whole + b"\r\n")


@given(pieces, st.integers(0, 4))
def test_the_top_does_not_depend_on_the_cuts(parts: list[bytes], lines: int) -> None:
    whole = b"".join(parts).replace(b"\r", b"").replace(b"\n", b"\r\n")
    top, cut = Top(lines), Top(lines)
    expected = top.feed(whole)
    assert whole.startswith(expected)
    found = b""
    for at in range(len(whole)):
        if not cut.done:
            found += cut.feed(whole[at : at + 1])
    assert found == expected
    _, blank, body = (b"\r\n" + whole).partition(b"\r\n\r\n")
    if blank:
        assert (
            expected
            == whole[: len(whole) - len(body)]
            + b"".join(line + b"\r\n" for line in body.split(b"\r\n")[:lines])[: len(body)]
        )


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.text("ab\r\n", max_size=60).map(str.encode), st.integers(1, 9))
def test_lines_do_not_depend_on_the_cuts(data: bytes, step: int) -> None:
    def lines(size: int) -> list[object]:
        reader, found = CommandLines(), []
        for at in range(0, len(data), size):
            reader.receive(data[at : at + size])
            while (line := reader.next(8)) is not None:
                found.append("long" if isinstance(line, TooLong) else line)
            assert len(reader) < 8
        return found

    whole = lines(len(data) or 1)
    assert lines(step) == whole
    assert all(line == "long" or len(line) < 8 for line in whole)  # type: ignore[arg-type]  # bytes otherwise
