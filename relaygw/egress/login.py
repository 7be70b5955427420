"""AUTH as a client (RFC 4954): EXTERNAL, OAUTHBEARER or XOAUTH2, SCRAM-SHA-256 with or without channel binding, PLAIN,
LOGIN; the best that the server offers and we have something for. A secret is read for one login and appears nowhere
else.

A refusal is temporary: the mail is not at fault, the credentials are, and an operator can put that right.
"""

import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable, Iterable

import attrs

from relaygw.core import scram_client
from relaygw.core.oauth import OauthError, challenge_words, oauthbearer, xoauth2
from relaygw.core.oauth_hints import login_hint
from relaygw.core.reply import Reply
from relaygw.core.scram import ScramError
from relaygw.egress.broken import Broken, Phase, broken
from relaygw.egress.hop import Login
from relaygw.egress.message import InThread
from relaygw.egress.resting_logins import RestingLogins
from relaygw.egress.secrets import SecretError
from relaygw.egress.tokens import OauthSource, Tokens

Ask = Callable[[bytes], Awaitable[Reply]]

MAX_PASSWORD = 4096

_BEARER = ("OAUTHBEARER", "XOAUTH2")
_PASSWORD = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")


@attrs.frozen(kw_only=True)
class Keyring:
    """What logins need from outside: access tokens, a thread for what takes long, and which of them rest."""

    tokens: Tokens
    run: InThread[bytes]
    resting: RestingLogins


@attrs.frozen(kw_only=True)
class Channel:
    """Where the login goes: the next hop, and what binds it to this TLS (RFC 9266; None: nothing can)."""

    host: str
    port: int
    binding: bytes | None = None


async def log_in(login: Login, mechanisms: Iterable[str], ask: Ask, channel: Channel, keyring: Keyring) -> None:
    """Authenticate, or raise Broken. `ask` sends one line and answers the reply."""
    offered = {each.upper() for each in mechanisms}
    chosen = next((each for each in _wanted(login, channel) if each in offered), "")
    if not chosen:
        raise broken(Phase.AUTH, "4.7.4", f"the server offers no login we know ({' '.join(sorted(offered)) or 'none'})")
    if chosen == "EXTERNAL":
        await _external(login, ask)
    elif chosen in _BEARER:
        await _bearer(chosen, login, ask, channel, keyring)
    elif chosen in ("PLAIN", "LOGIN"):
        await (_plain if chosen == "PLAIN" else _login)(login, _password(login), ask)
    else:
        await _scram(chosen, login, ask, channel, keyring, plus_offered="SCRAM-SHA-256-PLUS" in offered)


def _wanted(login: Login, channel: Channel) -> Iterable[str]:
    """The best first."""
    if login.oauth is not None:
        known: tuple[str, ...] = _BEARER
    elif login.password is None:
        known = ("EXTERNAL",)
    else:
        known = _PASSWORD if channel.binding is not None else _PASSWORD[1:]
    return [each for each in known if not login.mechanisms or each in login.mechanisms]


async def _plain(login: Login, password: str, ask: Ask) -> None:
    response = _encode(f"\0{login.username}\0{password}".encode())
    _judge(await _respond(b"PLAIN", response, ask), _hidden(login, password))


async def _login(login: Login, password: str, ask: Ask) -> None:
    reply = await ask(b"AUTH LOGIN\r\n")
    for word in (login.username, password):
        reply = await ask(_encode(word.encode("utf-8")) + b"\r\n") if reply.code == 334 else reply
    _judge(reply, _hidden(login, password))


async def _external(login: Login, ask: Ask) -> None:
    """RFC 4422 A: who we are is in our certificate; "=" stands for an empty response (RFC 4954 4)."""
    _judge(await _respond(b"EXTERNAL", _encode(login.username.encode("utf-8")) or b"=", ask), ())


async def _bearer(mechanism: str, login: Login, ask: Ask, channel: Channel, keyring: Keyring) -> None:
    assert login.oauth is not None, "chosen by whoever has a source of tokens"
    token = await _token(login.oauth, keyring)
    reply, why = await _show(mechanism, token, login, ask, channel)
    if reply.permanent and keyring.tokens.refused(login.oauth, token) and reply.code == 535:
        # It may have been revoked, or its clock is not ours: one other is tried, on the same connection.
        token = await _token(login.oauth, keyring)
        reply, why = await _show(mechanism, token, login, ask, channel)
        if reply.permanent:
            keyring.tokens.refused(login.oauth, token)
    _judge(reply, (token,), why)


