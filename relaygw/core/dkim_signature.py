"""DKIM signatures, all but the private key's part (RFC 6376): relaxed/relaxed, From oversigned, as bytes.

Lines end with CRLF; a CR or LF that is none of these, as binary content may hold, is an octet like others. The body is
hashed in pieces of any size, and copied only where the canonical form differs. Keys, threads and time are the caller's.

Every message of ours comes by here: a header section is brought into its form as a whole and walked once, and what
only depends on the key or on the names of the fields is made once.
"""

import hashlib
import re
from binascii import b2a_base64
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from operator import itemgetter
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

_WIDTH = 74
_LAST_BARE = re.compile(rb".*(?:(?<!\r)\n|\r(?!\n))", re.DOTALL)  # greedy: it looks from the end
_BLANK = b"\r\n" * 4096
_MANY = 64  # signed fields: what is made for longer lists is not kept


class Sink(Protocol):
    """Takes a canonical form piece by piece; hashes do."""

    def update(self, data: bytes, /) -> None: ...


class RelaxedBody:
    """A body in relaxed canonical form (RFC 6376 3.4.4), fed in pieces, handed to `sink` in pieces."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lines = 0  # line ends seen and not yet handed on: at the end of the body they do not count
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
            self._hand_on_lines()
            self._sink.update(_relaxed(text))
            self._empty = False
        tail = data[len(text) :] if len(text) < len(data) else b""
        self._lines += tail.count(b"\r\n")
        self._carry = (b" " if tail.endswith((b" ", b"\t")) else b"") + carriage

    def finish(self) -> None:
        """The body has ended, its last line too. Call it once."""
        if self._carry.endswith(b"\r"):  # which no LF followed: only binary content has it
            self._hand_on_lines()
            self._sink.update(self._carry)
            self._empty = False
        if not self._empty:
            self._sink.update(b"\r\n")

    def _hand_on_lines(self) -> None:
        while self._lines > 0:
            now = min(self._lines, 4096)
            self._sink.update(_BLANK[: 2 * now])
            self._lines -= now


def _after_bare(tail: bytes) -> int:
    """Where white space and line ends begin behind the last CR or LF that is no part of one."""
    found = _LAST_BARE.match(tail)
    return found.end() if found is not None else 0


def _relaxed(text: bytes) -> bytes:
    """Runs of white space become one space, none before a line end. Most text is like that already: then no copy."""
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    if b" " not in text:  # as in base64: one octet is found a hundred times as fast as two
        return text
    while b"  " in text:  # each round halves the longest run
        text = text.replace(b"  ", b" ")
    return text.replace(b" \r\n", b"\r\n") if b" \r\n" in text else text


def body_hash(pieces: Iterable[bytes]) -> bytes:
    """The SHA-256 of a whole body in relaxed form."""
    left = iter(pieces)
    first = next(left, b"")
    second = next(left, None)
    if second is None:
        text = first.rstrip(b" \t\r\n")
        if text and len(first) - len(text) == 2 and first.endswith(b"\r\n"):  # as nearly all mail is
            return hashlib.sha256(_relaxed(text) + b"\r\n").digest()
    digest = hashlib.sha256()
    body = RelaxedBody(digest)
    body.feed(first)
    for piece in chain(() if second is None else (second,), left):
        body.feed(piece)
    body.finish()
    return digest.digest()


def relaxed_value(value: bytes) -> bytes:
    """A field's value in relaxed form (RFC 6376 3.4.2): unfolded, white space single and none around."""
    if b"\x0b" in value or b"\x0c" in value:  # white space for bytes.split(), but not for mail
        return b" ".join(word for word in value.translate(_TO_SPACE).split(b" ") if word)
    return b" ".join(value.split())


_TO_SPACE = bytes.maketrans(b"\t\r\n", b"   ")

_Entry = tuple[int, bytes, bytes]
"""A signed field: its name's place, its name in lower case, and the field in relaxed form."""

_PLACE = itemgetter(0)


def _places(form: "Form") -> dict[bytes, tuple[int, bytes]]:
    return {name: (place, name) for place, name in enumerate(form.names)}


def _extra(form: "Form") -> tuple[_Entry, ...]:
    return tuple((*form.places[name], b"") for name in form.oversigned)


@attrs.frozen(kw_only=True, cache_hash=True)
class Form:
    """What a signature covers and says. `names` of fields, in lower case, are signed where they are there, and those
    that are `oversigned` once more than they are, so that none can be added (RFC 6376 8.15). `lifetime` in seconds is
    told as x=, 0: not at all; `timed` whether t= is told."""

    names: tuple[bytes, ...] = SIGNED_FIELDS
    oversigned: tuple[bytes, ...] = (b"from",)
    lifetime: int = 0
    timed: bool = True
    places: dict[bytes, tuple[int, bytes]] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_places, takes_self=True)
    )
    extra: tuple[_Entry, ...] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_extra, takes_self=True)
    )


DEFAULT_FORM = Form()


@attrs.frozen
class SignedFields:
    """`names` is the value of h=, `canonical` the fields as they are hashed, each with its CRLF."""

    names: tuple[bytes, ...]
    canonical: bytes


