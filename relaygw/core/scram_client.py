"""SCRAM-SHA-256 (RFC 5802, 7677) as the client sees it. Pure: the nonce is an argument, and the slow part a call of its
own, `salted_password`, that belongs off the reactor thread.
"""

import base64
import binascii
import hashlib
import hmac
import re

import attrs

from relaygw.core.saslprep import NotPreparable, saslprep
from relaygw.core.scram import MAX_NONCE, MIN_ITERATIONS, ScramError

MAX_ITERATIONS = 1_000_000
"""A server could keep a thread of ours busy with more."""

MAX_SALT = 1024

_FIRST = re.compile(rb"r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([1-9]\d{0,9})(?:,.*)?\Z", re.DOTALL)


@attrs.frozen(kw_only=True)
class Challenge:
    """The server's first message."""

    message: bytes
    nonce: bytes
    salt: bytes
    iterations: int


@attrs.frozen(kw_only=True)
class Opening:
    """What we begin with. `header` is the GS2 header, `binding` the channel's data where the header names one."""

    header: bytes
    bare: bytes
    nonce: bytes
    binding: bytes = b""

    @property
    def message(self) -> bytes:
        return self.header + self.bare


@attrs.frozen(kw_only=True)
class Proof:
    """The client's last message, and what the server must answer."""

    message: bytes = attrs.field(repr=False)
    expected: bytes = attrs.field(repr=False)


def opening(username: str, nonce: bytes, *, header: bytes = b"n,,", binding: bytes = b"") -> Opening:
    """`nonce` is 18 random octets or more; they travel as base64."""
    name = _prepared(username).replace("=", "=3D").replace(",", "=2C").encode("utf-8")
    encoded = base64.b64encode(nonce)
    return Opening(header=header, bare=b"n=" + name + b",r=" + encoded, nonce=encoded, binding=binding)


def parse_challenge(message: bytes, ours: Opening) -> Challenge:
    """Raises ScramError for what is none, and for an answer to somebody else."""
    match = _FIRST.match(message)
    if match is None:
        raise ScramError("the server's first message is not one")
    nonce, salt, iterations = match[1], _decode(match[2]), int(match[3])
    if not nonce.startswith(ours.nonce) or len(nonce) == len(ours.nonce) or len(nonce) > 2 * MAX_NONCE:
        raise ScramError("the server's nonce does not continue ours")
    if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS or not 0 < len(salt) <= MAX_SALT:
        raise ScramError(f"the server wants {iterations} iterations; we do {MIN_ITERATIONS} to {MAX_ITERATIONS}")
    return Challenge(message=message, nonce=nonce, salt=salt, iterations=iterations)


def salted_password(password: str, challenge: Challenge) -> bytes:
    """Takes as long as the server's number of iterations says."""
    return hashlib.pbkdf2_hmac("sha256", _prepared(password).encode("utf-8"), challenge.salt, challenge.iterations)


def prove(ours: Opening, challenge: Challenge, salted: bytes) -> Proof:
    """That we know the password; and how the server shows that it knows its keys (RFC 5802 3)."""
    unproven = b"c=" + base64.b64encode(ours.header + ours.binding) + b",r=" + challenge.nonce
    signed = b",".join((ours.bare, challenge.message, unproven))
    client_key = _hmac(salted, b"Client Key")
    signature = _hmac(hashlib.sha256(client_key).digest(), signed)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    server = _hmac(_hmac(salted, b"Server Key"), signed)
    return Proof(
        message=unproven + b",p=" + base64.b64encode(proof), expected=b"v=" + base64.b64encode(server)
    )  # fmt: skip


def is_the_server(proof: Proof, message: bytes) -> bool:
    """Whether its last message shows that it has the keys: somebody in its place has not."""
    return hmac.compare_digest(message.partition(b",")[0], proof.expected)


def _prepared(text: str) -> str:
    try:
        return saslprep(text)
    except NotPreparable:
        return text


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ScramError("the server's salt is not base64") from None


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)
