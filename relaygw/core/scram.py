"""SCRAM-SHA-256 (RFC 5802, 7677) as the server sees it: messages read, keys derived, a proof checked. Pure.

A message is a value or one ScramError. Nothing here waits, draws numbers or looks anybody up.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence

import attrs

from relaygw.core.saslprep import NotPreparable, saslprep

NAME = "SCRAM-SHA-256"
PLUS = "SCRAM-SHA-256-PLUS"

ITERATIONS = 50_000
"""Of new keys. RFC 7677 4 wants 4096 at least; every client computes as many at each login, and Cyrus SASL, which many
of them use, refuses more than 65,536."""
MIN_ITERATIONS, MAX_ITERATIONS = 4096, 10_000_000
MAX_NONCE = 512
"""Octets of a client's nonce."""
MAX_NAME = 1024
"""Octets of a name as sent; to prepare one takes time."""

_DIGEST = 32
_STORED = re.compile(
    r"SCRAM-SHA-256\$([1-9]\d{3,7}):([A-Za-z0-9+/=]{4,172})\$([A-Za-z0-9+/=]{44}):([A-Za-z0-9+/=]{44})\Z"
)
_NONCE = re.compile(rb"[\x21-\x2b\x2d-\x7e]+\Z")  # printable but the comma
_HEADER = re.compile(rb"(?:(?P<flag>[ny])|p=(?P<name>[A-Za-z0-9.-]{1,100})),(?:a=(?P<authzid>[^,\0]+))?,")


class ScramError(ValueError):
    """The message is not what RFC 5802 7 says. Its text names no part of a credential."""


@attrs.frozen(kw_only=True)
class ScramKeys:
    """What is stored of a password: it can be checked with them, and they are of no use to log in with."""

    iterations: int
    salt: bytes
    stored_key: bytes = attrs.field(repr=False)
    server_key: bytes = attrs.field(repr=False)

    def __str__(self) -> str:
        """As one word of a users file (the form PostgreSQL uses too)."""
        salt, stored, server = map(_encode, (self.salt, self.stored_key, self.server_key))
        return f"{NAME}${self.iterations}:{salt}${stored}:{server}"


@attrs.frozen(kw_only=True)
class First:
    """The client's first message. `flag` is "n", "y" or "p"; `binding` the channel binding's name where it is "p"."""

    flag: str
    binding: str
    authzid: str
    username: str
    nonce: bytes
    header: bytes
    bare: bytes


@attrs.frozen(kw_only=True)
class Final:
    """The client's last message: `binding` is the header and the channel's data, `signed` all but the proof."""

    binding: bytes
    nonce: bytes
    proof: bytes = attrs.field(repr=False)
    signed: bytes


def derive_keys(password: str, salt: bytes, iterations: int = ITERATIONS) -> ScramKeys:
    """The keys of a password. It takes as long as `iterations` says: call it off the reactor thread."""
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password), salt, iterations)
    client_key = _hmac(salted, b"Client Key")
    return ScramKeys(
        iterations=iterations,
        salt=salt,
        stored_key=hashlib.sha256(client_key).digest(),
        server_key=_hmac(salted, b"Server Key"),
    )


def _prepared(password: str) -> bytes:
    """What clients make of it. Where SASLprep has no answer they take the octets as they are; so do we."""
    try:
        return saslprep(password).encode("utf-8")
    except NotPreparable:
        return password.encode("utf-8")


def parse_keys(text: str) -> ScramKeys:
    """The keys from a word of a users file; raises ScramError."""
    match = _STORED.match(text)
    if match is None:
        raise ScramError("not SCRAM keys")
    iterations = int(match[1])
    if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise ScramError("the number of iterations is out of range")
    salt, stored, server = (_decode(part.encode("ascii")) for part in match.groups()[1:])
    if len(stored) != _DIGEST or len(server) != _DIGEST:
        raise ScramError("a key has not the length of its hash")
    return ScramKeys(iterations=iterations, salt=salt, stored_key=stored, server_key=server)


