"""Patterns with "*" for anything, in any case, matched in linear time whatever the text: strangers write the texts.

There are no regular expressions in what operators configure: one that backtracks lets a stranger stop the reactor.
"""

import attrs

MAX_PATTERN = 500
"""Characters of a pattern."""


@attrs.frozen
class Glob:
    """`parts` are what stands between the asterisks, in lower case; one part: the text as a whole."""

    parts: tuple[str, ...]

    def match(self, text: str) -> bool:
        """Whether the whole text is of this form."""
        text = text.casefold()
        first, *middle = self.parts
        if not middle:
            return text == first
        *middle, last = middle
        if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
            return False
        place, end = len(first), len(text) - len(last)
        for part in middle:
            found = text.find(part, place, end)
            if found < 0:
                return False
            place = found + len(part)
        return True


def compile_glob(pattern: str) -> Glob:
    """The pattern; raises ValueError where it is too long or holds what no line can."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    if any(ord(sign) < 32 for sign in pattern):
        raise ValueError("a pattern holds no control characters")
    return Glob(tuple(pattern.casefold().split("*")))
