"""The TLS of a destination: route before table before default, and what "may" comes to where more is published."""

from typing import Any

import pytest
from egress_support import result
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from relaygw.config.schema import EgressConfig
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Envelope
from relaygw.core.question import Answer, AnswerStatus, Exchange, Question, Tlsa
from relaygw.core.sts import parse_policy
from relaygw.core.tls_policy import TlsRule
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.message import prepare
from relaygw.egress.policy import Ruling, TlsPolicies, ruling_of
from relaygw.egress.sts import StsFound

DOMAIN, HOST = "example.org", "mx.example.org"
EE = Tlsa(3, 1, 1, b"\1" * 32)
STS = parse_policy(b"version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n")
ELSEWHERE = parse_policy(b"version: STSv1\nmode: enforce\nmx: other.example\nmax_age: 86400\n")
TESTING = parse_policy(b"version: STSv1\nmode: testing\nmx: mx.example.org\nmax_age: 86400\n")
RULES = (
    TlsRule(label="tls_policy[1]", policy="verify", domains=("bank.example",), authorities="/ca.pem"),
    TlsRule(
        label="tls_policy[2]",
        policy="fingerprint",
        hosts=("mx.example.org",),
        fingerprints=("ab",),
        domains=("pin.example",),
    ),
    TlsRule(label="tls_policy[3]", policy="dane", domains=("dane.example",)),
    TlsRule(label="tls_policy[4]", policy="sts", domains=("sts.example",)),
    TlsRule(label="tls_policy[5]", policy="none", domains=(".old.example",)),
)


class Zone:
    """A resolver: signed addresses by default; `records` replaces single answers."""

    def __init__(self, tlsa: Any = None, signed: bool = True, mx_signed: bool = True) -> None:
        self.tlsa, self.signed, self.mx_signed = tlsa, signed, mx_signed
        self.asked: list[Question] = []

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        if question.type == "MX":
            return Answer(status=AnswerStatus.FOUND, records=(Exchange(1, HOST),), authentic=self.mx_signed)
        if question.type == "A":
            return Answer(status=AnswerStatus.FOUND, records=("192.0.2.1",), ttl=60, authentic=self.signed)
        if question.type == "TLSA" and isinstance(self.tlsa, AnswerStatus):
            return Answer(status=self.tlsa, reason="SERVFAIL")
        if question.type == "TLSA" and self.tlsa:
            return Answer(status=AnswerStatus.FOUND, records=tuple(self.tlsa), ttl=60, authentic=True)
        return Answer(status=AnswerStatus.NO_DATA, ttl=60, authentic=True)


class Policies:
    """In the place of StsPolicies."""

    def __init__(self, found: StsFound) -> None:
        self.found = found
        self.asked: list[str] = []

    async def find(self, domain: str) -> StsFound:
        self.asked.append(domain)
        return self.found


def rule(
    zone: Zone | None = None,
    sts: StsFound | None = None,
    domain: str = DOMAIN,
    host: str = HOST,
    hop: Hop | None = None,
    **egress: Any,
) -> Ruling:
    policies = Policies(sts or StsFound(why="the domain announces none"))
    made = TlsPolicies(zone or Zone(), EgressConfig(**egress), RULES, Clock(), policies)  # type: ignore[arg-type]  # by their one method
    ruling: Ruling = result(Deferred.fromCoroutine(ruling_of(made, domain, host, hop or Hop())))
    return ruling


# What the operator says.


@pytest.mark.parametrize("mode", [TlsMode.NONE, TlsMode.ENCRYPT, TlsMode.VERIFY])
def test_the_routes_own_word_counts_before_the_table(mode: TlsMode) -> None:
    ruling = rule(domain="bank.example", hop=Hop(tls=mode, by_route=True))
    assert (ruling.hop.tls, ruling.why, ruling.refusal) == (mode, f"the route says {mode.value}", "")


@pytest.mark.parametrize(
    ("domain", "host", "mode", "why"),
    [
        ("bank.example", HOST, TlsMode.VERIFY, "tls_policy[1] says verify"),
        ("pin.example", HOST, TlsMode.FINGERPRINT, "tls_policy[2] says fingerprint"),
        ("a.old.example", HOST, TlsMode.NONE, "tls_policy[5] says none"),
        ("", "bank.example", TlsMode.VERIFY, "tls_policy[1] says verify"),
    ],
)
def test_the_table_is_read_from_the_top(domain: str, host: str, mode: TlsMode, why: str) -> None:
    ruling = rule(domain=domain, host=host)
    assert (ruling.hop.tls, ruling.why) == (mode, why)


