"""What a verb gives back, and the ways it can end. Verbs never print and never exit: `relaygw.cli.main` does.

Exit codes, the same for every verb: DONE 0, NO 1 (the answer is no, or a check failed), USAGE 2 (wrong usage or
configuration), UNREACHABLE 3 (the service does not answer).
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

DONE, NO, USAGE, UNREACHABLE = 0, 1, 2, 3


@attrs.frozen(kw_only=True)
class Answer:
    """`document` is what --json prints, `text` what people read instead; `notes` go to standard error either way."""

    document: Any
    text: str
    notes: str = ""
    status: int = DONE


class CommandError(Exception):
    """A verb cannot do what was asked; the message is a sentence for the operator."""

    status = NO


class UsageError(CommandError):
    """What was asked for cannot be meant, or the configuration cannot be used."""

    status = USAGE


class MissingError(CommandError):
    """What was asked about is not there."""


class UnreachableError(CommandError):
    """The service does not answer."""

    status = UNREACHABLE


class NotRunningError(UnreachableError):
    """Nobody listens at the control socket: what can be done without the service may be done now."""


def printable(text: object) -> str:
    """Text from anywhere, made safe for a terminal: what is not printable becomes \\x.. escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def printable_lines(lines: Iterable[object]) -> str:
    """The same for lines, each for itself."""
    return "\n".join(map(printable, lines))


def harmless(text: str) -> str:
    """The last look at all that people read: peers and strangers wrote much of what verbs tell."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return printable_lines(line.expandtabs() for line in text.split("\n"))


def json_text(document: object) -> str:
    """A document as --json prints it. What would act on a terminal, or stands for no character, is escaped as JSON
    has it: C1 controls, direction marks, lone surrogates; the value stays what it is."""
    lines = json.dumps(document, indent=2, ensure_ascii=False).split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in lines)


def _escaped(sign: str) -> str:
    return sign if sign.isprintable() else json.dumps(sign)[1:-1] if sign != "\x7f" else "\\u007f"


def shown(value: object) -> str:
    """A value of a document as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value)) or "none"
    return printable(value)


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns aligned under their titles; numbers stand right."""
    body = [[printable(cell) for cell in row] for row in rows]
    right = [
        bool(body) and all(row[place].replace(".", "", 1).isdigit() for row in body) for place in range(len(titles))
    ]
    widths = [max(len(row[place]) for row in [list(titles), *body]) for place in range(len(titles))]
    lines = []
    for row in [list(titles), *body]:
        cells = zip(row, widths, right, strict=True)
        lines.append(
            "  ".join(cell.rjust(width) if number else cell.ljust(width) for cell, width, number in cells).rstrip()
        )
    return "\n".join(lines)
