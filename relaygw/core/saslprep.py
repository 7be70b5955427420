"""SASLprep (RFC 4013): one spelling for names and passwords that look the same. Pure, and bounded by its caller.

It is defined over Unicode 3.2; what has been assigned since passes only in a query, as the RFC has it.
"""

import stringprep
import unicodedata
from collections.abc import Callable

_PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class NotPreparable(ValueError):
    """The text has characters that no name or password may have."""


def saslprep(text: str, *, query: bool = False) -> str:
    """The prepared text; raises NotPreparable. `query` lets through what Unicode 3.2 did not know (RFC 3454 7)."""
    if text.isascii():
        return _ascii(text)
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    different = set(prepared)  # one character may have become eighteen
    if any(prohibited(c) for c in different for prohibited in _PROHIBITED):
        raise NotPreparable("a character is prohibited")
    if not query and any(map(stringprep.in_table_a1, different)):
        raise NotPreparable("a character is not assigned")
    _check_directions(prepared, different)
    return prepared


def _ascii(text: str) -> str:
    if any(c < " " or c == "\x7f" for c in text):
        raise NotPreparable("a character is prohibited")
    return text


def _check_directions(text: str, different: set[str]) -> None:
    """RFC 3454 6: text that runs from the right begins and ends so, and has nothing that runs from the left."""
    if not any(map(stringprep.in_table_d1, different)):
        return
    if any(map(stringprep.in_table_d2, different)):
        raise NotPreparable("characters of both directions are mixed")
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise NotPreparable("it does not begin and end in its direction")