async def _token(source: OauthSource, keyring: Keyring) -> str:
    try:
        return await keyring.tokens.token(source)
    except OauthError as error:
        raise Broken(Phase.AUTH, Reply(454, "4.7.8", str(error))) from None


async def _show(mechanism: str, token: str, login: Login, ask: Ask, channel: Channel) -> tuple[Reply, str]:
    """The last reply, and the reasons that came before it."""
    ours = mechanism == "XOAUTH2"
    message = xoauth2(login.username, token) if ours else oauthbearer(login.username, channel.host, channel.port, token)
    reply = await _respond(mechanism.encode("ascii"), _encode(message), ask)
    why = ""
    if reply.code == 334:  # the server's reasons; it answers 535 once they are acknowledged (RFC 7628 3.2.3)
        why = challenge_words(reply.text)
        reply = await ask(b"\r\n" if ours else b"AQ==\r\n")
    return reply, why


async def _scram(
    mechanism: str, login: Login, ask: Ask, channel: Channel, keyring: Keyring, *, plus_offered: bool
) -> None:
    """ "y" tells a server that we could bind the channel, if only it had offered: somebody may have taken that away."""
    password = _password(login)
    plus = mechanism == "SCRAM-SHA-256-PLUS"
    could = channel.binding is not None and not plus_offered
    header = b"p=tls-exporter,," if plus else b"y,," if could else b"n,,"
    binding = channel.binding if plus and channel.binding is not None else b""
    ours = scram_client.opening(login.username, secrets.token_bytes(24), header=header, binding=binding)
    hidden = _hidden(login, password)
    reply = await _respond(mechanism.encode("ascii"), _encode(ours.message), ask)
    if reply.code != 334:
        _judge(reply, hidden)
        raise broken(Phase.AUTH, "4.7.0", "the server took a login that was not over")
    try:
        challenge = scram_client.parse_challenge(_decoded(reply), ours)
    except ScramError as error:
        raise broken(Phase.AUTH, "4.7.0", str(error)) from None
    salted = await keyring.run(lambda: scram_client.salted_password(password, challenge))
    proof = scram_client.prove(ours, challenge, salted)
    reply = await ask(_encode(proof.message) + b"\r\n")
    # Some servers say their last word with the 235 itself (RFC 4954 4 has no place for it, and it is done).
    if reply.code == 334 or reply.code == 235:
        if not scram_client.is_the_server(proof, _decoded(reply)):
            raise broken(Phase.AUTH, "4.7.0", "the server does not know the password it asks for")
        reply = await ask(b"\r\n") if reply.code == 334 else reply
    _judge(reply, hidden)


async def _respond(mechanism: bytes, response: bytes, ask: Ask) -> Reply:
    """AUTH with its initial response; alone where the line would be too long (RFC 4954 4) or the server wants it so."""
    command = b"AUTH " + mechanism
    if len(command) + len(response) + 3 <= 512:
        reply = await ask(command + b" " + response + b"\r\n")
        empty = reply.code == 334 and not reply.text.strip()
        return await ask(response + b"\r\n") if empty else reply
    reply = await ask(command + b"\r\n")
    return await ask(response + b"\r\n") if reply.code == 334 else reply


def _password(login: Login) -> str:
    assert login.password is not None, "chosen by whoever has a password"
    try:
        return login.password.read(MAX_PASSWORD)
    except SecretError as error:
        raise broken(Phase.AUTH, "4.3.5", f"the password cannot be read ({error})") from None


def _decoded(reply: Reply) -> bytes:
    try:
        return base64.b64decode(reply.text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _encode(secret: bytes) -> bytes:
    return base64.b64encode(secret)


def _hidden(login: Login, password: str) -> tuple[str, ...]:
    return (f"\0{login.username}\0{password}", password)


def _judge(reply: Reply, hidden: tuple[str, ...], why: str = "") -> None:
    """Raises Broken for anything but 235. A server may repeat what it was sent; our journal must not."""
    if reply.code == 235:
        return
    hint = login_hint(str(reply))
    text = f"{reply}{f' ({why})' if why else ''}{f'; {hint}' if hint else ''}"
    for secret in hidden:
        text = text.replace(_encode(secret.encode("utf-8")).decode("ascii"), "***").replace(secret, "***")
    raise Broken(Phase.AUTH, Reply(454, "4.7.8", f"the server refused our login: {text}"))
