"""One use of a filter: which filter, on which listeners, how long it may take, and what its failure means.

Knows nothing of the order or the walk (`relaygw.filters.chain`); built from the configuration at start, so that a
plugin that does not fit is refused before the first connection.
"""

import enum
from collections.abc import Collection, Sequence

import attrs

from relaygw.config.schema import FilterConfig
from relaygw.core.session import Role, Session
from relaygw.core.verdict import Phase
from relaygw.interfaces import IFilter, Services
from relaygw.plugins import PluginError, load_plugin


class OnError(enum.Enum):
    """What is done when a filter raises, runs out of time or answers something that is no verdict."""

    DEFER = "defer"
    SKIP = "skip"
    QUARANTINE = "quarantine"


class Mode(enum.Enum):
    """SHADOW: the filter is asked and journaled, and nothing it answers has an effect."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


@attrs.frozen(kw_only=True)
class Use:
    """`listeners` empty: all SMTP (not LMTP) listeners of role "mx". `timeout` in seconds, for one question.

    `on_error` and `mode` also take the configuration's words."""

    name: str
    filter: IFilter
    listeners: frozenset[str] = frozenset()
    timeout: float = 30.0
    on_error: OnError = attrs.field(default=OnError.DEFER, converter=OnError)
    mode: Mode = attrs.field(default=Mode.ENFORCE, converter=Mode)

    def wants(self, phase: Phase, session: Session) -> bool:
        """Whether the filter is asked in this phase of this session."""
        return phase in self.filter.phases and is_for(self.listeners, session)

    def covers(self, listener: str, role: Role) -> bool:
        """Whether the filter is in use on this listener."""
        return listener in self.listeners if self.listeners else role is Role.MX


def is_for(listeners: Collection[str], session: Session) -> bool:
    """Whether a filter with these listeners is for a session."""
    if listeners:
        return session.listener in listeners
    # LMTP comes from a mail server of ours, of which there is nothing to find out.
    return session.role is Role.MX and not session.lmtp


def build_use(config: FilterConfig, services: Services) -> Use:
    """Load the filter one table of the configuration names; raises PluginError."""
    name = config.name or config.use
    where = f"filter {name!r}"
    if Mode(config.mode) is Mode.SHADOW:
        services = attrs.evolve(services, shadow=True)
    filter_ = load_plugin("relaygw.filters", config.use, config.options, services, where=where)
    if not isinstance(filter_.phases, frozenset) or not all(isinstance(phase, Phase) for phase in filter_.phases):
        raise PluginError(f"{where}: {config.use} has phases {filter_.phases!r:.100}, not a frozenset of Phase")
    return Use(
        name=name,
        filter=filter_,
        listeners=frozenset(config.listeners),
        timeout=config.timeout,
        on_error=config.on_error,
        mode=config.mode,
    )


def build_uses(configs: Sequence[FilterConfig], services: Services) -> tuple[Use, ...]:
    """All uses in the order of the configuration; raises one PluginError that tells every problem."""
    uses: list[Use] = []
    problems: list[str] = []
    for config in configs:
        try:
            uses.append(build_use(config, services))
        except PluginError as error:
            problems.extend(error.problems)
    names = [config.name or config.use for config in configs]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(
            f"filter {name!r}: this name is used {names.count(name)} times; give each use a `name` of its own"
        )
    if problems:
        raise PluginError(*problems)
    return tuple(uses)
