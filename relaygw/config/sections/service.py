"""[spool], [mailbox], [journal], [dns], [control]: what the service keeps and asks, and how operators reach it."""

from typing import Literal

import attrs

from relaygw.config.kinds import Count, CountOrZero, Duration, FilePath, Nameserver, Size
from relaygw.config.units import DAY, KIB, MINUTE


@attrs.frozen(kw_only=True)
class SpoolConfig:
    """`inline_limit`: contents up to it live in the database, larger ones in a synced file of their own."""

    kind: Literal["sqlite", "memory"] = "sqlite"
    path: FilePath | None = None
    inline_limit: Size = 256 * KIB


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
