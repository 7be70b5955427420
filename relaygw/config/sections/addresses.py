"""[[table]], [aliases], [srs]: addresses of ours that lead to others, and return addresses."""

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from relaygw.config.kinds import (
    Count,
    Delimiter,
    Domain,
    DomainOrBelow,
    DomainOrNone,
    Duration,
    FilePath,
    HashLength,
    Label,
    Plugin,
)
from relaygw.config.units import DAY


@attrs.frozen(kw_only=True)
class TableConfig:
    """A lookup, used by its name. `use` is "inline", "file", "aliases", "ldap", another entry point's name or
    `module:object`."""

    name: Label
    use: Plugin = "file"
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class AliasesConfig:
    """Addresses of ours that lead to others, looked up in `tables` (names of [[table]]) in their order. Addresses in
    `domains` exist there and nowhere else. Each character of `delimiter` begins the tag of a local part."""

    tables: tuple[str, ...] = ()
    domains: tuple[Domain, ...] = ()
    delimiter: Delimiter = "+"
    depth: Count = 20
    recipients: Count = 1000


@attrs.frozen(kw_only=True)
class SrsConfig:
    """Return addresses of ours, in `domain` ("": none are made), for mail of others that is sent on to others.

    `secret_files`: the first makes them, all are believed; without any, one is kept in the state directory. `senders`
    is "strangers" (mail that came from nobody we know) or "all". Mail to `exempt` domains keeps its sender."""

    domain: DomainOrNone = ""
    secret_files: tuple[FilePath, ...] = ()
    senders: Literal["strangers", "all"] = "strangers"
    exempt: tuple[DomainOrBelow, ...] = ()
    max_age: Duration = 21 * DAY
    separator: Literal["=", "+", "-"] = "="
    hash_length: HashLength = 4
