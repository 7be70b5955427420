"""Time, limits, the end of sessions, and what is remembered of them in the journal."""

from typing import Any

import attrs
import pytest
from clocks import put_back
from ingress_rig import BODY, HELLO, MAIL, MESSAGE, RCPT, Rig, Scripted, reply_codes
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from relaygw.config.schema import LimitsConfig
from relaygw.core.content import MAX_HEADER, Content
from relaygw.core.events import Accepted, Connected, Disconnected, Refused, TaskFailed
from relaygw.core.record import Record
from relaygw.core.verdict import PASS, Phase, Verdict
from relaygw.ingress.factory import client_of
from relaygw.ingress.protocol import LINGER, TURN
from relaygw.interfaces import ISink
from relaygw.spool.memory import MemorySpool

PATIENCE = LimitsConfig(command_timeout=300, data_timeout=180, session_time=3600)


def silent_for(rig: Rig, seconds: float) -> None:
    rig.clock.pump([1.0] * int(seconds))


def test_a_silent_client_is_sent_away_at_n_plus_one_not_at_n() -> None:
    rig = Rig(limits=PATIENCE)
    client = rig.connect()
    client.send(HELLO)
    silent_for(rig, 299)
    assert client.codes("NOOP\r\n") == [250]
    client.wire.clear()
    silent_for(rig, 299)
    assert client.open
    silent_for(rig, 1)
    assert client.heard().startswith("421 4.4.2 ")
    assert not client.open
    assert rig.said(Disconnected)[0].cause == "timeout"


def test_a_clock_put_back_lets_nobody_be_silent_for_longer_than_twice() -> None:
    rig = Rig(limits=PATIENCE)
    client = rig.connect()
    client.send(HELLO)
    client.wire.clear()
    put_back(rig.clock, 7200)
    silent_for(rig, 600)
    assert client.heard().startswith("421 4.4.2 ")
    assert not client.open


def test_between_pieces_of_data_patience_is_shorter() -> None:
    rig = Rig(limits=PATIENCE)
    client = rig.connect()
    client.send(HELLO + MAIL + RCPT)
    silent_for(rig, 200)
    client.send("DATA\r\nSubject: x\r\n")
    for _ in range(5):
        silent_for(rig, 179)
        client.send("and more\r\n")
    assert client.open
    silent_for(rig, 180)
    assert not client.open
    assert rig.stored() == []


def test_a_session_has_an_end_however_busy() -> None:
    rig = Rig(limits=PATIENCE)
    client = rig.connect()
    client.send(HELLO)
    for _ in range(59):
        silent_for(rig, 60)
        assert client.codes("NOOP\r\n") == [250]
    client.wire.clear()
    silent_for(rig, 60)
    assert client.heard().startswith("421 4.4.2 ")
    assert not client.open


def test_it_has_one_too_where_the_commands_of_a_client_never_run_out() -> None:
    """Others have their turn in between, which is no work of ours that would have to be waited for."""
    rig = Rig(limits=attrs.evolve(PATIENCE, session_time=180.0))
    client = rig.connect()
    client.send(HELLO)
    for _ in range(179):
        client.feed(b"NOOP\r\n" * (3 * TURN))
        rig.clock.advance(1.0)
    assert client.open
    client.feed(b"NOOP\r\n" * (3 * TURN))
    rig.clock.advance(1.0)
    assert client.heard().endswith("421 4.4.2 This session took long enough, connect again\r\n")
    client.rest(rig.clock)
    assert not client.open
    assert rig.said(Disconnected)[0].cause == "this session took long enough, connect again"


def test_no_timer_is_moved_by_traffic() -> None:
    rig = Rig()
    client = rig.connect()
    timers = rig.clock.getDelayedCalls()
    client.send(HELLO + MESSAGE * 10)
    assert rig.clock.getDelayedCalls() == timers
    assert len(timers) == 1


def test_a_closed_connection_leaves_no_timer() -> None:
    rig = Rig()
    client = rig.connect()
    client.send("QUIT\r\n")
    assert rig.clock.getDelayedCalls() == []


def test_a_client_that_does_not_take_our_last_words_is_cut_off() -> None:
    rig = Rig()
    client = rig.connect()
    client.wire.loseConnection = lambda: None  # type: ignore[method-assign]  # as a transport with unsent bytes does
    client.send("QUIT\r\n")
    assert client.codes("NOOP\r\n" * 3) == []
    rig.clock.advance(LINGER - 1)
    assert not client.wire.aborted
    client.wire.loseConnection = lambda: client.protocol.connectionLost(Failure(ConnectionLost()))  # type: ignore[method-assign]
    rig.clock.advance(1)
    assert client.wire.aborted


