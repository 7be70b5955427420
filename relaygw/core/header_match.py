"""Conditions on header fields, as routes have them: a name, and patterns of which one must match one of its values.

The header section is hostile: of each name so many fields count and of each so many octets, and all conditions of a
table are looked at once per message, not once per recipient. Values are read as they stand, unfolded; encoded words
(RFC 2047) are not decoded.
"""

import re
from collections.abc import Iterable, Mapping

import attrs

from relaygw.core.glob import Glob, compile_glob
from relaygw.core.headers import values

MAX_VALUES = 50
"""Fields of one name that are looked at, from the top."""

MAX_VALUE = 4000
"""Octets of a value that are looked at."""

_NAME = re.compile(r"[!-9;-~]{1,200}\Z")


class HeaderMatchError(ValueError):
    """The table is not one of conditions; the message says why."""


@attrs.frozen
class HeaderCondition:
    """`name` in lower case; `patterns` as written, in lower case and sorted; "" asks for messages without the field."""

    name: str
    patterns: tuple[str, ...]

    def covers(self, other: "HeaderCondition") -> bool:
        """Whether whatever the other matches is matched here, as far as that is plain."""
        if self.name != other.name:
            return False
        there = "*" in self.patterns  # any value: then all that asks for a value is covered
        return all(each in self.patterns or (there and each != "") for each in other.patterns)

    def __str__(self) -> str:
        return f"{self.name}: {' or '.join(self.patterns)}"


Found = frozenset[HeaderCondition]
"""The conditions that hold for a message."""

NOTHING: Found = frozenset()


def compile_conditions(table: Mapping[str, object]) -> tuple[HeaderCondition, ...]:
    """The conditions of a table NAME = pattern, or a list of patterns; raises HeaderMatchError."""
    return tuple(_condition(name, value) for name, value in sorted(table.items(), key=lambda item: item[0].lower()))


def _condition(name: str, value: object) -> HeaderCondition:
    texts = [value] if isinstance(value, str) else value
    if not _NAME.match(name):
        raise HeaderMatchError(f"{name!r:.100} is not the name of a header field")
    if not isinstance(texts, list | tuple) or not texts or not all(isinstance(each, str) for each in texts):
        raise HeaderMatchError(f"the header field {name} wants a pattern, or a list of them")
    for text in texts:
        try:
            compile_glob(text)
        except ValueError as error:
            raise HeaderMatchError(f"the header field {name}: {error}") from None
    return HeaderCondition(name.lower(), tuple(sorted({str(text).casefold() for text in texts})))


@attrs.frozen
class HeaderLook:
    """All conditions of a table, ready to be looked for in one pass per name."""

    asked: tuple[tuple[bytes, tuple[tuple[HeaderCondition, tuple[Glob, ...]], ...]], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.asked)

    def find(self, head: bytes) -> Found:
        """Those that hold for this header section."""
        found: set[HeaderCondition] = set()
        for name, conditions in self.asked:
            texts = [value[:MAX_VALUE].decode("utf-8", "replace") for value in values(head, name)[:MAX_VALUES]]
            found.update(condition for condition, globs in conditions if _holds(condition, globs, texts))
        return frozenset(found)


def _holds(condition: HeaderCondition, globs: tuple[Glob, ...], texts: list[str]) -> bool:
    if not texts:
        return "" in condition.patterns
    return any(glob.match(text) for glob in globs for text in texts)


NO_LOOK = HeaderLook()


def look_for(conditions: Iterable[HeaderCondition]) -> HeaderLook:
    """What to look for, each name once."""
    by_name: dict[bytes, list[tuple[HeaderCondition, tuple[Glob, ...]]]] = {}
    for condition in dict.fromkeys(conditions):
        globs = tuple(compile_glob(text) for text in condition.patterns if text)
        by_name.setdefault(condition.name.encode("ascii"), []).append((condition, globs))
    return HeaderLook(tuple((name, tuple(each)) for name, each in by_name.items()))
