"""Authentication-Results (RFC 8601): our one field composed, and those found that claim to be ours.

Values come from hostile peers: each is a token, an address, or a quoted-string that cannot leave its line. Finding is
strict about nothing: whatever another reader might take for our authserv-id counts as claimed.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from relaygw.core.address import AddressError, normalize_domain
from relaygw.core.field_text import MAX_VALUE, tame
from relaygw.core.headers import named_fields, odd_fields, raw_fields, value_of
from relaygw.core.verdict import AuthResult

FIELD_NAME = b"authentication-results"
_WIDTH = 78  # RFC 5322 2.1.1

_SPECIAL = re.compile(r'["\\]')
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+\Z")  # RFC 2045 5.1
_SIMPLE_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*\Z"
)


def compose(authserv_id: str, results: Iterable[AuthResult], *, utf8: bool = False) -> bytes:
    """The complete field with CRLF at its end; "none" where nothing was checked (RFC 8601 2.2).

    `utf8`: whether it is for a message that may hold more than ASCII (RFC 6532); what strangers have in their DNS must
    not make it one.
    """
    said = ";\r\n\t".join(map(_resinfo, results)) or "none"
    return f"Authentication-Results: {_value(authserv_id)};\r\n\t{said}\r\n".encode(
        "utf-8" if utf8 else "ascii", "replace"
    )


@lru_cache(maxsize=1024)
def _resinfo(result: AuthResult) -> str:
    """One result, folded between its words. The same is found of the same clients and senders again and again."""
    line = f"{result.method}={result.result}"
    words = [f"reason={_quoted(result.reason)}"] if result.reason else []
    lines = []
    for word in words + [f"{name}={_value(value)}" for name, value in result.properties]:
        if len(line) + len(word) + 2 > _WIDTH:
            lines.append(line)
            line = word
        else:
            line += f" {word}"
    return "\r\n\t".join((*lines, line))


def _value(text: str) -> str:
    """A pvalue (RFC 8601 2.2): a token, local-part@domain as it is, or a quoted-string."""
    if len(text) > MAX_VALUE:
        text = tame(text)
    return text if _TOKEN.match(text) or _SIMPLE_ADDRESS.match(text) else _quoted(text)


def _quoted(text: str) -> str:
    text = tame(text)
    return '"' + (_SPECIAL.sub(r"\\\g<0>", text) if _SPECIAL.search(text) else text) + '"'


def claimed(head: bytes, authserv_ids: Iterable[str]) -> list[bytes]:
    """The whole Authentication-Results fields of a header section that carry one of our ids, or none that can be read.

    They came from outside, so they are forged; where such fields may be removed, these are the ones (RFC 8601 5).
    """
    ours = {_comparable(name) for name in authserv_ids} | {""}
    known: dict[bytes, bool] = {}
    found, odd = [], 0
    for field in (*named_fields(head).get(FIELD_NAME, ()), *odd_fields(head).get(FIELD_NAME, ())):
        plain = _STRAIGHT.match(field) or (_PLAIN.match(value_of(field)) if odd <= _MAX_ODD else None)
        if plain is None:
            odd += 1
            is_ours = odd > _MAX_ODD or not ours.isdisjoint(map(_comparable, _readings(value_of(field))))
        elif (seen := known.get(plain[1])) is not None:  # there may be thousands of such fields
            is_ours = seen
        else:
            is_ours = known[plain[1]] = _comparable(plain[1].decode("ascii")) in ours
        if is_ours:
            found.append(field)
    return found


_PLAIN = re.compile(rb"([A-Za-z0-9._-]+)(?:[ \t]+[0-9]+)?[ \t]*(?:;|\Z)")
_STRAIGHT = re.compile(rb"[^:]*+:[ \t]*+([A-Za-z0-9._-]++)(?:[ \t]++[0-9]++)?[ \t]*+(?:;|\r?\n\Z)")
"""The same of a whole field whose id stands where the name does, as nearly all have it: nothing need be unfolded."""
_MAX_ODD = 50
"""Fields that do not simply begin with an id, and are read with care; after so many, none that can be read is left."""


def without_claimed(head: bytes, authserv_ids: Iterable[str]) -> tuple[bytes, list[bytes]]:
    """The header section without the fields that `claimed` finds, and those; the very same octets where there are none.

    All others stay as they are, octet for octet (RFC 8601 5).
    """
    if FIELD_NAME not in head.lower():
        return head, []
    forged = claimed(head, authserv_ids)
    if not forged:
        return head, []
    gone = set(forged)
    return b"".join([field for field in raw_fields(head) if field not in gone]), forged


def _comparable(name: str) -> str:
    """In lower case, U-labels as A-labels (RFC 8601 2.3 has ids that are no domains, too)."""
    name = name.strip().rstrip(".\u3002\uff0e\uff61").lower()
    if name.isascii() or len(name) > _MAX_ID:
        return name
    try:
        return normalize_domain(name)
    except AddressError:
        return name


def _readings(value: bytes) -> list[str]:
    """The id as it is meant to be read; and as somebody reads it who takes all up to the semicolon, but for comments,
    quotes and white space, wherever these stand."""
    text = value.decode("utf-8", "replace")
    start = _after_space(text)
    rest = text[start : start + _MAX_ID]
    for _ in range(3):
        rest = _FLAT_COMMENT.sub("", rest)
    squeezed = _VERSION.sub("", rest.partition(";")[0]).translate(_MARKS)
    return [_id_at(text, start), *filter(None, [squeezed])]


_MAX_ID = 1000
_FLAT_COMMENT = re.compile(r"\([^()]*+\)")
_VERSION = re.compile(r"\s+[0-9]{1,9}\s*\Z")  # RFC 8601 2.2: authres-version
_HIDDEN = (*range(0x21), 0x7F, 0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
_MARKS = {**str.maketrans("", "", "\"'\\"), **dict.fromkeys(_HIDDEN)}
"""Quotes, white space, and what shows nowhere."""


_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)  # which remembers no way back: it may be a megabyte
_BARE = re.compile(r"[^\s\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]+")  # what RFC 2045 5.1 allows in a token, and more


def authserv_id(value: bytes) -> str:
    """The authserv-id that the value of an Authentication-Results field begins with, "" where none can be read."""
    text = value.decode("utf-8", "replace")
    return _id_at(text, _after_space(text))


def _id_at(text: str, start: int) -> str:
    quoted = _QUOTED.match(text, start)
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
    bare = _BARE.match(text, start)
    return bare[0] if bare is not None else ""


def _after_space(text: str) -> int:
    """Where white space and comments at the beginning end."""
    found = _SPACE.match(text)
    return found.end() if found is not None else 0


def _comment(depth: int) -> str:
    """A comment that holds others (RFC 5322 3.2.2) up to this depth; deeper, it is none that can be read."""
    within = rf"|{_comment(depth - 1)}" if depth else ""
    return rf"\((?:[^()\\]++|\\.{within})*+\)"


COMMENT = _comment(8)
"""A pattern; it wants re.DOTALL."""

_SPACE = re.compile(rf"(?:\s|{COMMENT})*+", re.DOTALL)
"""White space and comments. Nothing of it is tried twice: a header section may be full of them."""
