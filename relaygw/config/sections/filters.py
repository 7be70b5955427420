"""[[filter]] and [[rewriter]]: what is asked of mail, and what changes it."""

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from relaygw.config.kinds import Duration, Label, Plugin


@attrs.frozen(kw_only=True)
class FilterConfig:
    """One use of a filter. `use` is an entry point's name or `module:object`; `name` defaults to `use`.

    `listeners` empty means all SMTP listeners of role "mx". `on_error` is "defer", "skip" or "quarantine";
    `mode` is "enforce" or "shadow".
    """

    use: Plugin
    name: Label = ""
    listeners: tuple[str, ...] = ()
    timeout: Duration = 30.0
    on_error: Literal["defer", "skip", "quarantine"] = "defer"
    mode: Literal["enforce", "shadow"] = "enforce"
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class RewriterConfig:
    """One use of a rewriter: what comes in over these listeners is changed once, before it is stored, or what goes out
    by these routes is changed at every attempt. `name` defaults to `use`."""

    use: Plugin
    name: Label = ""
    listeners: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    options: Mapping[str, Any] = attrs.field(factory=dict)
