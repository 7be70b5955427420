"""Access tokens for logins: fetched, shared, fetched again before they end, and dropped when a server refuses them.

A refresh token that the token server replaces is kept in the state directory (mode 0600) for as long as the configured
one, which it goes back to, stays the same. A token server that refuses is left alone for a while.
"""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from relaygw import durable
from relaygw.core.oauth import Flow, OauthError, Token, parse_token, token_request
from relaygw.egress import assertions
from relaygw.egress.https import Https, HttpsError
from relaygw.egress.secrets import Secret, SecretError

TIMEOUT, LIMIT = 30.0, 64 * 1024
"""Of a request for a token: seconds, and octets of its answer."""

AHEAD = 300.0
"""Seconds before its end that a token is fetched again, beside the mail; where it is short-lived, a quarter of its
life."""

LATEST = 10.0
"""Seconds before its end from which a token is not used any more."""

YOUNG = 60.0
"""Seconds for which a token is a new one."""

PAUSE, LONG_PAUSE = 30.0, 300.0
"""Seconds without a further request after one that failed: by accident, and by the server's decision."""

FOLDER = "oauth"
"""Below the state directory."""


@attrs.frozen(kw_only=True)
class OauthSource:
    """Where tokens for a login come from. `key` proves who asks (relaygw.egress.assertions); a service account asks for
    `subject`."""

    flow: Flow
    token_url: str
    client_id: str = ""
    client_secret: Secret | None = None
    key: Secret | None = None
    subject: str = ""
    refresh_token: Secret | None = None
    scope: str = ""
    authorities: str = ""


@attrs.frozen(kw_only=True)
class _Held:
    token: Token
    until: float
    renew: float
    since: float


class Tokens:
    """`state` is the directory for replaced refresh tokens; `ask` posts a form and answers a status and octets."""

    def __init__(
        self,
        clock: Any,
        state: str,
        ask: Callable[[OauthSource, Any], Awaitable[tuple[int, bytes]]],
        spawn: Callable[[str, Awaitable[Any]], None],
    ) -> None:
        self._clock = clock
        self._folder = os.path.join(state, FOLDER)
        self._ask = ask
        self._spawn = spawn
        self._held: dict[OauthSource, _Held] = {}
        self._failed: dict[OauthSource, tuple[float, OauthError]] = {}
        self._waiting: dict[OauthSource, list[Deferred[Token]]] = {}

    async def token(self, source: OauthSource) -> str:
        """An access token that holds for a while; raises OauthError."""
        held, now = self._held.get(source), self._clock.seconds()
        if held is None or now >= held.until:
            return (await self._fetched(source)).access
        if now >= held.renew and source not in self._waiting and self._may_ask(source):
            self._spawn(f"fetch a token from {source.token_url} ahead", self._quietly(source))
        return held.token.access

    def refused(self, source: OauthSource, access: str) -> bool:
        """A mail server did not take this token: the next login gets another. Whether that is worth a try at once: not
        where it was fetched just now, because then it is not its age that was wrong with it."""
        held = self._held.get(source)
        if held is None or held.token.access != access:
            return True
        del self._held[source]
        return bool(self._clock.seconds() - held.since > YOUNG)

    async def _quietly(self, source: OauthSource) -> None:
        """The token in use is good for a while yet: a failure is told when it counts."""
        with contextlib.suppress(OauthError):
            await self._fetched(source)

    def _may_ask(self, source: OauthSource) -> bool:
        left = self._failed.get(source, (0.0, None))[0] - self._clock.seconds()
        return not 0 < left <= LONG_PAUSE + 1.0  # more is left by a clock that was put back meanwhile

    async def _fetched(self, source: OauthSource) -> Token:
        """One request at a time; whoever else wants the token gets its result."""
        if source in self._waiting:
            waiter: Deferred[Token] = Deferred()
            self._waiting[source].append(waiter)
            return await waiter
        if not self._may_ask(source):
            raise self._failed[source][1]
        self._waiting[source] = []
        found: Token | OauthError = OauthError("the request for a token was broken off")
        try:
            found = await self._result(source)
        finally:
            for waiter in self._waiting.pop(source):
                if not waiter.called:
                    _tell(waiter, found)
        if isinstance(found, OauthError):
            raise found
        return found

    async def _result(self, source: OauthSource) -> Token | OauthError:
        try:
            token = await self._request(source)
        except OauthError as error:
            pause = LONG_PAUSE if error.permanent else PAUSE
            self._failed[source] = self._clock.seconds() + pause, error
            return error
        self._failed.pop(source, None)
        now = self._clock.seconds()
        ahead = min(AHEAD, token.lifetime / 4)
        self._held[source] = _Held(
            token=token,
            until=now + max(token.lifetime - LATEST, 0.0),
            renew=now + token.lifetime - ahead,
            since=now,
        )
        return token

    async def _request(self, source: OauthSource) -> Token:
        configured = _read(source.refresh_token)
        refresh = self._replaced(source, configured) or configured
        secret, assertion = _read(source.client_secret), self._assertion(source)
        form = token_request(source.flow, source.client_id, secret, source.scope, refresh, assertion)
        try:
            token = parse_token(*await self._ask(source, form))
        except HttpsError as error:
            raise OauthError(f"the token server {source.token_url} cannot be asked: {error}") from None
        if token.refresh and token.refresh != refresh and source.flow is Flow.REFRESH_TOKEN:
            self._keep(source, configured, token.refresh)
        return token

    def _assertion(self, source: OauthSource) -> str:
        """What is signed with the key, "" where there is none."""
        if source.key is None:
            return ""
        key, now = _read(source.key), self._clock.seconds()
        if source.flow is Flow.SERVICE_ACCOUNT:
            return assertions.service_account(key, source.token_url, source.scope, source.subject, now)
        return assertions.application(key, source.client_id, source.token_url, secrets.token_hex(16), now)

    def _replaced(self, source: OauthSource, configured: str) -> str:
        """The refresh token that has taken the configured one's place; "" where none has."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with open(self._file(source), encoding="utf-8") as file:
                kept = json.load(file)
            if kept["for"] == _digest(configured):
                return str(kept["refresh_token"])
        return ""

    def _keep(self, source: OauthSource, configured: str, refresh: str) -> None:
        """Written and synced before it is relied on: the one before it may be void already."""
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            kept = {"for": _digest(configured), "refresh_token": refresh}
            durable.replace(self._file(source), json.dumps(kept))
        except OSError as error:
            raise OauthError(f"a new refresh token cannot be kept in {self._folder}: {error.strerror}") from None

    def _file(self, source: OauthSource) -> str:
        name = _digest(f"{source.token_url}\0{source.client_id}\0{source.refresh_token}")[:32]
        return os.path.join(self._folder, f"{name}.json")


def _tell(waiter: "Deferred[Token]", found: Token | OauthError) -> None:
    if isinstance(found, OauthError):
        waiter.errback(found)
    else:
        waiter.callback(found)


def _read(secret: Secret | None) -> str:
    try:
        return secret.read() if secret is not None else ""
    except SecretError as error:
        raise OauthError(str(error)) from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def ask_by(reactor: Any, resolver: Any) -> Callable[[OauthSource, Any], Awaitable[tuple[int, bytes]]]:
    """How the world's token servers are asked."""

    async def ask(source: OauthSource, form: Any) -> tuple[int, bytes]:
        https = Https(reactor, resolver, source.authorities)
        page = await https.post(source.token_url, form, timeout=TIMEOUT, limit=LIMIT)
        return page.status, page.body

    return ask
