"""TLS reports: a day's lines of the journal become RFC 8460's JSON, counted by domain, policy and failure."""

from typing import Any

from relaygw.core.tls_report import Reporter, reports

REPORTER = Reporter(name="Example Ltd", host="relay.example", contact="postmaster@relay.example")
STS = {"policy_type": "sts", "policy": ["version: STSv1", "mode: testing"], "mx_patterns": ["*.b.example"]}
EXPIRED = {"result": "certificate-expired", "reason": "the certificate has expired", "source": "192.0.2.1"}


def checked(domain: str = "b.example", **facts: Any) -> dict[str, Any]:
    return {"event": "tls_checked", "domain": domain, "host": f"mx.{domain}", "address": "192.0.2.7", **facts}


def test_the_shape_is_that_of_the_rfc() -> None:
    """RFC 8460 4.4, and its example in appendix B."""
    checks = [
        checked(**STS),
        checked(**STS, **EXPIRED, helo="inner.b.example"),
        checked(**STS),
        checked(**STS, **EXPIRED, helo="inner.b.example"),
        checked(**STS, result="starttls-not-supported"),
    ]
    [report] = reports(checks, "2026-10-05", REPORTER)
    assert report == {
        "organization-name": "Example Ltd",
        "date-range": {"start-datetime": "2026-10-05T00:00:00Z", "end-datetime": "2026-10-05T23:59:59Z"},
        "contact-info": "postmaster@relay.example",
        "report-id": "2026-10-05.b.example@relay.example",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": ["version: STSv1", "mode: testing"],
                    "policy-domain": "b.example",
                    "mx-host": ["*.b.example"],
                },
                "summary": {"total-successful-session-count": 2, "total-failure-session-count": 3},
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "192.0.2.1",
                        "receiving-mx-hostname": "mx.b.example",
                        "receiving-mx-helo": "inner.b.example",
                        "receiving-ip": "192.0.2.7",
                        "additional-information": "the certificate has expired",
                        "failed-session-count": 2,
                    },
                    {
                        "result-type": "starttls-not-supported",
                        "receiving-mx-hostname": "mx.b.example",
                        "receiving-ip": "192.0.2.7",
                        "failed-session-count": 1,
                    },
                ],
            }
        ],
    }


def test_each_domain_has_a_report_and_each_policy_a_part_of_it() -> None:
    other = {**STS, "policy": ["version: STSv1", "mode: enforce"]}
    none = {"policy_type": "no-policy-found"}
    checks = [checked(**STS), checked("a.example", **none), checked(**other), checked(**none), checked(**STS)]
    found = reports(checks, "2026-10-05", REPORTER)
    told = [
        (
            part["policy"]["policy-domain"],
            part["policy"]["policy-type"],
            part["summary"]["total-successful-session-count"],
        )
        for report in found
        for part in report["policies"]
    ]
    assert told == [
        ("a.example", "no-policy-found", 1),
        ("b.example", "no-policy-found", 1),
        ("b.example", "sts", 1),
        ("b.example", "sts", 2),
    ]
    assert "policy-string" not in found[0]["policies"][0]["policy"]
    assert "failure-details" not in found[0]["policies"][0]


def test_a_day_without_sessions_has_no_reports() -> None:
    assert reports([], "2026-10-05", REPORTER) == []
