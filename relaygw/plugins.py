"""Loading plugins: by entry-point name in a group, or as `module:object`. The parts we ship enter by the same door.

Every failure is one PluginError that says what, where and what to do; a plugin that does not fit its interface is
refused here, at start, and never meets a connection.
"""

import collections.abc
import enum
import os
import types
import typing
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

import attrs
import cattrs
from zope.interface import Interface
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from relaygw.config.kinds import Kind
from relaygw.interfaces import IDirectory, IFilter, IRewriter, ITable, ITransport, Options, Services

INTERFACES: Mapping[str, type[Interface]] = types.MappingProxyType(
    {
        "relaygw.filters": IFilter,
        "relaygw.rewriters": IRewriter,
        "relaygw.transports": ITransport,
        "relaygw.tables": ITable,
        "relaygw.directories": IDirectory,
    }
)
"""The entry-point groups, and what the plugins of each must provide."""

T = TypeVar("T")


class PluginError(Exception):
    """A plugin cannot be used; `problems` are sentences for the operator, each naming the place it is about."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_plugin(group: str, use: str, options: Options, services: Services, *, where: str = "") -> Any:
    """The plugin named `use`, made with its options, proven to provide the group's interface; raises PluginError.

    `where` names the place in the configuration for the error's sake, such as "filter 'spf'".
    """
    where = where or f"{group} {use!r}"
    factory = find_factory(group, use, where)
    try:
        plugin = factory(options, services)
    except OptionsError as error:
        raise PluginError(*(f"{where}: {problem}" for problem in error.problems)) from None
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        raise PluginError(f"{where}: {use} refused to start: {file}{error.strerror or error}") from error
    except Exception as error:
        raise PluginError(f"{where}: {use} refused to start: {type(error).__name__}: {error}") from error
    _verify(plugin, INTERFACES[group], f"{where}: {use}")
    return plugin


def find_factory(group: str, use: str, where: str) -> Callable[[Options, Services], object]:
    """The callable behind an entry point's name or `module:object`, imported; raises PluginError."""
    module, colon, attribute = use.partition(":")
    if not colon:
        module, attribute = _entry_point(group, use, where)
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ImportError as error:
        raise PluginError(
            f"{where}: cannot import {module!r}: {error}; is it installed where relaygw runs, or on PYTHONPATH?"
        ) from error
    except AttributeError:
        raise PluginError(f"{where}: the module {module!r} has no {attribute!r}") from None
    except Exception as error:
        raise PluginError(f"{where}: importing {module!r} failed: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise PluginError(f"{where}: {use!r} is {type(found).__name__}, not something called with (options, services)")
    return typing.cast(Callable[[Options, Services], object], found)


def _entry_point(group: str, name: str, where: str) -> tuple[str, str]:
    found = entry_points(group=group, name=name)
    if not found:
        known = ", ".join(sorted({point.name for point in entry_points(group=group)})) or "none"
        raise PluginError(f"{where}: no plugin named {name!r} in {group} (known: {known}); or name a `module:object`")
    point = next(iter(found))
    return point.module, point.attr


def _verify(plugin: object, interface: type[Interface], where: str) -> None:
    try:
        verifyObject(interface, plugin)
    except Invalid as error:
        reason = " ".join(str(error).split())
        raise PluginError(f"{where} does not provide {interface.__name__} (see relaygw.interfaces): {reason}") from None


class OptionsError(ValueError):
    """A plugin's table of options is wrong; `problems` tells all that is wrong with it."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def structure_options(shape: type[T], options: Options) -> T:
    """The options as a frozen attrs class: unknown keys, wrong types and missing ones are told all at once.

    Types may be str, int, float, bool, enums of str, tuples, mappings, unions with None, the annotated kinds of
    `relaygw.config.kinds` (Duration, Size …), and for tables inside further attrs classes. Nothing is coerced but int
    to float. Raises OptionsError, also for a ValueError of the class's own validators.
    """
    known = [field.name for field in attrs.fields(typing.cast(Any, shape))]
    problems = [f"unknown option {key!r} (known: {', '.join(known) or 'none'})" for key in options if key not in known]
    try:
        structured = _CONVERTER.structure({key: options[key] for key in known if key in options}, shape)
    except Exception as error:
        problems.extend(_problems(error))
        structured = None
    if problems or structured is None:
        raise OptionsError(*problems)
    return structured


def _problems(error: BaseException, path: str = "") -> list[str]:
    """One sentence per leaf of what cattrs collected."""
    if not isinstance(error, cattrs.BaseValidationError):
        return [_sentence(error, path)]
    if isinstance(error, cattrs.ClassValidationError):
        inner, bare = error.group_exceptions()
        return [p for e, note in inner for p in _problems(e, _join(path, note.name))] + [
            sentence for e in bare for sentence in _bare(e, path)
        ]
    if isinstance(error, cattrs.IterableValidationError):
        elements, bare = error.group_exceptions()
        return [p for e, note in elements for p in _problems(e, f"{path}[{_place(note.index)}]")] + [
            _sentence(e, path) for e in bare
        ]
    return [p for e in error.exceptions for p in _problems(e, path)]


def _place(index: object) -> object:
    """Positions count from one, as everywhere in what is said of a configuration; the place in a table is its key."""
    return index + 1 if isinstance(index, int) else index


def _bare(error: Exception, path: str) -> list[str]:
    if not isinstance(error, cattrs.ForbiddenExtraKeysError):
        return [_sentence(error, path)]
    known = ", ".join(field.name for field in attrs.fields(typing.cast(Any, error.cl)))
    return [f"unknown option {_join(path, key)!r} (known: {known})" for key in sorted(error.extra_fields)]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _sentence(error: BaseException, path: str) -> str:
    if isinstance(error, KeyError) and path:
        return f"option {path!r} is missing"
    return f"option {path!r}: {error}" if path else str(error)


def _strict(kind: type, *accepted: type) -> Callable[[Any, type], Any]:
    def hook(value: Any, _: type) -> Any:
        if type(value) not in accepted:
            raise ValueError(f"{value!r} is {type(value).__name__}, wanted {kind.__name__}")
        return kind(value)

    return hook


def _enum_hook(value: Any, kind: type[enum.Enum]) -> enum.Enum:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(repr(member.value) for member in kind)
        raise ValueError(f"{value!r} is not one of {allowed}") from None


def _tuple_hook(value: Any, kind: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{value!r} is {type(value).__name__}, wanted a list")
    elements: Any = list[typing.get_args(kind)[0]]  # type: ignore[misc]  # a type known only when it runs
    return tuple(_CONVERTER.structure(value, elements))


def _kind_hook(value: Any, annotated: Any) -> Any:
    kind = _kind_of(annotated)
    assert kind is not None  # the predicate has found it
    try:
        return kind.parse(value, os.curdir)
    except ValueError as error:
        raise ValueError(f"{value!r} is wrong ({error}); allowed is {kind.allowed}") from None


def _kind_of(annotated: Any) -> Kind | None:
    return next((extra for extra in getattr(annotated, "__metadata__", ()) if isinstance(extra, Kind)), None)


def _has_kind(annotated: Any) -> bool:
    return _kind_of(annotated) is not None


def _mapping_hook(value: Any, kind: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is {type(value).__name__}, wanted a table")
    keys, values = typing.get_args(kind)
    entries: Any = dict[keys, values]  # type: ignore[valid-type]  # types known only when it runs
    return typing.cast(Mapping[Any, Any], _CONVERTER.structure(value, entries))


def _is_mapping(kind: Any) -> bool:
    return typing.get_origin(kind) is collections.abc.Mapping


def _is_tuple(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    for kind, accepted in ((str, (str,)), (int, (int,)), (bool, (bool,)), (float, (float, int))):
        converter.register_structure_hook(kind, _strict(kind, *accepted))
    converter.register_structure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, enum.Enum), _enum_hook
    )
    converter.register_structure_hook_func(_has_kind, _kind_hook)
    converter.register_structure_hook_func(_is_mapping, _mapping_hook)
    converter.register_structure_hook_func(_is_tuple, _tuple_hook)
    return converter


_CONVERTER = _converter()
