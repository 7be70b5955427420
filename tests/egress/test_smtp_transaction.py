"""One message through one session: one outcome per recipient, wherever the next hop stops and whatever it says."""

import pytest
from egress_support import (
    CLOSE,
    MANNERS,
    SILENCE,
    MemoryReactor,
    Server,
    converse,
    make_record,
    outcomes_with,
    pending,
    result,
    run,
)

from relaygw.core.address import Address, parse_address
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Body, Notify, Recipient
from relaygw.core.outcome import Outcome, Status
from relaygw.egress.client import Session
from relaygw.egress.hop import EightBit, Hop, TlsMode
from relaygw.egress.message import in_thread, prepare
from relaygw.egress.transaction import Interrupted, send

OK, BAD, LATER = b"250 2.1.5 ok\r\n", b"550 5.1.1 no such user\r\n", b"450 4.2.1 busy\r\n"
THREE = ("b@example.org", "c@example.org", "d@example.org")
PIPELINED, IN_TURN = ("PIPELINING",), ()
both_ways = pytest.mark.parametrize("offers", [PIPELINED, IN_TURN], ids=["pipelined", "in turn"])


def statuses(outcomes: tuple[Outcome, ...]) -> str:
    """One letter each: delivered, deferred (t for temporary), failed."""
    return "".join({Status.DELIVERED: "d", Status.DEFERRED: "t", Status.FAILED: "f"}[each.status] for each in outcomes)


