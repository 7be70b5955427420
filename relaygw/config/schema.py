"""The configuration as frozen values: every option, its type and its default. One sentence each stands in
etc/relaygw.toml; a test compares the two. The classes stand in relaygw.config.sections, by the sections of the file;
whoever uses one takes it from here. Loading, with all errors at once, is `relaygw.config.load`.

Durations are seconds here; the file says "90s", "5m", "4h", "5d" or a number of seconds. Sizes are octets; the file
says "256K", "50M", "1G" or a number. Paths are absolute here; the file's are relative to the file. The kinds in the
types (relaygw.config.kinds) say what the file may hold. A path that follows from the state directory when it is not
given is filled in by the loader: only a Config made by hand has None there.
"""

import ipaddress

import attrs

from relaygw.config.kinds import AnyNetwork, Domain, DomainOrBelow, FilePath, Postmaster
from relaygw.config.sections.addresses import AliasesConfig, SrsConfig, TableConfig
from relaygw.config.sections.delivery import (
    EgressConfig,
    QueueConfig,
    ReplyConfig,
    ReportsConfig,
    RetryConfig,
    ShapingConfig,
    TlsPolicyConfig,
)
from relaygw.config.sections.filters import FilterConfig, RewriterConfig
from relaygw.config.sections.listeners import CertificateConfig, LimitsConfig, ListenerConfig, PressureConfig, TlsConfig
from relaygw.config.sections.logins import (
    BansConfig,
    CertificateLoginConfig,
    DirectoryConfig,
    QuotaConfig,
    SubmissionConfig,
)
from relaygw.config.sections.routes import HoldConfig, HoldMatchConfig, MatchConfig, RouteConfig
from relaygw.config.sections.service import ControlConfig, DnsConfig, JournalConfig, MailboxConfig, SpoolConfig
from relaygw.config.sections.signing import DkimKeyConfig, KeyRotationConfig, SigningRuleConfig

__all__ = [
    "AliasesConfig",
    "BansConfig",
    "CertificateConfig",
    "CertificateLoginConfig",
    "Config",
    "ControlConfig",
    "DirectoryConfig",
    "DkimKeyConfig",
    "DnsConfig",
    "EgressConfig",
    "FilterConfig",
    "HoldConfig",
    "HoldMatchConfig",
    "JournalConfig",
    "KeyRotationConfig",
    "LimitsConfig",
    "ListenerConfig",
    "MailboxConfig",
    "MatchConfig",
    "Network",
    "PressureConfig",
    "QueueConfig",
    "QuotaConfig",
    "ReplyConfig",
    "ReportsConfig",
    "RetryConfig",
    "RewriterConfig",
    "RouteConfig",
    "ShapingConfig",
    "SigningRuleConfig",
    "SpoolConfig",
    "SrsConfig",
    "SubmissionConfig",
    "TableConfig",
    "TlsConfig",
    "TlsPolicyConfig",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
    aliases: AliasesConfig = attrs.field(factory=AliasesConfig)
    srs: SrsConfig = attrs.field(factory=SrsConfig)
    holds: tuple[HoldConfig, ...] = ()
    routes: tuple[RouteConfig, ...] = ()
    shaping: tuple[ShapingConfig, ...] = ()
    replies: tuple[ReplyConfig, ...] = ()
    retries: tuple[RetryConfig, ...] = ()
    dkim: tuple[DkimKeyConfig, ...] = ()
    signing: tuple[SigningRuleConfig, ...] = ()
    key_rotation: KeyRotationConfig = attrs.field(factory=KeyRotationConfig)
    tls: TlsConfig = attrs.field(factory=TlsConfig)
    limits: LimitsConfig = attrs.field(factory=LimitsConfig)
    submission: SubmissionConfig = attrs.field(factory=SubmissionConfig)
    pressure: PressureConfig = attrs.field(factory=PressureConfig)
    spool: SpoolConfig = attrs.field(factory=SpoolConfig)
    queue: QueueConfig = attrs.field(factory=QueueConfig)
    reports: ReportsConfig = attrs.field(factory=ReportsConfig)
    egress: EgressConfig = attrs.field(factory=EgressConfig)
    tls_policies: tuple[TlsPolicyConfig, ...] = ()
    directory: DirectoryConfig = attrs.field(factory=DirectoryConfig)
    bans: BansConfig = attrs.field(factory=BansConfig)
    mailbox: MailboxConfig = attrs.field(factory=MailboxConfig)
    dns: DnsConfig = attrs.field(factory=DnsConfig)
    journal: JournalConfig = attrs.field(factory=JournalConfig)
    control: ControlConfig = attrs.field(factory=ControlConfig)
    path: str = ""

    @property
    def local_domains(self) -> tuple[str, ...]:
        """All domains of which nobody behind us knows more than we do: with mailboxes, of aliases, of returns. They are
        "local" in matches."""
        returns = (self.srs.domain,) if self.srs.domain else ()
        return tuple(dict.fromkeys((*self.domains, *self.aliases.domains, *returns)))
