"""What sessions see of each other, and every way a session ends: nothing of it is left."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from effort import costs_less_than
from imap_harness import MESSAGE, World
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred

from relaygw.config.schema import ListenerConfig
from relaygw.core.events import Disconnected, LoginRefused, MailboxOpened
from relaygw.mailbox.imap import patience
from relaygw.mailbox.imap.server import MAX_ERRORS
from relaygw.mailbox.values import StoreError

STARTTLS = ListenerConfig(name="imap", endpoint="", protocol="imap")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.deliver(MESSAGE, MESSAGE, MESSAGE)
    return made


# --- news between sessions ---


def test_a_delivery_is_told_with_the_next_command(world: World) -> None:
    client = world.select()
    world.deliver(MESSAGE)
    assert client.read() == b""
    assert client.ask(b"a NOOP") == [b"* 4 EXISTS", b"* 4 RECENT", b"a OK Done"]
    assert client.ask(b"a NOOP") == [b"a OK Done"]


def test_recent_belongs_to_the_first_session_that_looks(world: World) -> None:
    """And EXAMINE claims nothing (RFC 3501 2.3.2, 6.3.2)."""
    looker = world.login()
    assert b"* 3 RECENT" in looker.ask(b"a EXAMINE INBOX")
    first, second = world.login(), world.login()
    assert b"* 3 RECENT" in first.ask(b"a SELECT INBOX")
    assert b"* 0 RECENT" in second.ask(b"a SELECT INBOX")
    assert b"* 3 FETCH (FLAGS (\\Recent))" in first.ask(b"a FETCH 3 FLAGS")
    assert b"* 3 FETCH (FLAGS ())" in second.ask(b"a FETCH 3 FLAGS")
    assert second.ask(b"a SEARCH RECENT")[0] == b"* SEARCH"


def test_flags_changed_by_another_session_are_told(world: World) -> None:
    one, two = world.select(), world.select()
    one.ask(b"a STORE 2 +FLAGS.SILENT (\\Flagged Blue)")
    assert two.ask(b"a NOOP") == [
        b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded Blue)",
        b"* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded Blue \\*)] New keywords",
        b"* 2 FETCH (UID 2 FLAGS (\\Flagged Blue))",
        b"a OK Done",
    ]
    assert one.ask(b"a NOOP") == [b"a OK Done"]


def test_expunges_wait_while_a_client_counts(world: World) -> None:
    """Not during FETCH, STORE and SEARCH by number (RFC 3501 7.4.1): numbers mean what they meant."""
    one, two = world.select(), world.select()
    one.ask(b"a STORE 1 +FLAGS.SILENT (\\Deleted)", b"a EXPUNGE")
    assert two.ask(b"a FETCH 2 UID") == [b"* 2 FETCH (UID 2)", b"a OK Fetched"]
    assert two.ask(b"a FETCH 1:3 UID") == [
        b"* 2 FETCH (UID 2)",
        b"* 3 FETCH (UID 3)",
        b"a NO [EXPUNGEISSUED] Some of the messages are gone",
    ]
    assert two.ask(b"a SEARCH ALL") == [b"* SEARCH 2 3", b"a OK Searched"]
    assert two.ask(b"a STORE 3 +FLAGS (\\Seen)") == [b"* 3 FETCH (FLAGS (\\Seen))", b"a OK Flags stored"]
    assert two.ask(b"a UID FETCH 2 UID") == [b"* 2 FETCH (UID 2)", b"* 1 EXPUNGE", b"a OK Fetched"]
    assert two.ask(b"a FETCH 1 UID") == [b"* 1 FETCH (UID 2)", b"a OK Fetched"]
    assert two.ask(b"a FETCH 3 UID") == [b"a BAD message number 3 does not exist"]


def test_expunges_are_told_from_the_last_to_the_first(world: World) -> None:
    client = world.select()
    assert client.ask(b"a STORE 1,3 +FLAGS.SILENT (\\Deleted)", b"a EXPUNGE") == [
        b"a OK Flags stored",
        b"* 3 EXPUNGE",
        b"* 1 EXPUNGE",
        b"a OK Expunged",
    ]
    world.deliver(MESSAGE)
    assert client.ask(b"a NOOP")[0] == b"* 2 EXISTS"
    assert client.ask(b"a UID SEARCH ALL")[0] == b"* SEARCH 2 4"


def test_what_came_and_went_untold_never_existed(world: World) -> None:
    one, two = world.select(), world.select()
    world.deliver(MESSAGE)
    one.ask(b"a STORE 4 +FLAGS (\\Deleted)", b"a NOOP")
    one.ask(b"a STORE 4 +FLAGS (\\Deleted)", b"a EXPUNGE")
    assert two.ask(b"a NOOP") == [b"* 3 EXISTS", b"* 0 RECENT", b"a OK Done"]


def test_idle_tells_as_it_comes_and_ends_with_done_only(world: World) -> None:
    one, two = world.select(), world.select()
    assert one.ask(b"i IDLE") == [b"+ idling"]
    world.deliver(MESSAGE)
    assert one.read() == b"* 4 EXISTS\r\n* 4 RECENT\r\n"
    two.ask(b"a STORE 1 +FLAGS (\\Deleted)", b"a EXPUNGE")
    assert b"* 1 EXPUNGE\r\n" in one.read()
    assert one.ask(b"done") == [b"i OK No more idling"]
    assert one.ask(b"i IDLE", b"a NOOP") == [b"+ idling", b"i BAD DONE expected"]
    assert one.ask(b"a NOOP") == [b"a OK Done"]


def test_idle_looks_at_what_other_programs_did(world: World, tmp_path: Path) -> None:
    client = world.select()
    client.ask(b"i IDLE")
    (tmp_path / "alice" / "new" / "1700000000.x.y").write_bytes(MESSAGE)
    world.reactor.advance(31)
    world.settle()
    assert client.read() == b"* 4 EXISTS\r\n* 4 RECENT\r\n"


def test_a_mailbox_deleted_by_another_session_is_empty_then(world: World) -> None:
    one, two = world.login(), world.login()
    world.deliver(MESSAGE, folder="x")
    one.ask(b"a SELECT x")
    two.ask(b"a DELETE x")
    assert one.ask(b"a NOOP")[-1].startswith(b"a NO [NONEXISTENT]")
    assert one.ask(b"a FETCH 1 UID")[-1].startswith((b"a NO", b"a BAD"))
    assert one.ask(b"a SELECT INBOX")[-1].startswith(b"a OK")


def test_a_failed_select_leaves_nothing_selected(world: World) -> None:
    client = world.select()
    assert client.ask(b"a SELECT nowhere") == [b"a NO [NONEXISTENT] There is no such mailbox"]
    assert client.ask(b"a FETCH 1 UID") == [b"a BAD FETCH is not for this state"]


def test_close_expunges_silently_and_unselect_does_not(world: World) -> None:
    client = world.select()
    client.ask(b"a STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert client.ask(b"a UNSELECT") == [b"a OK Closed"]
    assert b"* 3 EXISTS" in client.ask(b"a SELECT INBOX")
    assert client.ask(b"a CLOSE") == [b"a OK Closed"]
    assert b"* 2 EXISTS" in client.ask(b"a EXAMINE INBOX")
    for command in (b"STORE 1 FLAGS ()", b"EXPUNGE", b"MOVE 1 x"):
        assert client.ask(b"a " + command) == [b"a NO [READ-ONLY] The mailbox was opened to be looked at"]
    client.ask(b"a FETCH 1 BODY[]")
    assert client.ask(b"a SEARCH SEEN")[0] == b"* SEARCH"


# --- the connection's ends ---


def observers(world: World) -> int:
    account = world.store._accounts.get("alice")
    return sum(len(folder._observers) for folder in account._folders.values()) if account else 0


@pytest.mark.parametrize("end", ["lost", "logout", "timeout", "shutdown", "garbage", "idle lost", "unselected"])
def test_nothing_is_left_of_a_session(world: World, end: str) -> None:
    """Observers, folders, the account and timers, whatever way it ended."""
    client = world.select()
    assert observers(world) == 1
    if end == "logout":
        assert b"* BYE" in client.say(b"a LOGOUT\r\n")
    elif end == "timeout":
        world.reactor.advance(30 * 60)
        assert b"* BYE" in client.read()
    elif end == "shutdown":
        client.server.shut_down()
        assert b"* BYE" in client.read()
    elif end == "garbage":
        client.say(b"\xff\xff\r\n" * 100)
    elif end == "idle lost":
        client.say(b"a IDLE\r\n")
    elif end == "unselected":
        client.say(b"a UNSELECT\r\n")
    if end not in ("lost", "idle lost", "unselected"):
        assert client.wire.disconnecting
    client.lose()
    assert observers(world) == 0
    assert not world.store._accounts
    assert world.factory.connections == 0
    assert world.reactor.getDelayedCalls() == []
    assert sum(isinstance(event, Disconnected) for event in world.events) == 1


def test_a_connection_lost_in_the_middle_of_an_answer_leaves_nothing(world: World) -> None:
    client = world.select()
    client.server._output.pauseProducing()
    client.say(b"a FETCH 1:3 BODY[]\r\n")
    client.lose()
    assert observers(world) == 0
    assert world.reactor.getDelayedCalls() == []
    assert world.factory.connections == 0


def test_stop_takes_leave_of_everybody(world: World) -> None:
    clients = [world.select(), world.login(), world.connect()]
    stopping = Deferred.fromCoroutine(world.factory.stop())
    for client in clients:
        assert b"* BYE The server is going down" in client.read()
        client.lose()
    assert stopping.called
    late = world.connect()
    assert late.read().startswith(b"* BYE")


# --- time ---


def test_before_login_time_is_short_and_octets_do_not_stretch_it(world: World) -> None:
    client = world.connect()
    for _ in range(int(patience.LOGIN_COMMAND) - 1):
        client.say(b"a")
        world.reactor.advance(1)
    assert not client.wire.disconnecting
    world.reactor.advance(1)
    assert client.wire.disconnecting
    assert b"* BYE" in client.read()


def test_before_login_commands_do_not_stretch_the_whole(world: World) -> None:
    client = world.connect()
    for _ in range(int(patience.LOGIN_ALL // 50)):
        client.say(b"a NOOP\r\n")
        world.reactor.advance(50)
    assert client.wire.disconnecting


def test_after_login_any_octet_is_a_sign_of_life(world: World) -> None:
    client = world.login()
    for _ in range(5):
        world.reactor.advance(29 * 60)
        client.say(b"a")
    assert not client.wire.disconnecting
    world.reactor.advance(30 * 60)
    assert client.wire.disconnecting


def test_looking_about_does_not_keep_an_idle_session_alive(world: World) -> None:
    client = world.select()
    client.say(b"a IDLE\r\n")
    for _ in range(60):
        world.reactor.advance(30)
        world.settle()
    assert client.wire.disconnecting


def test_no_timer_runs_while_we_work(tmp_path: Path) -> None:
    """A login that takes an hour is not the client's fault."""
    waiting: Deferred[Any] = Deferred()
    world = World(tmp_path, portal=SimpleNamespace(login=lambda *args: waiting))
    client = world.connect()
    client.read()
    client.say(b"a LOGIN alice secret\r\n")
    world.reactor.advance(patience.LOGIN_COMMAND * 3)
    assert not client.wire.disconnecting
    waiting.errback(UnauthorizedLogin())
    world.settle()
    assert client.read() == b"a NO [AUTHENTICATIONFAILED] Name or password is wrong\r\n"


