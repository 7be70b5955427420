"""Macro strings (RFC 7208 7): parsed once, with all syntax errors found, then expanded with given values.

Parsing gives a MacroString or one SpfSyntaxError; expansion always gives a text.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import attrs

MAX_NAME = 253
"""Octets of a domain name without its final dot (RFC 7208 7.3)."""

NAME_END = MAX_NAME + 2
"""Characters of an expansion that `fit_name` has to see: one more than fit, and a final dot."""

_VISIBLE = re.compile(r"[\x21-\x24\x26-\x7e]+")
_VISIBLE_OR_SPACE = re.compile(r"[\x20-\x24\x26-\x7e]+")
_EXPAND = re.compile(r"%(?:([%_-])|\{([A-Za-z])([0-9]*)([rR]?)([-.+,/_=]*)\})")
_FIXED = {"%": "%", "_": " ", "-": "%20"}
_LETTERS = frozenset("slodiphv")
_EXPLANATION_LETTERS = frozenset("crt")
_LABEL_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


class SpfSyntaxError(ValueError):
    """A record, a term or a macro string breaks the grammar; the message says which and how."""


@attrs.frozen
class Macro:
    """`keep` right-hand parts (0: all) after splitting at `delimiters`; `escape` for URLs (RFC 7208 7.3)."""

    letter: str
    keep: int = 0
    reverse: bool = False
    delimiters: str = "."
    escape: bool = False

    def expand(self, value: str) -> str:
        if self.keep or self.reverse or self.delimiters != ".":
            value = self._transform(value)
        return quote(value, safe="-._~") if self.escape else value

    def _transform(self, value: str) -> str:
        first = self.delimiters[0]  # no pattern for it: a record may have a thousand different sets of them
        for other in set(self.delimiters) - {first}:
            value = value.replace(other, first)
        parts = value.split(first)
        if self.reverse:
            parts.reverse()
        return ".".join(parts[-self.keep :] if self.keep else parts)


@attrs.frozen
class MacroString:
    """Literals and macros in order. `ends_in_macro` tells whether the last of them was a macro-expand."""

    parts: tuple[str | Macro, ...]
    ends_in_macro: bool = False

    @property
    def letters(self) -> frozenset[str]:
        """The macro letters that must be known to expand this, in lower case."""
        return frozenset(part.letter for part in self.parts if isinstance(part, Macro))

    def expand(self, values: Mapping[str, str], enough: int | None = None) -> str:
        """The text, or so much of it from its beginning that there are `enough` characters."""
        return "".join(_expanded(self.parts, values, enough))

    def expand_end(self, values: Mapping[str, str], enough: int) -> str:
        """The text, or so much of its end that there are `enough` characters."""
        return "".join(reversed(_expanded(reversed(self.parts), values, enough)))


def _expanded(parts: Iterable[str | Macro], values: Mapping[str, str], enough: int | None) -> list[str]:
    """One by one, as an expansion can have millions of characters of which few are wanted."""
    found, left = [], enough
    for part in parts:
        found.append(part if isinstance(part, str) else part.expand(values[part.letter]))
        if left is not None:
            left -= len(found[-1])
            if left <= 0:
                break
    return found


def parse_macro_string(text: str, *, explanation: bool = False) -> MacroString:
    """A macro-string (RFC 7208 7.1); with `explanation` an explain-string: also spaces and the letters c, r, t."""
    literal = _VISIBLE_OR_SPACE if explanation else _VISIBLE
    parts: list[str | Macro] = []
    place, ends_in_macro = 0, False
    while place < len(text):
        ends_in_macro = text[place] == "%"
        match = (_EXPAND if ends_in_macro else literal).match(text, place)
        if match is None:
            raise SpfSyntaxError(f"not a macro at {text[place : place + 20]!r}")
        parts.append(_macro(match, explanation) if ends_in_macro else match[0])
        place = match.end()
    return MacroString(tuple(parts), ends_in_macro)


def _macro(match: re.Match[str], explanation: bool) -> str | Macro:
    fixed, letter, digits, reverse, delimiters = match.groups()
    if fixed:
        return _FIXED[fixed]
    lowered = letter.lower()
    if lowered not in _LETTERS and not (explanation and lowered in _EXPLANATION_LETTERS):
        raise SpfSyntaxError(f"the macro letter {letter!r} is not allowed here")
    keep = int(digits.lstrip("0")[:9] or "0")
    if digits and not keep:
        raise SpfSyntaxError("a macro keeps zero parts")  # RFC 7208 7.3: the value MUST be nonzero
    return Macro(lowered, keep, bool(reverse), delimiters or ".", letter.isupper())


def parse_domain_spec(text: str) -> MacroString:
    """RFC 7208 7.1 domain-spec: a macro-string that ends in a macro-expand or in a dot and a top label."""
    if not text:
        raise SpfSyntaxError("the domain is empty")
    parsed = parse_macro_string(text)
    if not parsed.ends_in_macro and not _ends_in_toplabel(parsed.parts[-1]):
        raise SpfSyntaxError(f"{text[:100]!r} does not end in a top-level domain")
    return parsed


def _ends_in_toplabel(literal: str | Macro) -> bool:
    assert isinstance(literal, str)  # the caller knows that it is no macro
    _, dot, label = literal.removesuffix(".").rpartition(".")
    if not dot or not label or label[0] == "-" or label[-1] == "-":
        return False
    return not label.isdigit() and _LABEL_CHARACTERS.issuperset(label)


def fit_name(expanded: str) -> str:
    """An expanded domain-spec as a name to look up: no final dot, labels dropped from the left until it fits."""
    name = expanded.removesuffix(".")
    if len(name) <= MAX_NAME:
        return name
    # One more character shows whether a label begins at the cut; expansions can have millions, so no loop over labels.
    _, dot, fitting = name[-MAX_NAME - 1 :].partition(".")
    return fitting if dot else name[-MAX_NAME:]


def is_name(name: str) -> bool:
    """Whether the DNS can have this name: labels of 1 to 63 octets, 253 in all (RFC 1035 2.3.4)."""
    labels = name.encode("utf-8", "replace").split(b".")
    return all(1 <= len(label) <= 63 for label in labels) and sum(map(len, labels)) + len(labels) - 1 <= MAX_NAME
