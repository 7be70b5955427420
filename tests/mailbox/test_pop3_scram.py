"""SCRAM in POP3 (RFC 5034): offered in CAPA and AUTH, played through, refused alike, and banned clients turned away."""

import base64
from pathlib import Path
from typing import Any

import pytest
from pop3_sessions import House, Session
from scram_client import ScramClient

from relaygw.core.scram import derive_keys

KEYS = derive_keys("pencil", b"0123456789abcdef", 4096)


def house(folder: Path) -> House:
    return House(folder, logins={"keys": lambda name: KEYS if name == "alice" else None, "delay": 0.0})


def line(data: bytes) -> bytes:
    return base64.b64encode(data) + b"\r\n"


def challenge(reply: bytes) -> bytes:
    assert reply.startswith(b"+ "), reply
    return base64.b64decode(reply[2:])


def say(here: House, session: Session, data: bytes) -> bytes:
    """A refusal takes no time here, but a turn of the reactor."""
    reply = session.say(data)
    here.reactor.advance(0)
    return reply + session.read()


@pytest.mark.parametrize("initial", [True, False])
def test_a_login_by_scram(tmp_path: Path, initial: bool) -> None:
    session = house(tmp_path).connect()
    scram = ScramClient("alice", "pencil")
    if initial:
        reply = session.say(b"AUTH SCRAM-SHA-256 " + line(scram.first))
    else:
        assert session.say(b"AUTH SCRAM-SHA-256\r\n") == b"+ \r\n"
        reply = session.say(line(scram.first))
    reply = session.say(line(scram.final(challenge(reply))))
    assert scram.trusts(challenge(reply))
    assert session.say(b"\r\n").startswith(b"+OK 0 messages")


def test_it_is_offered_and_bound_ones_only_under_tls(tmp_path: Path) -> None:
    session = house(tmp_path).connect()
    assert b"\r\nSASL SCRAM-SHA-256 PLAIN LOGIN\r\n" in session.say(b"CAPA\r\n")
    assert session.say(b"AUTH\r\n").split(b"\r\n")[1:4] == [b"SCRAM-SHA-256", b"PLAIN", b"LOGIN"]
    assert session.say(b"AUTH SCRAM-SHA-256-PLUS\r\n").startswith(b"-ERR")
    assert session.say(b"AUTH EXTERNAL\r\n").startswith(b"-ERR")


def test_a_wrong_proof_and_an_unknown_name_are_answered_alike(tmp_path: Path) -> None:
    replies = []
    for name in ("alice", "nobody"):
        here = house(tmp_path)
        session = here.connect()
        scram = ScramClient(name, "wrong")
        reply = say(here, session, b"AUTH SCRAM-SHA-256 " + line(scram.first))
        replies.append(say(here, session, line(scram.final(challenge(reply)))))
    assert replies == [b"-ERR [AUTH] wrong user name or password\r\n"] * 2


def test_what_is_no_message_and_a_cancelled_exchange(tmp_path: Path) -> None:
    here = house(tmp_path)
    session = here.connect()
    assert say(here, session, b"AUTH SCRAM-SHA-256 " + line(b"n,,x")).startswith(b"-ERR malformed")
    session.say(b"AUTH SCRAM-SHA-256\r\n")
    assert say(here, session, b"*\r\n").startswith(b"-ERR authentication cancelled")
    assert session.say(b"NOOP\r\n").startswith(b"-ERR log in first")


def test_a_banned_client_is_turned_away(tmp_path: Path) -> None:
    here = house(tmp_path)
    asked: list[Any] = []
    here.factory._shut = lambda client: asked.append(client) or client
    session = here.connect()
    assert session.greeting == b"-ERR [SYS/TEMP] connections from your address are refused for now\r\n"
    assert session.wire.lost
    assert asked == ["192.0.2.1"]
