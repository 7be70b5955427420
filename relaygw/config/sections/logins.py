"""[directory], [bans], [submission], [[quota]]: who may log in, write as whom, and send how much."""

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from relaygw.config.kinds import AnyNetwork, Count, CountOrZero, Duration, FilePath, Fingerprint, Label, Plugin, Size
from relaygw.config.units import DAY, HOUR, MINUTE


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
