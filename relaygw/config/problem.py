"""What is wrong with a configuration: one Problem per fault, all of them carried by one ConfigError.

A path is a tuple of keys and zero-based positions; written out, positions count from one: `listener[2].tls` is the
key `tls` of the second `[[listener]]`.
"""

from collections.abc import Iterable, Iterator

import attrs

Path = tuple[str | int, ...]

Fault = tuple[Path, str, str]
"""Where it is, what was found, and what was probably meant or ""."""


def spell(path: Path) -> str:
    """The path as an operator reads it; "" for the file as a whole."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@attrs.frozen(kw_only=True)
class Problem:
    """`message` says what was found and what is allowed, `hint` what was probably meant; `line` 0 is unknown."""

    path: str
    message: str
    hint: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = ":".join(part for part in (self.file, str(self.line) if self.line else "") if part)
        text = ": ".join(part for part in (place, self.path, self.message) if part)
        return f"{text} ({self.hint})" if self.hint else text


class ConfigError(Exception):
    """The configuration cannot be used; `problems` tells everything that is wrong with it, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def repeated(names: Iterable[object]) -> Iterator[tuple[int, int]]:
    """Places of values seen before, each with the place where it was first seen."""
    first: dict[object, int] = {}
    for place, name in enumerate(names):
        if first.setdefault(name, place) != place:
            yield place, first[name]
