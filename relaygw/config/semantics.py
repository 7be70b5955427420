"""What must hold between the values of a configuration that reads well: names, references, and safety of logins.

Each rule (relaygw.config.rules) is a generator of faults over a complete Config. The table says which top-level options
it looks at; a rule is skipped where one of those could not be read, and so is what it says of an option with a fault of
its own: one slip is told once.
"""

from collections.abc import Callable, Iterator

from relaygw.config.problem import Fault, Path
from relaygw.config.rules import (
    addresses,
    delivery,
    filters,
    findings,
    listeners,
    logins,
    names,
    routes,
    service,
    signing,
)
from relaygw.config.schema import Config

Rule = Callable[[Config], Iterator[Fault]]

EVERY_ROUTE = "every route"
"""What the table as a whole needs: a route without its broken condition would seem to cover those after it."""

EVERY_NAME = "every name"
"""What references to listeners need."""

RULES: tuple[tuple[Rule, tuple[str, ...]], ...] = (
    (listeners.listener_names, ("listener",)),
    (listeners.listeners, ("listener",)),
    (filters.filter_names, ("filter",)),
    (routes.routes, (EVERY_ROUTE, "route", "domains", "relay_domains", "aliases", "srs")),
    (findings.findings, ("route", "filter")),
    (names.references, (EVERY_NAME, "listener", "filter", "rewriter", "quota", "hold", "route", "signing")),
    (logins.quota_names, ("quota",)),
    (filters.rewriters, ("rewriter", EVERY_ROUTE, "route")),
    (addresses.tables, ("table", "aliases")),
    (addresses.alias_domains, ("aliases", "domains", "relay_domains")),
    (addresses.srs, ("srs", "relay_domains")),
    (routes.hold_rules, ("hold", "domains", "relay_domains")),
    (logins.senders, ("submission", "domains")),
    (addresses.domains, ("domains", "relay_domains")),
    (listeners.tls, ("tls", "listener")),
    (logins.certificate_logins, ("directory", "tls")),
    (signing.dkim, ("dkim", "filter")),
    (signing.signing, ("signing", "domains", "relay_domains")),
    (logins.logins, ("listener", "directory", "domains")),
    (names.plugins, ("filter", "rewriter", "route", "directory", "table")),
    (delivery.queue, ()),
    (delivery.shaping, ("shaping",)),
    (delivery.replies, ("reply",)),
    (delivery.retries, ("retry", "domains")),
    (delivery.egress, ()),
    (delivery.tls_policies, ("tls_policy",)),
    (service.control, ()),
)


def faults(config: Config, unread: frozenset[str], faulty: frozenset[Path]) -> list[Fault]:
    """Everything wrong between values. `unread` are the top-level options that could not be read in full, `faulty`
    the options inside them that have faults of their own already."""
    if any(path[:1] == ("route",) for path in faulty):
        unread |= {EVERY_ROUTE}
    if any(path[:1] == ("listener",) and path[2:] == ("name",) for path in faulty):
        unread |= {EVERY_NAME}
    found = [fault for rule, needs in RULES for fault in (rule(config) if unread.isdisjoint(needs) else ())]
    return [fault for fault in found if fault[0] not in faulty]