def fake_keys(secret: bytes, username: str, rounds: Sequence[int] = (ITERATIONS,)) -> ScramKeys:
    """Keys for somebody who is not there: the same at every question, so that asking twice tells nothing. `rounds` are
    the iteration counts of those who are.

    No password fits them, as nobody has seen the client key of which the stored key would be the hash.
    """
    name = username.encode("utf-8", "replace")
    return ScramKeys(
        iterations=rounds[_hmac(secret, b"rounds\0" + name)[0] % len(rounds)],
        salt=_hmac(secret, b"salt\0" + name)[:16],
        stored_key=_hmac(secret, b"stored\0" + name),
        server_key=_hmac(secret, b"server\0" + name),
    )


def parse_first(message: bytes) -> First:
    """The client-first-message; raises ScramError."""
    header = _HEADER.match(message)
    if header is None:
        raise ScramError("no GS2 header")
    bare = message[header.end() :]
    parts = bare.split(b",")
    if len(parts) < 2 or not parts[0].startswith(b"n=") or not parts[1].startswith(b"r="):
        # Also "m=", an extension that must be understood: none is (RFC 5802 5.1).
        raise ScramError("no name and nonce")
    nonce = parts[1][2:]
    if len(nonce) > MAX_NONCE or not _NONCE.match(nonce):
        raise ScramError("not a nonce")
    _check_extensions(parts[2:])
    name = header["name"]
    return First(
        flag="p" if name else header["flag"].decode("ascii"),
        binding=name.decode("ascii") if name else "",
        authzid=_name(header["authzid"]) if header["authzid"] else "",
        username=_name(parts[0][2:]),
        nonce=nonce,
        header=header[0],
        bare=bare,
    )


def server_first(keys: ScramKeys, client_nonce: bytes, server_nonce: bytes) -> bytes:
    """The server-first-message."""
    return b"r=%b%b,s=%b,i=%d" % (client_nonce, server_nonce, _encode(keys.salt).encode("ascii"), keys.iterations)


def parse_final(message: bytes) -> Final:
    """The client-final-message; raises ScramError."""
    signed, comma, proof = message.rpartition(b",p=")
    parts = signed.split(b",")
    if not comma or len(parts) < 2 or not parts[0].startswith(b"c=") or not parts[1].startswith(b"r="):
        raise ScramError("no binding, nonce and proof")
    _check_extensions(parts[2:])
    decoded = _decode(proof)
    if len(decoded) != _DIGEST:
        raise ScramError("not a proof")
    return Final(binding=_decode(parts[0][2:]), nonce=parts[1][2:], proof=decoded, signed=signed)


def proven(keys: ScramKeys, auth_message: bytes, proof: bytes) -> bool:
    """Whether the client knows the password (RFC 5802 3)."""
    signature = _hmac(keys.stored_key, auth_message)
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), keys.stored_key)


def server_final(keys: ScramKeys, auth_message: bytes) -> bytes:
    """The server-final-message: that we know the keys."""
    return b"v=" + base64.b64encode(_hmac(keys.server_key, auth_message))


def _check_extensions(parts: list[bytes]) -> None:
    """Optional extensions are passed over; what has not the form of one is refused."""
    for part in parts:
        if len(part) < 3 or not part[:1].isalpha() or part[1:2] != b"=" or part[:1] == b"m" or b"\0" in part:
            raise ScramError("not an extension")


def _name(encoded: bytes) -> str:
    """A saslname: "=2C" is a comma, "=3D" an equals sign, and no other "=" may stand in it."""
    if len(encoded) > MAX_NAME:
        raise ScramError("the name is too long")
    if not encoded or b"\0" in encoded or b"=" in encoded.replace(b"=2C", b"").replace(b"=3D", b""):
        raise ScramError("not a name")
    try:
        name = encoded.replace(b"=2C", b",").replace(b"=3D", b"=").decode("utf-8")
        prepared = saslprep(name, query=True)
    except (UnicodeDecodeError, NotPreparable):
        raise ScramError("not a name") from None
    if not prepared:
        raise ScramError("nothing is left of the name")
    return prepared


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ScramError("not base64") from None


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)
