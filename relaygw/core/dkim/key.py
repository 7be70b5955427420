"""What a DKIM key record says (RFC 6376 3.6.1, RFC 8463 4), and whether a signature was made with its private half.

The operation itself is that of `cryptography`. Keys are read once and remembered: the same few sign most mail.
"""

from functools import lru_cache

import attrs
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from relaygw.core.tags import TagError, compact, decode_base64, parse_tags, words

MAX_RECORD = 8 * 1024
"""Octets of a record that is read; a key of 8192 bits needs less than 1500."""

GOOD_RSA_BITS = 2048  # RFC 8301 3.2: signers SHOULD use at least 2048
MAX_RSA_BITS = 8192
"""RFC 8301 3.2 wants 4096. A message may come with dozens of signatures, and a longer key makes each dearer."""

_MAX_EXPONENT_BITS = 33
"""Nobody's is larger than 2**32 + 1; with one as long as the key, a check costs as much as a signature."""

_PADDING = PKCS1v15()
_HASHED = Prehashed(SHA256())


class UnusableKey(Exception):
    """The record holds no key that can verify mail; the message says why."""


@attrs.frozen(kw_only=True, eq=False)
class Key:
    """`type` is "rsa" or "ed25519", `size` in bits. `hashes` None: any. `testing` is t=y, `strict` t=s."""

    type: str
    size: int
    public: RSAPublicKey | Ed25519PublicKey
    hashes: tuple[str, ...] | None = None
    services: tuple[str, ...] = ("*",)
    testing: bool = False
    strict: bool = False
    notes: tuple[str, ...] = attrs.field(init=False, default=attrs.Factory(lambda self: _notes(self), takes_self=True))

    def made(self, signature: bytes, digest: bytes) -> bool:
        """Whether the signature is that of what has this SHA-256."""
        try:
            if isinstance(self.public, RSAPublicKey):
                self.public.verify(signature, digest, _PADDING, _HASHED)
            else:
                self.public.verify(signature, digest)  # RFC 8463 3
        except InvalidSignature:
            return False
        return True


def _notes(key: Key) -> tuple[str, ...]:
    """What is worth knowing about a key that is good enough."""
    short = key.type == "rsa" and key.size < GOOD_RSA_BITS
    return (*(["a short key"] if short else ()), *(["a key in test mode"] if key.testing else ()))


@lru_cache(maxsize=1024)
def read_key(record: bytes) -> Key:
    """The key in a TXT record; raises UnusableKey (RFC 6376 6.1.2)."""
    if len(record) > MAX_RECORD:
        raise UnusableKey("the key record is too long")
    try:
        tags = parse_tags(record.decode("utf-8", "replace"))  # n= may be in any encoding
    except TagError as error:
        raise UnusableKey(f"the key record cannot be read: {error}") from None
    if tags.get("v", "DKIM1") != "DKIM1" or ("v" in tags and next(iter(tags)) != "v"):
        raise UnusableKey("the record is not of version DKIM1")
    if "p" not in tags:
        raise UnusableKey("the key record has no p=")
    if not tags["p"]:
        raise UnusableKey("the key is revoked")  # RFC 6376 3.6.1
    flags = words(tags.get("t", ""))
    kind = tags.get("k", "rsa").lower()
    public = _public(kind, tags["p"])
    return Key(
        type=kind,
        size=public.key_size if isinstance(public, RSAPublicKey) else 256,
        public=public,
        hashes=words(tags["h"].lower()) if tags.get("h") else None,
        services=words(tags["s"].lower()) if tags.get("s") else ("*",),
        testing="y" in flags,
        strict="s" in flags,
    )


def _public(kind: str, text: str) -> RSAPublicKey | Ed25519PublicKey:
    if kind not in ("rsa", "ed25519"):
        raise UnusableKey(f"keys of kind {kind[:40]!r} are not known")
    try:
        text = compact(text)
        octets = decode_base64(text + "=" * (-len(text) % 4))  # RFC 6376 2.10: the padding may be left out
    except TagError:
        raise UnusableKey("the key is not base64") from None
    return _rsa(octets) if kind == "rsa" else _ed25519(octets)


def _rsa(octets: bytes) -> RSAPublicKey:
    """As SubjectPublicKeyInfo, which everybody publishes, or as the bare RSAPublicKey (RFC 6376 3.6.1)."""
    try:
        key = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKey("the key is no RSA key") from None
    if not isinstance(key, RSAPublicKey):
        raise UnusableKey("the key is no RSA key")
    if key.key_size > MAX_RSA_BITS:
        raise UnusableKey(f"an RSA key of {key.key_size} bits is too long")
    if key.public_numbers().e.bit_length() > _MAX_EXPONENT_BITS:
        raise UnusableKey("the exponent of the RSA key is too large")
    return key


def _ed25519(octets: bytes) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(octets)  # RFC 8463 4.2: the 32 octets alone
    except ValueError:
        raise UnusableKey("the key is no Ed25519 key") from None
