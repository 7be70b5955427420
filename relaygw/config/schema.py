"""The configuration as frozen values: every option, its type and its default. One sentence each stands in
etc/relaygw.toml; a test compares the two. Loading, with all errors at once, is `relaygw.config.load`.

Durations are seconds here; the file says "90s", "5m", "4h", "5d" or a number of seconds. Sizes are octets; the file
says "256K", "50M", "1G" or a number. Paths are absolute here; the file's are relative to the file. The kinds in the
types (relaygw.config.kinds) say what the file may hold. A path that follows from the state directory when it is not
given is filled in by the loader: only a Config made by hand has None there.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from relaygw.config.kinds import (
    AnyNetwork,
    Count,
    CountOrZero,
    Delimiter,
    Domain,
    DomainOrBelow,
    DomainOrNone,
    Duration,
    DurationOrZero,
    EnhancedPattern,
    FilePath,
    Finding,
    Fingerprint,
    HashLength,
    Label,
    Language,
    Moments,
    Nameserver,
    Plugin,
    Port,
    Postmaster,
    ReplyCode,
    ReportTo,
    Size,
)
from relaygw.config.signing import DkimKeyConfig, KeyRotationConfig, SigningRuleConfig
from relaygw.core.session import Role

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
KIB, MIB = 1024, 1024 * 1024


@attrs.frozen(kw_only=True)
class ListenerConfig:
    """`endpoint` is a Twisted server endpoint string without TLS; `tls` is "none", "starttls" or "implicit".

    `protocol` is "smtp", "lmtp", "pop3" or "imap"; `role` (smtp and lmtp) is "mx" or "submission". `auth` is "never",
    "tls" (offered only under TLS) or "always"; None means "tls", but "never" on an MX
    (the loader fills it in). What follows is for SMTP: with `networks` only clients in them may connect; the
    profile "legacy" is for old devices there. `line_ends` is "reject", "normalize" (a bare LF inside data becomes
    CRLF) or "repair" (a bare LF ends lines and data as well); None means "reject", but "repair" for the profile
    legacy; `tls_minimum_version` None means [tls] minimum_version, but "TLSv1" for that profile. 0 is no limit.

    With `proxy_from`, every connection comes from one of these networks and begins with a PROXY header.
    `trust_socket`: who may open the UNIX socket of the endpoint may relay.
    """

    name: Label
    endpoint: str
    protocol: Literal["smtp", "lmtp", "pop3", "imap"] = "smtp"
    role: Role = Role.MX
    tls: Literal["none", "starttls", "implicit"] = "starttls"
    auth: Literal["never", "tls", "always"] | None = None
    max_connections: Count = 2000
    max_connections_per_client: Count = 100
    max_connections_per_network: CountOrZero = 0
    connections_per_minute: CountOrZero = 0
    connections_per_minute_per_network: CountOrZero = 0
    greeting_delay: DurationOrZero = 0.0
    profile: Literal["standard", "legacy"] = "standard"
    networks: tuple[AnyNetwork, ...] = ()
    line_ends: Literal["reject", "normalize", "repair"] | None = None
    tls_minimum_version: Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] | None = None
    client_certificates: Literal["none", "request", "require"] = "none"
    proxy_from: tuple[AnyNetwork, ...] = ()
    trust_socket: bool = False


@attrs.frozen(kw_only=True)
class CertificateConfig:
    """PEM files of one more certificate, for clients that ask for one of its names (SNI)."""

    certificate: FilePath
    private_key: FilePath


@attrs.frozen(kw_only=True)
class TlsConfig:
    """PEM files for all listeners; None: no TLS is offered. `client_authorities` are who may certify clients."""

    certificate: FilePath | None = None
    private_key: FilePath | None = None
    certificates: tuple[CertificateConfig, ...] = ()
    client_authorities: FilePath | None = None
    minimum_version: Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] = "TLSv1.2"


@attrs.frozen(kw_only=True)
class LimitsConfig:
    """Bounds of one SMTP session; timeouts follow RFC 5321 4.5.3.2."""

    message_size: Size = 50 * MIB
    recipients: Count = 1000
    received_fields: Count = 50
    errors: Count = 20
    command_timeout: Duration = 5 * MINUTE
    data_timeout: Duration = 3 * MINUTE
    session_time: Duration = 1 * HOUR
    auth_attempts: Count = 3
    error_delay: DurationOrZero = 0.0
    unknown_recipients: Count = 100
    messages: Count = 10_000


@attrs.frozen(kw_only=True)
class SubmissionConfig:
    """Whom a login may write as: its account's addresses and the patterns that `senders` has for it ("*": anybody).
    `sender_binding` looks at the reverse-path ("envelope"), at From as well ("both") or at nothing ("off").
    `exempt_trusted`: clients in trusted networks are not asked; else those without a login write from our domains."""

    sender_binding: Literal["off", "envelope", "both"] = "off"
    exempt_trusted: bool = True
    senders: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class QuotaConfig:
    """How much may be sent before mail is held: `per` "login", "client" (an address; of IPv6 its /64) or "network"
    (each of `networks`). Empty lists match all; of several of one kind the first that matches counts. 0: no limit."""

    name: Label
    per: Literal["login", "client", "network"] = "login"
    logins: tuple[str, ...] = ()
    networks: tuple[AnyNetwork, ...] = ()
    listeners: tuple[str, ...] = ()
    messages_per_hour: CountOrZero = 0
    messages_per_day: CountOrZero = 0
    recipients_per_hour: CountOrZero = 0
    recipients_per_day: CountOrZero = 0
    bytes_per_hour: Size = 0
    bytes_per_day: Size = 0


@attrs.frozen(kw_only=True)
class PressureConfig:
    """When no more mail is accepted (452, or 421 where memory is short) until things are better; 0 looks at nothing.

    After a failure of the spool mail waits for `spool_pause`."""

    interval: Duration = 5.0
    free_space: Size = 64 * MIB
    free_inodes: CountOrZero = 1000
    queue_length: CountOrZero = 0
    memory: Size = 0
    spool_pause: Duration = 5.0


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


@attrs.frozen(kw_only=True)
class SpoolConfig:
    """`inline_limit`: contents up to it live in the database, larger ones in a synced file of their own."""

    kind: Literal["sqlite", "memory"] = "sqlite"
    path: FilePath | None = None
    inline_limit: Size = 256 * KIB


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


@attrs.frozen(kw_only=True)
class CertificateLoginConfig:
    """Whoever has the client certificate logs in as `login`: one with this SHA-256 `fingerprint`, or one of this
    `subject` (RFC 4514) from [tls] client_authorities."""

    login: str
    fingerprint: Fingerprint = ""
    subject: str = ""


@attrs.frozen(kw_only=True)
class DirectoryConfig:
    """`kind` is "file", an entry point or `module:object`. `users` is the file of names and password hashes."""

    kind: Plugin = "file"
    users: FilePath | None = None
    certificates: tuple[CertificateLoginConfig, ...] = ()
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class BansConfig:
    """Failed logins within `window` that ban an address (of IPv6 its /64), a network (/24, /48), or close a login to
    addresses it is not known from. The first ban lasts `duration`, each further one twice as long, up to `longest`.
    `exempt` networks are never banned, and neither are trusted ones."""

    enabled: bool = True
    failures: Count = 10
    network_failures: Count = 50
    login_failures: Count = 20
    window: Duration = 1 * HOUR
    duration: Duration = 15 * MINUTE
    longest: Duration = 1 * DAY
    exempt: tuple[AnyNetwork, ...] = ()


@attrs.frozen(kw_only=True)
class MailboxConfig:
    """`path` holds one Maildir++ per account; None: `mail` below the state directory."""

    path: FilePath | None = None
    idle_timeout: Duration = 30 * MINUTE
    login_attempts: Count = 3


@attrs.frozen(kw_only=True)
class DnsConfig:
    """`nameservers` as "address" or "address:port"; empty: those of the system. `zone` answers from an RFC 1035
    zone file or a YAML mapping instead of the network (tests and rehearsals).

    The mail of one message, and of one client in a minute, may ask so many questions that are not in the cache; 0: any
    number."""

    nameservers: tuple[Nameserver, ...] = ()
    timeout: Duration = 10.0
    cache_size: Count = 50_000
    questions_per_message: CountOrZero = 100
    questions_per_client: CountOrZero = 3_000
    zone: FilePath | None = None


@attrs.frozen(kw_only=True)
class JournalConfig:
    """`file` "-" is standard output, "" none; a relative path is below the state directory. History is kept there for
    `history` seconds."""

    file: str = "journal.jsonl"
    history: Duration = 14 * DAY


@attrs.frozen(kw_only=True)
class ControlConfig:
    """`socket` None: `control.sock` in the state directory. `console` is the endpoint of the web page, "" none;
    it asks for the token in `token_file`."""

    socket: FilePath | None = None
    console: str = ""
    token_file: FilePath | None = None


@attrs.frozen(kw_only=True)
class Config:
    """The whole file. `hostname` is our name in greetings, Received and DSNs; `domains` are local (mailboxes),
    `relay_domains` are accepted from anyone and routed on; `trusted_networks` may relay without a login. `postmaster`
    receives what is for our own postmaster; "" means postmaster at the first local domain. `path` is this file."""

    hostname: Domain
    state: FilePath
    domains: tuple[Domain, ...] = ()
    relay_domains: tuple[DomainOrBelow, ...] = ()
    trusted_networks: tuple[AnyNetwork, ...] = ()
    postmaster: Postmaster = ""
    listeners: tuple[ListenerConfig, ...] = ()
    filters: tuple[FilterConfig, ...] = ()
    rewriters: tuple[RewriterConfig, ...] = ()
    quotas: tuple[QuotaConfig, ...] = ()
    tables: tuple[TableConfig, ...] = ()
    aliases: AliasesConfig = AliasesConfig()
    srs: SrsConfig = SrsConfig()
    holds: tuple[HoldConfig, ...] = ()
    routes: tuple[RouteConfig, ...] = ()
    shaping: tuple[ShapingConfig, ...] = ()
    replies: tuple[ReplyConfig, ...] = ()
    retries: tuple[RetryConfig, ...] = ()
    dkim: tuple[DkimKeyConfig, ...] = ()
    signing: tuple[SigningRuleConfig, ...] = ()
    key_rotation: KeyRotationConfig = attrs.field(factory=KeyRotationConfig)
    tls: TlsConfig = TlsConfig()
    limits: LimitsConfig = LimitsConfig()
    submission: SubmissionConfig = SubmissionConfig()
    pressure: PressureConfig = PressureConfig()
    spool: SpoolConfig = SpoolConfig()
    queue: QueueConfig = QueueConfig()
    reports: ReportsConfig = ReportsConfig()
    egress: EgressConfig = EgressConfig()
    tls_policies: tuple[TlsPolicyConfig, ...] = ()
    directory: DirectoryConfig = DirectoryConfig()
    bans: BansConfig = BansConfig()
    mailbox: MailboxConfig = MailboxConfig()
    dns: DnsConfig = DnsConfig()
    journal: JournalConfig = JournalConfig()
    control: ControlConfig = ControlConfig()
    path: str = ""

    @property
    def local_domains(self) -> tuple[str, ...]:
        """All domains of which nobody behind us knows more than we do: with mailboxes, of aliases, of returns. They are
        "local" in matches."""
        returns = (self.srs.domain,) if self.srs.domain else ()
        return tuple(dict.fromkeys((*self.domains, *self.aliases.domains, *returns)))
