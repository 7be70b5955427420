"""Reading tables of TOML into the frozen classes of the schema, with every fault told and none skipped.

The types of the schema are the grammar: what a key may hold is nowhere written twice. A value that cannot be read is
complained about, and its default or a stand-in takes its place, so that everything after it is still read and judged;
whoever got a complaint must use the result for nothing but finding more faults. Nothing here knows what options mean.
"""

import difflib
import enum
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import attrs

from relaygw.config.kinds import Kind
from relaygw.config.problem import Path

MISSING: Any = attrs.NOTHING

STAND_IN = "stand-in.invalid"
"""For a required text that could not be read, so that the rest of its table can still be judged."""

Complain = Callable[[Path, str, str], None]
"""Called with the path, the message and a hint or ""."""


def listed(names: typing.Iterable[str]) -> str:
    """The names in quotes, with commas."""
    return ", ".join(f'"{name}"' for name in names)


def meant(word: str, allowed: typing.Iterable[str]) -> str:
    """The hint for a word that is nearly one of those allowed; "" where none is near."""
    near = difflib.get_close_matches(word.lower(), list(allowed), n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""


def shown(value: object) -> str:
    """What was found, short enough for a sentence; tables and lists are named, not shown."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    text = str(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f'"{text}"' if isinstance(value, str) else text


@cache
def hints(cls: type) -> dict[str, Any]:
    """The types of a class with their kinds."""
    return typing.get_type_hints(cls, include_extras=True)


@attrs.frozen
class Reader:
    """`folder` is where relative paths start. Of the outermost table, `rename` gives the file's word for a field where
    the two differ, and `own` are the fields that the file does not hold."""

    folder: str
    complain: Complain
    rename: Mapping[str, str] = attrs.field(factory=dict)
    own: frozenset[str] = frozenset()

    def read(self, hint: Any, value: Any, path: Path) -> Any:
        """The value as the schema wants it, or MISSING after a complaint."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            return self._kind(arguments[1], value, path)
        if origin is typing.Literal:
            return self._choice(arguments, value, path)
        if origin is tuple:
            return self._sequence(arguments[0], value, path)
        if origin in (typing.Union, types.UnionType):
            return self.read(next(each for each in arguments if each is not type(None)), value, path)
        if attrs.has(hint):
            return self.table(hint, value, path)
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            chosen = self._choice([each.value for each in hint], value, path)
            return chosen if chosen is MISSING else hint(chosen)
        return self._plain(dict if origin is not None else hint, value, path)

    def table(self, cls: type, value: Any, path: Path) -> Any:
        """An object of the class; MISSING where there is no table to read it from."""
        if not isinstance(value, dict):
            return self._wrong(value, "a table", path)
        rename, hidden = ({}, frozenset[str]()) if path else (self.rename, self.own)
        known = {rename.get(name, name): name for name in hints(cls) if name not in hidden}
        for key in value:
            if key not in known:
                self.complain((*path, key), "there is no such option here", _unknown(key, known))
        read = {
            known[key]: self.read(hints(cls)[known[key]], value[key], (*path, key)) for key in value if key in known
        }
        required = {name: key for key, name in known.items() if _required(cls, name)}
        for name, key in required.items():
            if name not in read:
                self.complain((*path, key), "this option must be given", "")
        read = {name: each for name, each in read.items() if each is not MISSING}
        return cls(**{**dict.fromkeys(required, STAND_IN), **read})

    def _kind(self, kind: Kind, value: Any, path: Path) -> Any:
        try:
            return kind.parse(value, self.folder)
        except ValueError:
            return self._wrong(value, kind.allowed, path)

    def _choice(self, allowed: typing.Sequence[str], value: Any, path: Path) -> Any:
        if isinstance(value, str) and value in allowed:
            return value
        return self._wrong(value, listed(allowed), path, meant(value, allowed) if isinstance(value, str) else "")

    def _sequence(self, item: Any, value: Any, path: Path) -> Any:
        tables = attrs.has(item)
        if not isinstance(value, list):
            hint = f"write [[{path[-1]}]]" if tables else f"write [{shown(value)}]"
            return self._wrong(value, "a list of tables" if tables else "a list", path, hint)
        read = [self.read(item, each, (*path, place)) for place, each in enumerate(value)]
        return tuple(each for each in read if each is not MISSING)

    def _plain(self, hint: Any, value: Any, path: Path) -> Any:
        words = {bool: "true or false", int: "a whole number", str: "text in quotes", dict: "a table"}
        if isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
            return value
        return self._wrong(value, words.get(hint, hint.__name__), path)

    def _wrong(self, value: Any, allowed: str, path: Path, hint: str = "") -> Any:
        self.complain(path, f"found {shown(value)}; allowed is {allowed}", hint)
        return MISSING


def _required(cls: type, name: str) -> bool:
    return getattr(attrs.fields(cls), name).default is attrs.NOTHING


def _unknown(key: str, known: Mapping[str, str]) -> str:
    return meant(key, known) or f"known are {listed(sorted(known))}"
