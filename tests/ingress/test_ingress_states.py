"""Every cell of the table of states and commands: what is allowed is answered, all else changes nothing."""

from typing import Any

import pytest
from ingress_rig import HELLO, MAIL, RCPT, Client, Rig

from relaygw.ingress.states import TABLE, Next, State, Verb

INTO = {
    State.STRANGER: "",
    State.PLAIN: "HELO client.test\r\n",
    State.EXTENDED: HELLO,
    State.SENDER: HELLO + MAIL,
    State.RECIPIENTS: HELLO + MAIL + RCPT,
    State.CHUNKS: HELLO + MAIL + RCPT + "BDAT 2\r\n\r\n",
    State.SPOILT: HELLO + MAIL + RCPT + "BDAT 2\r\n\n\n",
}
ARGUMENTS = {
    Verb.EHLO: " client.test",
    Verb.HELO: " client.test",
    Verb.MAIL: " FROM:<a@client.test>",
    Verb.RCPT: " TO:<other@here.test>",
    Verb.AUTH: " PLAIN AHVzZXIAY29ycmVjdCBob3JzZQ==",
    Verb.VRFY: " user",
    Verb.EXPN: " list",
    Verb.BDAT: " 0",
    Verb.LHLO: " client.test",
}
REFUSED_ANYWAY = {Verb.EXPN}
LMTP = {Verb.LHLO: State.EXTENDED, Verb.EHLO: Next.SAME, Verb.HELO: Next.SAME}
"""On an LMTP listener only LHLO tells who a client is, and on others it does not."""


class NoTls:
    context_factory: Any = object()


def in_state(state: State) -> tuple[Rig, Client]:
    rig = Rig(auth="always", tls=NoTls())
    client = rig.connect()
    client.send(INTO[state])
    assert client.protocol.conversation.state is state
    return rig, client


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("state", State)
def test_every_cell(state: State, verb: Verb) -> None:
    _, client = in_state(state)
    reply = client.send(f"{verb.value}{ARGUMENTS.get(verb, '')}\r\n")
    conversation = client.protocol.conversation
    target = TABLE[state].get(verb)
    if target is None:
        assert reply[:3] in ("503", "554")
        assert reply[4:9] == "5.5.1"
        assert conversation.state is state
        return
    if verb is Verb.LHLO:
        assert reply.startswith("500 ")
        target = Next.SAME
    elif verb not in REFUSED_ANYWAY:
        assert reply[0] in "23", reply
    expected = {Next.SAME: state, Next.READY: State.EXTENDED}.get(target, target)  # type: ignore[call-overload]
    assert conversation.state is expected
    assert client.open is (verb is not Verb.QUIT)


def test_lmtp_has_its_own_hello() -> None:
    for verb, target in LMTP.items():
        client = Rig(listener={"protocol": "lmtp"}).connect()
        client.send(f"{verb.value} client.test\r\n")
        expected = State.STRANGER if target is Next.SAME else target
        assert client.protocol.conversation.state is expected


@pytest.mark.parametrize("state", State)
def test_a_refused_command_changes_nothing(state: State) -> None:
    _, client = in_state(state)
    for line in ("FOO\r\n", "MAIL FROM:x\r\n", "RCPT TO:<stranger@elsewhere.test>\r\n", "EHLO\r\n", "DATA x\r\n"):
        client.send(line)
        assert client.protocol.conversation.state is state


def test_hello_again_ends_the_transaction() -> None:
    for hello in (HELLO, "HELO client.test\r\n", "RSET\r\n"):
        rig, client = in_state(State.RECIPIENTS)
        assert client.codes(hello) == [250]
        assert client.codes("DATA\r\n") == [503]
        assert rig.stored() == []


def test_parameters_are_for_those_who_said_ehlo() -> None:
    _, client = in_state(State.PLAIN)
    assert client.codes("MAIL FROM:<a@client.test> SIZE=1\r\n") == [555]
    assert client.codes("MAIL FROM:<a@client.test>\r\n") == [250]
