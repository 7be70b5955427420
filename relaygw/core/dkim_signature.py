"""DKIM signatures, all but the private key's part (RFC 6376): relaxed/relaxed, From oversigned, as bytes.

Lines end with CRLF; a CR or LF that is none of these, as binary content may hold, is an octet like others. The body is
hashed in pieces of any size, and copied only where the canonical form differs. Keys, threads and time are the caller's.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Protocol

import attrs

from relaygw.core.headers import fields

SIGNED_FIELDS = (
    b"from", b"sender", b"reply-to", b"subject", b"date", b"message-id", b"to", b"cc", b"mime-version",
    b"content-type", b"content-transfer-encoding", b"content-id", b"content-description", b"in-reply-to",
    b"references", b"resent-date", b"resent-from", b"resent-sender", b"resent-to", b"resent-cc",
    b"resent-message-id", b"list-id", b"list-help", b"list-unsubscribe", b"list-unsubscribe-post",
    b"list-subscribe", b"list-post", b"list-owner", b"list-archive",
)  # fmt: skip
"""What is signed where it is there (RFC 6376 5.4.1): what a reader sees and what decides how he sees it."""

_WANTED = frozenset(SIGNED_FIELDS)
_WIDTH = 74
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_BLANK = b"\r\n" * 4096


class Sink(Protocol):
    """Takes a canonical form piece by piece; hashes do."""

    def update(self, data: bytes, /) -> None: ...


class RelaxedBody:
    """A body in relaxed canonical form (RFC 6376 3.4.4), fed in pieces, handed to `sink` in pieces."""

    def __init__(self, sink: Sink) -> None:
        self._hash = sink
        self._lines = 0  # line ends seen and not yet hashed: at the end of the body they do not count
        self._carry = b""  # a space, a CR, or both, whose meaning depends on what follows
        self._empty = True

    def feed(self, data: bytes) -> None:
        if self._carry:
            data = self._carry + data
        carriage = b"\r" if data.endswith(b"\r") else b""
        if carriage:
            data = data[:-1]
        text = data.rstrip(b" \t\r\n")
        pairs = data.count(b"\r\n", len(text))
        if data.count(b"\n", len(text)) != pairs or data.count(b"\r", len(text)) != pairs:
            text = data[: len(text) + _after_bare(data[len(text) :])]
        if text:
            self._hash_lines()
            self._hash.update(_relaxed(text))
            self._empty = False
        tail = data[len(text) :] if len(text) < len(data) else b""
        self._lines += tail.count(b"\r\n")
        self._carry = (b" " if tail.endswith((b" ", b"\t")) else b"") + carriage

    def finish(self) -> None:
        """The body has ended, its last line too. Call it once."""
        if self._carry.endswith(b"\r"):  # which no LF followed: only binary content has it
            self._hash_lines()
            self._hash.update(self._carry)
            self._empty = False
        if not self._empty:
            self._hash.update(b"\r\n")

    def _hash_lines(self) -> None:
        while self._lines > 0:
            now = min(self._lines, 4096)
            self._hash.update(_BLANK[: 2 * now])
            self._lines -= now


def _after_bare(tail: bytes) -> int:
    """Where white space and line ends begin behind the last CR or LF that is no part of one."""
    return max((found.end() for found in _BARE.finditer(tail)), default=0)


def _relaxed(text: bytes) -> bytes:
    """Runs of white space become one space, none before a line end. Most text is like that already: then no copy."""
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    while b"  " in text:  # each round halves the longest run
        text = text.replace(b"  ", b" ")
    return text.replace(b" \r\n", b"\r\n") if b" \r\n" in text else text


def body_hash(pieces: Iterable[bytes]) -> bytes:
    """The SHA-256 of a whole body in relaxed form."""
    digest = hashlib.sha256()
    body = RelaxedBody(digest)
    for piece in pieces:
        body.feed(piece)
    body.finish()
    return digest.digest()


def relaxed_value(value: bytes) -> bytes:
    """A field's value in relaxed form (RFC 6376 3.4.2): unfolded, white space single and none around."""
    if b"\x0b" in value or b"\x0c" in value:  # white space for bytes.split(), but not for mail
        return b" ".join(word for word in value.translate(_TO_SPACE).split(b" ") if word)
    return b" ".join(value.split())


_TO_SPACE = bytes.maketrans(b"\t\r\n", b"   ")


@attrs.frozen
class SignedFields:
    """`names` is the value of h=, `canonical` the fields as they are hashed, each with its CRLF."""

    names: tuple[bytes, ...]
    canonical: bytes


def signed_fields(head: bytes) -> SignedFields:
    """What is signed of a header section: every field of a wanted name, from the bottom (RFC 6376 5.4.2), and one
    From more than there is, so that none can be added."""
    found: dict[bytes, list[bytes]] = {}
    for field in fields(head):
        name = field.name.lower()
        if name in _WANTED:
            found.setdefault(name, []).append(field.raw)
    names = [b"from"]
    canonical = []
    for name in SIGNED_FIELDS:
        for raw in reversed(found.get(name, ())):
            names.append(name)
            canonical += [name, b":", relaxed_value(raw[raw.index(b":") + 1 :]), b"\r\n"]
    return SignedFields(tuple(names), b"".join(canonical))


@attrs.frozen(kw_only=True)
class Unsigned:
    """A signature field that lacks its b= value: `data` is what the key signs the SHA-256 of."""

    field: bytes
    data: bytes

    def signed(self, signature: bytes) -> bytes:
        """The complete DKIM-Signature field."""
        text = base64.b64encode(signature)
        lines = [text[start : start + _WIDTH - 2] for start in range(0, len(text), _WIDTH - 2)]
        return self.field + b"\r\n\t ".join(lines) + b"\r\n"


def unsigned(signed: SignedFields, digest: bytes, *, algorithm: str, domain: str, selector: str, now: int) -> Unsigned:
    """The field for one key. `algorithm` is "rsa" or "ed25519"; `digest` that of the body; `now` in POSIX seconds."""
    value = (
        f"v=1; a={algorithm}-sha256; c=relaxed/relaxed; d={domain};\r\n\ts={selector}; t={now};\r\n"
        f"\tbh={base64.b64encode(digest).decode('ascii')};\r\n"
    ).encode("ascii") + _names(signed.names) + b";\r\n\tb="  # fmt: skip
    canonical = signed.canonical + b"dkim-signature:" + b" ".join(value.split())
    return Unsigned(field=b"DKIM-Signature: " + value, data=canonical)


def _names(names: tuple[bytes, ...]) -> bytes:
    """The h= tag, folded after colons."""
    line = b"\th="
    lines = []
    for number, name in enumerate(names):
        word = name if number == len(names) - 1 else name + b":"
        if len(line) + len(word) > _WIDTH:
            lines.append(line)
            line = b"\t "
        line += word
    return b"\r\n".join([*lines, line])
