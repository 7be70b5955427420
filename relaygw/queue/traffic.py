"""The rules of traffic as the configuration has them, compiled: shapes of destinations, rules on replies, retries."""

from collections.abc import Iterable, Sequence

import attrs

from relaygw.config.schema import Config, QueueConfig, ReplyConfig, RetryConfig, ShapingConfig
from relaygw.core.health import Care
from relaygw.core.providers import PROVIDERS, RULES
from relaygw.core.remote_rules import RemoteRules, compile_rules
from relaygw.core.retry import Retries, Schedule, compile_retries
from relaygw.core.shaping import Destination, Shape, Shaping, compile_shaping


@attrs.frozen(kw_only=True)
class Traffic:
    """All of it."""

    shaping: Shaping
    rules: RemoteRules
    retries: Retries

    def shape(self, destination: Destination) -> Shape:
        """The shape of a destination; what a transport counts by is its name."""
        return self.shaping.shape(destination[1])


def schedule_of(config: QueueConfig) -> Schedule:
    """When the configuration wants messages to be tried, warned about and given up."""
    return Schedule(
        waits=config.retry,
        expire=config.expire,
        expire_reports=config.expire_reports,
        delay_warnings=config.delay_warning,
    )


def traffic_of(config: Config) -> Traffic:
    """The traffic of a whole configuration."""
    return make_traffic(config.queue, config.shaping, config.replies, config.retries, config.local_domains)


def make_traffic(
    queue: QueueConfig,
    shaping: Sequence[ShapingConfig] = (),
    replies: Sequence[ReplyConfig] = (),
    retries: Sequence[RetryConfig] = (),
    domains: Iterable[str] = (),
) -> Traffic:
    """What is configured, above what is built in."""
    care = Care(
        initial=min(queue.initial_destination_concurrency, queue.destination_concurrency),
        most=queue.destination_concurrency,
        rest=queue.destination_rest,
        longest_rest=queue.destination_rest_longest,
    )
    return Traffic(
        shaping=compile_shaping(shaping, PROVIDERS, care),
        rules=compile_rules(replies, RULES),
        retries=compile_retries(schedule_of(queue), retries, domains),
    )
