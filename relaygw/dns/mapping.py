"""Answers from a YAML (or JSON) mapping, name → type → values, as others write their test cases:

    example.com:
      MX: [10 mx.example.com]                 # or [[10, mx.example.com]]
      TXT: v=spf1 mx -all                     # one value needs no list; a list in the list is joined
    mx.example.com: {A: [192.0.2.1], AAAA: 2001:db8::1}
    slow.example.com: fails                   # no server answers; or {fails: [TXT, MX]} for these types

Every scalar is taken as it is written: YAML's own ideas of numbers and truth would read an address as something else.
A name, or a type of it, stands once. Types we do not ask about (SOA, CAA …) only make the name exist. Anything else
that is wrong is one MappingError.
"""

import ipaddress
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from relaygw.core.question import Data, Exchange, Tlsa
from relaygw.dns.records import TYPES

_FAILING = frozenset({"fails", "timeout", "servfail"})
_TYPE = re.compile(r"[A-Z][A-Z0-9-]*\Z")

Records = dict[str, dict[str, list[Data]]]


class MappingError(ValueError):
    """The mapping cannot be used; the message says where and why."""


def parse_mapping(text: str) -> tuple[Records, list[str]]:
    """Records by name and type, and the names that fail ("name" or "name TYPE"); raises MappingError."""
    document = read_yaml(text)
    if not isinstance(document, dict):
        raise MappingError("it is not a mapping of names")
    records: Records = {}
    failing: list[str] = []
    for key, node in document.items():
        if not isinstance(key, str):
            raise MappingError(f"{key!r} is not a name")
        name = _name(key)
        for kind, values in _pairs(name, node):
            if kind in ("", "fails"):
                failing += [f"{name} {each.upper()}".strip() for each in _texts(name, values)]
            else:
                found = records.setdefault(name, {})
                if kind in TYPES:
                    found.setdefault(kind, []).extend(_data(name, kind, values))
    return records, failing


class _Loader(yaml.BaseLoader):
    """Makes nothing but lists, dicts and strings; what stands twice is an error, as the first would be lost unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: {key.value[:100]!r} stands twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(text: str, loader: type[yaml.BaseLoader] = _Loader) -> object:
    """The document, every scalar a str; raises MappingError."""
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise MappingError(" ".join(str(error).split())[:500] or "not YAML") from None


def _pairs(name: str, node: object) -> Iterator[tuple[str, object]]:
    """Type and values; a list of mappings counts as one mapping with all their entries."""
    for part in node if isinstance(node, list) else [node]:
        if says_failing(part):
            yield "", ""
        elif isinstance(part, dict):
            for kind, values in part.items():
                yield _kind(name, kind), values
        else:
            raise MappingError(f"{name}: {_shown(part)} is not a mapping of types")


def _shown(node: object) -> str:
    """The beginning of a node: with anchors a small file can say more than memory holds."""
    short = reprlib.Repr()
    short.maxlevel, short.maxlist, short.maxdict, short.maxstring = 2, 4, 4, 60
    return short.repr(node)


def says_failing(node: object) -> bool:
    """Whether what stands for a name says that every question about it fails."""
    return isinstance(node, str) and node.lower() in _FAILING


def _kind(name: str, kind: object) -> str:
    if kind == "fails":
        return "fails"
    word = str(kind).upper()
    if not isinstance(kind, str) or not _TYPE.match(word):
        raise MappingError(f"{name}: {kind!r:.100} is not a type of records")
    return word


def _texts(name: str, values: object) -> list[str]:
    found = values if isinstance(values, list) else [values]
    texts = [each for each in found if isinstance(each, str)]
    if len(texts) < len(found):
        raise MappingError(f"{name}: the types that fail are words")
    return texts


def _data(name: str, kind: str, values: object) -> Iterator[Data]:
    try:
        for value in _values(kind, values):
            yield _datum(kind, value)
    except (ValueError, TypeError) as error:
        raise MappingError(f"{name} {kind}: {error}") from None


def _values(kind: str, values: object) -> Sequence[object]:
    if not isinstance(values, list):
        return [values]
    flat = all(isinstance(each, str) for each in values)
    # [10, host] may stand for [[10, host]]: neither half can be a record of its own.
    alone = kind == "MX" and flat and len(values) == 2 and values[0].isdigit()
    return [values] if alone else values


def _datum(kind: str, value: object) -> Data:
    if isinstance(value, Mapping):
        value = list(value.values())
    words = value if isinstance(value, list) else str(value)
    if not all(isinstance(each, str) for each in words):
        raise ValueError(f"{_shown(value)} is too deep: a record is a word, or a list of its parts")
    if kind == "TXT":
        return "".join(words).encode("utf-8", "surrogateescape")
    parts = words.split() if isinstance(words, str) else words
    if kind == "MX":
        preference, host = _parts(parts, 2)
        if not (preference.isascii() and preference.isdigit() and int(preference[:9]) < 65536):
            raise ValueError(f"{preference!r:.100} is not a preference from 0 to 65535")
        return Exchange(int(preference), _name(host))
    if kind == "TLSA":
        return _tlsa(parts)
    (only,) = _parts(parts, 1)
    if kind in ("A", "AAAA"):
        return str((ipaddress.IPv4Address if kind == "A" else ipaddress.IPv6Address)(only))
    return _name(only)


def _tlsa(parts: Sequence[str]) -> Tlsa:
    numbers, data = parts[:3], "".join(parts[3:])
    small = [each for each in numbers if re.fullmatch("[0-9]{1,3}", each) and int(each) < 256]
    if len(small) < 3 or not data:
        raise ValueError(f"{' '.join(parts)!r:.100} is not three numbers from 0 to 255 and the data")
    try:
        usage, selector, matching = map(int, numbers)
        return Tlsa(usage, selector, matching, bytes.fromhex(data))
    except ValueError:
        raise ValueError(f"{data!r:.100} is not hexadecimal") from None


def _parts(parts: Sequence[str], wanted: int) -> Sequence[str]:
    if len(parts) != wanted:
        raise ValueError(f"{' '.join(parts)!r:.100} does not have {wanted} part{'s' if wanted > 1 else ''}")
    return parts


def _name(text: str) -> str:
    return text.lower().removesuffix(".")
