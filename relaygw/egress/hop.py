"""How to talk to a next hop, as values: what a route's parameters become, and the settings all routes share."""

import enum

import attrs


class TlsMode(enum.Enum):
    """What TLS a conversation needs. The value is the configuration's word."""

    NONE = "none"  # never, even where it is offered
    MAY = "may"  # where it works, without looking at the certificate (RFC 7435)
    ENCRYPT = "encrypt"  # always, without looking at the certificate
    VERIFY = "verify"  # always, with a certificate that a trusted authority issued for the host's name


class EightBit(enum.Enum):
    """What happens to 8-bit content where the next hop does not offer 8BITMIME (RFC 6152 3)."""

    PASS = "pass"  # noqa: S105 - sent as it is: no server in use clips the eighth bit, and a bounce helps nobody
    REFUSE = "refuse"  # by the letter: failed, 5.6.3


@attrs.frozen(kw_only=True)
class Login:
    """Credentials for a smart-host. The password stays in its file until a connection needs it."""

    username: str
    password_file: str
    in_clear: bool = False


@attrs.frozen(kw_only=True)
class Hop:
    """`implicit` means TLS from the first octet (RFC 8314 3). `authorities` is a PEM file, "" for the system's."""

    port: int = 25
    tls: TlsMode = TlsMode.MAY
    implicit: bool = False
    authorities: str = ""
    login: Login | None = None
    lmtp: bool = False
    eight_bit: EightBit = EightBit.PASS


@attrs.frozen(kw_only=True)
class Manners:
    """Our own name, and how long we wait for what, in seconds (RFC 5321 4.5.3.2)."""

    hostname: str
    connect_timeout: float
    greeting_timeout: float
    command_timeout: float
    data_timeout: float
    idle_timeout: float
    messages_per_connection: int