def test_connections_are_counted_in_all_and_per_client() -> None:
    rig = Rig(listener={"max_connections": 3, "max_connections_per_client": 2})
    first, second = rig.connect("192.0.2.1"), rig.connect("192.0.2.1")
    third = rig.connect("192.0.2.1")
    assert third.heard().startswith("421 4.7.0 ")
    assert not third.open
    assert rig.connect("192.0.2.2").heard().startswith("220 ")
    assert rig.connect("192.0.2.3").heard().startswith("421 ")  # three in all
    assert [event.command for event in rig.said(Refused)] == ["connect", "connect"]
    first.send("QUIT\r\n")
    assert rig.connect("192.0.2.1").heard().startswith("220 ")
    second.send("QUIT\r\n")
    assert rig.factory.connections == 2


def test_draining_ends_idle_sessions_at_once_and_others_after_their_message() -> None:
    rig = Rig()
    idle, busy = rig.connect(), rig.connect()
    idle.send(HELLO)
    busy.send(HELLO + MAIL + RCPT + "DATA\r\n")
    idle.wire.clear()
    done: list[Any] = []
    drained = rig.factory.drain(30.0)
    drained.addCallback(done.append)
    assert idle.heard().startswith("421 4.3.2 ")
    assert not idle.open
    assert rig.connect().heard().startswith("421 4.3.2 ")
    assert not done
    assert busy.codes(BODY + ".\r\n") == [250, 421]
    assert done == [None]
    assert len(rig.stored()) == 1


def test_draining_ends_a_session_also_while_others_have_their_turn() -> None:
    """No whole command is left by which its end could come later."""
    rig = Rig()
    client = rig.connect()
    client.send(HELLO)
    client.feed(b"NOOP\r\n" * TURN + b"NO")
    drained = rig.factory.drain(30.0)
    assert client.heard().endswith("\r\n421 4.3.2 Shutting down, try again later\r\n")
    client.rest(rig.clock)
    assert (client.open, drained.called) == (False, True)


def test_draining_has_an_end() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(HELLO + MAIL)
    drained = rig.factory.drain(30.0)
    rig.clock.advance(29)
    assert client.open
    rig.clock.advance(1)
    assert client.wire.aborted
    assert drained.called


def test_nothing_to_drain() -> None:
    assert Rig().factory.drain(30.0).called


