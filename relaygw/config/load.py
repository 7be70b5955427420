"""From a TOML file to a Config, or to one ConfigError that tells everything wrong with it at once.

Reads the one file and nothing else: whether the files it names exist and fit is `relaygw check`'s question. The
order: TOML, then each value by its type (structure), then what must hold between values (semantics), then the paths
and defaults that follow from others are filled in.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any

import attrs

from relaygw.config.lines import line_of, locate
from relaygw.config.paths import control_socket, mail_directory, spool_directory
from relaygw.config.problem import ConfigError, Fault, Problem, spell
from relaygw.config.schema import Config, FilterConfig, ListenerConfig, RouteConfig
from relaygw.config.semantics import faults
from relaygw.config.structure import Reader
from relaygw.core.session import Role

__all__ = ["ConfigError", "Problem", "load", "parse"]

PLURALS = {
    "listeners": "listener",
    "filters": "filter",
    "rewriters": "rewriter",
    "quotas": "quota",
    "tables": "table",
    "holds": "hold",
    "routes": "route",
    "tls_policies": "tls_policy",
    "replies": "reply",
    "retries": "retry",
}
"""Fields whose tables stand in the file under the singular: `[[listener]]`."""

_LONGEST = 1 << 24
"""Octets of a file that are read: `/dev/zero` has no end."""
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")


def load(path: str | os.PathLike[str]) -> Config:
    """The configuration in the file; raises ConfigError."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LONGEST + 1)
        text = data.decode("utf-8-sig")  # some editors begin with a byte order mark
    except OSError as error:
        raise ConfigError((Problem(path="", message=f"cannot be read: {error.strerror}", file=str(path)),)) from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (octet {error.start})"
        raise ConfigError((Problem(path="", message=message, file=str(path)),)) from None
    if len(data) > _LONGEST:
        message = f"is no configuration: it has more than {_LONGEST} octets"
        raise ConfigError((Problem(path="", message=message, file=str(path)),))
    return parse(text, os.path.abspath(path))


def parse(text: str, path: str) -> Config:
    """The configuration in the text of a file at the absolute `path`; raises ConfigError."""
    table = _toml(text, path)
    found: list[Fault] = []
    _lift_parameters(table)
    reader = Reader(os.path.dirname(path), lambda *fault: found.append(fault), PLURALS, frozenset({"path"}))
    draft: Config = reader.table(Config, table, ())
    config = _complete(draft, path)
    found += faults(config, _unread(found, table, draft), frozenset(place for place, _, _ in found))
    if found:
        raise ConfigError(_problems(found, text, path))
    return config


def _toml(text: str, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        message = f"not well-formed TOML: {_TOML_PLACE.sub('', str(error))}"
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        raise ConfigError((Problem(path="", message=message, file=path, line=line),)) from None
    except RecursionError:
        raise ConfigError((Problem(path="", message="its tables and lists are too deep", file=path),)) from None


def _unread(found: list[Fault], table: Mapping[str, Any], draft: Config) -> frozenset[str]:
    """The options that are not all there in the draft. A list of tables is, as long as none of them was left out."""
    singular = {word: name for name, word in PLURALS.items()}
    unread = set()
    for key in {str(place[0]) for place, _, _ in found if place}:
        value = table.get(key)
        tables = value if isinstance(value, list) and any(isinstance(each, dict) for each in value) else ()
        kept = getattr(draft, singular.get(key, key), ())
        if not tables or not isinstance(kept, tuple) or len(tables) != len(kept):
            unread.add(key)
    return frozenset(unread)


def _lift_parameters(table: dict[str, Any]) -> None:
    """In a route, every key that is not the route's own is a parameter of its transport."""
    own = {field.name for field in attrs.fields(RouteConfig)} - {"parameters"}
    routes = table.get("route")
    for route in routes if isinstance(routes, list) else ():
        if isinstance(route, dict):
            route["parameters"] = {key: _frozen(route.pop(key)) for key in list(route) if key not in own}


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _problems(found: list[Fault], text: str, path: str) -> tuple[Problem, ...]:
    """In the order of the file; each fault once."""
    lines = locate(text)
    placed = [
        Problem(path=spell(where), message=message, hint=hint, file=path, line=line_of(where, lines))
        for where, message, hint in dict.fromkeys(found)
    ]
    return tuple(sorted(placed, key=lambda problem: problem.line))


def _complete(config: Config, path: str) -> Config:
    """Fill in what follows from other options, so that no reader has to derive it again."""
    return attrs.evolve(
        config,
        path=path,
        postmaster=config.postmaster or f"postmaster@{(*config.domains, config.hostname)[0]}",
        listeners=tuple(map(_complete_listener, config.listeners)),
        filters=tuple(map(_complete_filter, config.filters)),
        rewriters=tuple(attrs.evolve(use, name=use.name or use.use) for use in config.rewriters),
        spool=attrs.evolve(config.spool, path=spool_directory(config)),
        mailbox=attrs.evolve(config.mailbox, path=mail_directory(config)),
        journal=attrs.evolve(config.journal, file=_journal_file(config.journal.file, config.state)),
        control=attrs.evolve(config.control, socket=control_socket(config)),
    )


def _complete_listener(listener: ListenerConfig) -> ListenerConfig:
    public = listener.protocol in ("smtp", "lmtp") and listener.role is Role.MX
    legacy = listener.profile == "legacy" and listener.protocol == "smtp"
    return attrs.evolve(
        listener,
        auth=listener.auth or ("never" if public else "tls"),
        line_ends=listener.line_ends or ("repair" if legacy else "reject"),
        tls_minimum_version=listener.tls_minimum_version or ("TLSv1" if legacy else None),
    )


def _complete_filter(use: FilterConfig) -> FilterConfig:
    return attrs.evolve(use, name=use.name or use.use)


def _journal_file(file: str, state: str) -> str:
    return file if file in ("", "-") else os.path.join(state, file)


def defaults(cls: type) -> Mapping[str, Any]:
    """The default of every option of a class that has one, as a reader of documentation wants it."""
    found = {}
    for field in attrs.fields(cls):
        default: Any = field.default
        if default is not attrs.NOTHING:
            found[field.name] = default.factory() if hasattr(default, "factory") else default
    return found
