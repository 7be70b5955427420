"""What was found about the signatures of a message, as values, and how it is told.

The results are those of RFC 8601 2.7.1: neutral is what cannot be read or is of no kind we know, permerror what can
never be verified, fail what was verified and is not so, policy what is so and still not good enough.
"""

import attrs

from relaygw.core.verdict import AuthResult
from relaygw.core.words import Word


class Result(Word):
    """RFC 8601 2.7.1."""

    NONE = "none"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


_BEST_FIRST = (Result.PASS, Result.TEMPERROR, Result.POLICY, Result.FAIL, Result.PERMERROR, Result.NEUTRAL)
"""Which of several results speaks for the message: what might still become a pass comes before what cannot."""


@attrs.frozen(kw_only=True)
class Finding:
    """One signature. `domain` (d=) and `selector` (s=) are A-labels, "" where they cannot be read; `identity` is i=,
    "" where it is not given. `key_size` in bits, 0 where no key was read. `length` is l=. `testing` is the key's t=y.

    `reason` says why the result is not pass; `notes` tell what is worth knowing about one that is. `signature` is
    the beginning of b=, which tells signatures apart (RFC 6008).
    """

    result: Result
    reason: str = ""
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    key_size: int = 0
    testing: bool = False
    length: int | None = None
    signature: str = ""
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Findings:
    """All signatures of a message, from the top; what filter `dkim` leaves for others. `ignored` were too many."""

    signatures: tuple[Finding, ...] = ()
    ignored: int = 0

    @property
    def result(self) -> Result:
        """The result for the whole message: that of its best signature. One by a key in test mode that does not pass
        is like none (RFC 6376 3.6.1), and can neither be held against a message nor cover up others."""
        present = {each.result for each in self.signatures if not each.testing or each.result is Result.PASS}
        return next((result for result in _BEST_FIRST if result in present), Result.NONE)


def auth_results(findings: Findings) -> tuple[AuthResult, ...]:
    """One result per signature for Authentication-Results, "none" where there is no signature (RFC 8601 2.7.1)."""
    return tuple(map(_auth_result, findings.signatures)) or (AuthResult(method="dkim", result="none"),)


def _auth_result(finding: Finding) -> AuthResult:
    given = (
        ("header.d", finding.domain),
        ("header.i", finding.identity),
        ("header.s", finding.selector),
        ("header.a", finding.algorithm),
        ("header.b", finding.signature),
    )
    return AuthResult(
        method="dkim",
        result=finding.result.value,
        reason=finding.reason,
        properties=tuple((name, value) for name, value in given if value),
    )


def summary(findings: Findings) -> str:
    """One line for the journal."""
    told = [_summary(finding) for finding in findings.signatures] or ["no signature"]
    if findings.ignored:
        told.append(f"{findings.ignored} more not looked at")
    return ", ".join(told)


def _summary(finding: Finding) -> str:
    name = f"{finding.domain or '?'}/{finding.selector or '?'}"
    why = "; ".join(filter(None, (finding.reason, *finding.notes)))
    return f"{name}: {finding.result.value}" + (f" ({why})" if why else "")
