"""Where a key stands in a TOML file. The TOML reader does not tell, so the text is walked once more.

Only well-formed files come here. What is not found (a key of an inline table) is placed at the nearest thing around
it: a line number is a help to the reader, never a fact the program relies on.
"""

import re

from relaygw.config.problem import Path

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*([A-Za-z0-9_-]+|"[^"]*"|'[^']*')\s*=(.*)""")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|' + r"'[^']*'")
_QUOTES = re.compile(r'"""|' + r"'''")


def locate(text: str) -> dict[Path, int]:
    """Line numbers, counted from 1, by path."""
    found: dict[Path, int] = {(): 1}
    tables: dict[str, int] = {}
    table: Path = ()
    inside = Inside()
    for number, line in enumerate(text.split("\n"), 1):
        if inside.value:
            inside.feed(line)
        elif header := _HEADER.match(line):
            table = _table(header[2], header[1] == "[[", tables)
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, key[1].strip("\"'")), number)
            inside.feed(key[2])
    return found


def line_of(path: Path, lines: dict[Path, int]) -> int:
    """The line of the path, or of the nearest table around it; of a list of tables, that of its first."""
    while path not in lines:
        if (*path, 0) in lines:
            return lines[(*path, 0)]
        path = path[:-1]
    return lines[path] if path else 0


def _table(name: str, repeated: bool, tables: dict[str, int]) -> Path:
    """The path of a header; `tables` counts the `[[…]]` of each name seen so far."""
    path: Path = ()
    names = [part.strip().strip("\"'") for part in name.split(".")]
    for depth, part in enumerate(names, 1):
        dotted = ".".join(names[:depth])
        if repeated and depth == len(names):
            tables[dotted] = tables.get(dotted, 0) + 1
        path += (part, tables[dotted] - 1) if dotted in tables else (part,)
    return path


class Inside:
    """Whether a value that began on an earlier line still goes on: `value` is true within one."""

    def __init__(self) -> None:
        self._quotes = ""
        self._depth = 0

    @property
    def value(self) -> bool:
        return bool(self._quotes) or self._depth > 0

    def feed(self, line: str) -> None:
        while line:
            if self._quotes:
                _, closed, line = line.partition(self._quotes)
                self._quotes = "" if closed else self._quotes
            else:
                line = self._plain(line)

    def _plain(self, line: str) -> str:
        """Count brackets up to the first multi-line string; answer what follows its opening quotes."""
        opening = _QUOTES.search(line)
        plain = line[: opening.start()] if opening else line
        plain = _STRING.sub("", plain).partition("#")[0]
        self._depth += sum(map(plain.count, "[{")) - sum(map(plain.count, "]}"))
        if opening is None or "#" in _STRING.sub("", line[: opening.start()]):
            return ""
        self._quotes = opening[0]
        return line[opening.end() :]
