"""AUTH as a client (RFC 4954): PLAIN, else LOGIN. The password is read for this one login and appears nowhere else.

A refusal is temporary: the mail is not at fault, the credentials are, and an operator can put that right.
"""

import base64
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from relaygw.core.reply import Reply
from relaygw.egress.broken import Broken, Phase, broken
from relaygw.egress.hop import Login

Ask = Callable[[bytes], Awaitable[Reply]]

_MAX_PASSWORD = 4096


async def log_in(login: Login, mechanisms: Iterable[str], ask: Ask) -> None:
    """Authenticate, or raise Broken. `ask` sends one line and answers the reply."""
    password = _password(login)
    secret = password.encode("utf-8")
    offered = set(mechanisms)
    if "PLAIN" in offered:
        response = _encode(b"\0" + login.username.encode("utf-8") + b"\0" + secret)
        reply = await ask(b"AUTH PLAIN " + response + b"\r\n")
        if reply.code == 334:  # a server that does not take the initial response
            reply = await ask(response + b"\r\n")
    elif "LOGIN" in offered:
        reply = await ask(b"AUTH LOGIN\r\n")
        for word in (login.username.encode("utf-8"), secret):
            reply = await ask(_encode(word) + b"\r\n") if reply.code == 334 else reply
    else:
        raise broken(Phase.AUTH, "4.7.4", f"the server offers no login we know ({' '.join(sorted(offered)) or 'none'})")
    if reply.code != 235:
        raise Broken(Phase.AUTH, _temporary(_without(reply, password, login)))


def _password(login: Login) -> str:
    try:
        with Path(login.password_file).open("rb") as file:
            text = file.read(_MAX_PASSWORD + 1).decode("utf-8")
    except OSError as error:
        problem = f"{login.password_file}: {error.strerror}"
        raise broken(Phase.AUTH, "4.3.5", f"the password cannot be read ({problem})") from None
    except UnicodeDecodeError:
        raise broken(Phase.AUTH, "4.3.5", f"the password file {login.password_file} is not UTF-8") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or len(password) > _MAX_PASSWORD or "\0" in password:
        raise broken(Phase.AUTH, "4.3.5", f"the password file {login.password_file} holds no usable password")
    return password


def _encode(secret: bytes) -> bytes:
    return base64.b64encode(secret)


def _without(reply: Reply, password: str, login: Login) -> Reply:
    """A server may repeat what it was sent; our journal must not."""
    plain = f"\0{login.username}\0{password}"
    text = reply.text
    for secret in (plain, password):
        text = text.replace(_encode(secret.encode("utf-8")).decode("ascii"), "***").replace(secret, "***")
    return Reply(reply.code, reply.enhanced, text)


def _temporary(reply: Reply) -> Reply:
    return Reply(454, "4.7.8", f"the server refused our login: {reply}")
