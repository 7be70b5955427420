"""What an exchange answers: a challenge, success, or a refusal that never says which part was wrong."""

import enum
from collections.abc import Callable

import attrs

from relaygw.interfaces import Account

MAX_RESPONSE = 12288
"""Octets of one base64 line (RFC 4954 4)."""
MAX_CREDENTIAL = 1024
"""Octets of a name or a password: what argon2 is given is bounded."""


class Refusal(enum.Enum):
    CANCELLED = "cancelled"  # the client sent "*"
    MALFORMED = "malformed"  # not base64, or not what the mechanism says
    CREDENTIALS = "credentials"  # wrong, whichever part it was
    UNAVAILABLE = "unavailable"  # we could not find out: temporary
    EXHAUSTED = "exhausted"  # refused, and this connection had its last attempt: close it


@attrs.frozen
class Challenge:
    """Send `data` (base64, without line end) after "334 " or "+ " and feed the answer to the same Exchange."""

    data: bytes


@attrs.frozen(kw_only=True)
class Authenticated:
    """`login` is the account's name; call `logout` once at the end."""

    login: str
    mechanism: str
    account: Account = attrs.field(repr=False)
    logout: Callable[[], None] = attrs.field(repr=False)


@attrs.frozen
class Refused:
    kind: Refusal


Step = Challenge | Authenticated | Refused
