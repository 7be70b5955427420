"""DKIM key pairs: made, read, and shown as the DNS record that publishes them.

Reading an RSA key costs tens of milliseconds (it is validated): whoever signs reads it once. No message of an error
raised here repeats anything of a private key.
"""

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from relaygw.core import dkim_record

RSA_BITS = 2048
"""What fits one DNS answer without TCP and is strong enough (RFC 8301 3.2)."""

_LEAST_RSA_BITS = 1024  # RFC 8301 3.2: signers MUST use at least 1024

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


class UnusableKey(ValueError):
    """The bytes are not a private key that can sign mail; the message says why."""


def generate(algorithm: str = "rsa") -> bytes:
    """A new private key as PEM (PKCS #8, not encrypted); `algorithm` is "rsa" (2048 bits) or "ed25519"."""
    key: PrivateKey
    if algorithm == "rsa":
        key = generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    elif algorithm == "ed25519":
        key = Ed25519PrivateKey.generate()
    else:
        raise ValueError(f"unknown key algorithm {algorithm!r}: rsa or ed25519")
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load(pem: bytes, sound: bool = True) -> PrivateKey:
    """The private key in a PEM file (PKCS #8 or the older RSA form); raises UnusableKey. `sound`: it is validated."""
    try:
        key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=not sound)
    except (ValueError, TypeError):
        raise UnusableKey("not a private key in PEM form without a passphrase") from None
    if isinstance(key, RSAPrivateKey):
        if key.key_size < _LEAST_RSA_BITS:
            raise UnusableKey(f"an RSA key of {key.key_size} bits is too short; verifiers ignore it")
        return key
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise UnusableKey("neither an RSA nor an Ed25519 key")


def algorithm(key: PrivateKey) -> str:
    """The word for the key in k= of its record: "rsa" or "ed25519"."""
    return "rsa" if isinstance(key, RSAPrivateKey) else "ed25519"


def public(pem: bytes) -> tuple[str, str]:
    """The algorithm and the record of a key, read at no cost: not good enough to sign with. Raises UnusableKey."""
    key = load(pem, sound=False)
    return algorithm(key), record_of(key)


def record(pem: bytes) -> str:
    """The value of the TXT record that publishes the key's public half; raises UnusableKey."""
    return record_of(load(pem))


def record_of(key: PrivateKey) -> str:
    """The same for a key that was read."""
    if isinstance(key, RSAPrivateKey):
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    else:
        public = key.public_key().public_bytes_raw()
    return dkim_record.value(algorithm(key), public)


def write(path: Path, pem: bytes) -> None:
    """A new file only its owner may read; raises FileExistsError rather than overwrite a key."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        give_away(file.fileno(), path.parent)
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


def give_away(descriptor: int, folder: Path) -> None:
    """What root makes among the files of the service's user is that user's: otherwise the service could not read it."""
    if os.geteuid() == 0:
        owner = os.stat(folder)
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