def test_a_client_that_does_not_read_is_cut_off(world: World) -> None:
    client = world.select()
    client.server._output.pauseProducing()
    client.say(b"a FETCH 1:3 BODY[]\r\nb NOOP\r\n")
    world.reactor.advance(patience.STALLED)
    assert client.wire.aborted


def test_a_closed_connection_does_not_linger(world: World) -> None:
    client = world.login()
    client.say(b"a LOGOUT\r\n")
    assert not client.wire.aborted
    world.reactor.advance(patience.CLOSING)
    assert client.wire.aborted


# --- order and back-pressure ---


def test_answers_are_in_order_whatever_takes_time(tmp_path: Path) -> None:
    """LOGIN waits for the portal; what was pipelined behind it waits with it."""
    account = World(tmp_path / "a")
    waiting: Deferred[Any] = Deferred()
    real = account.factory._settings.authenticator.portal

    async def login(*args: Any) -> Any:
        await waiting
        return await real.login(*args)

    world = World(tmp_path, portal=SimpleNamespace(login=lambda *args: Deferred.fromCoroutine(login(*args))))
    client = world.connect()
    client.read()
    said = b"a LOGIN alice secret\r\nb SELECT INBOX\r\nc APPEND INBOX {3+}\r\nabc\r\nd FETCH 1 BODY[]\r\ne LOGOUT\r\n"
    assert client.say(said) == b""
    waiting.callback(None)
    world.settle()
    answer = client.read()
    tags = [
        line.partition(b" ")[0] for line in answer.split(b"\r\n") if line[:2] in (b"a ", b"b ", b"c ", b"d ", b"e ")
    ]
    assert tags == [b"a", b"b", b"c", b"d", b"e"]
    assert b"BODY[] {3}\r\nabc" in answer


