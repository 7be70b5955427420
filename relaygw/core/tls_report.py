"""TLS reports (RFC 8460 4): what the sessions of one day with next hops came to, one report for each policy domain.
Pure: made from the journal's `tls_checked` lines, answered in JSON's own values.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

Told = Mapping[str, Any]
"""One line of the journal as JSON gave it; what is empty was left out."""

Report = dict[str, Any]

_DETAILS = (
    ("result", "result-type"),
    ("source", "sending-mta-ip"),
    ("host", "receiving-mx-hostname"),
    ("helo", "receiving-mx-helo"),
    ("address", "receiving-ip"),
    ("reason", "additional-information"),
)
"""Fields of an event, and what a report calls them (RFC 8460 4.4)."""

_Policy = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Type, lines, patterns of hosts."""


@attrs.frozen(kw_only=True)
class Reporter:
    """Who reports: `name` is an organization's or a host's, `contact` an address."""

    name: str
    host: str
    contact: str


@attrs.define
class _Summary:
    successes: int = 0
    failures: Counter[tuple[str, ...]] = attrs.field(factory=Counter)


def reports(checks: Iterable[Told], day: str, reporter: Reporter) -> list[Report]:
    """The reports of a day ("2026-10-05", in UTC), by policy domain."""
    domains: dict[str, dict[_Policy, _Summary]] = {}
    for told in checks:
        policy = told["policy_type"], tuple(told.get("policy", ())), tuple(told.get("mx_patterns", ()))
        summary = domains.setdefault(told["domain"], {}).setdefault(policy, _Summary())
        if told.get("result"):
            summary.failures[tuple(told.get(field, "") for field, _ in _DETAILS)] += 1
        else:
            summary.successes += 1
    return [_report(domain, found, day, reporter) for domain, found in sorted(domains.items())]


def _report(domain: str, found: dict[_Policy, _Summary], day: str, reporter: Reporter) -> Report:
    return {
        "organization-name": reporter.name,
        "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
        "contact-info": reporter.contact,
        "report-id": f"{day}.{domain}@{reporter.host}",
        "policies": [_policy(domain, policy, summary) for policy, summary in sorted(found.items())],
    }


def _policy(domain: str, policy: _Policy, summary: _Summary) -> dict[str, Any]:
    kind, lines, patterns = policy
    about: dict[str, Any] = {"policy-type": kind, "policy-domain": domain}
    if lines:
        about["policy-string"] = list(lines)
    if patterns:
        about["mx-host"] = list(patterns)
    told: dict[str, Any] = {
        "policy": about,
        "summary": {
            "total-successful-session-count": summary.successes,
            "total-failure-session-count": summary.failures.total(),
        },
    }
    if summary.failures:
        told["failure-details"] = [_failure(values, count) for values, count in summary.failures.most_common()]
    return told


def _failure(values: tuple[str, ...], count: int) -> dict[str, Any]:
    named = {name: value for (_, name), value in zip(_DETAILS, values, strict=True) if value}
    return {**named, "failed-session-count": count}