@pytest.mark.parametrize(("domain", "host"), [("old.example", HOST), ("pin.example", "other.example.org")])
def test_a_line_whose_conditions_do_not_all_hold_does_not_count(domain: str, host: str) -> None:
    assert rule(domain=domain, host=host).hop.tls is TlsMode.MAY


def test_a_line_brings_its_authorities_and_fingerprints() -> None:
    assert rule(domain="bank.example").hop.authorities == "/ca.pem"
    assert rule(domain="pin.example").hop.fingerprints == ("ab",)


# What the destination publishes.


def test_without_anything_published_it_is_opportunistic() -> None:
    ruling = rule()
    assert (ruling.hop, ruling.kind, ruling.failure) == (Hop(), "no-policy-found", "")
    assert (
        ruling.why
        == "the default is may; no DANE: there are no signed TLSA records; MTA-STS: the domain announces none"
    )


@pytest.mark.parametrize(
    ("head", "requiretls", "waives"),
    [
        (b"TLS-Required: No\r\n", False, True),
        (b"Subject: x\r\ntls-required:\r\n NO \r\n", False, True),
        (b"TLS-Required: No\r\n", True, False),
        (b"TLS-Required: No\r\nTLS-Required: No\r\n", False, False),
        (b"TLS-Required: Not\r\n", False, False),
        (b"X-TLS-Required: No\r\n", False, False),
        (b"Subject: x\r\n\r\nTLS-Required: No\r\n", False, False),
    ],
)
def test_which_messages_want_nothing_published(head: bytes, requiretls: bool, waives: bool) -> None:
    """RFC 8689 5: one field with the one value it has, and REQUIRETLS counts for more."""
    envelope = Envelope(sender=None, requiretls=requiretls)
    prepared = result(
        Deferred.fromCoroutine(prepare(envelope, b"", BytesContent(head + b"\r\n"), lambda _: Deferred()))
    )
    assert prepared.waives_tls is waives


def test_for_them_dane_and_mta_sts_are_not_asked_but_the_operator_is() -> None:
    zone, sts = Zone([EE]), Policies(StsFound(policy=STS))
    policies = TlsPolicies(zone, EgressConfig(), RULES, Clock(), sts)  # type: ignore[arg-type]  # stand-ins
    ruling = policies.waived(DOMAIN, HOST, Hop())
    assert ruling is not None
    assert (ruling.hop.tls, ruling.kind, ruling.refusal) == (TlsMode.MAY, "no-policy-found", "")
    assert "TLS-Required: No" in ruling.why
    assert (zone.asked, sts.asked) == ([], [])
    for domain in ("bank.example", "dane.example", "sts.example"):
        assert policies.waived(domain, "mx.other.example", Hop()) is None


def test_tlsa_records_make_dane_and_mta_sts_is_not_asked() -> None:
    ruling = rule(Zone([EE]), StsFound(policy=ELSEWHERE, why="…"))
    assert ruling.hop.tls is TlsMode.DANE
    assert ruling.hop.dane is not None
    assert ruling.hop.dane.usable == (EE,)
    assert ruling.hop.names == (DOMAIN,)
    assert (ruling.kind, ruling.policy, ruling.refusal) == ("tlsa", ("3 1 1 " + "01" * 32,), "")


def test_where_the_exchangers_are_not_signed_the_domain_is_no_name_to_prove() -> None:
    ruling = rule(Zone([EE], mx_signed=False))
    assert (ruling.hop.tls, ruling.hop.names) == (TlsMode.DANE, ())


def test_records_nobody_can_use_still_mean_tls() -> None:
    ruling = rule(Zone([Tlsa(0, 0, 1, b"x" * 32)]))
    assert (ruling.hop.tls, ruling.failure, ruling.refusal) == (TlsMode.ENCRYPT, "tlsa-invalid", "")


def test_a_lookup_that_fails_closes_the_host() -> None:
    """RFC 7672 2.1.2: no downgrade by suppressed answers; and nothing is remembered of it."""
    ruling = rule(Zone(AnswerStatus.FAILED))
    assert "cannot be found out: SERVFAIL" in ruling.refusal
    assert (ruling.failure, ruling.ttl) == ("dnssec-invalid", 0.0)
    assert (ruling.refused().reply.code, ruling.refused().reply.enhanced) == (451, "4.7.5")


