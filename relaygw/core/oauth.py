"""OAuth 2.0 as a mail client needs it (RFC 6749, 6750, 7628): requests for tokens, their answers, and the two ways to
show a token to a server. Pure; nothing here repeats a secret in an error.
"""

import base64
import binascii
import enum
import json
import re
from collections.abc import Mapping
from typing import Any

import attrs

from relaygw.core.oauth_hints import hint_of

MAX_TOKEN = 16_384
"""Characters of a token: Microsoft's have up to some thousands."""

DEFAULT_LIFETIME = 3600.0
"""Seconds, where the answer does not say (RFC 6749 5.1 only recommends it)."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")  # RFC 6750 2.1
_PASSING = frozenset({"temporarily_unavailable", "server_error", "slow_down", "authorization_pending"})
"""Errors (RFC 6749 4.1.2.1, RFC 8628 3.5) that end by themselves."""

_WORD = re.compile(r"[a-z_]{1,64}\Z")


class OauthError(Exception):
    """There is no token; the message says why. `permanent`: asking again without a change is of no use."""

    def __init__(self, words: str, *, permanent: bool = False) -> None:
        super().__init__(words)
        self.permanent = permanent


class Flow(enum.Enum):
    """How a token is got (RFC 6749 4.4, 6; RFC 7523 2.1)."""

    CLIENT_CREDENTIALS = "client_credentials"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a grant, not a secret
    SERVICE_ACCOUNT = "service_account"


@attrs.frozen(kw_only=True)
class Token:
    """`refresh` is a new refresh token in place of the one used, "" where that one stays."""

    access: str = attrs.field(repr=False)
    lifetime: float
    refresh: str = attrs.field(default="", repr=False)


def token_request(
    flow: Flow, client_id: str, client_secret: str, scope: str, refresh: str, assertion: str = ""
) -> Mapping[str, str]:
    """The form for a token endpoint. A public client has no secret; a refresh may leave the scope as it was granted. An
    assertion is all of a service account's request (RFC 7523 2.1), and stands for an application's secret (2.2)."""
    if flow is Flow.SERVICE_ACCOUNT:
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    form = {"grant_type": flow.value, "client_id": client_id}
    if assertion:
        form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        form["client_assertion"] = assertion
    if client_secret:
        form["client_secret"] = client_secret
    if scope:
        form["scope"] = scope
    if flow is Flow.REFRESH_TOKEN:
        form["refresh_token"] = refresh
    return form


def parse_token(status: int, body: bytes) -> Token:
    """What the endpoint answered; raises OauthError."""
    document = _object(body)
    if status != 200 or "error" in document:
        raise _refusal(status, document)
    access, kind = document.get("access_token"), document.get("token_type", "")
    if not isinstance(access, str) or len(access) > MAX_TOKEN or not _TOKEN.match(access):
        raise OauthError("the token server's answer holds no access token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise OauthError("the token server gave a token that is no bearer token")
    refresh = document.get("refresh_token")
    return Token(
        access=access,
        lifetime=_lifetime(document.get("expires_in")),
        refresh=refresh if isinstance(refresh, str) and 0 < len(refresh) <= MAX_TOKEN else "",
    )


def _refusal(status: int, document: Mapping[str, Any]) -> OauthError:
    """RFC 6749 5.2; the codes that both Microsoft and Google use. The first line of the description is for people."""
    word = document.get("error")
    if not isinstance(word, str) or not _WORD.match(word):
        return OauthError(f"the token server answered {status}")
    description = document.get("error_description")
    line = description.splitlines()[0] if isinstance(description, str) and description.strip() else ""
    words = "".join(each for each in line if each.isprintable())[:200]
    told = f"the token server refused ({word}{': ' + words if words else ''})"
    hint = hint_of(document)
    return OauthError(f"{told}; {hint}" if hint else told, permanent=word not in _PASSING)


def _lifetime(value: Any) -> float:
    """Some servers send the number as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10**9:
        return DEFAULT_LIFETIME
    return float(value)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def xoauth2(username: str, token: str) -> bytes:
    """Google's and Microsoft's own mechanism."""
    return f"user={username}\1auth=Bearer {token}\1\1".encode()


def oauthbearer(username: str, host: str, port: int, token: str) -> bytes:
    """RFC 7628 3.1."""
    name = username.replace("=", "=3D").replace(",", "=2C")
    return f"n,a={name},\1host={host}\1port={port}\1auth=Bearer {token}\1\1".encode()


def challenge_words(text: str) -> str:
    """What a server that refuses a token says in its challenge (RFC 7628 3.2.2), for people;
    "" where that is nothing.
    """
    try:
        document = _object(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return ""
    told = ((name, document.get(name)) for name in ("status", "schemes", "scope"))
    words = ", ".join(f"{name} {value}" for name, value in told if isinstance(value, str))
    return "".join(each for each in words if each.isprintable())[:200]