@both_ways
def test_a_message_is_delivered_with_the_servers_words(offers: tuple[str, ...]) -> None:
    server = Server(offers, end=b"250 2.0.0 queued as 7\r\n")
    [outcome] = outcomes_with(server, content=b"Subject: x\r\n\r\n.dot\r\n")
    assert outcome.status is Status.DELIVERED
    assert str(outcome.reply) == "250 2.0.0 queued as 7"
    assert (outcome.remote, outcome.host, outcome.address, outcome.tls) == (True, "mx.example.org", "192.0.2.1", "")
    assert server.commands == ["EHLO relay.example", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA"]
    assert server.messages == [b"Subject: x\r\n\r\n.dot\r\n"]


def test_one_group_then_the_content() -> None:
    server = Server(PIPELINED)
    outcomes_with(server, make_record(*THREE))
    assert [read.count(b"\r\n") for read in server.reads[1:]] == [5, 4]
    assert server.reads[1].endswith(b"DATA\r\n")


def test_without_pipelining_every_command_waits() -> None:
    server = Server(IN_TURN)
    outcomes_with(server, make_record(*THREE))
    assert all(read.count(b"\r\n") == 1 for read in server.reads[:-1])


@both_ways
@pytest.mark.parametrize(
    ("rcpt", "expected"),
    [
        ([OK, OK, OK], "ddd"),
        ([OK, BAD, OK], "dfd"),
        ([LATER, OK, BAD], "tdf"),
        ([b"251 2.1.5 will forward\r\n", b"252 2.5.1 perhaps\r\n", OK], "ddd"),
        ([b"354 what\r\n", OK, OK], "tdd"),
    ],
)
def test_each_recipient_has_its_own_outcome(offers: tuple[str, ...], rcpt: list[bytes], expected: str) -> None:
    server = Server(offers, rcpt=list(rcpt))
    assert statuses(outcomes_with(server, make_record(*THREE))) == expected
    assert len(server.messages) == 1


@both_ways
@pytest.mark.parametrize(("reply", "expected"), [(BAD, "fff"), (LATER, "ttt")])
def test_a_refused_sender_is_refused_for_all(offers: tuple[str, ...], reply: bytes, expected: str) -> None:
    server = Server(offers, mail=reply, rcpt=b"503 5.5.1 MAIL first\r\n", data=b"503 5.5.1 RCPT first\r\n")
    outcomes = outcomes_with(server, make_record(*THREE))
    assert statuses(outcomes) == expected
    assert {outcome.reply.text for outcome in outcomes} == {reply[10:-2].decode()}


@both_ways
@pytest.mark.parametrize(("reply", "expected"), [(b"554 5.7.1 no\r\n", "ff"), (b"451 4.3.0 later\r\n", "tt")])
def test_a_refused_data_is_for_those_who_were_accepted(offers: tuple[str, ...], reply: bytes, expected: str) -> None:
    server = Server(offers, rcpt=[OK, BAD, OK], data=reply)
    outcomes = outcomes_with(server, make_record(*THREE))
    assert statuses(outcomes) == f"{expected[0]}f{expected[1]}"
    assert outcomes[1].reply.text == "no such user"
    assert server.messages == []


@both_ways
@pytest.mark.parametrize(
    ("reply", "expected"),
    [(b"554 5.6.0 spam\r\n", "ff"), (b"452 4.3.1 disk\r\n", "tt"), (b"250 ok\r\n", "dd"), (b"350 ?\r\n", "tt")],
)
def test_the_final_reply_decides_for_all_accepted(offers: tuple[str, ...], reply: bytes, expected: str) -> None:
    outcomes = outcomes_with(Server(offers, end=reply), make_record(*THREE[:2]))
    assert statuses(outcomes) == expected
    assert not any(outcome.uncertain for outcome in outcomes)


def test_all_refused_and_data_refused_sends_nothing_more() -> None:
    server = Server(PIPELINED, rcpt=BAD, data=b"503 5.5.1 no valid recipients\r\n")
    assert statuses(outcomes_with(server, make_record(*THREE))) == "fff"
    assert server.raw.endswith(b"DATA\r\n")


def test_all_refused_but_data_accepted_ends_the_data_with_nothing_in_it() -> None:
    # RFC 2920 3.1: the server waits for content, so it gets the end of it. Nobody was accepted, so nobody gets it.
    server = Server(PIPELINED, rcpt=BAD, end=b"554 5.5.1 no valid recipients\r\n")
    assert statuses(outcomes_with(server, make_record(*THREE))) == "fff"
    assert server.raw.endswith(b"DATA\r\n.\r\n")


def test_a_refused_sender_but_data_accepted_ends_the_connection_instead() -> None:
    server = Server(PIPELINED, mail=BAD, rcpt=OK)
    reactor = MemoryReactor(lambda address, port: server)
    _, outcomes = result(run(reactor, converse(reactor, make_record(*THREE))))
    assert statuses(outcomes) == "fff"
    assert server.messages == []
    assert reactor.wires[0].aborted


def test_without_pipelining_no_data_without_a_recipient() -> None:
    server = Server(IN_TURN, rcpt=BAD)
    assert statuses(outcomes_with(server, make_record(*THREE))) == "fff"
    assert "DATA" not in server.commands


@both_ways
def test_after_an_open_transaction_the_next_begins_with_rset(offers: tuple[str, ...]) -> None:
    server = Server(offers, rcpt=[BAD, OK], data=b"503 5.5.1 no recipient\r\n")
    reactor = MemoryReactor(lambda address, port: server)
    session, _ = result(run(reactor, converse(reactor, make_record())))
    assert session.dirty
    server.answers.pop("data")
    outcomes = result(run(reactor, again(reactor, session)))
    assert statuses(outcomes) == "d"
    assert server.commands[-4:] == ["RSET", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA"]


@both_ways
def test_after_success_no_rset_is_needed(offers: tuple[str, ...]) -> None:
    server = Server(offers)
    reactor = MemoryReactor(lambda address, port: server)
    session, _ = result(run(reactor, converse(reactor, make_record())))
    assert statuses(result(run(reactor, again(reactor, session)))) == "d"
    assert "RSET" not in server.commands
    assert len(server.messages) == 2


async def again(reactor: MemoryReactor, session: Session) -> tuple[Outcome, ...]:
    """Another message over the same session."""
    record = make_record()
    message = await prepare(record.envelope, b"", BytesContent(b"\r\nagain\r\n"), in_thread(reactor))
    return await send(session, message, record.envelope.recipients, MANNERS)


@both_ways
@pytest.mark.parametrize("verb", ["mail", "rcpt", "data", "end"])
@pytest.mark.parametrize("reply", [CLOSE, b"421 4.3.2 going down\r\n", b"421 4.3.2 going down\r\n" + CLOSE, SILENCE])
def test_wherever_it_stops_everybody_is_deferred(offers: tuple[str, ...], verb: str, reply: bytes) -> None:
    server = Server(offers, **{verb: reply})
    reactor = MemoryReactor(lambda address, port: server)
    conversation = run(reactor, converse(reactor, make_record(*THREE)))
    if reply is SILENCE:
        assert pending(conversation)
        reactor.pass_time(MANNERS.data_timeout + 1)
    session, outcomes = result(conversation)
    assert statuses(outcomes) == "ttt"
    assert not session.connection.alive
    # RFC 1047: whether the message was taken is unknown only when the end of data was sent and no answer read.
    assert {outcome.uncertain for outcome in outcomes} == {verb == "end" and not reply.startswith(b"421")}
    assert {outcome.remote for outcome in outcomes} == {reply.startswith(b"421")}


@pytest.mark.parametrize(("seconds", "over"), [(-1, False), (0, True)])
@pytest.mark.parametrize(
    ("verb", "offers", "limit"),
    [
        ("mail", (), MANNERS.command_timeout),
        ("rcpt", (), MANNERS.command_timeout),
        ("data", (), MANNERS.data_start_timeout),
        ("data", ("PIPELINING",), MANNERS.command_timeout),
        ("end", (), MANNERS.data_timeout),
    ],
)
def test_each_phase_has_its_own_time(
    verb: str, offers: tuple[str, ...], limit: float, seconds: float, over: bool
) -> None:
    reactor = MemoryReactor(lambda address, port: Server(offers, **{verb: SILENCE}))
    conversation = run(reactor, converse(reactor, make_record()))
    reactor.pass_time(limit + seconds)
    assert pending(conversation) is not over


@both_ways
def test_421_to_one_recipient_ends_it_for_those_behind_and_accepted(offers: tuple[str, ...]) -> None:
    server = Server(offers, rcpt=[OK, BAD, b"421 4.7.0 too many\r\n"])
    outcomes = outcomes_with(server, make_record(*THREE, "e@example.org"))
    assert statuses(outcomes) == "tftt"
    assert {str(outcomes[number].reply) for number in (0, 2, 3)} == {"421 4.7.0 too many"}


@pytest.mark.parametrize(
    "answers",
    [
        {"mail": b"250-ok\r\n550 no\r\n"},
        {"mail": b"hello\r\n"},
        {"mail": b"250 ok\n"},
        {"mail": b"250-" + b"x" * 3000},
        {"mail": b"250-more\r\n" * 200},
        {"data": b"354 go\r\n250 queued\r\n"},
        {"data": b"354 go\r\n250 que"},
        {"data": b"250 queued\r\n"},
        {"end": b"25 0\r\n"},
    ],
)
def test_what_is_not_smtp_delivers_nothing(answers: dict[str, bytes]) -> None:
    server = Server(PIPELINED, **answers)
    reactor = MemoryReactor(lambda address, port: server)
    session, outcomes = result(run(reactor, converse(reactor, make_record(*THREE))))
    assert statuses(outcomes) == "ttt"
    assert not session.connection.alive
    assert {outcome.uncertain for outcome in outcomes} == {"end" in answers}


def test_a_success_before_the_end_of_data_is_no_success() -> None:
    server = Server(PIPELINED, data=b"354 go\r\n250 2.0.0 queued\r\n")
    [outcome] = outcomes_with(server)
    assert outcome.status is Status.DEFERRED
    assert server.messages == []


@pytest.mark.parametrize("offers", [("PIPELINING",), ()])
def test_any_conversation_works_octet_by_octet(offers: tuple[str, ...]) -> None:
    server = Server((*offers, "DSN"), rcpt=[OK, BAD, b"451-two\r\n451 lines\r\n"])
    reactor = MemoryReactor(lambda address, port: server, single_octets=True)
    _, outcomes = result(run(reactor, converse(reactor, make_record(*THREE))))
    assert statuses(outcomes) == "dft"


def test_too_many_recipients_go_on_in_further_transactions() -> None:
    # RFC 5321 4.5.3.1.10: 452 to a recipient after others were taken means: these first.
    full = b"452 4.5.3 too many recipients\r\n"
    server = Server(PIPELINED, rcpt=[OK, full, full, OK, full, OK])
    outcomes = outcomes_with(server, make_record(*THREE))
    assert statuses(outcomes) == "ddd"
    assert len(server.messages) == 3


def test_452_to_the_first_recipient_is_what_it_says() -> None:
    server = Server(PIPELINED, rcpt=[b"452 4.2.2 mailbox full\r\n", OK, b"452 4.2.2 mailbox full\r\n"])
    assert statuses(outcomes_with(server, make_record(*THREE))) == "tdt"
    assert len(server.messages) == 1


@pytest.mark.parametrize(("count", "transactions"), [(100, 1), (101, 2)])
def test_more_than_a_hundred_recipients_are_split(count: int, transactions: int) -> None:
    server = Server(PIPELINED)
    outcomes = outcomes_with(server, make_record(*(f"u{number}@example.org" for number in range(count))))
    assert statuses(outcomes) == "d" * count
    assert len(server.messages) == transactions


def test_the_same_address_twice_has_two_outcomes() -> None:
    server = Server(PIPELINED, rcpt=[OK, BAD])
    assert statuses(outcomes_with(server, make_record("b@example.org", "b@example.org"))) == "df"


def test_lmtp_answers_each_accepted_recipient() -> None:
    server = Server(PIPELINED, rcpt=[OK, BAD, OK], end=b"250 2.1.5 stored\r\n452 4.2.2 full\r\n")
    outcomes = outcomes_with(server, make_record(*THREE), hop=Hop(tls=TlsMode.NONE, lmtp=True))
    assert statuses(outcomes) == "dft"
    assert server.commands[0] == "LHLO relay.example"


def test_lmtp_lost_between_answers_is_uncertain_only_for_the_rest() -> None:
    server = Server(PIPELINED, end=b"250 2.1.5 stored\r\n" + CLOSE)
    outcomes = outcomes_with(server, make_record(*THREE), hop=Hop(tls=TlsMode.NONE, lmtp=True))
    assert statuses(outcomes) == "dtt"
    assert [outcome.uncertain for outcome in outcomes] == [False, True, True]


# What is said in MAIL and RCPT.


def mail_line(server: Server) -> str:
    return next(line for line in server.commands if line.startswith("MAIL"))


def test_parameters_travel_only_where_they_are_offered() -> None:
    recipient = Recipient(
        address=parse_address("b@example.org"),
        notify=frozenset({Notify.SUCCESS, Notify.DELAY}),
        orcpt="rfc822;b+x=1@example.org",
    )
    record = make_record(recipient, body=Body.EIGHT_BIT, ret="HDRS", envid="a=b c")
    content = b"Subject: x\r\n\r\n\xe9\r\n"
    server = Server(("SIZE 1000", "8bitmime", "dsn", "SMTPUTF8", "PIPELINING"))
    [outcome] = outcomes_with(server, record, content=content)
    assert outcome.relayed_dsn
    assert mail_line(server) == "MAIL FROM:<a@example.com> SIZE=17 BODY=8BITMIME RET=HDRS ENVID=a+3Db+20c"
    assert server.commands[2] == "RCPT TO:<b@example.org> NOTIFY=DELAY,SUCCESS ORCPT=rfc822;b+2Bx+3D1@example.org"
    plain = Server(())
    [outcome] = outcomes_with(plain, record, content=content)
    assert not outcome.relayed_dsn
    assert plain.commands[1:3] == ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>"]


def test_the_null_reverse_path() -> None:
    server = Server()
    outcomes_with(server, make_record(sender=""))
    assert mail_line(server) == "MAIL FROM:<> SIZE=20"


@pytest.mark.parametrize(("limit", "expected"), [(20, "d"), (19, "f"), (0, "d")])
def test_a_message_beyond_the_announced_size_is_not_sent(limit: int, expected: str) -> None:
    server = Server((f"SIZE {limit}", "PIPELINING"))
    [outcome] = outcomes_with(server)
    assert statuses((outcome,)) == expected
    if expected == "f":
        assert outcome.reply.enhanced == "5.3.4"
        assert len(server.commands) == 1


@pytest.mark.parametrize(
    ("eight_bit", "offers", "expected"),
    [
        (EightBit.PASS, (), "d"),
        (EightBit.REFUSE, (), "f"),
        (EightBit.REFUSE, ("8BITMIME",), "d"),
    ],
)
def test_eight_bit_content_where_nobody_asked_for_it(
    eight_bit: EightBit, offers: tuple[str, ...], expected: str
) -> None:
    server = Server(offers)
    hop = Hop(tls=TlsMode.NONE, eight_bit=eight_bit)
    [outcome] = outcomes_with(server, content=b"\r\n\xe9\r\n", hop=hop)
    assert statuses((outcome,)) == expected
    assert outcome.reply.enhanced == ("5.6.3" if expected == "f" else "2.0.0")


def test_internationalized_mail_needs_smtputf8() -> None:
    record = make_record("b@example.org", "ü@example.org", smtputf8=True)
    without = outcomes_with(Server(PIPELINED), record)
    assert statuses(without) == "df"
    assert without[1].reply.enhanced == "5.6.7"
    server = Server(("SMTPUTF8", "8BITMIME", "PIPELINING"))
    assert statuses(outcomes_with(server, record)) == "dd"
    assert mail_line(server).endswith(" SMTPUTF8")
    assert "RCPT TO:<ü@example.org>" in server.commands


@pytest.mark.parametrize(
    ("sender", "content", "expected"),
    [
        ("ä@example.com", b"\r\nx\r\n", "f"),
        ("a@example.com", b"Subject: \xc3\xa4\r\n\r\nx\r\n", "f"),
        ("a@example.com", b"Subject: a\r\n\r\n\xc3\xa4\r\n", "d"),
    ],
)
def test_smtputf8_is_needed_for_what_it_alone_can_carry(sender: str, content: bytes, expected: str) -> None:
    record = make_record(sender=sender, smtputf8=True)
    assert statuses(outcomes_with(Server(PIPELINED), record, content=content)) == expected


def test_binary_content_and_required_tls_fail_where_they_cannot_be_had() -> None:
    [binary] = outcomes_with(Server(), make_record(body=Body.BINARY), content=b"Subject: x\r\n\r\n\0\n")
    [requiretls] = outcomes_with(Server(("REQUIRETLS",)), make_record(requiretls=True))
    assert (binary.status, binary.reply.enhanced) == (Status.FAILED, "5.6.3")
    assert (requiretls.status, requiretls.reply.enhanced) == (Status.FAILED, "5.7.30")


def test_an_address_that_could_end_its_command_is_never_sent() -> None:
    bad = [Address("b\r\nDATA", "example.org"), Address("b", "example.org>\r\nRSET"), Address("b", "ex ample.org")]
    server = Server(PIPELINED)
    outcomes = outcomes_with(server, make_record(*(Recipient(address=address) for address in bad), "ok@example.org"))
    assert statuses(outcomes) == "fffd"
    assert {outcome.reply.enhanced for outcome in outcomes[:3]} == {"5.1.3"}
    assert server.commands[2:] == ["RCPT TO:<ok@example.org>", "DATA"]


@pytest.mark.parametrize(("verb", "uncertain"), [("mail", False), ("rcpt", False), ("data", False), ("end", True)])
def test_cancelling_ends_the_connection_and_tells_what_is_known(verb: str, uncertain: bool) -> None:
    answers = {"rcpt": [OK, BAD, OK], "data": b"354 go\r\n"} | {verb: SILENCE}
    reactor = MemoryReactor(lambda address, port: Server(**answers))
    conversation = run(reactor, converse(reactor, make_record(*THREE)))
    conversation.cancel()
    assert reactor.wires[0].aborted
    with pytest.raises(Interrupted) as caught:
        result(conversation)
    assert [outcome.uncertain for outcome in caught.value.outcomes] == [uncertain, False, uncertain]
    assert statuses(caught.value.outcomes) == ("tft" if verb == "end" else "ttt")
    reactor.settle()
    assert reactor.getDelayedCalls() == []
