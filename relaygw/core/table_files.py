"""Two old forms of table files, read line by line with every fault told: aliases(5), and "key value" as in virtual(5),
canonical(5) and generic(5).

    postmaster: root                    info@example.com    alice, bob@example.net
    root: alice,                        @old.example        @new.example
        bob@example.net                 # a comment

A line that begins with white space goes on with the one before. A key is a local part, an address, or `@domain`.
"""

import re
from collections.abc import Iterator

import attrs

from relaygw.core.alias_targets import INCLUDE, TargetError, key_of, parse_target, split_targets

MAX_ENTRIES = 1_000_000
"""Entries of one file."""

_ALIAS = re.compile(r'("(?:[^"\\]|\\.)+"|[^\s:"]+)\s*:(?!include:)\s*(.*)\Z', re.DOTALL | re.IGNORECASE)
_PAIR = re.compile(r"(\S+)\s+(.+)\Z", re.DOTALL)


@attrs.frozen
class Entry:
    """`line` is where it begins."""

    key: str
    values: tuple[str, ...]
    line: int


@attrs.frozen
class Fault:
    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


@attrs.frozen
class TableText:
    """What a file holds. `includes` are the files that its entries name."""

    entries: tuple[Entry, ...]
    faults: tuple[Fault, ...]

    @property
    def includes(self) -> tuple[str, ...]:
        named = (value for entry in self.entries for value in entry.values if is_include(value))
        return tuple(dict.fromkeys(value[len(INCLUDE) :].strip() for value in named))


def is_include(value: str) -> bool:
    return value.lower().startswith(INCLUDE)


def read_aliases(text: str, include: bool = False) -> TableText:
    """An aliases(5) file; `include`: its entries may name lists in files."""
    return _read(text, _ALIAS, '"name: target, target" is wanted', include)


def read_pairs(text: str) -> TableText:
    """A file of keys and values."""
    return _read(text, _PAIR, '"key value, value" is wanted', False)


def read_list(text: str) -> tuple[tuple[str, ...], tuple[Fault, ...]]:
    """A file that an entry includes: targets, by lines and commas."""
    found: dict[str, None] = {}
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        for target in split_targets(line) if not line.lstrip().startswith("#") else ():
            if fault := target_fault(target):
                faults.append(Fault(number, fault))
            found[target] = None
    return tuple(found), tuple(faults)


def target_fault(target: str, include: bool = False) -> str:
    """What is wrong with a target, "" where it is one."""
    if include and is_include(target):
        return "" if target[len(INCLUDE) :].strip().startswith("/") else f"{target!r}: an absolute path is wanted"
    try:
        parse_target(target)
    except TargetError as error:
        return str(error)
    return ""


def _read(text: str, form: re.Pattern[str], wanted: str, include: bool) -> TableText:
    entries: dict[str, Entry] = {}
    faults: list[Fault] = []
    for number, line in _logical(text):
        found = form.match(line)
        if found is None:
            faults.append(Fault(number, f"{line[:80]!r}: {wanted}"))
            continue
        values = tuple(split_targets(found[2]))
        wrong = [fault for value in values if (fault := target_fault(value, include))]
        try:
            key = key_of(found[1].strip('"') if "@" not in found[1] else found[1])
        except TargetError as error:
            wrong.append(str(error))
            key = ""
        if not values:
            wrong.append(f"{found[1]!r} leads nowhere; write /dev/null where that is meant")
        if key in entries:
            wrong.append(f"{found[1]!r} stands in line {entries[key].line} already")
        if len(entries) >= MAX_ENTRIES:
            wrong.append(f"there are more than {MAX_ENTRIES} entries")
        faults += [Fault(number, each) for each in wrong]
        if not wrong:
            entries[key] = Entry(key, values, number)
        elif len(entries) >= MAX_ENTRIES:
            break
    return TableText(tuple(entries.values()), tuple(faults))


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines with those that go on with them, without comments and empty ones; each with the number of its first."""
    start, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and parts:
            parts.append(line)
            continue
        if parts:
            yield start, "\n".join(parts).strip()
        start, parts = number, [line]
    if parts:
        yield start, "\n".join(parts).strip()
