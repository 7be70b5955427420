"""One thing a check found: how bad, about what, and what to do."""

import enum
from collections.abc import Callable, Iterator

import attrs

from relaygw.config.schema import Config


class Level(enum.Enum):
    """ERROR: it will not work, or is not safe. WARNING: it works, and somebody should know."""

    ERROR = "error"
    WARNING = "warning"


@attrs.frozen(kw_only=True)
class Finding:
    """`path` is the option (`listener[2].tls`) or the file it is about; `advice` what to do, "" where that is plain."""

    level: Level
    path: str
    message: str
    advice: str = ""

    def __str__(self) -> str:
        text = (
            f"{self.level.value}: {self.path}: {self.message}" if self.path else f"{self.level.value}: {self.message}"
        )
        return f"{text}; {self.advice}" if self.advice else text


Check = Callable[[Config], Iterator[Finding]]


def error(path: str, message: str, advice: str = "") -> Finding:
    return Finding(level=Level.ERROR, path=path, message=message, advice=advice)


def warning(path: str, message: str, advice: str = "") -> Finding:
    return Finding(level=Level.WARNING, path=path, message=message, advice=advice)
