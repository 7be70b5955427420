"""What filters decide and what becomes of it: replies, flags of the record, fields on top, and nothing for relaying."""

from typing import Any

import pytest
from ingress_rig import BODY, HELLO, MAIL, MESSAGE, RCPT, Client, Rig, Scripted
from twisted.internet.defer import succeed

from relaygw.core.events import Accepted, Discarded, ForgeryRemoved, Refused
from relaygw.core.reply import Reply
from relaygw.core.session import Role
from relaygw.core.verdict import Action, AuthResult, Phase, Verdict, defer, reject

REFUSALS = [
    (reject("because"), "550 5.7.1 "),
    (defer("not now"), "451 4.7.1 "),
    (reject("because", Reply(554, "5.7.0", "No, thank you")), "554 5.7.0 No, thank you\r\n"),
]
LINES = {Phase.HELLO: HELLO, Phase.MAIL: MAIL, Phase.RCPT: RCPT, Phase.DATA: "DATA\r\n" + BODY + ".\r\n"}
AFTER = {Phase.HELLO: "", Phase.MAIL: HELLO, Phase.RCPT: HELLO + MAIL, Phase.DATA: HELLO + MAIL + RCPT}


def scripted(phase: Phase, verdict: Verdict, later: bool) -> Scripted:
    return Scripted({phase: (lambda transaction: succeed(verdict)) if later else verdict})


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(("verdict", "reply"), REFUSALS)
@pytest.mark.parametrize("phase", list(LINES))
def test_a_refusal_is_what_the_peer_reads(phase: Phase, verdict: Verdict, reply: str, later: bool) -> None:
    rig = Rig(filters=[scripted(phase, verdict, later)])
    client = rig.connect()
    client.send(AFTER[phase])
    answer = client.send(LINES[phase])
    assert answer.removeprefix("354 End data with <CR><LF>.<CR><LF>\r\n").startswith(reply)
    assert rig.said(Refused)[0].reason == verdict.reason
    assert rig.stored() == []
    assert client.open
    if phase is Phase.DATA:  # the transaction is over
        assert client.codes("DATA\r\n") == [503]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("data", ["DATA\r\n" + BODY + ".\r\n", f"BDAT {len(BODY)} LAST\r\n{BODY}"])
def test_a_message_that_is_refused_can_be_found_by_those_it_was_for(data: str, later: bool) -> None:
    """Who asks an operator where a message is knows to whom it went; so many recipients are told, no more."""
    rig = Rig(filters=[scripted(Phase.DATA, reject("forged"), later)])
    client = rig.connect()
    client.send(HELLO + MAIL)
    for number in range(101):
        assert client.codes(f"RCPT TO:<user{number}@relayed.test>\r\n") == [250]
    assert client.codes("RCPT TO:<user@nowhere.test>\r\n") == [550]
    assert client.codes(data)[-1] == 550
    [address, message] = rig.said(Refused)
    assert (address.recipient, address.recipients) == ("user@nowhere.test", ())
    assert (message.recipient, len(message.recipients), message.recipients[99]) == ("", 100, "user99@relayed.test")
    assert client.codes("MAIL FROM:<broken\r\n") == [501]
    assert rig.said(Refused)[-1].recipients == ()


def test_a_client_refused_at_connect_is_told_so_instead_of_greeted() -> None:
    client = Rig(filters=[Scripted({Phase.CONNECT: reject("listed", Reply(554, "5.7.1", "Go away"))})]).connect()
    assert client.heard() == "554 5.7.1 Go away\r\n"
    assert not client.open


def test_a_filter_that_says_421_ends_the_session() -> None:
    client = Rig(filters=[Scripted({Phase.RCPT: defer("later", Reply(421, "4.7.0", "Come back"))})]).connect()
    assert client.codes(HELLO + MAIL + RCPT + "NOOP\r\n") == [250, 250, 421]
    assert not client.open


DISCARD = Verdict(action=Action.DISCARD, reason="unwanted")


@pytest.mark.parametrize("phase", list(Phase))
def test_what_is_discarded_looks_accepted_and_is_not_stored(phase: Phase) -> None:
    rig = Rig(filters=[Scripted({phase: DISCARD})])
    client = rig.connect()
    assert client.codes(HELLO + MESSAGE) == [250, 250, 250, 354, 250]
    assert rig.stored() == rig.offered == rig.said(Accepted) == []
    assert rig.said(Discarded)[0].reason == "unwanted"


