"""The configuration as frozen values: every option, its type and its default. One sentence each stands in
etc/relaygw.toml; a test compares the two. Loading, with all errors at once, is `relaygw.config.load`.

Durations are seconds here; the file says "90s", "5m", "4h", "5d" or a number of seconds. Sizes are octets; the file
says "256K", "50M", "1G" or a number. Paths are absolute here; the file's are relative to the file.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

import attrs

from relaygw.core.session import Role

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
KIB, MIB = 1024, 1024 * 1024


@attrs.frozen(kw_only=True)
class ListenerConfig:
    """`endpoint` is a Twisted server endpoint string without TLS; `tls` is "none", "starttls" or "implicit".

    `protocol` is "smtp", "pop3" or "imap"; `role` (smtp only) is "mx" or "submission". `auth` is "never",
    "tls" (offered only under TLS) or "always"; None means "tls", but "never" on an MX.
    """

    name: str
    endpoint: str
    protocol: str = "smtp"
    role: Role = Role.MX
    tls: str = "starttls"
    auth: str | None = None
    max_connections: int = 2000
    max_connections_per_client: int = 100


@attrs.frozen(kw_only=True)
class TlsConfig:
    """PEM files for all listeners; None: no TLS is offered."""

    certificate: str | None = None
    private_key: str | None = None
    minimum_version: str = "TLSv1.2"


@attrs.frozen(kw_only=True)
class LimitsConfig:
    """Bounds of one SMTP session; timeouts follow RFC 5321 4.5.3.2."""

    message_size: int = 50 * MIB
    recipients: int = 1000
    received_fields: int = 50
    errors: int = 20
    command_timeout: float = 5 * MINUTE
    data_timeout: float = 3 * MINUTE
    session_time: float = 1 * HOUR
    auth_attempts: int = 3


@attrs.frozen(kw_only=True)
class FilterConfig:
    """One use of a filter. `use` is an entry point's name or `module:object`; `name` defaults to `use`.

    `listeners` empty means all SMTP listeners of role "mx". `on_error` is "defer", "skip" or "quarantine";
    `mode` is "enforce" or "shadow".
    """

    use: str
    name: str = ""
    listeners: tuple[str, ...] = ()
    timeout: float = 20.0
    on_error: str = "defer"
    mode: str = "enforce"
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class MatchConfig:
    """All given conditions must hold; each is a list of which one must match. None given: matches everything.

    A domain pattern is a domain, ".example.com" (any depth below), or "local" / "relay" (the configured domains);
    an address pattern is an address or a domain pattern. `sender` "<>" is the null reverse-path.
    """

    recipient: tuple[str, ...] = ()
    sender: tuple[str, ...] = ()
    login: tuple[str, ...] = ()
    listener: tuple[str, ...] = ()
    client: tuple[Network, ...] = ()


@attrs.frozen(kw_only=True)
class RouteConfig:
    """Match → action. `transport` is an entry point's name (mx, smarthost, maildir, discard) or `module:object`;
    every further key of the table is a parameter of the transport."""

    transport: str
    name: str = ""
    match: MatchConfig = MatchConfig()
    parameters: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class DkimKeyConfig:
    """One signing key. `algorithm` follows from the key; every key of a domain signs."""

    domain: str
    selector: str
    private_key: str


@attrs.frozen(kw_only=True)
class SpoolConfig:
    """`inline_limit`: contents up to it live in the database, larger ones in a synced file of their own."""

    kind: str = "sqlite"
    path: str | None = None
    inline_limit: int = 256 * KIB


@attrs.frozen(kw_only=True)
class QueueConfig:
    """`retry` are the waits after attempt 1, 2 …; the last repeats until `expire` after arrival."""

    retry: tuple[float, ...] = (5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 1 * HOUR, 2 * HOUR, 4 * HOUR)
    expire: float = 5 * DAY
    expire_reports: float = 1 * DAY
    delay_warning: float = 4 * HOUR
    concurrency: int = 200
    destination_concurrency: int = 20
    attempt_timeout: float = 30 * MINUTE
    drain_timeout: float = 30.0


@attrs.frozen(kw_only=True)
class EgressConfig:
    """How we talk to next hops. `tls` is "may" (opportunistic), "encrypt" or "none"; a route may say otherwise."""

    tls: str = "may"
    connect_timeout: float = 30.0
    greeting_timeout: float = 5 * MINUTE
    command_timeout: float = 5 * MINUTE
    data_timeout: float = 10 * MINUTE
    idle_timeout: float = 10.0
    messages_per_connection: int = 100
    ipv6: bool = True
    ipv4: bool = True
    port: int = 25


@attrs.frozen(kw_only=True)
class DirectoryConfig:
    """`kind` is "file", an entry point or `module:object`. `users` is the file of names and password hashes."""

    kind: str = "file"
    users: str | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class MailboxConfig:
    """`path` holds one Maildir++ per account; None: `mail` below the state directory."""

    path: str | None = None
    idle_timeout: float = 30 * MINUTE
    login_attempts: int = 3


@attrs.frozen(kw_only=True)
class DnsConfig:
    """`nameservers` as "address" or "address:port"; empty: those of the system. `zone` answers from an RFC 1035
    zone file instead of the network (tests and rehearsals)."""

    nameservers: tuple[str, ...] = ()
    timeout: float = 10.0
    cache_size: int = 50_000
    zone: str | None = None


@attrs.frozen(kw_only=True)
class JournalConfig:
    """`file` "-" is standard output, "" none. History is kept in the state directory for `history` seconds."""

    file: str = "journal.jsonl"
    history: float = 14 * DAY


@attrs.frozen(kw_only=True)
class ControlConfig:
    """`socket` None: `control.sock` in the state directory. `console` is the endpoint of the web page, "" none;
    it asks for the token in `token_file`."""

    socket: str | None = None
    console: str = ""
    token_file: str | None = None


@attrs.frozen(kw_only=True)
class Config:
    """The whole file. `hostname` is our name in greetings, Received and DSNs; `domains` are local (mailboxes),
    `relay_domains` are accepted from anyone and routed on; `trusted_networks` may relay without a login."""

    hostname: str
    state: str
    domains: tuple[str, ...] = ()
    relay_domains: tuple[str, ...] = ()
    trusted_networks: tuple[Network, ...] = ()
    postmaster: str = ""
    listeners: tuple[ListenerConfig, ...] = ()
    filters: tuple[FilterConfig, ...] = ()
    routes: tuple[RouteConfig, ...] = ()
    dkim: tuple[DkimKeyConfig, ...] = ()
    tls: TlsConfig = TlsConfig()
    limits: LimitsConfig = LimitsConfig()
    spool: SpoolConfig = SpoolConfig()
    queue: QueueConfig = QueueConfig()
    egress: EgressConfig = EgressConfig()
    directory: DirectoryConfig = DirectoryConfig()
    mailbox: MailboxConfig = MailboxConfig()
    dns: DnsConfig = DnsConfig()
    journal: JournalConfig = JournalConfig()
    control: ControlConfig = ControlConfig()
    path: str = ""
