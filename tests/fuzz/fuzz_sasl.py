"""Whatever lines a client answers with, every exchange ends in a step, and nobody is logged in by chance.

The first octet chooses the mechanism; the lines follow, as base64 unless they begin with "!".
"""

import base64
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet.task import Clock

from relaygw.bridge import as_deferred
from relaygw.core.certificates import ClientCertificate
from relaygw.core.scram import derive_keys
from relaygw.realm import AccountRealm
from relaygw.sasl import Authenticated, Authenticator, Challenge, ProvenNameChecker, Refused

_KEYS = derive_keys("a password nobody guesses", b"0123456789abcdef", 4096)
_NAMES = ("PLAIN", "LOGIN", "EXTERNAL", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
SEEDS = (
    b"\x00\0user\0password",
    b"\x01user\npassword",
    b"\x02\nuser",
    b"\x03n,,n=user,r=x\nc=biws,r=xservers,p=" + base64.b64encode(bytes(32)) + b"\n",
    b"\x04p=tls-exporter,,n=user,r=x\nc=,r=x,p=\n!*",
    b"\x03!=\n!not base64",
)


class _Tls:
    certificate = ClientCertificate(fingerprint="ab" * 32, subject="", verified=False)

    def binding(self, name: str) -> bytes | None:
        return b"bound" if name == "tls-exporter" else None


class _Nobody:
    """Has an account for no name: whoever gets as far as the realm must not have got there."""

    def named(self, login: str) -> None:
        raise AssertionError(f"{login!r} was let in")


def one_input(data: bytes) -> None:
    clock, events = Clock(), []  # type: ignore[var-annotated]  # of events
    checker = InMemoryUsernamePasswordDatabaseDontUse(user=b"a password nobody guesses")
    logins = Authenticator(
        portal=Portal(AccountRealm(_Nobody()), [checker, ProvenNameChecker()]),
        clock=clock,
        journal=events.append,
        keys=lambda name: _KEYS if name == "user" else None,
        nonce=lambda: b"servers",
        certificate_login=lambda _: "",
    ).logins("s", "192.0.2.1")
    logins.secured(_Tls())
    exchange = logins.begin(_NAMES[data[0] % len(_NAMES)] if data else "PLAIN")
    step: Any = Challenge(b"")
    for number, line in enumerate(data[1:].split(b"\n")):
        if exchange is None or not isinstance(step, Challenge):
            break
        sent = line[1:] if line.startswith(b"!") else base64.b64encode(line)
        found: list[Any] = []
        as_deferred(exchange.start(sent) if number == 0 else exchange.respond(sent)).addBoth(found.append)
        clock.advance(2)
        (step,) = found
        assert isinstance(step, Challenge | Refused)
        assert not isinstance(step, Authenticated)
    assert all(event.__class__.__name__ == "LoginRefused" for event in events), events
    assert all(event.login.isprintable() or not event.login for event in events)
