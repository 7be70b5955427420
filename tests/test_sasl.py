"""The SASL driver: honest logins, every refusal, bounds, and that no password can be found anywhere afterwards."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from relaygw.bridge import as_deferred
from relaygw.core.events import Event, LoggedIn, LoginRefused, TaskFailed
from relaygw.interfaces import Account
from relaygw.sasl import (
    MAX_CREDENTIAL,
    MAX_RESPONSE,
    Authenticated,
    Authenticator,
    Challenge,
    Logins,
    Refusal,
    Refused,
    decode,
)

SECRET = "correct horse"


@implementer(IRealm)
class Realm:
    def __init__(self) -> None:
        self.logouts = 0

    def requestAvatar(self, avatar_id: Any, _mind: Any, *interfaces: Any) -> Any:
        def logout() -> None:
            self.logouts += 1

        return interfaces[0], Account(name=str(avatar_id), addresses=(), mailbox=str(avatar_id)), logout


@implementer(ICredentialsChecker)
class Checker:
    credentialInterfaces = (IUsernamePassword,)

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes]] = []
        self.error: Exception | None = None
        self.waiting: Deferred[Any] | None = None

    def requestAvatarId(self, credentials: Any) -> Any:
        self.asked.append((credentials.username, credentials.password))
        if self.error is not None:
            raise self.error
        if self.waiting is not None:
            return self.waiting
        if (credentials.username, credentials.password) == (b"user", SECRET.encode()):
            return "user"
        raise UnauthorizedLogin(f"wrong {credentials.password!r}")


class Setting:
    def __init__(self, attempts: int = 3) -> None:
        self.clock = Clock()
        self.events: list[Event] = []
        self.checker = Checker()
        self.realm = Realm()
        self.logins: Logins = Authenticator(
            portal=Portal(self.realm, [self.checker]),
            clock=self.clock,
            journal=self.events.append,
            attempts=attempts,
            delay=2.0,
        ).logins("s1", "192.0.2.1")

    def run(self, mechanism: str, *lines: bytes | None) -> Any:
        """The last step; the first line is the initial response."""
        exchange = self.logins.begin(mechanism)
        assert exchange is not None
        step = self.now(exchange.start(lines[0]))
        for line in lines[1:]:
            assert isinstance(step, Challenge)
            assert line is not None
            step = self.now(exchange.respond(line))
        return step

    def now(self, awaitable: Any) -> Any:
        found: list[Any] = []
        as_deferred(awaitable).addBoth(found.append)
        self.clock.advance(2)
        return found[0]


def encoded(text: str | bytes) -> bytes:
    return base64.b64encode(text.encode() if isinstance(text, str) else text)


PLAIN = encoded(f"\0user\0{SECRET}")


def test_plain_with_and_without_an_initial_response() -> None:
    for lines in ((PLAIN,), (None, PLAIN), (encoded(f"user\0user\0{SECRET}"),)):
        setting = Setting()
        step = setting.run("plain", *lines)
        assert isinstance(step, Authenticated)
        assert (step.login, step.mechanism) == ("user", "PLAIN")
        assert setting.events == [LoggedIn(session="s1", login="user", mechanism="PLAIN")]
        step.logout()
        assert setting.realm.logouts == 1


def test_login_with_and_without_an_initial_response() -> None:
    assert isinstance(Setting().run("LOGIN", None, encoded("user"), encoded(SECRET)), Authenticated)
    assert isinstance(Setting().run("LOGIN", encoded("user"), encoded(SECRET)), Authenticated)
    exchange = Setting().logins.begin("LOGIN")
    assert exchange is not None
    assert Setting().now(exchange.start()) == Challenge(b"VXNlcm5hbWU6")


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (encoded("\0user\0wrong"), Refusal.CREDENTIALS),
        (encoded(f"\0nobody\0{SECRET}"), Refusal.CREDENTIALS),
        (encoded(f"other\0user\0{SECRET}"), Refusal.CREDENTIALS),
        (encoded("\0user\0"), Refusal.CREDENTIALS),
        (encoded("\0\0x"), Refusal.CREDENTIALS),
        (encoded(b"\0user\0\xff"), Refusal.CREDENTIALS),
        (encoded("user"), Refusal.MALFORMED),
        (encoded("\0user\0x\0y"), Refusal.MALFORMED),
        (encoded(f"\0user\0{SECRET}")[:-1], Refusal.MALFORMED),
        (b"!!!", Refusal.MALFORMED),
        (b"YQ==YQ==", Refusal.MALFORMED),
        (b"Y Q==", Refusal.MALFORMED),
        (b"=", Refusal.MALFORMED),
        (b"\xff", Refusal.MALFORMED),
    ],
)
def test_refusals_of_plain(response: bytes, kind: Refusal) -> None:
    setting = Setting()
    assert setting.run("PLAIN", response) == Refused(kind)
    (event,) = setting.events
    assert isinstance(event, LoginRefused)
    assert event.client == "192.0.2.1"


def test_someone_elses_name_is_never_tried_with_the_right_password() -> None:
    setting = Setting()
    setting.run("PLAIN", encoded(f"admin\0user\0{SECRET}"))
    assert setting.checker.asked == []


def test_cancelling() -> None:
    setting = Setting()
    assert setting.run("PLAIN", None, b"*") == Refused(Refusal.CANCELLED)
    assert setting.run("LOGIN", None, encoded("user"), b"*") == Refused(Refusal.CANCELLED)
    assert setting.events == []


def test_a_refusal_takes_its_time_and_a_success_does_not() -> None:
    setting = Setting()
    exchange = setting.logins.begin("PLAIN")
    assert exchange is not None
    waiting = as_deferred(exchange.start(encoded("\0user\0wrong")))
    setting.clock.advance(1.9)
    assert not waiting.called
    setting.clock.advance(0.1)
    assert waiting.called
    exchange = setting.logins.begin("PLAIN")
    assert exchange is not None
    assert as_deferred(exchange.start(PLAIN)).called


def test_the_last_attempt_is_told_from_the_one_before() -> None:
    setting = Setting(attempts=3)
    wrong = encoded("\0user\0wrong")
    kinds = [setting.run("PLAIN", line).kind for line in (wrong, b"!", wrong, wrong)]
    assert kinds == [Refusal.CREDENTIALS, Refusal.MALFORMED, Refusal.EXHAUSTED, Refusal.EXHAUSTED]


def test_a_directory_that_fails_is_temporary_and_counts_for_nothing() -> None:
    setting = Setting(attempts=1)
    setting.checker.error = OSError(f"cannot check {SECRET}")
    assert setting.run("PLAIN", PLAIN) == Refused(Refusal.UNAVAILABLE)
    assert setting.run("PLAIN", PLAIN) == Refused(Refusal.UNAVAILABLE)
    setting.checker.error = None
    assert isinstance(setting.run("PLAIN", PLAIN), Authenticated)
    assert [event.error for event in setting.events if isinstance(event, TaskFailed)] == ["OSError", "OSError"]


def test_a_portal_without_a_fitting_checker_is_unavailable() -> None:
    logins = Authenticator(portal=Portal(Realm()), clock=Clock(), journal=lambda event: None).logins("s", "c")
    found: list[Any] = []
    as_deferred(logins.password(b"user", b"x", "USER")).addBoth(found.append)
    assert found == [Refused(Refusal.UNAVAILABLE)]


def test_a_checker_may_answer_later() -> None:
    setting = Setting()
    setting.checker.waiting = Deferred()
    exchange = setting.logins.begin("PLAIN")
    assert exchange is not None
    found: list[Any] = []
    as_deferred(exchange.start(PLAIN)).addBoth(found.append)
    assert found == []
    setting.checker.waiting.callback("user")
    assert isinstance(found[0], Authenticated)


def test_names_and_passwords_are_bounded_at_n_and_n_plus_one() -> None:
    setting = Setting(attempts=10)
    setting.run("PLAIN", encoded("\0" + "u" * MAX_CREDENTIAL + "\0" + "p" * MAX_CREDENTIAL))
    assert len(setting.checker.asked) == 1
    setting.run("PLAIN", encoded("\0" + "u" * (MAX_CREDENTIAL + 1) + "\0p"))
    setting.run("PLAIN", encoded("\0u\0" + "p" * (MAX_CREDENTIAL + 1)))
    assert len(setting.checker.asked) == 1
    assert decode(b"A" * MAX_RESPONSE) is not None
    assert decode(b"A" * (MAX_RESPONSE + 4)) is None


def test_only_what_is_offered_begins() -> None:
    logins = Setting().logins
    for name in ("", "CRAM-MD5", "PLAIN ", "\0", "SCRAM-SHA-256"):
        assert logins.begin(name) is None
    assert logins.mechanisms == ("PLAIN", "LOGIN")


def test_no_password_is_written_or_shown() -> None:
    setting = Setting(attempts=100)
    setting.run("PLAIN", PLAIN)
    setting.run("PLAIN", encoded(f"\0nobody\0{SECRET}"))
    setting.run("LOGIN", encoded("user"), encoded(SECRET + "x"))
    setting.checker.error = ValueError(SECRET)
    step = setting.run("PLAIN", PLAIN)
    assert SECRET not in repr(setting.events)
    assert SECRET not in repr(step)
    assert len(setting.events) == 5


def test_a_hostile_name_stays_on_one_line_of_the_journal() -> None:
    setting = Setting()
    setting.run("PLAIN", encoded("\0a\nb\x1b[31m" + "x" * 500 + "\0wrong"))
    (event,) = setting.events
    assert isinstance(event, LoginRefused)
    assert event.login.isprintable()
    assert len(event.login) == 128


@given(st.sampled_from(["PLAIN", "LOGIN"]), st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.booleans())
@settings(max_examples=100)
def test_any_responses_end_in_a_step(mechanism: str, lines: list[bytes], encode: bool) -> None:
    setting = Setting(attempts=100)
    exchange = setting.logins.begin(mechanism)
    assert exchange is not None
    step = setting.now(exchange.start(None))
    for line in lines:
        if not isinstance(step, Challenge):
            break
        step = setting.now(exchange.respond(encoded(line) if encode else line))
    assert isinstance(step, Challenge | Refused)