def test_a_slow_reader_is_answered_as_it_reads(world: World) -> None:
    """Nothing is made ahead of what the client takes."""
    world.deliver(*[b"Subject: x\r\n\r\n" + b"y" * 50_000] * 40)
    client = world.select()
    client.server._output.pauseProducing()
    client.server.dataReceived(b"a FETCH 1:* BODY.PEEK[]\r\n")
    world.settle()
    assert len(client.read()) < 200_000
    for _ in range(100):
        client.server._output.resumeProducing()
        client.server._output.pauseProducing()
        world.settle()
    client.server._output.resumeProducing()
    world.settle()
    assert client.read().endswith(b"a OK Fetched\r\n")


def test_a_large_message_is_streamed(world: World) -> None:
    data = b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 100_000
    world.deliver(data)
    client = world.select()
    assert client.say(b"a FETCH 4 BODY[]\r\n").startswith(b"* 4 FETCH (BODY[] {%d}\r\n%b FLAGS" % (len(data), data))
    part = client.say(b"a FETCH 4 BODY.PEEK[1]<500000.300000>\r\n")
    assert b"BODY[1]<500000> {300000}\r\n" + data[18:][500000:800000] + b")\r\n" in part


# --- login ---


def test_logins_are_counted(world: World) -> None:
    client = world.connect()
    client.read()
    assert client.ask(b"a LOGIN alice wrong", b"b AUTHENTICATE PLAIN AGEAYg==") == [
        b"a NO [AUTHENTICATIONFAILED] Name or password is wrong",
        b"b NO [AUTHENTICATIONFAILED] Name or password is wrong",
    ]
    assert client.ask(b"c LOGIN nobody wrong") == [
        b"* BYE Too many attempts to log in",
        b"c NO [AUTHENTICATIONFAILED] Name or password is wrong",
    ]
    assert client.wire.disconnecting
    assert sum(isinstance(event, LoginRefused) for event in world.events) == 3


