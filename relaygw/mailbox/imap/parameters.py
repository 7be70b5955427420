"""Structured MIME fields (RFC 2045 5.1, RFC 2183, RFC 3282): a value and its parameters, as forgivingly as mail needs.

Values keep their spelling; only quoting and comments go. RFC 2231 pieces (`name*0*`) stay as they are written.
"""

import re

Parameters = tuple[tuple[bytes, bytes], ...]

MAX_PARAMETERS = 100
MAX_VALUE = 32 * 1024

_TOKEN = rb"[^\x00-\x20()<>@,;:\\\"/\[\]?=\x7f]+"
_TYPE = re.compile(rb"\s*(" + _TOKEN + rb")\s*/\s*(" + _TOKEN + rb")\s*(?=;|\Z|\s)")
_FIRST = re.compile(rb"\s*(" + _TOKEN + rb")\s*")
_PARAMETER = re.compile(
    rb"[\s;]*(" + _TOKEN + rb")\s*=\s*(?:\"([^\"\\]*(?:\\.[^\"\\]*)*)\"|([^;\s\"]+))",
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_GAP = re.compile(rb"[\s;]+")


def parse_type(value: bytes) -> tuple[bytes, bytes, Parameters] | None:
    """Main type, subtype and parameters of a Content-Type; None where it is none (RFC 2045 5.2 says what then)."""
    plain = without_comments(value[:MAX_VALUE])
    found = _TYPE.match(plain)
    if found is None:
        return None
    return found.group(1), found.group(2), _parameters(plain, found.end())


def parse_disposition(value: bytes) -> tuple[bytes, Parameters] | None:
    """The kind and the parameters of a Content-Disposition."""
    plain = without_comments(value[:MAX_VALUE])
    found = _FIRST.match(plain)
    return (found.group(1), _parameters(plain, found.end())) if found else None


def parse_languages(value: bytes) -> tuple[bytes, ...]:
    """The tags of a Content-Language."""
    tags = (tag.strip() for tag in without_comments(value[:MAX_VALUE]).split(b","))
    return tuple(tag for tag in tags if tag)[:MAX_PARAMETERS]


def token(value: bytes) -> bytes:
    """The first word of a field such as Content-Transfer-Encoding; b"" where there is none."""
    found = _FIRST.match(without_comments(value[:MAX_VALUE]))
    return found.group(1) if found else b""


def parameter(parameters: Parameters, name: bytes) -> bytes | None:
    """The value of the parameter of this name, given in capitals."""
    return next((value for key, value in parameters if key.upper() == name), None)


def _parameters(value: bytes, start: int) -> Parameters:
    found: list[tuple[bytes, bytes]] = []
    while len(found) < MAX_PARAMETERS:
        start = value.find(b";", start)
        if start < 0:
            break
        match = _PARAMETER.match(value, start)
        if match is None:
            start = _between(value, start)
            continue
        quoted, plain = match.group(2), match.group(3)
        found.append((match.group(1), plain if quoted is None else _ESCAPE.sub(rb"\1", quoted)))
        start = match.end()
    return tuple(found)


def _between(value: bytes, start: int) -> int:
    """Behind all of what stands between two parameters: from each semicolon in it the same would be tried again."""
    gap = _GAP.match(value, start)
    return gap.end() if gap is not None else start + 1


def without_comments(value: bytes) -> bytes:
    """The value with each comment (RFC 5322 3.2.2), however nested, made into a space."""
    if b"(" not in value:
        return value
    kept = bytearray()
    depth, quoted, escaped = 0, False, False
    for octet in value:
        if escaped:
            escaped = False
        elif octet == 0x5C and (quoted or depth):
            escaped = True
        elif octet == 0x22 and not depth:
            quoted = not quoted
        elif octet == 0x28 and not quoted:
            depth += 1
            continue
        elif octet == 0x29 and depth:
            depth -= 1
            kept.append(0x20)
            continue
        if not depth:
            kept.append(octet)
    return bytes(kept)
