"""The outcome of an SPF check as a value: result, identity, and why."""

import attrs

from relaygw.core.words import Word


class Result(Word):
    """RFC 7208 2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Identity(Word):
    """Who the client claims to be, in the words of Received-SPF (RFC 7208 9.1)."""

    HELO = "helo"
    MAIL_FROM = "mailfrom"


@attrs.frozen(kw_only=True, cache_hash=True)
class Finding:
    """`domain` was checked, on behalf of `sender` (with its local part; "postmaster" where there is none).

    `mechanism` is the term that decided, "default" where none did, "" where no record was evaluated. `explanation` is
    the domain's own text for a fail: printable US-ASCII, bounded, "" where it has none. `reason` says in our words why
    the result is none, temperror or permerror. `lookups` is the number of terms that asked the DNS. `personal`: another
    local part, HELO name or time might have had another result.
    """

    result: Result
    identity: Identity
    client: str
    domain: str
    sender: str
    hello: str
    mechanism: str = ""
    explanation: str = ""
    reason: str = ""
    lookups: int = 0
    personal: bool = attrs.field(default=False, eq=False)


@attrs.frozen(kw_only=True)
class Findings:
    """Both identities of one transaction; None where one was not checked. What filter `spf` leaves for others."""

    hello: Finding | None = None
    mail_from: Finding | None = None

    @property
    def decisive(self) -> Finding | None:
        """What speaks for the sender: HELO does where the reverse-path is null (RFC 7208 2.4)."""
        return self.mail_from or self.hello

    @property
    def told(self) -> tuple[Finding, ...]:
        """Those that header fields tell: not that a HELO name has no record, where the reverse-path says more."""
        decisive = self.decisive
        return tuple([each for each in self.all if each is decisive or each.result is not Result.NONE])

    @property
    def all(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in (self.hello, self.mail_from) if finding is not None)