def test_an_enforced_policy_verifies_the_hosts_it_names() -> None:
    ruling = rule(Zone(signed=False), StsFound(policy=STS, why="w"))
    assert (ruling.hop.tls, ruling.kind, ruling.patterns, ruling.refusal) == (
        TlsMode.VERIFY,
        "sts",
        ("mx.example.org",),
        "",
    )


def test_an_enforced_policy_closes_the_hosts_it_does_not_name() -> None:
    ruling = rule(Zone(signed=False), StsFound(policy=ELSEWHERE, why="w"))
    assert ruling.refusal == "the policy of example.org (MTA-STS) does not name mx.example.org"


@pytest.mark.parametrize(("host", "failure"), [(HOST, ""), ("mx2.example.org", "validation-failure")])
def test_a_policy_in_testing_only_looks(host: str, failure: str) -> None:
    ruling = rule(Zone(signed=False), StsFound(policy=TESTING, why="w"), host=host)
    assert (ruling.hop.tls, ruling.hop.observed, ruling.failure, ruling.refusal) == (TlsMode.MAY, True, failure, "")


def test_a_policy_that_cannot_be_fetched_is_reported_and_mail_goes_on() -> None:
    ruling = rule(Zone(), StsFound(why="its policy cannot be fetched", failure="sts-policy-fetch-error"))
    assert (ruling.hop.tls, ruling.failure, ruling.refusal) == (TlsMode.MAY, "sts-policy-fetch-error", "")


@pytest.mark.parametrize("domain", ["", "[192.0.2.1]", "localhost"])
def test_what_is_no_domain_has_no_policy(domain: str) -> None:
    assert "MTA-STS" not in rule(domain=domain).why


def test_both_can_be_switched_off() -> None:
    ruling = rule(Zone([EE]), StsFound(policy=ELSEWHERE, why="w"), dane=False, mta_sts=False)
    assert (ruling.hop.tls, ruling.why) == (TlsMode.MAY, "the default is may; no DANE: DANE is switched off")


def test_lmtp_next_door_asks_nobody() -> None:
    zone = Zone([EE])
    assert rule(zone, hop=Hop(lmtp=True)).hop.tls is TlsMode.MAY
    assert zone.asked == []


# What the operator demands of the destination.


@pytest.mark.parametrize(
    ("zone", "refusal"),
    [
        (Zone([EE]), ""),
        (Zone(), "DANE is required for mx.example.org, but there are no signed TLSA records"),
        (Zone(signed=False), "DANE is required for mx.example.org, but its addresses are not signed"),
        (Zone([EE], mx_signed=False), "DANE is required for dane.example, but its MX records are not signed"),
        (Zone([Tlsa(0, 0, 1, b"x" * 32)]), "DANE is required for mx.example.org, but no TLSA record is usable"),
        (Zone(AnswerStatus.FAILED), "the TLSA records of mx.example.org cannot be found out: SERVFAIL"),
    ],
)
def test_dane_by_name_wants_all_of_it(zone: Zone, refusal: str) -> None:
    assert rule(zone, domain="dane.example").refusal == refusal


@pytest.mark.parametrize(
    ("found", "mode", "refused"),
    [
        (StsFound(policy=STS, why="w"), TlsMode.VERIFY, False),
        (StsFound(policy=TESTING, why="w"), TlsMode.VERIFY, False),
        (StsFound(policy=ELSEWHERE, why="w"), TlsMode.VERIFY, True),
        (StsFound(why="none"), TlsMode.STS, True),
    ],
)
def test_sts_by_name_wants_a_policy_and_keeps_it(found: StsFound, mode: TlsMode, refused: bool) -> None:
    ruling = rule(sts=found, domain="sts.example")
    assert (ruling.hop.tls, bool(ruling.refusal)) == (mode, refused)


# How long it holds.


def test_a_ruling_holds_as_long_as_its_records() -> None:
    clock, zone = Clock(), Zone([EE])
    made = TlsPolicies(zone, EgressConfig(), (), clock, Policies(StsFound()))  # type: ignore[arg-type]  # by their one method

    def ask() -> int:
        result(Deferred.fromCoroutine(ruling_of(made, DOMAIN, HOST, Hop())))
        return len(zone.asked)

    first = ask()
    clock.advance(59)
    assert ask() == first
    clock.advance(1)
    assert ask() == 2 * first
