"""[[dkim]], [[signing]], [key_rotation]: keys, whose keys sign what, and how keys replace each other."""

import attrs

from relaygw.config.kinds import Domain, Duration, DurationOrZero, FieldName, FilePath, Label
from relaygw.config.units import DAY, HOUR, MINUTE


@attrs.frozen(kw_only=True)
class DkimKeyConfig:
    """One signing key. `algorithm` follows from the key; every key of a domain signs. `seals`: it also seals (ARC) what
    is handed on for others."""

    domain: Domain
    selector: Domain
    private_key: FilePath
    seals: bool = False


@attrs.frozen(kw_only=True)
class SigningRuleConfig:
    """How mail of ours is signed; the first rule whose conditions hold counts, each list by one entry. `domains` sign
    with all their keys: "author" is that of From, or with `parents` the nearest above it that has keys; none: nobody.

    `fields` empty: those that readers see (relaygw.core.dkim_signature). `oversigned` ones cannot be added later.
    `expire` 0: a signature is good for ever."""

    name: Label
    header_from: tuple[str, ...] = ()
    login: tuple[str, ...] = ()
    listener: tuple[str, ...] = ()
    domains: tuple[Domain, ...] = ("author",)
    parents: bool = True
    fields: tuple[FieldName, ...] = ()
    oversigned: tuple[FieldName, ...] = ("From",)
    expire: DurationOrZero = 0.0
    timestamp: bool = True


@attrs.frozen(kw_only=True)
class KeyRotationConfig:
    """How keys that `relaygw dkim` made replace each other. The DNS is asked every `interval`; a new key signs once its
    record has been seen for `settle`, with `automatic` by itself; the record of the old one stays for `keep`, and at
    least for as long as mail may wait in our queue."""

    automatic: bool = True
    interval: Duration = 10 * MINUTE
    settle: Duration = 1 * HOUR
    keep: Duration = 7 * DAY
