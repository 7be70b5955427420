"""Tag lists (RFC 6376 3.2), the syntax that DKIM signatures, DKIM keys, ARC fields and DMARC records share.

Whatever comes in, the answer is a mapping or one TagError. Names are case-sensitive, and values keep their inner
white space: what it means is for those to say who know the tag.
"""

import binascii
import re

MAX_LIST = 32 * 1024
"""Characters of a list that is read at all; the longest honest one has a tenth of it."""

_TAG = re.compile(r"(?:\A|;)[ \t\r\n]*+([A-Za-z][A-Za-z0-9_]*+)[ \t\r\n]*+=([^;]*+)")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SPACE = " \t\r\n"
_NO_SPACE = str.maketrans("", "", _SPACE)


class TagError(ValueError):
    """The text is no tag list; the message says why."""


def parse_tags(text: str) -> dict[str, str]:
    """The values by name, in order; white space around them is gone."""
    if len(text) > MAX_LIST:
        raise TagError(f"longer than {MAX_LIST} characters")
    if _CONTROL.search(text):
        raise TagError("control characters")
    tags = {name: value.strip(_SPACE) for name, value in _TAG.findall(text)}
    last = text[text.rfind(";") + 1 :]
    if len(tags) == text.count(";") + (1 if last.strip(_SPACE) else 0):  # every one is a tag, and none stands twice
        return tags
    return _one_by_one(text)


def _one_by_one(text: str) -> dict[str, str]:
    tags: dict[str, str] = {}
    specs = text.split(";")
    if not specs[-1].strip(_SPACE):  # the last tag may have a semicolon after it
        specs.pop()
    for spec in specs:
        name, equals, value = spec.partition("=")
        name = name.strip(_SPACE)
        if not name and not equals:
            raise TagError("nothing stands between two semicolons")
        if not equals or not _NAME.match(name):
            raise TagError(f"{spec.strip(_SPACE)[:40]!r} is no tag")
        if name in tags:
            raise TagError(f"the tag {name}= stands twice")  # RFC 6376 3.2: the whole list is invalid
        tags[name] = value.strip(_SPACE)
    return tags


def compact(value: str) -> str:
    """The value without any white space, as base64 and lists may be folded anywhere."""
    # What a tag list has of white space that str.split() knows and ASCII has is ours; it is several times quicker.
    return "".join(value.split()) if value.isascii() else value.translate(_NO_SPACE)


def words(value: str) -> tuple[str, ...]:
    """The words of a colon-separated list."""
    return tuple(compact(value).split(":"))


def decode_base64(value: str) -> bytes:
    """The octets of a folded base64 value; raises TagError."""
    try:
        return binascii.a2b_base64(compact(value), strict_mode=True)
    except (binascii.Error, ValueError):
        raise TagError("not base64") from None
