"""[[listener]], [tls], [limits], [pressure]: where clients reach us, and what is borne of them."""

from typing import Literal

import attrs

from relaygw.config.kinds import AnyNetwork, Count, CountOrZero, Duration, DurationOrZero, FilePath, Label, Size
from relaygw.config.units import HOUR, MIB, MINUTE
from relaygw.core.session import Role


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
class PressureConfig:
    """When no more mail is accepted (452, or 421 where memory is short) until things are better; 0 looks at nothing.

    After a failure of the spool mail waits for `spool_pause`."""

    interval: Duration = 5.0
    free_space: Size = 64 * MIB
    free_inodes: CountOrZero = 1000
    queue_length: CountOrZero = 0
    memory: Size = 0
    spool_pause: Duration = 5.0
