"""How to talk to a next hop, as values: what a route's parameters become, and the settings all routes share."""

import enum

import attrs

from relaygw.core.dane import Dane
from relaygw.egress.secrets import Secret
from relaygw.egress.tokens import OauthSource
from relaygw.tls import Pair


class TlsMode(enum.Enum):
    """What TLS a conversation needs. The value is the configuration's word."""

    NONE = "none"  # never, even where it is offered
    MAY = "may"  # where it works, without looking at the certificate (RFC 7435)
    ENCRYPT = "encrypt"  # always, without looking at the certificate
    VERIFY = "verify"  # always, with a certificate that a trusted authority issued for the host's name
    FINGERPRINT = "fingerprint"  # always, with one of these certificates or keys
    DANE = "dane"  # always, with a certificate that signed DNS names (RFC 7672)
    STS = "sts"  # as the domain's own policy says, which must be there (RFC 8461)


class EightBit(enum.Enum):
    """What happens to 8-bit content where the next hop does not offer 8BITMIME (RFC 6152 3)."""

    PASS = "pass"  # noqa: S105 - sent as it is: no server in use clips the eighth bit, and a bounce helps nobody
    REFUSE = "refuse"  # by the letter: failed, 5.6.3


@attrs.frozen(kw_only=True)
class Login:
    """Credentials for a smart-host: a password, or where tokens come from, or (neither) our certificate.

    Secrets stay in their place until a connection needs them. `mechanisms` limits what is used, () does not.
    """

    username: str
    password: Secret | None = None
    oauth: OauthSource | None = None
    mechanisms: tuple[str, ...] = ()
    in_clear: bool = False


@attrs.frozen(kw_only=True, cache_hash=True)
class Hop:
    """`implicit` means TLS from the first octet (RFC 8314 3). `authorities` is a PEM file, "" for the system's.

    `by_route`: the route itself says what TLS it wants, so that no table of policies is asked. `fingerprints` are the
    SHA-256 of certificates or of their keys. What a policy has found out for one host: `dane`, and further `names` its
    certificate may be for. `sources` are addresses of ours to connect from, one per family; `hello` our name there, ""
    for the common one. `own`: the certificate we show. `observed`: under MAY it is looked whether VERIFY would have
    held, for the reports.
    """

    port: int = 25
    tls: TlsMode = TlsMode.MAY
    implicit: bool = False
    authorities: str = ""
    login: Login | None = None
    lmtp: bool = False
    eight_bit: EightBit = EightBit.PASS
    by_route: bool = False
    fingerprints: tuple[str, ...] = ()
    dane: Dane | None = None
    names: tuple[str, ...] = ()
    observed: bool = False
    own: Pair | None = None
    sources: tuple[str, ...] = ()
    hello: str = ""

    def source_for(self, address: str) -> str:
        """The address of ours from which this one is connected to, "" where the system chooses."""
        return next((each for each in self.sources if (":" in each) == (":" in address)), "")


@attrs.frozen(kw_only=True)
class Manners:
    """Our own name, and how long we wait for what, in seconds (RFC 5321 4.5.3.2)."""

    hostname: str
    connect_timeout: float
    greeting_timeout: float
    hello_timeout: float
    command_timeout: float
    data_start_timeout: float
    data_block_timeout: float
    data_timeout: float
    idle_timeout: float
    messages_per_connection: int
