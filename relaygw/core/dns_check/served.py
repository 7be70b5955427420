"""The MTA-STS policy that the web server of a domain gives out (RFC 8461 3.2), compared with its MX records.

Fetching it is for whoever asks; here it is a policy, or the words that say why there is none.
"""

from collections.abc import Sequence

from relaygw.core.dns_check.finding import Finding, Level, Subject
from relaygw.core.dns_check.site import Site, exchanges_of
from relaygw.core.dns_check.transport import policy_text, policy_url
from relaygw.core.question import Inquiry
from relaygw.core.sts import Mode, StsPolicy

_SHORT = 86_400
"""Seconds; policies are meant to be kept for weeks (RFC 8461 3.2), and protect nobody who has none yet."""


def is_served(finding: Finding) -> bool:
    """Whether a finding of `check_strict_transport` says that there is a policy to fetch for `about`."""
    return finding.check == "mta-sts" and finding.type == "A" and finding.level is Level.OK


def check_served(site: Site, domain: str, served: StsPolicy | str) -> Inquiry[tuple[Finding, ...]]:
    exchanges = (yield from exchanges_of(domain)) or (site.hostname,)
    subject = Subject(
        check="mta-sts", about=domain, name=policy_url(domain), type="HTTPS", expected=_one_line(policy_text(exchanges))
    )
    if isinstance(served, str):
        return (subject.error(f"the policy cannot be had: {served}"),)
    return tuple(_compared(subject.seen(served.lines()), exchanges, served))


def _compared(subject: Subject, exchanges: Sequence[str], policy: StsPolicy) -> list[Finding]:
    if policy.mode is Mode.NONE:
        return [subject.note("the policy says none: it protects no mail on its way here")]
    findings = [*_strangers(subject, exchanges, policy), *_unused(subject, exchanges, policy)]
    if policy.max_age < _SHORT:
        findings.append(subject.warning(f"max_age is {policy.max_age} s: who has no mail for us every day forgets it"))
    if findings:
        return findings
    if policy.mode is Mode.TESTING:
        return [subject.note("the policy allows all MX hosts; in mode testing mail is sent without TLS, too")]
    return [subject.ok("the policy is enforced, and allows all MX hosts")]


def _strangers(subject: Subject, exchanges: Sequence[str], policy: StsPolicy) -> list[Finding]:
    """MX hosts that senders who keep to the policy do not deliver to (RFC 8461 4.1)."""
    missing = [host for host in exchanges if not policy.allows(host)]
    if not missing:
        return []
    message = f"the policy does not allow {', '.join(missing)}"
    if policy.mode is Mode.TESTING:
        return [subject.warning(f"{message}: senders will report it, and once it is enforced send nothing there")]
    return [subject.error(f"{message}: senders that keep to it deliver nothing there")]


def _unused(subject: Subject, exchanges: Sequence[str], policy: StsPolicy) -> list[Finding]:
    unused = [pattern for pattern in policy.mx if not any(_matches(pattern, host) for host in exchanges)]
    return [subject.warning(f"the policy allows {', '.join(unused)}, which is no MX host")] if unused else []


def _matches(pattern: str, host: str) -> bool:
    return host == pattern or (pattern.startswith("*.") and host.partition(".")[2] == pattern[2:])


def _one_line(policy: str) -> str:
    return "; ".join(policy.split("\r\n")[:-1])