def test_a_wrong_password_takes_time(tmp_path: Path) -> None:
    world = World(tmp_path, login_delay=2.0)
    client = world.connect()
    client.read()
    assert client.say(b"a LOGIN alice wrong\r\n") == b""
    world.reactor.advance(2)
    world.settle()
    assert client.read().startswith(b"a NO")


@pytest.mark.parametrize(
    "lines",
    [
        [b"a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA=="],
        [b"a AUTHENTICATE PLAIN", b"AGFsaWNlAHNlY3JldA=="],
        [b"a AUTHENTICATE LOGIN", b"YWxpY2U=", b"c2VjcmV0"],
        [b'a LOGIN "alice" {6}', b"secret"],
    ],
)
def test_ways_to_log_in(world: World, lines: list[bytes]) -> None:
    client = world.connect()
    client.read()
    answers = client.ask(*lines)
    assert answers[-1].startswith(b"a OK [CAPABILITY IMAP4rev1 ")
    assert [event.login for event in world.events if isinstance(event, MailboxOpened)] == ["alice"]
    assert client.ask(b"a LOGIN alice secret") == [b"a BAD LOGIN is not for this state"]


def test_authenticate_can_be_given_up(world: World) -> None:
    client = world.connect()
    client.read()
    assert client.ask(b"a AUTHENTICATE PLAIN", b"*") == [b"+ ", b"a BAD Cancelled"]
    assert client.ask(b"a AUTHENTICATE PLAIN", b"x" * 20_000)[-1].startswith(b"a BAD")
    assert client.ask(b"a AUTHENTICATE FROB") == [b"a NO This mechanism is not offered"]


