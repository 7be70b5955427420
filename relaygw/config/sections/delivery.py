"""[queue], [[shaping]], [[reply]], [[retry]], [reports], [egress], [[tls_policy]]: when and how mail is tried, and
what senders are told."""

from typing import Literal

import attrs

from relaygw.config.kinds import (
    Count,
    CountOrZero,
    DomainOrBelow,
    Duration,
    DurationOrZero,
    EnhancedPattern,
    FilePath,
    Fingerprint,
    Label,
    Language,
    Moments,
    Port,
    ReplyCode,
    ReportTo,
    Size,
)
from relaygw.config.units import DAY, HOUR, KIB, MINUTE


@attrs.frozen(kw_only=True)
class QueueConfig:
    """`retry` are the waits after attempt 1, 2 …; the last repeats until `expire` after arrival. `trash_age` is how
    long what an operator removes can be brought back; 0: it cannot."""

    retry: tuple[Duration, ...] = (5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 1 * HOUR, 2 * HOUR, 4 * HOUR)
    expire: Duration = 5 * DAY
    expire_reports: Duration = 1 * DAY
    delay_warning: Moments = (4 * HOUR,)
    concurrency: Count = 200
    destination_concurrency: Count = 20
    initial_destination_concurrency: Count = 5
    destination_rest: Duration = 5 * MINUTE
    destination_rest_longest: Duration = 1 * HOUR
    attempt_timeout: Duration = 30 * MINUTE
    drain_timeout: DurationOrZero = 30.0
    trash_age: DurationOrZero = 1 * DAY


@attrs.frozen(kw_only=True)
class ShapingConfig:
    """One layer of how mail to destinations is shaped. Without conditions it is for all of them; `mx` and `domain`
    make a provider, whose domains are one destination under `name`; `destination` is one by its own name.
    What is None (and, in the file, not given) is as the layers before say; 0 is no limit."""

    name: Label
    mx: tuple[DomainOrBelow, ...] = ()
    domain: tuple[DomainOrBelow, ...] = ()
    destination: tuple[str, ...] = ()
    connections: Count | None = None
    initial_connections: Count | None = None
    messages_per_minute: CountOrZero | None = None
    recipients_per_message: CountOrZero | None = None
    messages_per_connection: CountOrZero | None = None


@attrs.frozen(kw_only=True)
class ReplyConfig:
    """What follows when a next hop answers so: all conditions given must hold, each by one entry of its list. `code`
    "421" or "4"; `enhanced` "4.7.1" or "4.7.*"; `text` is part of the reply, "*" anything in between.

    `action` "rest" (the destination, for `time`), "slow" (half as much at once, for `time`), "retry" (this message,
    after `time`), "defer" (a 5xx counts as temporary) or "fail" (a 4xx counts as final)."""

    name: str = ""
    destination: tuple[str, ...] = ()
    code: tuple[ReplyCode, ...] = ()
    enhanced: tuple[EnhancedPattern, ...] = ()
    text: tuple[str, ...] = ()
    action: Literal["rest", "slow", "retry", "defer", "fail"] = "rest"
    time: Duration = 5 * MINUTE


@attrs.frozen(kw_only=True)
class RetryConfig:
    """When messages of a kind are tried again and given up; the first rule whose conditions hold counts, each list by
    one entry. `host` is the next hop that answered. What is not given is as [queue] says."""

    name: Label
    recipient: tuple[str, ...] = ()
    sender: tuple[str, ...] = ()
    login: tuple[str, ...] = ()
    host: tuple[DomainOrBelow, ...] = ()
    trouble: tuple[
        Literal["connect", "dns", "tls", "login", "busy", "greylisted", "full", "local", "temporary"], ...
    ] = ()
    waits: tuple[Duration, ...] = ()
    expire: Duration | None = None
    delay_warning: Moments | None = None


@attrs.frozen(kw_only=True)
class ReportsConfig:
    """What senders are told (RFC 3464), and how. `returned` is what comes back of a message where its sender says
    nothing; `return_limit` how large it may be to come back whole. `double_bounces`: who is told of a report that
    cannot be delivered, "postmaster", an address or "none". `templates` is a folder of texts by kind and language.
    `warn_bulk`: of delays of automatic mail and of lists, too. `collect` is how long one report waits for the fate of
    the message's other recipients."""

    returned: Literal["headers", "full"] = "headers"
    return_limit: Size = 100 * KIB
    double_bounces: ReportTo = "postmaster"
    templates: FilePath | None = None
    language: Language = "en"
    warn_bulk: bool = False
    collect: DurationOrZero = 60.0


@attrs.frozen(kw_only=True)
class EgressConfig:
    """How we talk to next hops. `tls` is "may" (opportunistic), "encrypt", "verify" (encrypt, with a valid
    certificate) or "none"; a route or a line of [[tls_policy]] may say otherwise. With `dane` and `mta_sts`, "may" is
    more where the destination publishes more."""

    tls: Literal["none", "may", "encrypt", "verify"] = "may"
    dane: bool = True
    mta_sts: bool = True
    connect_timeout: Duration = 30.0
    greeting_timeout: Duration = 5 * MINUTE
    hello_timeout: Duration = 5 * MINUTE
    command_timeout: Duration = 5 * MINUTE
    data_start_timeout: Duration = 2 * MINUTE
    data_block_timeout: Duration = 3 * MINUTE
    data_timeout: Duration = 10 * MINUTE
    idle_timeout: DurationOrZero = 10.0
    messages_per_connection: Count = 100
    ipv6: bool = True
    ipv4: bool = True
    port: Port = 25


@attrs.frozen(kw_only=True)
class TlsPolicyConfig:
    """The TLS wanted for mail to these domains by these hosts; empty lists match all, the first that fits counts.

    `fingerprints` (SHA-256 of the certificate or of its public key) are for the policy "fingerprint".
    """

    policy: Literal["none", "may", "encrypt", "verify", "fingerprint", "dane", "sts"]
    domains: tuple[DomainOrBelow, ...] = ()
    mx: tuple[DomainOrBelow, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = ()
    ca_file: FilePath | None = None
