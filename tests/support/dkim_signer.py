"""A signer that signs anything, as wrong as a test wants it: tags are given as text and taken as they are."""

import base64
import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from dkim.canonicalization import CanonicalizationPolicy

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


def split(message: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The fields, each with its value as it stands, and the body."""
    head, _, body = message.partition(b"\r\n\r\n")
    lines: list[bytes] = []
    for line in head.split(b"\r\n"):
        if line[:1] in b" \t" and lines:
            lines[-1] += b"\r\n" + line
        else:
            lines.append(line)
    return [(name, value + b"\r\n") for name, _, value in (line.partition(b":") for line in lines)], body


def sign(message: bytes, key: PrivateKey, tags: dict[str, str | None], *, field: bytes = b"DKIM-Signature") -> bytes:
    """A signature field. `tags` go over the defaults; None leaves a tag out."""
    fields, body = split(message)
    kind = "rsa" if isinstance(key, RSAPrivateKey) else "ed25519"
    form = tags.get("c") or "simple/simple"
    policy = CanonicalizationPolicy.from_c_value(form.encode())
    body = policy.canonicalize_body(body)
    length = tags.get("l")
    digest = hashlib.sha256(body[: int(length)] if length is not None else body).digest()
    wanted: dict[str, str | None] = {
        "v": "1", "a": f"{kind}-sha256", "c": form, "d": "example.com", "s": kind, "h": "from:to:subject",
        "bh": base64.b64encode(digest).decode(), **tags, "b": "",
    }  # fmt: skip
    text = "; ".join(f"{name}={value}" for name, value in wanted.items() if value is not None)
    names = [name.strip().lower().encode() for name in (wanted["h"] or "").split(":")]
    data = b"".join(name + b":" + value for name, value in policy.canonicalize_headers(_chosen(fields, names)))
    ((name, value),) = policy.canonicalize_headers([(field, b" " + text.encode())])
    made = _sign(key, data + name + b":" + value.removesuffix(b"\r\n"), wanted["a"] == "rsa-sha1")
    return field + b": " + text.encode() + base64.b64encode(made) + b"\r\n"


def _chosen(fields: Sequence[tuple[bytes, bytes]], names: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    left = list(fields)
    chosen = []
    for name in names:
        for number in range(len(left) - 1, -1, -1):
            if left[number][0].lower().strip() == name:
                chosen.append(left.pop(number))
                break
    return chosen


def _sign(key: PrivateKey, data: bytes, sha1: bool) -> bytes:
    if isinstance(key, RSAPrivateKey):
        return key.sign(data, PKCS1v15(), SHA1() if sha1 else SHA256())
    return key.sign(hashlib.sha256(data).digest())
