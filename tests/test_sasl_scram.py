"""SCRAM, EXTERNAL and the guard through the driver: a client of the tests' own, every downgrade, nobody enumerated."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scram_client import ScramClient
from twisted.cred.portal import IRealm, Portal
from twisted.internet.task import Clock
from zope.interface import implementer

from relaygw.bridge import as_deferred
from relaygw.core.certificates import CertificateLogin, ClientCertificate, login_of
from relaygw.core.events import Event, LoggedIn, LoginRefused, TaskFailed
from relaygw.core.scram import ScramKeys, derive_keys
from relaygw.interfaces import Account
from relaygw.sasl import Authenticated, Authenticator, Challenge, ProvenNameChecker, Refusal, Refused

KEYS = derive_keys("pencil", b"0123456789abcdef", 4096)
EXPORTED = b"e" * 32
CERTIFICATE = ClientCertificate(fingerprint="ab" * 32, subject="CN=user", verified=True)


@implementer(IRealm)
class Realm:
    def requestAvatar(self, avatar_id: bytes, _mind: Any, *interfaces: Any) -> Any:
        name = avatar_id.decode()
        return interfaces[0], Account(name=name, addresses=(), mailbox=name), lambda: None


class Tls:
    """A channel with one binding, and perhaps a certificate."""

    def __init__(self, certificate: ClientCertificate | None = None) -> None:
        self.certificate = certificate

    def binding(self, name: str) -> bytes | None:
        return EXPORTED if name == "tls-exporter" else None


class Guard:
    def __init__(self) -> None:
        self.closed: set[str] = set()
        self.failures: list[tuple[str, str, bytes]] = []
        self.successes: list[tuple[str, ...]] = []

    def refuses(self, client: str, login: str) -> bool:
        return login in self.closed

    def failed(self, client: str, login: str, attempt: bytes = b"") -> None:
        self.failures.append((client, login, attempt))

    def succeeded(self, client: str, *logins: str) -> None:
        self.successes.append((client, *logins))


class Setting:
    def __init__(self, tls: Tls | None = None, **more: Any) -> None:
        self.clock = Clock()
        self.events: list[Event] = []
        self.guard = Guard()
        self.asked: list[str] = []
        self.authenticator = Authenticator(
            portal=Portal(Realm(), [ProvenNameChecker()]),
            clock=self.clock,
            journal=self.events.append,
            **{"keys": self.keys, "nonce": lambda: b"servers", "guard": self.guard, "attempts": 100, **more},
        )
        self.logins = self.authenticator.logins("s1", "192.0.2.1")
        if tls is not None:
            self.logins.secured(tls)

    def keys(self, name: str) -> ScramKeys | None:
        self.asked.append(name)
        return KEYS if name in ("user", "a,b=c") else None

    def now(self, awaitable: Any) -> Any:
        found: list[Any] = []
        as_deferred(awaitable).addBoth(found.append)
        self.clock.advance(2)
        return found[0]

    def step(self, exchange: Any, data: bytes | None, first: bool = False) -> Any:
        line = None if data is None else base64.b64encode(data)
        return self.now(exchange.start(line) if first else exchange.respond(line or b""))

    def run(self, client: ScramClient, mechanism: str = "SCRAM-SHA-256") -> Any:
        """The whole exchange with the first message as initial response; the last step."""
        exchange = self.logins.begin(mechanism)
        assert exchange is not None
        step = self.step(exchange, client.first, first=True)
        if not isinstance(step, Challenge):
            return step
        step = self.step(exchange, client.final(base64.b64decode(step.data)))
        if not isinstance(step, Challenge):
            return step
        assert client.trusts(base64.b64decode(step.data))
        return self.step(exchange, b"")


def test_a_login_by_scram_with_and_without_an_initial_response() -> None:
    setting = Setting()
    step = setting.run(ScramClient("user", "pencil"))
    assert isinstance(step, Authenticated)
    assert (step.login, step.mechanism) == ("user", "SCRAM-SHA-256")
    assert setting.events == [LoggedIn(session="s1", login="user", mechanism="SCRAM-SHA-256")]
    assert setting.guard.successes == [("192.0.2.1", "user", "user")]
    exchange = setting.logins.begin("scram-sha-256")
    assert setting.step(exchange, None, first=True) == Challenge(b"")
    assert isinstance(setting.step(exchange, ScramClient("user", "pencil").first), Challenge)


def test_names_with_commas_and_equals_signs() -> None:
    assert isinstance(Setting().run(ScramClient("a,b=c", "pencil")), Authenticated)


def test_plus_binds_to_the_channel() -> None:
    step = Setting(Tls()).run(ScramClient("user", "pencil", binding=("tls-exporter", EXPORTED)), "SCRAM-SHA-256-PLUS")
    assert isinstance(step, Authenticated)


@pytest.mark.parametrize(
    ("client", "mechanism"),
    [
        (ScramClient("user", "pencil", binding=("tls-exporter", b"x" * 32)), "SCRAM-SHA-256-PLUS"),
        (ScramClient("user", "pencil", binding=("tls-unique", EXPORTED)), "SCRAM-SHA-256-PLUS"),
        (ScramClient("user", "pencil", binding=("tls-exporter", EXPORTED)), "SCRAM-SHA-256"),
        (ScramClient("user", "pencil"), "SCRAM-SHA-256-PLUS"),
        (ScramClient("user", "pencil", flag="y"), "SCRAM-SHA-256"),
        (ScramClient("user", "pencil", flag="y"), "SCRAM-SHA-256-PLUS"),
    ],
)
def test_whoever_takes_the_offer_out_or_binds_to_another_channel_is_refused(
    client: ScramClient, mechanism: str
) -> None:
    setting = Setting(Tls())
    assert setting.run(client, mechanism) == Refused(Refusal.CREDENTIALS)
    (event,) = setting.events
    assert isinstance(event, LoginRefused)
    assert "binding" in event.reason


def test_a_client_that_could_bind_may_say_so_where_nothing_was_offered() -> None:
    assert isinstance(Setting().run(ScramClient("user", "pencil", flag="y")), Authenticated)


@pytest.mark.parametrize(
    "client",
    [ScramClient("user", "wrong"), ScramClient("nobody", "pencil"), ScramClient("user", "pencil", authzid="admin")],
)
def test_wrong_credentials_all_end_alike(client: ScramClient) -> None:
    setting = Setting()
    assert setting.run(client) == Refused(Refusal.CREDENTIALS)
    (event,) = setting.events
    assert isinstance(event, LoginRefused)
    assert event.reason == "wrong credentials"
    assert len(setting.guard.failures) == 1


def test_somebody_who_is_not_there_looks_like_somebody_at_every_question() -> None:
    setting = Setting(secret=lambda: b"kept")
    challenges = []
    for name in ("nobody", "nobody", "other"):
        exchange = setting.logins.begin("SCRAM-SHA-256")
        step = setting.step(exchange, ScramClient(name, "x").first, first=True)
        challenges.append(base64.b64decode(step.data).split(b","))
    assert challenges[0] == challenges[1]
    assert challenges[0] != challenges[2]
    nonce, salt, _ = challenges[0]
    assert nonce == b"r=rOprNGfwEbeRWgbNEkqOservers"
    assert len(base64.b64decode(salt[2:])) == len(KEYS.salt)


def test_somebody_who_is_not_there_has_as_many_rounds_as_somebody_who_is() -> None:
    found = set()
    for number in range(40):
        setting = Setting(secret=lambda: b"kept", rounds=lambda: (4096, 50_000))
        exchange = setting.logins.begin("SCRAM-SHA-256")
        step = setting.step(exchange, ScramClient(f"nobody{number}", "x").first, first=True)
        found.add(base64.b64decode(step.data).rpartition(b",")[2])
    assert found == {b"i=4096", b"i=50000"}


@pytest.mark.parametrize("last", [b"c=biws,r=rOprNGfwEbeRWgbNEkqOother,p=", b"c=biws,r=,p="])
def test_another_nonce_is_refused(last: bytes) -> None:
    setting = Setting()
    exchange = setting.logins.begin("SCRAM-SHA-256")
    setting.step(exchange, ScramClient("user", "pencil").first, first=True)
    assert setting.step(exchange, last + base64.b64encode(bytes(32))) == Refused(Refusal.CREDENTIALS)


def test_a_directory_that_cannot_be_asked_is_temporary() -> None:
    def broken(_: str) -> ScramKeys | None:
        raise OSError("pencil")

    setting = Setting(keys=broken)
    assert setting.run(ScramClient("user", "pencil")) == Refused(Refusal.UNAVAILABLE)
    assert [event.error for event in setting.events if isinstance(event, TaskFailed)] == ["OSError"]
    assert "pencil" not in repr(setting.events)
    assert setting.guard.failures == []


def test_the_last_response_is_empty() -> None:
    setting = Setting()
    client = ScramClient("user", "pencil")
    exchange = setting.logins.begin("SCRAM-SHA-256")
    step = setting.step(exchange, client.first, first=True)
    setting.step(exchange, client.final(base64.b64decode(step.data)))
    assert setting.step(exchange, b"x") == Refused(Refusal.MALFORMED)


def test_what_is_offered_follows_from_the_channel_the_keys_and_the_certificate() -> None:
    table = (CertificateLogin(login="user", fingerprint=CERTIFICATE.fingerprint),)
    mapped = {"certificate_login": lambda certificate: login_of(table, certificate)}
    assert Setting(keys=None).logins.mechanisms == ("PLAIN", "LOGIN")
    assert Setting(rounds=lambda: ()).logins.mechanisms == ("PLAIN", "LOGIN")
    assert Setting().logins.mechanisms == ("SCRAM-SHA-256", "PLAIN", "LOGIN")
    assert Setting(Tls()).logins.mechanisms == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")
    assert Setting(Tls(), keys=None, **mapped).logins.mechanisms == ("PLAIN", "LOGIN")
    assert Setting(Tls(CERTIFICATE), keys=None, **mapped).logins.mechanisms == ("PLAIN", "LOGIN", "EXTERNAL")
    assert Setting(keys=None).logins.begin("SCRAM-SHA-256") is None
    assert Setting().logins.begin("SCRAM-SHA-256-PLUS") is None
    assert Setting(Tls(CERTIFICATE)).logins.begin("EXTERNAL") is None


@pytest.mark.parametrize(("response", "right"), [(b"", True), (b"user", True), (b"admin", False), (b"\xff", False)])
def test_external(response: bytes, right: bool) -> None:
    setting = Setting(Tls(CERTIFICATE), certificate_login=lambda _: "user")
    exchange = setting.logins.begin("EXTERNAL")
    step = setting.now(exchange.start(base64.b64encode(response) or b"=")) if exchange is not None else None
    assert isinstance(step, Authenticated) if right else step == Refused(Refusal.CREDENTIALS)
    exchange = setting.logins.begin("EXTERNAL")
    assert setting.step(exchange, None, first=True) == Challenge(b"")


def test_a_subject_means_something_only_where_it_was_verified() -> None:
    table = (CertificateLogin(login="user", subject="CN=user"), CertificateLogin(login="two", fingerprint="cd" * 32))
    unverified = ClientCertificate(fingerprint="ab" * 32, subject="CN=user", verified=False)
    assert login_of(table, CERTIFICATE) == "user"
    assert login_of(table, unverified) == ""
    assert login_of(table, ClientCertificate(fingerprint="cd" * 32, subject="", verified=False)) == "two"
    assert login_of((CertificateLogin(login="x"),), ClientCertificate(fingerprint="", subject="", verified=True)) == ""


def test_a_login_that_is_closed_is_refused_whatever_it_knows_and_in_the_same_time() -> None:
    setting = Setting()
    setting.guard.closed.add("user")
    assert setting.run(ScramClient("user", "pencil")) == Refused(Refusal.CREDENTIALS)
    assert setting.guard.successes == []
    (event,) = setting.events
    assert isinstance(event, LoginRefused)
    assert event.reason == "banned"


def test_a_check_that_takes_long_does_not_show_in_the_time_of_the_answer() -> None:
    for took in (0.0, 0.7, 1.9):
        setting = Setting()
        waiting = as_deferred(setting.logins.settle(_wrong(), "SCRAM-SHA-256", setting.logins.now - took))
        setting.clock.advance(1.99 - took)
        assert not waiting.called
        setting.clock.advance(0.02)
        assert waiting.called


def _wrong() -> Any:
    from relaygw.sasl.mechanisms import Wrong

    return Wrong("user")


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.booleans())
@settings(max_examples=100)
def test_any_messages_end_in_a_step(messages: list[bytes], plus: bool) -> None:
    setting = Setting(Tls())
    exchange = setting.logins.begin("SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256")
    step: Any = setting.step(exchange, None, first=True)
    for message in (b"n,,n=user,r=x", *messages):
        if not isinstance(step, Challenge):
            break
        step = setting.step(exchange, message)
    assert isinstance(step, Challenge | Refused)
