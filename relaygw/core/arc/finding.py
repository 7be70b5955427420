"""What was found about a chain, as a value, and whether a sealer we trust vouches for the message."""

import re

import attrs

from relaygw.core.authres import COMMENT
from relaygw.core.permission import Domains
from relaygw.core.verdict import AuthResult
from relaygw.core.words import Word


class Result(Word):
    """RFC 8617 4.4: there is no temporary error, all failures are permanent (5.2.1)."""

    NONE = "none"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"


@attrs.frozen(kw_only=True)
class Seal:
    """One set of the chain: who sealed it, and the Authentication-Results that were found there, after its i=."""

    instance: int
    domain: str
    selector: str
    results: str


@attrs.frozen(kw_only=True)
class Findings:
    """`seals` are in order of instance; they are told also of a chain that fails, as far as they could be read.

    `temporary`: it fails because the DNS did, and may be found whole later.
    """

    result: Result
    reason: str = ""
    seals: tuple[Seal, ...] = ()
    temporary: bool = False


def auth_result(findings: Findings, client: str) -> AuthResult:
    """For Authentication-Results (RFC 8617 10.1); `client` is the address of the peer, "" where it has none."""
    given = (("smtp.remote-ip", client),) if client else ()
    return AuthResult(method="arc", result=findings.result.value, reason=findings.reason, properties=given)


def summary(findings: Findings) -> str:
    """One line for the journal."""
    through = " through " + ", ".join(seal.domain for seal in findings.seals) if findings.seals else ""
    why = f" ({findings.reason})" if findings.reason else ""
    return f"{findings.result.value}{through}{why}"


def vouched(findings: Findings, trusted: Domains, author: str) -> str:
    """The sealer we trust who saw DMARC pass for this author, "" where there is none.

    Only the latest hops count, as long as all are trusted: what is said to come before an unknown hop, it may have made
    up.
    """
    return _voucher(findings, trusted, author) if findings.result is Result.PASS else ""


def may_vouch(findings: Findings, trusted: Domains, author: str) -> str:
    """The sealer we trust who would vouch, if the DNS let us see that the chain is whole."""
    return _voucher(findings, trusted, author) if findings.temporary else ""


def _voucher(findings: Findings, trusted: Domains, author: str) -> str:
    for seal in reversed(findings.seals):
        if seal.domain not in trusted:
            break
        if _passed(seal.results, author):
            return seal.domain
    return ""


_NOISE = re.compile(rf'"(?:[^"\\]++|\\.)*+"|{COMMENT}', re.DOTALL)
_WHOLE = re.compile(rf'(?:[^"()\\]++|{_NOISE.pattern})*+\Z', re.DOTALL)
"""Where each comment and quoted string ends. It is asked first: what does not end would be looked through to the end of
the field from each quote in it."""
_AUTHOR = re.compile(r"\sheader\.from\s*=\s*(?:[^\s;@]*@)?([^\s;]+)", re.IGNORECASE)
_DMARC_PASS = re.compile(r"\s*dmarc\s*(?:/\s*1\s*)?=\s*pass(?:\s|\Z)", re.IGNORECASE)


def _passed(results: str, author: str) -> bool:
    """Whether a field's results say dmarc=pass for this author's domain; From may name more than one."""
    if _WHOLE.match(results) is None:  # where something ends cannot be told: it may hold a peer's words
        return False
    passed = filter(_DMARC_PASS.match, _NOISE.sub(" ", results).split(";"))
    return any(named[1].lower().rstrip(".") == author for named in map(_AUTHOR.search, passed) if named is not None)
