"""The mechanisms, each a small coroutine: yields challenges, is sent responses, and ends with what it found out.

What it found is a claim the driver has to settle: a password to be checked, a name that was proven, or nothing.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

import attrs

from relaygw.bridge import resolve
from relaygw.core import scram
from relaygw.core.certificates import ClientCertificate
from relaygw.core.scram import First, ScramError, ScramKeys

Keys = Callable[[str], ScramKeys | None | Awaitable[ScramKeys | None]]
"""The keys of whoever logs in under a name, now or later; None: nobody does, or has none."""


@attrs.frozen(repr=False)
class Password:
    """Somebody says to be `username` and gives a password. No repr that could end in a log."""

    username: bytes
    password: bytes


@attrs.frozen
class Proven:
    """Somebody has shown to be `username`."""

    username: str


@attrs.frozen
class Wrong:
    """It was not shown. `reason` is for the journal."""

    username: str
    reason: str = "wrong credentials"


class Malformed(Exception):
    """The response is not what the mechanism says."""


class SecureChannel(Protocol):
    """The TLS around a session, as mechanisms see it (relaygw.channel.Channel)."""

    def binding(self, name: str) -> bytes | None:
        """The channel binding of this name (RFC 5929, 9266); None where there is none."""
        ...

    @property
    def certificate(self) -> ClientCertificate | None:
        """The client's, None where it gave none."""
        ...


@attrs.frozen(kw_only=True)
class Setting:
    """What a mechanism may know. `channel` None: no TLS. `certified` is whom the client's certificate stands for, ""
    for nobody. `plus` tells that channel binding was offered."""

    channel: SecureChannel | None
    certified: str
    keys: Keys
    nonce: Callable[[], bytes]
    secret: Callable[[], bytes]
    rounds: tuple[int, ...]
    plus: bool


Found = Password | Proven | Wrong
Run = AsyncGenerator[bytes | Found, bytes]
Mechanism = Callable[[Setting, bytes | None], Run]
"""Given the initial response (None: there was none). It may wait before each challenge."""


async def _plain(_: Setting, initial: bytes | None) -> Run:
    """RFC 4616: authzid NUL authcid NUL passwd. Acting for somebody else is not offered."""
    message = (yield b"") if initial is None else initial
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise Malformed
    authzid, username, password = parts
    if authzid not in (b"", username):
        # An honest refusal would say "not authorized"; the wrong name says the same and tells a guesser nothing.
        password = b""
    yield Password(username, password)


async def _login(_: Setting, initial: bytes | None) -> Run:
    """draft-murchison-sasl-login: two questions; an initial response answers the first."""
    username = (yield b"Username:") if initial is None else initial
    password = yield b"Password:"
    yield Password(username, password)


async def _external(setting: Setting, initial: bytes | None) -> Run:
    """RFC 4422 A: the certificate has said who it is; the response may only say the same."""
    message = (yield b"") if initial is None else initial
    login = setting.certified
    if not login or message not in (b"", login.encode("utf-8")):
        yield Wrong(login, "the certificate is not for this name")
        return
    yield Proven(login)


async def _scram(plus: bool, setting: Setting, initial: bytes | None) -> Run:
    """RFC 5802; with `plus` bound to the channel, so that nobody in the middle can pass it on.

    A failure ends in the protocol's own refusal, without the `e=` that would tell which part was wrong.
    """
    try:
        first = scram.parse_first((yield b"") if initial is None else initial)
        bound = _bound(first, setting, plus)
        found = await resolve(setting.keys(first.username))
        keys = found or scram.fake_keys(setting.secret(), first.username.casefold(), setting.rounds)
        challenge = scram.server_first(keys, first.nonce, setting.nonce())
        final = scram.parse_final((yield challenge))
    except ScramError:
        raise Malformed from None
    nonce = challenge[2:].partition(b",")[0]
    auth_message = b",".join((first.bare, challenge, final.signed))
    right = scram.proven(keys, auth_message, final.proof)
    if bound is None or final.binding != first.header + bound:
        yield Wrong(first.username, "wrong channel binding: somebody may be in the middle")
    elif not right or found is None or final.nonce != nonce or first.authzid not in ("", first.username):
        yield Wrong(first.username)
    else:
        if (yield scram.server_final(keys, auth_message)):
            raise Malformed
        yield Proven(first.username)


def _bound(first: First, setting: Setting, plus: bool) -> bytes | None:
    """What the client's last message must bind to; None where its first has refused itself (RFC 5802 6).

    "y" says that the client could bind and saw no offer. Where we made one, somebody has taken it out.
    """
    if first.flag == "p":
        return setting.channel.binding(first.binding) if plus and setting.channel is not None else None
    return None if plus or (first.flag == "y" and setting.plus) else b""


MECHANISMS: Mapping[str, Mechanism] = {
    scram.PLUS: partial(_scram, True),
    scram.NAME: partial(_scram, False),
    "PLAIN": _plain,
    "LOGIN": _login,
    "EXTERNAL": _external,
}
"""In the order in which they are offered: the best first, as many clients take the first they know."""