def test_one_recipient_is_discarded_and_the_other_served() -> None:
    def judge(transaction: Any) -> Verdict:
        return DISCARD if transaction.recipient.address.local == "other" else Verdict()

    only = Scripted({Phase.RCPT: judge})
    rig = Rig(filters=[only])
    client = rig.connect()
    client.send(HELLO + MAIL + RCPT + "RCPT TO:<other@here.test>\r\nDATA\r\n" + BODY + ".\r\n")
    (record,) = rig.records()
    assert [str(state.address) for state in record.recipients] == ["user@here.test"]
    assert rig.said(Discarded)[0].recipients == ("other@here.test",)


@pytest.mark.parametrize(
    ("action", "held", "quarantined"),
    [(Action.QUARANTINE, "quarantine: odd", True), (Action.HOLD, "odd", False)],
)
@pytest.mark.parametrize("phase", list(Phase))
def test_held_mail_is_stored_and_not_offered(phase: Phase, action: Action, held: str, quarantined: bool) -> None:
    rig = Rig(filters=[Scripted({phase: Verdict(action=action, reason="odd")})])
    client = rig.connect()
    assert client.codes(HELLO + MESSAGE)[-1] == 250
    (record,) = rig.records()
    assert (record.held, record.quarantined) == (held, quarantined)
    assert rig.offered == []


@pytest.mark.parametrize(("held", "offered"), [("", 1), ("odd", 0)])
def test_mail_in_quarantine_goes_on_where_routes_ask_for_it(held: str, offered: int) -> None:
    """Into a folder for junk, say; what another filter holds it for still holds it."""
    asked = []

    def wants(record: Any, head: bytes) -> bool:
        asked.append((record.quarantined, head.startswith(b"From:")))
        return True

    filters = [Scripted({Phase.DATA: Verdict(action=Action.QUARANTINE, reason="forged")})]
    filters += [Scripted({Phase.DATA: Verdict(action=Action.HOLD, reason=held)})] if held else []
    rig = Rig(filters=filters, wants_quarantined=wants)
    client = rig.connect()
    assert client.codes(HELLO + MESSAGE)[-1] == 250
    (record,) = rig.records()
    assert (record.held, record.quarantined, len(rig.offered)) == (held, True, offered)
    assert asked == [(True, True)]
    quiet = Rig(wants_quarantined=wants)
    assert quiet.connect().codes(HELLO + MESSAGE)[-1] == 250
    assert len(asked) == 1, "nobody is asked about other mail"


def test_findings_of_all_phases_stand_on_top_in_order() -> None:
    found: dict[Phase, Any] = {
        phase: Verdict(
            fields=(f"X-{phase.value}: 1\r\n".encode(),), auth=(AuthResult(method=phase.value, result="pass"),)
        )
        for phase in Phase
    }
    rig = Rig(filters=[Scripted(found)])
    client = rig.connect()
    client.send(HELLO + MESSAGE)
    head = rig.stored()[0].split(b"\r\n\r\n")[0].decode()
    assert head.startswith("Authentication-Results: gateway.test;\r\n\tconnect=pass;")
    names = [line.partition(":")[0] for line in head.split("\r\n") if not line.startswith("\t")]
    assert names[1:] == ["X-connect", "X-hello", "X-mail", "X-rcpt", "X-data", "Received", "From", "Subject"]
    assert rig.records()[0].findings == tuple(f"{phase.value}=pass" for phase in Phase)


FORGED = b"Authentication-Results: gateway.test;\r\n\tspf=pass smtp.mailfrom=a@b.test\r\n"
OTHERS = b"Authentication-Results: elsewhere.test; spf=fail\r\nARC-Authentication-Results: i=1; gateway.test; none\r\n"


@pytest.mark.parametrize("size", [1, 300_000])
def test_what_claims_that_we_have_said_it_is_removed_and_journaled(size: int) -> None:
    """RFC 8601 5. Everything else stays as it came, octet for octet."""
    rig = Rig(filters=[Scripted({Phase.MAIL: Verdict(auth=(AuthResult(method="spf", result="fail"),))})])
    client = rig.connect()
    body = b"\r\n" + b"x" * 70 + b"\r\n" + (b"Authentication-Results: gateway.test; none\r\n" * size)[:size] + b"\r\n"
    content = FORGED + b"From:  a@client.test\r\n" + OTHERS + FORGED + b"subject : x\r\n" + body
    client.send(HELLO + MAIL + RCPT + "DATA\r\n" + content.decode("ascii") + ".\r\n")
    rig.clock.pump([0] * 20)
    [stored] = rig.stored()
    ours, _, rest = stored.partition(b"From:")
    assert ours.startswith(b"Authentication-Results: gateway.test;\r\n\tspf=fail\r\nReceived: ")
    assert rest == b"  a@client.test\r\n" + OTHERS + b"subject : x\r\n" + body
    [event] = rig.said(ForgeryRemoved)
    assert event.fields == ("gateway.test;\tspf=pass smtp.mailfrom=a@b.test",) * 2
    assert rig.records()[0].size == len(stored)


