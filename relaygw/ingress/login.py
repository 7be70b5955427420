"""AUTH in one session (RFC 4954): when it is offered, and the answers to the steps of `relaygw.sasl`."""

from collections.abc import Awaitable, Mapping

from relaygw.bridge import follow
from relaygw.core.reply import Reply
from relaygw.core.session import Session
from relaygw.ingress import answers
from relaygw.ingress.answers import Answer, Then, Turn
from relaygw.ingress.house import House
from relaygw.ingress.subject import Subject
from relaygw.sasl import Authenticated, Challenge, Exchange, Refusal, SecureChannel, Step

MAX_RESPONSE = 12288
"""Octets of an AUTH line or a SASL response with its CRLF (RFC 4954 4)."""

_REFUSALS: Mapping[Refusal, Answer] = {
    Refusal.CANCELLED: Reply(501, "5.7.0", "Authentication cancelled"),
    Refusal.MALFORMED: Reply(501, "5.5.2", "The response cannot be read"),
    Refusal.CREDENTIALS: Reply(535, "5.7.8", "Authentication credentials invalid"),
    Refusal.UNAVAILABLE: Reply(454, "4.7.0", "Temporary authentication failure"),
    Refusal.EXHAUSTED: Turn(Reply(421, "4.7.0", "Too many failed logins"), Then.CLOSE),
}


class Login:
    """`name` is who logged in, "" before that; while there is an `exchange` the next line is a response to it."""

    def __init__(self, house: House, session: Session, subject: Subject) -> None:
        self._house = house
        self._subject = subject
        self._logins = house.authenticator.logins(session.id, session.client) if house.authenticator else None
        self.exchange: Exchange | None = None
        self._done: Authenticated | None = None
        self._gone = False

    @property
    def name(self) -> str:
        return self._done.login if self._done is not None else ""

    def offer(self, secure: bool) -> str:
        """The line of the answer to EHLO, "" where AUTH would be refused."""
        if self._logins is None or self._refusal(secure) is not None:
            return ""
        return " ".join(("AUTH", *self._logins.mechanisms))

    def _refusal(self, secure: bool) -> Reply | None:
        if self._logins is None:
            return answers.NO_AUTH
        if self._done is not None:
            return answers.AUTH_DONE
        if not secure and not self._house.auth_in_clear:
            return answers.AUTH_WANTS_TLS
        return None

    def begin(self, argument: str, secure: bool) -> Answer | Awaitable[Answer]:
        """The argument of AUTH."""
        refusal = self._refusal(secure)
        if refusal is not None or self._logins is None:
            return refusal or answers.NO_AUTH
        mechanism, _, initial = argument.partition(" ")
        if not mechanism or " " in initial:
            return answers.AUTH_SYNTAX
        self.exchange = self._logins.begin(mechanism)
        if self.exchange is None:
            return answers.NO_MECHANISM
        return follow(self.exchange.start(initial.encode("utf-8") if initial else None), self._stepped)

    def respond(self, line: bytes) -> Answer | Awaitable[Answer]:
        """A response."""
        assert self.exchange is not None
        return follow(self.exchange.respond(line), self._stepped)

    def _stepped(self, step: Step) -> Answer:
        if isinstance(step, Challenge):
            return Reply(334, "", step.data.decode("ascii"))
        self.exchange = None
        if isinstance(step, Authenticated):
            self._done = step
            if self._gone:
                self.forget()
            return answers.LOGGED_IN
        self._subject.reason = step.kind.value
        return _REFUSALS[step.kind]

    def secured(self, channel: SecureChannel) -> None:
        """The session runs inside TLS from now on."""
        if self._logins is not None:
            self._logins.secured(channel)

    def cancel(self) -> None:
        """The exchange under way, if any, comes to nothing."""
        self.exchange = None

    def forget(self) -> None:
        """Nobody is logged in any more."""
        done, self._done = self._done, None
        self.exchange = None
        if done is not None:
            done.logout()

    def leave(self) -> None:
        """The client is gone: a login that is still being checked will be for nobody."""
        self._gone = True
        self.forget()