# --- TLS ---


def secure_world(path: Path, listener: ListenerConfig = STARTTLS) -> World:
    return World(path, listener=listener, tls=SimpleNamespace(context_factory=object()))


def test_in_clear_nobody_logs_in(tmp_path: Path) -> None:
    client = secure_world(tmp_path).connect()
    greeting = client.read()
    assert b" STARTTLS LOGINDISABLED]" in greeting
    assert b"AUTH=" not in greeting
    assert client.ask(b"a LOGIN alice secret", b"b AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==") == [
        b"a NO [PRIVACYREQUIRED] Logging in needs TLS first",
        b"b NO [PRIVACYREQUIRED] Logging in needs TLS first",
    ]


def test_starttls_changes_what_is_offered(tmp_path: Path) -> None:
    client = secure_world(tmp_path).connect()
    client.read()
    assert client.ask(b"a STARTTLS") == [b"a OK Begin TLS now"]
    assert client.wire.secured
    offered = client.ask(b"a CAPABILITY")[0].split()
    assert b"AUTH=PLAIN" in offered
    assert b"STARTTLS" not in offered
    assert b"LOGINDISABLED" not in offered
    assert client.ask(b"a STARTTLS") == [b"a BAD TLS is not offered here and now"]
    assert client.ask(b"a LOGIN alice secret")[0].startswith(b"a OK")


@pytest.mark.parametrize("behind", [b"b LOGIN alice secret\r\n", b"b NO", b"\r\n"])
def test_what_is_sent_behind_starttls_is_never_run(tmp_path: Path, behind: bytes) -> None:
    client = secure_world(tmp_path).connect()
    client.read()
    assert client.say(b"a STARTTLS\r\n" + behind) == b"* BYE Nothing may follow STARTTLS in clear\r\n"
    assert client.wire.disconnecting
    assert not client.wire.secured
    assert client.say(b"c NOOP\r\n") == b""


def test_a_listener_can_forbid_logging_in(tmp_path: Path) -> None:
    listener = ListenerConfig(name="imap", endpoint="", protocol="imap", auth="never")
    client = secure_world(tmp_path, listener).connect()
    client.say(b"a STARTTLS\r\n")
    assert client.ask(b"a LOGIN alice secret")[0].startswith(b"a NO [PRIVACYREQUIRED]")


# --- limits ---


def test_clients_too_many_are_turned_away(tmp_path: Path) -> None:
    listener = ListenerConfig(name="i", endpoint="", auth="always", max_connections=3, max_connections_per_client=2)
    world = World(tmp_path, listener=listener)
    first, _ = world.connect("192.0.2.1"), world.connect("192.0.2.1")
    assert world.connect("192.0.2.1").read().startswith(b"* BYE")
    assert world.connect("192.0.2.2").read().startswith(b"* OK")
    assert world.connect("192.0.2.3").read().startswith(b"* BYE")
    first.lose()
    assert world.connect("192.0.2.1").read().startswith(b"* OK")


def test_nonsense_is_borne_so_many_times(world: World) -> None:
    client = world.login()
    client.say(b"a FROB\r\n" * MAX_ERRORS)
    assert not client.wire.disconnecting
    assert b"* BYE Too many errors" in client.say(b"a FROB\r\n")
    assert client.wire.disconnecting