def test_findings_of_a_message_do_not_reach_the_next() -> None:
    rig = Rig(filters=[Scripted({Phase.MAIL: Verdict(fields=(b"X-Mail: 1\r\n",))})])
    client = rig.connect()
    client.send(HELLO + MESSAGE + MESSAGE)
    assert [content.count(b"X-Mail") for content in rig.stored()] == [1, 1]


def test_results_reach_later_filters() -> None:
    seen: list[Any] = []
    first = Scripted({phase: Verdict(result=phase.value) for phase in (Phase.CONNECT, Phase.MAIL)})
    second = Scripted({Phase.DATA: lambda transaction: seen.append(transaction.results) or Verdict()})
    Rig(filters=[first, second]).connect().send(HELLO + MESSAGE)
    assert seen == [{"filter0": "mail"}]


def test_no_verdict_grants_relaying() -> None:
    rig = Rig(filters=[Scripted(dict.fromkeys(Phase, Verdict(result="trusted")))])
    client = rig.connect()
    client.send(HELLO + MAIL)
    assert client.codes("RCPT TO:<victim@elsewhere.test>\r\n") == [550]


def relay_codes(client: Client) -> list[int]:
    client.send(HELLO)
    return client.codes(MAIL + "RCPT TO:<someone@elsewhere.test>\r\n")


def test_who_relays() -> None:
    assert relay_codes(Rig().connect()) == [250, 550]
    assert relay_codes(Rig().connect("203.0.113.9")) == [250, 250]
    assert relay_codes(Rig(role=Role.SUBMISSION).connect()) == [530, 503]
    assert relay_codes(Rig(role=Role.SUBMISSION).connect("203.0.113.9")) == [250, 250]
    client = Rig(role=Role.SUBMISSION, auth="always").connect()
    client.send(HELLO)
    assert client.codes("AUTH PLAIN AHVzZXIAY29ycmVjdCBob3JzZQ==\r\n") == [235]
    assert client.codes(MAIL + "RCPT TO:<someone@elsewhere.test>\r\n") == [250, 250]


def test_the_record_knows_where_a_message_came_from() -> None:
    rig = Rig(role=Role.SUBMISSION, auth="always")
    client = rig.connect()
    client.send(HELLO + "AUTH PLAIN AHVzZXIAY29ycmVjdCBob3JzZQ==\r\n")
    client.send(MAIL + RCPT + "DATA\r\nFrom: x <a@Author.test>\r\nMessage-ID: <1@x>\r\n\r\n.\r\n")
    (record,) = rig.records()
    assert (record.login, record.client, record.hello, record.listener) == ("user", "192.0.2.1", "client.test", "in")
    assert (record.message_id, record.header_from) == ("<1@x>", "author.test")
    assert record.size == len(rig.stored()[0])
    assert b"with ESMTPA id" in rig.stored()[0]


def test_submission_adds_what_the_author_forgot_and_an_mx_does_not() -> None:
    for role, added in ((Role.SUBMISSION, True), (Role.MX, False)):
        rig = Rig(role=role)
        client = rig.connect("203.0.113.9")
        client.send(HELLO + MESSAGE)
        (content,), (record,) = rig.stored(), rig.records()
        assert (b"\r\nDate: " in content) is added
        assert record.message_id == (f"<{record.queue_id}@gateway.test>" if added else "")
        assert content.endswith(BODY.encode())
        client.send(MAIL + RCPT + "DATA\r\nDate: x\r\nMessage-ID: <1@x>\r\n\r\n.\r\n")
        assert rig.stored()[1].count(b"Date: ") == 1


def test_everybody_reaches_the_postmaster() -> None:
    client = Rig().connect()
    client.send(HELLO + MAIL)
    for path in ("<postmaster>", "<POSTMASTER>", "<postmaster@here.test>"):
        assert client.codes(f"RCPT TO:{path}\r\n") == [250]
    rig = Rig()
    named = rig.directory.named
    rig.directory.named = lambda login: named(login) if login == "user" else None  # type: ignore[method-assign]
    assert rig.connect().codes(HELLO + MAIL + "RCPT TO:<postmaster>\r\n")[-1] == 550  # a directory that has none at all


def test_a_recipient_given_twice_is_served_once() -> None:
    rig = Rig()
    rig.connect().send(HELLO + MAIL + RCPT + RCPT + "DATA\r\n" + BODY + ".\r\n")
    assert len(rig.records()[0].recipients) == 1
