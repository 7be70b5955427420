"""SCRAM and EXTERNAL in IMAP: transcripts, an exchange that is left in the middle, and the offers under TLS."""

import base64
from pathlib import Path
from typing import Any

import pytest
from imap_harness import World
from scram_client import ScramClient
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from relaygw.core.scram import derive_keys

KEYS = derive_keys("pencil", b"0123456789abcdef", 4096)


def world(folder: Path, **logins: Any) -> World:
    return World(folder, logins={"keys": lambda name: KEYS if name == "alice" else None, **logins})


def connect(here: World, host: str = "192.0.2.1") -> Any:
    client = here.connect(host)
    client.read()
    return client


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


def challenge(reply: bytes) -> bytes:
    assert reply.startswith(b"+ ")
    return base64.b64decode(reply[2:])


@pytest.mark.parametrize("initial", [True, False])
def test_a_login_by_scram(tmp_path: Path, initial: bool) -> None:
    client = connect(world(tmp_path))
    scram = ScramClient("alice", "pencil")
    if initial:
        reply = client.say(b"a AUTHENTICATE SCRAM-SHA-256 " + b64(scram.first) + b"\r\n")
    else:
        assert client.say(b"a AUTHENTICATE SCRAM-SHA-256\r\n") == b"+ \r\n"
        reply = client.say(b64(scram.first) + b"\r\n")
    reply = client.say(b64(scram.final(challenge(reply))) + b"\r\n")
    assert scram.trusts(challenge(reply))
    assert client.say(b"\r\n").startswith(b"a OK ")


def test_a_wrong_proof_and_an_unknown_name_are_answered_alike(tmp_path: Path) -> None:
    replies = []
    for name in ("alice", "nobody"):
        client = connect(world(tmp_path))
        scram = ScramClient(name, "wrong")
        reply = client.say(b"a AUTHENTICATE SCRAM-SHA-256 " + b64(scram.first) + b"\r\n")
        replies.append(client.say(b64(scram.final(challenge(reply))) + b"\r\n"))
    assert replies[0] == replies[1] == b"a NO [AUTHENTICATIONFAILED] Name or password is wrong\r\n"


def test_an_exchange_left_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    here = world(tmp_path)
    for lines in ([], [b64(ScramClient("alice", "x").first)]):
        client = connect(here)
        client.say(b"a AUTHENTICATE SCRAM-SHA-256\r\n")
        for line in lines:
            client.say(line + b"\r\n")
        client.server.connectionLost(Failure(ConnectionLost()))
        here.settle()
        assert here.factory.connections == 0


def test_cancelling_and_what_is_no_message(tmp_path: Path) -> None:
    client = connect(world(tmp_path))
    client.say(b"a AUTHENTICATE SCRAM-SHA-256\r\n")
    assert client.say(b"*\r\n").startswith(b"a BAD ")
    client.say(b"b AUTHENTICATE SCRAM-SHA-256\r\n")
    assert client.say(b64(b"n,,hello") + b"\r\n").startswith(b"b BAD ")


def test_what_is_offered(tmp_path: Path) -> None:
    greeting = connect(world(tmp_path)).say(b"a CAPABILITY\r\n")
    assert b" AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN\r\n" in greeting
    assert connect(world(tmp_path)).say(b"a AUTHENTICATE SCRAM-SHA-256-PLUS\r\n").startswith(b"a NO ")
    assert connect(world(tmp_path)).say(b"a AUTHENTICATE EXTERNAL\r\n").startswith(b"a NO ")


def test_a_banned_client_is_told_goodbye(tmp_path: Path) -> None:
    here = World(tmp_path, shut=lambda client: client if client == "192.0.2.9" else None)
    assert connect(here).say(b"a NOOP\r\n") == b"a OK Done\r\n"
    address = type("Address", (), {"host": "192.0.2.9", "port": 1})()
    turned = here.factory.buildProtocol(address)
    wire = StringTransport()
    turned.makeConnection(wire)
    assert wire.value() == b"* BYE Connections from your address are refused for now, try again later\r\n"
    assert wire.disconnecting