class SlowSpool(MemorySpool):
    """Commits when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: Deferred[None] = Deferred()

    async def commit(self, record: Record, sink: ISink, prefix: bytes, lease: float) -> Content:
        await self.gate
        return await super().commit(record, sink, prefix, lease)


def test_the_250_waits_for_the_commit() -> None:
    spool = SlowSpool()
    rig = Rig(spool=spool)
    client = rig.connect()
    assert client.codes(HELLO + MESSAGE + "NOOP\r\n") == [250, 250, 250, 354]
    assert rig.offered == []
    client.wire.clear()
    spool.gate.callback(None)
    assert reply_codes(client.heard()) == [250, 250]
    assert len(rig.offered) == 1


def test_a_commit_goes_on_when_the_client_has_gone() -> None:
    spool = SlowSpool()
    rig = Rig(spool=spool)
    client = rig.connect()
    client.send(HELLO + MESSAGE)
    client.wire.loseConnection()
    spool.gate.callback(None)
    assert len(rig.offered) == 1
    assert len(rig.said(Accepted)) == 1


def test_a_check_is_given_up_when_the_client_has_gone() -> None:
    cancelled: list[object] = []
    held: Deferred[Verdict] = Deferred(cancelled.append)
    rig = Rig(filters=[Scripted({Phase.DATA: lambda transaction: held})])
    client = rig.connect()
    client.send(HELLO + MESSAGE)
    client.wire.loseConnection()
    assert cancelled
    assert rig.said(Accepted) == rig.said(TaskFailed) == []
    assert rig.clock.getDelayedCalls() == []


@pytest.mark.parametrize("until", [MAIL, MAIL + RCPT, MAIL + RCPT + "DATA\r\n", MAIL + RCPT + "DATA\r\n" + BODY + "."])
def test_an_unfinished_message_is_forgotten(until: str) -> None:
    rig = Rig()
    client = rig.connect()
    client.send(HELLO + until)
    client.wire.loseConnection()
    assert rig.said(Accepted) == []
    assert rig.said(Disconnected)[0].cause == "lost"


def test_errors_are_forgiven_by_a_message() -> None:
    client = Rig(limits=LimitsConfig(errors=2)).connect()
    client.send(HELLO)
    for _ in range(4):
        assert client.codes("FOO\r\nFOO\r\n" + MESSAGE) == [500, 500, 250, 250, 354, 250]
    assert client.codes("FOO\r\n" * 3) == [500, 500, 421]


def test_what_the_journal_tells_of_a_session() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(HELLO + MAIL + "RCPT TO:<nobody@here.test>\r\n" + RCPT + "DATA\r\n" + BODY + ".\r\n")
    rig.clock.advance(2)
    client.send("QUIT\r\n")
    connected, refused, accepted, disconnected = rig.events
    assert isinstance(connected, Connected)
    assert isinstance(refused, Refused)
    assert isinstance(accepted, Accepted)
    assert isinstance(disconnected, Disconnected)
    assert connected.client == "192.0.2.1"
    assert (refused.command, refused.reply[:9], refused.recipient) == ("RCPT", "550 5.1.1", "nobody@here.test")
    assert refused.sender == "<a@client.test>"
    assert refused.queue_id == accepted.queue_id
    assert accepted.recipients == ("user@here.test",)
    assert accepted.size == len(rig.stored()[0])
    assert (disconnected.cause, disconnected.seconds, disconnected.commands) == ("quit", 2.0, 6)
    assert {event.session for event in rig.events} == {connected.session}


def test_http_is_sent_away_with_its_body() -> None:
    rig = Rig()
    client = rig.connect()
    attack = "POST / HTTP/1.1\r\nHost: x\r\n\r\n" + HELLO + MESSAGE
    assert client.codes(attack) == [500]
    assert not client.open
    assert rig.stored() == []


def test_a_message_sent_without_waiting_is_no_commands_when_data_is_refused() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(HELLO)
    body = "Subject: x\r\n\r\nMAIL FROM:<evil@client.test>\r\nRCPT TO:<user@here.test>\r\nDATA\r\nx\r\n.\r\n.\r\n"
    assert client.codes(MAIL + "RCPT TO:<no@here.test>\r\nDATA\r\n" + body) == [250, 550, 554]
    assert not client.open
    assert rig.stored() == []
    # A client that pipelines as RFC 2920 says loses nothing.
    client = rig.connect()
    client.send(HELLO)
    assert client.codes(MAIL + "RCPT TO:<no@here.test>\r\nDATA\r\n") == [250, 550, 554]
    assert client.codes("RSET\r\n" + MESSAGE) == [250, 250, 250, 354, 250]


def test_a_broken_queue_does_not_take_the_250_back() -> None:
    def broken(record: Record, content: Content) -> None:
        raise RuntimeError("bug")

    rig = Rig(offer=broken)
    client = rig.connect()
    assert client.codes(HELLO + MESSAGE)[-1] == 250
    assert [event.task for event in rig.said(TaskFailed)] == ["offer"]


class BrokenChain:
    def ask(self, phase: Phase, transaction: Any) -> Any:
        raise RuntimeError("bug")


def test_a_listener_that_cannot_greet_says_421() -> None:
    rig = Rig(chain=BrokenChain())
    client = rig.connect()
    assert client.heard().startswith("421 4.3.0 ")
    assert not client.open
    assert rig.said(TaskFailed)[0].error == "RuntimeError: bug"


def test_a_header_section_has_a_size() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(HELLO)
    field = "X: " + "y" * 997 + "\r\n"
    start = MAIL + RCPT + "DATA\r\n"
    most = field * (MAX_HEADER // len(field))
    assert client.codes(start + most + "\r\n.\r\n") == [250, 250, 354, 250]
    assert client.codes(start + most + field * 2 + "\r\n.\r\n") == [250, 250, 354, 552]
    assert len(rig.stored()) == 1


def test_content_cannot_continue_a_field_of_ours() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(HELLO)
    for white in (" ", "\t"):
        assert client.codes(MAIL + RCPT + f"DATA\r\n{white}(injected)\r\n.\r\n") == [250, 250, 354, 550]
    assert rig.stored() == []


def test_peers_of_every_kind() -> None:
    @attrs.frozen
    class Peer:
        host: object
        port: int = 5

    assert client_of(Peer("192.0.2.1")) == ("192.0.2.1", 5)
    assert client_of(Peer("::ffff:192.0.2.1")) == ("192.0.2.1", 5)
    assert client_of(Peer("fe80::1%eth0")) == ("fe80::1", 5)
    assert client_of(Peer("2001:DB8:0::1")) == ("2001:db8::1", 5)
    assert client_of(Peer(None)) == client_of(object()) == client_of(None) == ("", 0)


def test_a_pass_after_all() -> None:
    """The fakes themselves: an asked filter sees what the phase promises."""
    script = Scripted(dict.fromkeys(Phase, PASS))
    rig = Rig(filters=[script])
    client = rig.connect()
    assert client.codes(HELLO + MESSAGE)[-1] == 250
    assert [phase for phase, _ in script.seen] == list(Phase)
    mail, rcpt, data = (transaction for _, transaction in script.seen[2:])
    assert str(mail.envelope.sender) == "a@client.test"
    assert mail.queue_id == rcpt.queue_id == data.queue_id != ""
    assert (rcpt.recipient is not None, rcpt.envelope.recipients) == (True, ())
    assert data.content is not None
    assert (data.content.size, len(data.envelope.recipients)) == (len(BODY), 1)
    assert data.session.hello == "client.test"
