"""[[route]] and [[hold]]: which mail goes where, and which waits for an operator."""

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from relaygw.config.kinds import AnyNetwork, Finding, Label, Plugin, Size


@attrs.frozen(kw_only=True)
class MatchConfig:
    """All given conditions must hold; each is a list of which one must match. None given: matches everything.

    A domain pattern is a domain, ".example.com" (any depth below), or "local" / "relay" (the configured domains);
    an address pattern is an address or a domain pattern. `sender` "<>" is the null reverse-path; `header_from` looks at
    the domain of the From field; sizes are octets, 0 is not asked. `finding` is what filters found out about the
    sender, in the words of Authentication-Results. `header` has conditions on fields: NAME = a pattern with "*" for
    anything, or a list of which one must match; "" is a message without the field. All names must match.
    """

    recipient: tuple[str, ...] = ()
    sender: tuple[str, ...] = ()
    login: tuple[str, ...] = ()
    listener: tuple[str, ...] = ()
    client: tuple[AnyNetwork, ...] = ()
    finding: tuple[Finding, ...] = ()
    header_from: tuple[str, ...] = ()
    header: Mapping[str, Any] = attrs.field(factory=dict)
    larger_than: Size = 0
    smaller_than: Size = 0
    quarantined: Literal["any", "yes", "no"] = "any"


@attrs.frozen(kw_only=True)
class HoldMatchConfig(MatchConfig):
    """`destination`: names of destinations, or of hosts of theirs, as `relaygw queue destinations` shows them."""

    destination: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class HoldConfig:
    """Mail that matches is accepted and held until an operator releases it; with `action` "quarantine" it is marked as
    quarantined besides. The first rule that matches one of the recipients decides about the message."""

    name: Label
    action: Literal["hold", "quarantine"] = "hold"
    reason: str = ""
    match: HoldMatchConfig = HoldMatchConfig()


@attrs.frozen(kw_only=True)
class RouteConfig:
    """Match → action. `transport` is an entry point's name (mx, smarthost, maildir, discard) or `module:object`;
    every further key of the table is a parameter of the transport; lists among them become tuples."""

    transport: Plugin
    name: Label = ""
    match: MatchConfig = MatchConfig()
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