def signed_fields(head: bytes, form: Form = DEFAULT_FORM) -> SignedFields:
    """What is signed of a header section: every field of a wanted name, from the bottom (RFC 6376 5.4.2), and those
    that are oversigned once more."""
    lines = _relaxed_lines(head)
    found = (_walk(lines, form) if lines is not None else None) or _slowly(head, form)
    found.sort(key=_PLACE)
    return SignedFields(tuple([name for _, name, _ in found]), b"".join([line for _, _, line in found]))


def _relaxed_lines(head: bytes) -> list[bytes] | None:
    """A line for each field, white space single and none at the end; None where line ends are not all CRLF."""
    text = head.replace(b"\t", b" ") if b"\t" in head else head
    if b"\r\n " in text:
        text = text.replace(b"\r\n ", b" ")
    folds = (len(head) - len(text)) >> 1
    lines = _relaxed(text).split(b"\r\n")
    ends = folds + len(lines) - 1
    return lines if ends == head.count(b"\n") == head.count(b"\r") and not lines[-1] else None


def _walk(lines: list[bytes], form: Form) -> list[_Entry] | None:
    """The wanted fields from the bottom; None where white space follows a name, which may have been folded there."""
    places = form.places
    found = list(form.extra)
    for line in reversed(lines):
        name, colon, value = line.partition(b":")
        known = places.get(name.lower())
        if known is not None and colon:
            place, name = known
            found.append((place, name, b"%b:%b\r\n" % (name, value.removeprefix(b" "))))
        elif name.endswith(b" ") and name[:-1].lower() in places:
            return None
    return found


def _slowly(head: bytes, form: Form) -> list[_Entry]:
    """The same for what is no plain mail: bare line ends, white space between a name and its colon."""
    found = list(form.extra)
    for field in reversed(tuple(fields(head))):
        known = form.places.get(field.name.lower())
        if known is not None:
            place, name = known
            value = relaxed_value(field.raw[field.raw.index(b":") + 1 :])
            found.append((place, name, b"%b:%b\r\n" % (name, value)))
    return found


@attrs.frozen(kw_only=True)
class Unsigned:
    """A signature field that lacks its b= value: `data` is what the key signs the SHA-256 of."""

    field: bytes
    data: bytes

    def signed(self, signature: bytes) -> bytes:
        """The complete DKIM-Signature field."""
        text = b2a_base64(signature, newline=False)
        lines = [text[start : start + _WIDTH - 2] for start in range(0, len(text), _WIDTH - 2)]
        return self.field + b"\r\n\t ".join(lines) + b"\r\n"


def _opening(signature: "Signature") -> bytes:
    """As the field begins, up to where the times stand."""
    named = f"DKIM-Signature: v=1; a={signature.algorithm}-sha256; c=relaxed/relaxed; d={signature.domain};"
    return f"{named}\r\n\ts={signature.selector};".encode("ascii")


def _canonical_opening(signature: "Signature") -> bytes:
    name, _, value = signature.opening.partition(b":")
    return name.lower() + b":" + b" ".join(value.split())


@attrs.frozen(kw_only=True)
class Signature:
    """What all signatures of one key have in common. `algorithm` is "rsa" or "ed25519"."""

    algorithm: str
    domain: str
    selector: str
    form: Form = DEFAULT_FORM
    opening: bytes = attrs.field(init=False, repr=False, default=attrs.Factory(_opening, takes_self=True))
    canonical: bytes = attrs.field(init=False, repr=False, default=attrs.Factory(_canonical_opening, takes_self=True))

    def unsigned(self, signed: SignedFields, digest: bytes, now: int) -> Unsigned:
        """The field for one message. `digest` is that of the body; `now` in POSIX seconds."""
        times, hashed = _times(self.form, now), b2a_base64(digest, newline=False)
        names = signed.names
        folded, plain = _names(names) if len(names) <= _MANY else _folded_names(names)
        return Unsigned(
            field=b"%b%b\r\n\tbh=%b;\r\n%b;\r\n\tb=" % (self.opening, times, hashed, folded),
            data=b"%b%b%b bh=%b; %b; b=" % (signed.canonical, self.canonical, times, hashed, plain),
        )


def _times(form: Form, now: int) -> bytes:
    """RFC 6376 3.5: when it was made, and from when on it counts no more."""
    told = b" t=%d;" % now if form.timed else b""
    return told + b" x=%d;" % (now + form.lifetime) if form.lifetime else told


def _folded_names(names: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """The h= tag, folded after colons, and the same in relaxed form."""
    line = b"\th="
    lines = []
    for number, name in enumerate(names):
        word = name if number == len(names) - 1 else name + b":"
        if len(line) + len(word) > _WIDTH:
            lines.append(line)
            line = b"\t "
        line += word
    folded = b"\r\n".join([*lines, line])
    return folded, b" ".join(folded.split())


_names = lru_cache(maxsize=1024)(_folded_names)
"""Mail of one program has the same fields again and again."""
