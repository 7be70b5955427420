"""The tables that are kept in memory: "inline" (in the configuration itself), "file" (lines of "key value") and
"aliases" (a file as aliases(5) has it). relaygw.core.table_files says what they may hold.

Options of "inline": `entries`, a table KEY = "value" or a list of values. Of the others: `file`; of "aliases" also
`include` (false): whether entries may be `:include:/path`, a list in a file that only its owner can write.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
from zope.interface import implementer

from relaygw.core.alias_targets import TargetError, key_of
from relaygw.core.table_files import TableText, is_include, read_aliases, read_list, read_pairs, target_fault
from relaygw.interfaces import IEntries, ITable, Options, Services
from relaygw.plugins import OptionsError, structure_options
from relaygw.tables.watched import FileError, Watched, read_text

MAX_TOLD = 10
"""Faults of one file that are told."""

Entries = Mapping[str, tuple[str, ...]]


@attrs.frozen(kw_only=True)
class InlineOptions:
    entries: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class FileOptions:
    """`file` is relative to the configuration."""

    file: str


@attrs.frozen(kw_only=True)
class AliasOptions:
    file: str
    include: bool = False


@implementer(ITable, IEntries)
class InlineTable:
    """See the module."""

    def __init__(self, options: Options, services: Services) -> None:
        given = structure_options(InlineOptions, options).entries
        problems: list[str] = []
        self._entries: dict[str, tuple[str, ...]] = {}
        for text, value in given.items():
            values = [value] if isinstance(value, str) else value
            if not isinstance(values, list | tuple) or not values or not all(isinstance(each, str) for each in values):
                problems.append(f"option 'entries': {text!r} wants a text or a list of texts")
                continue
            problems += [f"option 'entries': {text!r}: {fault}" for each in values if (fault := target_fault(each))]
            try:
                key = key_of(text)
            except TargetError as error:
                problems.append(f"option 'entries': {error}")
                continue
            if key in self._entries:
                problems.append(f"option 'entries': {text!r} stands there twice")
            self._entries[key] = tuple(values)
        if problems:
            raise OptionsError(*problems)

    def lookup(self, key: str) -> tuple[str, ...]:
        return self._entries.get(key, ())

    def entries(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        return self._entries.items()


@implementer(ITable, IEntries)
class _Kept:
    """The entries of a file as they were last read."""

    def __init__(self, read: Callable[[], tuple[Entries, Sequence[str]]], services: Services) -> None:
        try:
            self._watched = Watched(read, services.reactor)
        except FileError as error:
            raise OptionsError(*str(error).split("\n")) from None

    def lookup(self, key: str) -> tuple[str, ...]:
        return self._watched.current().get(key, ())

    def entries(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        return self._watched.current().items()

    @property
    def trouble(self) -> str:
        return self._watched.trouble


class FileTable(_Kept):
    """See the module."""

    def __init__(self, options: Options, services: Services) -> None:
        path = _beside(structure_options(FileOptions, options).file, services)
        super().__init__(lambda: (_entries(path, read_pairs(read_text(path))), (path,)), services)


class AliasTable(_Kept):
    """See the module."""

    def __init__(self, options: Options, services: Services) -> None:
        given = structure_options(AliasOptions, options)
        self._path = _beside(given.file, services)
        self._include = given.include
        super().__init__(self._read, services)

    def _read(self) -> tuple[Entries, Sequence[str]]:
        text = read_aliases(read_text(self._path), self._include)
        entries = _entries(self._path, text)
        lists = {path: _list(path) for path in text.includes}
        if not lists:
            return entries, (self._path,)
        return {key: _with_lists(values, lists) for key, values in entries.items()}, (self._path, *lists)


def _beside(path: str, services: Services) -> str:
    return os.path.join(os.path.dirname(services.settings.path), path)


def _entries(path: str, text: TableText) -> Entries:
    if text.faults:
        told = [f"{path}: {fault}" for fault in text.faults[:MAX_TOLD]]
        more = len(text.faults) - MAX_TOLD
        raise FileError("\n".join([*told, f"{path}: and {more} more"] if more > 0 else told))
    return {entry.key: entry.values for entry in text.entries}


def _list(path: str) -> tuple[str, ...]:
    targets, faults = read_list(read_text(path, owned=True))
    if faults:
        raise FileError("\n".join(f"{path}: {fault}" for fault in faults[:MAX_TOLD]))
    return targets


def _with_lists(values: tuple[str, ...], lists: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for value in values:
        found.update(dict.fromkeys(lists[value[len(":include:") :].strip()] if is_include(value) else (value,)))
    return tuple(found)
