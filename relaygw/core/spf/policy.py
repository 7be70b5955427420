"""What an SPF finding leads to: the operator's table of actions, and the replies of RFC 7208 8 and RFC 7372."""

from collections.abc import Mapping
from functools import lru_cache

from relaygw.core.reply import Reply
from relaygw.core.spf.result import Finding, Findings, Identity, Result
from relaygw.core.verdict import Action, AuthResult

DEFAULT_ACTIONS: Mapping[Result, Action] = {
    Result.NONE: Action.PASS,
    Result.NEUTRAL: Action.PASS,
    Result.PASS: Action.PASS,
    Result.FAIL: Action.REJECT,
    Result.SOFTFAIL: Action.PASS,
    Result.TEMPERROR: Action.DEFER,
    Result.PERMERROR: Action.PASS,
}
"""Only what the domain's owner says plainly is refused; what could not be found out now is asked again later."""

Actions = Mapping[Identity, Mapping[Result, Action]]
_REFUSALS = frozenset({Action.REJECT, Action.DEFER, Action.DISCARD})


def decides(finding: Finding, actions: Actions) -> bool:
    """Whether a finding for HELO leaves nothing to ask of the reverse-path (RFC 7208 2.3)."""
    return actions[finding.identity][finding.result] in _REFUSALS


def action_for(findings: Findings, actions: Actions) -> Action:
    """What both identities together lead to."""
    hello, decisive = findings.hello, findings.decisive
    if decisive is None:
        return Action.PASS
    if hello is not None and decides(hello, actions):
        return actions[Identity.HELO][hello.result]
    action = actions[decisive.identity][decisive.result]
    if action is Action.PASS and hello is not None:
        return actions[Identity.HELO][hello.result]  # such as quarantine
    return action


_ERRORS = frozenset({Result.TEMPERROR, Result.PERMERROR})


def reply_for(finding: Finding, action: Action) -> Reply | None:
    """What the peer reads, None where the action refuses nothing. A domain's explanation is marked as its own words."""
    if action not in (Action.REJECT, Action.DEFER):
        return None
    category = "5.7" if action is Action.REJECT else "4.7"
    code = 550 if action is Action.REJECT else 451
    # RFC 7372 3.2: X.7.23 the check failed, X.7.24 it could not be done.
    enhanced = f"{category}.24" if finding.result in _ERRORS else f"{category}.23"
    return Reply(code, enhanced, "\n".join(_lines(finding)))


def _lines(finding: Finding) -> list[str]:
    which = "MAIL FROM" if finding.identity is Identity.MAIL_FROM else "HELO"
    lines = [f"SPF {which} check: {finding.result.value} for {finding.domain} from {finding.client}"]
    if finding.result in _ERRORS:
        lines.append(finding.reason)
    if finding.explanation:
        lines.append(f"The domain {finding.domain} explains: {finding.explanation}")  # RFC 7208 6.2
    return lines


@lru_cache(maxsize=1024)
def auth_result(finding: Finding) -> AuthResult:
    """The finding for Authentication-Results (RFC 8601 2.7.2)."""
    mail_from = finding.identity is Identity.MAIL_FROM
    named = ("smtp.mailfrom", finding.sender) if mail_from else ("smtp.helo", finding.hello)
    reason = finding.reason if finding.result in _ERRORS else ""
    return AuthResult(method="spf", result=finding.result.value, reason=reason, properties=(named,))


def summary(findings: Findings) -> str:
    """One line for the journal."""
    return ", ".join(_summary(finding) for finding in findings.all)


def _summary(finding: Finding) -> str:
    why = finding.reason or finding.mechanism
    return f"{finding.identity.value} {finding.domain}: {finding.result.value}" + (f" ({why})" if why else "")
