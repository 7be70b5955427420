"""The MTA-STS policy that is served, compared with the MX records: every way in which they can differ."""

import pytest

from relaygw.core.dns_check import Level, Site, check_served
from relaygw.core.question import Exchange, settle
from relaygw.core.sts import Mode, StsPolicy
from relaygw.dns.fixed import FixedResolver

SITE = Site(hostname="mail.example.com", now=0.0)
MX = FixedResolver({"example.com": {"MX": [Exchange(10, "mail.example.com"), Exchange(20, "b.mx.example.net")]}})


def told(policy: StsPolicy | str, resolver: FixedResolver = MX) -> list[str]:
    findings = settle(check_served(SITE, "example.com", policy), resolver.answer)
    for finding in findings:
        assert (finding.check, finding.about, finding.type) == ("mta-sts", "example.com", "HTTPS")
        assert finding.name == "https://mta-sts.example.com/.well-known/mta-sts.txt"
        assert finding.expected.startswith("version: STSv1; mode: testing; mx: ")
    return [f"{finding.level.value} {finding.message}" for finding in findings]


def policy(*mx: str, mode: Mode = Mode.ENFORCE, max_age: int = 604_800) -> StsPolicy:
    return StsPolicy(mode=mode, mx=mx, max_age=max_age)


BOTH = ("mail.example.com", "*.mx.example.net")


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        (policy(*BOTH), ["ok the policy is enforced, and allows all MX hosts"]),
        (
            policy(*BOTH, mode=Mode.TESTING),
            ["note the policy allows all MX hosts; in mode testing mail is sent without TLS, too"],
        ),
        (policy(mode=Mode.NONE), ["note the policy says none: it protects no mail on its way here"]),
        (
            policy("mail.example.com"),
            ["error the policy does not allow b.mx.example.net: senders that keep to it deliver nothing there"],
        ),
        (
            policy("mail.example.com", mode=Mode.TESTING),
            [
                "warning the policy does not allow b.mx.example.net: senders will report it, and once it is enforced "
                "send nothing there"
            ],
        ),
        (
            policy(*BOTH, "old.example.com", "*.gone.example"),
            ["warning the policy allows old.example.com, *.gone.example, which is no MX host"],
        ),
        # A wildcard is one label and no more (RFC 8461 4.1).
        (
            policy("mail.example.com", "*.example.net"),
            [
                "error the policy does not allow b.mx.example.net: senders that keep to it deliver nothing there",
                "warning the policy allows *.example.net, which is no MX host",
            ],
        ),
        (
            policy(*BOTH, max_age=86_399),
            ["warning max_age is 86399 s: who has no mail for us every day forgets it"],
        ),
        (policy(*BOTH, max_age=86_400), ["ok the policy is enforced, and allows all MX hosts"]),
        ("the server answered 404", ["error the policy cannot be had: the server answered 404"]),
    ],
)
def test_what_is_found(served: StsPolicy | str, expected: list[str]) -> None:
    assert told(served) == expected


def test_without_mx_records_our_own_name_is_what_counts() -> None:
    assert told(policy("mail.example.com"), FixedResolver({})) == ["ok the policy is enforced, and allows all MX hosts"]


def test_what_is_served_is_shown() -> None:
    [finding] = settle(check_served(SITE, "example.com", policy("mail.example.com")), MX.answer)
    assert finding.found == ("version: STSv1", "mode: enforce", "mx: mail.example.com", "max_age: 604800")
    assert finding.level is Level.ERROR