def test_append_is_bounded_before_and_with_literal_plus(world: World) -> None:
    """At the limit it is stored; beyond it refused before "+", or read and thrown away; far beyond, the end."""
    client = world.select()
    limit = 1024 * 1024
    assert client.say(b"a APPEND INBOX {%d}\r\n" % limit) == b"+ Go ahead\r\n"
    assert b"a OK [APPENDUID" in client.say(b"x" * limit + b"\r\n")
    refused = b"a NO [TOOBIG] A message may have 1048576 octets"
    assert client.ask(b"a APPEND INBOX {%d}" % (limit + 1)) == [refused]
    assert client.say(b"a APPEND INBOX {%d+}\r\n" % (limit + 1)) == refused + b"\r\n"
    assert client.say(b"z LOGOUT\r\n" + b"x" * (limit + 1 - 10) + b"\r\nb NOOP\r\n") == b"b OK Done\r\n"
    assert b"* BYE" in client.say(b"a APPEND INBOX {%d+}\r\n" % (3 * limit))
    assert client.wire.disconnecting


def test_append_before_login_is_not_read(world: World) -> None:
    client = world.connect()
    client.read()
    assert client.ask(b"a APPEND INBOX {10}") == [b"a BAD APPEND is not for this state"]
    assert b"* BYE" in client.say(b"a APPEND INBOX {10+}\r\n")


def test_append_refusals(world: World) -> None:
    client = world.login()
    assert client.ask(b"a APPEND nowhere {3}") == [b"a NO [TRYCREATE] There is no such mailbox"]
    assert client.ask(b"a APPEND INBOX (\\Frob) {3}")[0].startswith(b"a BAD")
    assert client.ask(b"a APPEND INBOX {0+}", b"")[-1].startswith(b"a NO [CANNOT]")
    assert client.say(b"a APPEND INBOX {3+}\r\na\x00b\r\n").startswith(b"a NO [CANNOT]")
    assert client.say(b"a APPEND INBOX {3+}\r\nabc junk\r\n").startswith(b"a BAD")
    assert client.ask(b"a STATUS INBOX (MESSAGES)")[0] == b"* STATUS INBOX (MESSAGES 3)"


# --- faults of ours ---


def test_a_failing_store_is_a_temporary_no(world: World, tmp_path: Path) -> None:
    client = world.select()
    for path in (tmp_path / "alice" / "cur").iterdir():
        path.unlink()
    assert client.ask(b"a FETCH 1 BODY.PEEK[]")[-1].startswith(b"a NO")
    assert client.ask(b"a NOOP")[-1] == b"a OK Done"


def test_an_unknown_fault_is_told_to_the_operator_without_what_the_client_said(world: World) -> None:
    client = world.login()

    async def broken(*args: Any) -> None:
        raise ValueError("secret text")

    world.store._accounts["alice"].folders = broken  # type: ignore[assignment]
    assert client.ask(b'a LIST "" *') == [b"a NO [SERVERBUG] Something went wrong here; the operator is told"]
    assert "secret text" not in repr(world.events[-1])
    assert "imap LIST" in repr(world.events[-1])


def test_store_errors_are_mapped(world: World) -> None:
    client = world.login()
    assert client.ask(b"a CREATE INBOX")[0].startswith(b"a NO [ALREADYEXISTS]")
    assert client.ask(b"a DELETE INBOX")[0].startswith(b"a NO [CANNOT]")
    assert client.ask(b"a DELETE nowhere")[0].startswith(b"a NO [NONEXISTENT]")
    assert client.ask(b"a CREATE a//b")[0].startswith(b"a NO [CANNOT]")
    assert client.ask(b"a RENAME nowhere x")[0].startswith(b"a NO [NONEXISTENT]")

    async def broken(*args: Any) -> None:
        raise StoreError("disk")

    world.store._accounts["alice"].create = broken  # type: ignore[assignment]
    assert client.ask(b"a CREATE x")[0].startswith(b"a NO [UNAVAILABLE]")


def test_ten_thousand_messages_are_listed_in_no_time(tmp_path: Path) -> None:
    """FETCH 1:* (UID FLAGS) well under a second."""
    world = World(tmp_path)
    world.deliver(MESSAGE)
    (delivered,) = (tmp_path / "alice" / "new").iterdir()
    for number in range(9_999):
        os.link(delivered, tmp_path / "alice" / "cur" / f"1700000000.{number}.x,S=45,W=45:2,S")
    client = world.select()

    def fetched() -> None:
        answer = client.say(b"a FETCH 1:* (UID FLAGS)\r\n")
        assert answer.count(b" FETCH (UID ") == 10_000

    costs_less_than(0.5, fetched)
