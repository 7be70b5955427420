"""Each golden case in tests/data/dns_check: a zone, what is configured, and what is found out about it.

A case is a YAML file. `zone` is laid over that of right.yaml, name by name (a name with nothing is taken away), and
`site` over its site; `expected` are the findings that are not ok, and `publish` the records that make them right.
"""

import hashlib
import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.dns_check import Certificate, Finding, Key, Level, Site, inquiries
from relaygw.core.question import Answer, AnswerStatus, Exchange, Question, Tlsa, settle
from relaygw.dns import FixedResolver

FOLDER = Path(__file__).parents[1] / "data" / "dns_check"
CASES = sorted(FOLDER.glob("*.yaml"))
CERTIFICATE = Certificate(whole=b"whole", public_key=b"public", names=("mail.example.com",))
ISSUER = Certificate(whole=b"issuer", public_key=b"issuing")


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    return document


RIGHT = read(FOLDER / "right.yaml")


def make_site(given: dict[str, Any]) -> Site:
    """The site of a case. Keys are written "selector domain", the certificate is CERTIFICATE unless it says none."""
    keys = tuple(key.split() for key in given["keys"])
    return Site(
        hostname=given["hostname"],
        now=1_800_000_000,
        addresses=tuple(map(ipaddress.ip_address, given.get("addresses", ()))),
        domains=frozenset(given["domains"]),
        direct=given.get("direct") != "no",
        smarthosts=tuple(given.get("smarthosts", ())),
        keys=tuple(Key(selector=selector, domain=domain, value="v=DKIM1; k=rsa; p=AAAA") for selector, domain in keys),
        chains=() if given.get("certificate") == "none" else ((CERTIFICATE, ISSUER),),
    )


def findings_of(case: dict[str, Any]) -> list[Finding]:
    zone = {name: node for name, node in {**RIGHT["zone"], **case.get("zone", {})}.items() if node}
    resolver = FixedResolver.from_mapping(json.dumps(zone), authentic=case.get("dnssec") == "yes")
    site = make_site({**RIGHT["site"], **case.get("site", {})})
    domains = case.get("domains", ["example.com"])
    return [finding for inquiry in inquiries(site, domains) for finding in settle(inquiry, resolver.answer)]


def told(finding: Finding) -> str:
    return f"{finding.level.value} {finding.check} {finding.name} {finding.type}: {finding.message}"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_is_found(path: Path) -> None:
    case = read(path)
    found = findings_of(case)
    unlike = [finding for finding in found if finding.level is not Level.OK or case.get("all")]
    assert [told(finding) for finding in unlike] == case["expected"]
    records = [f"{each.name} {each.type} {each.value}" for finding in unlike for each in finding.publish]
    assert records == case.get("publish", [])


@pytest.mark.parametrize("case", ["dns_fails", "ptr_fails"])
def test_where_the_dns_fails_nothing_is_claimed(case: str) -> None:
    found = findings_of(read(FOLDER / f"{case}.yaml"))
    assert all(finding.answered == (finding.level is not Level.ERROR) for finding in found)
    assert not any(finding.publish or finding.found for finding in found if not finding.answered)


def test_there_are_cases_for_every_check() -> None:
    checks = {line.split()[1] for path in CASES for line in read(path)["expected"]}
    assert checks == {"address", "ptr", "mx", "spf", "dkim", "dmarc", "mta-sts", "tlsrpt", "tlsa"}


def test_what_is_to_be_published_satisfies_the_check() -> None:
    """From an empty zone: once it is all published, nothing but the host of the policy is missing."""
    case = {"zone": dict.fromkeys(RIGHT["zone"]), "site": {"addresses": ["192.0.2.1", "2001:db8::1"]}, "dnssec": "yes"}
    zone: dict[str, dict[str, list[str]]] = {}
    for finding in findings_of(case):
        for record in finding.publish:
            zone.setdefault(record.name, {}).setdefault(record.type, []).append(record.value)
    left = [told(finding) for finding in findings_of({**case, "zone": {**case["zone"], **zone}})]
    assert [line for line in left if not line.startswith("ok")] == [
        "note dmarc _dmarc.example.com TXT: p=none: receivers watch, and refuse no forgery",
        "error mta-sts mta-sts.example.com A: mta-sts.example.com has no address: "
        "nobody can read https://mta-sts.example.com/.well-known/mta-sts.txt",
    ]


DIGEST = hashlib.sha256(b"public").digest()


@pytest.mark.parametrize(
    ("record", "right"),
    [
        (Tlsa(3, 1, 1, DIGEST), True),
        (Tlsa(3, 1, 2, hashlib.sha512(b"public").digest()), True),
        (Tlsa(3, 1, 0, b"public"), True),
        (Tlsa(3, 0, 1, hashlib.sha256(b"whole").digest()), True),
        (Tlsa(3, 0, 0, b"whole"), True),
        (Tlsa(2, 1, 1, hashlib.sha256(b"issuing").digest()), True),
        (Tlsa(3, 1, 1, hashlib.sha256(b"issuing").digest()), False),
        (Tlsa(3, 0, 1, DIGEST), False),
        (Tlsa(1, 1, 1, DIGEST), False),
        (Tlsa(3, 2, 1, DIGEST), False),
        (Tlsa(3, 1, 3, DIGEST), False),
    ],
)
def test_every_kind_of_association_is_compared(record: Tlsa, right: bool) -> None:
    value = f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"
    case = {"zone": {"_25._tcp.mail.example.com": {"TLSA": [value]}}, "dnssec": "yes"}
    (found,) = [finding for finding in findings_of(case) if finding.check == "tlsa"]
    assert found.level is (Level.OK if right else Level.ERROR)
    assert found.expected == f"3 1 1 {DIGEST.hex()}"


TEXTS = st.binary(max_size=60) | st.sampled_from(
    [b"v=spf1 a", b"v=DMARC1; p=none; rua=x", b"v=STSv1; id=1", b"v=DKIM1; p="]
)
NAMES = st.sampled_from(["mail.example.com", "example.com", "", "192.0.2.9", "other.test"])
DATA = {
    "TXT": TEXTS,
    "A": st.just("192.0.2.1"),
    "AAAA": st.just("2001:db8::1"),
    "MX": st.builds(Exchange, st.integers(0, 9), NAMES),
    "TLSA": st.builds(Tlsa, *(st.integers(0, 4),) * 3, st.binary(max_size=4)),
    "PTR": NAMES,
    "CNAME": NAMES,
}


@given(st.data())
def test_any_answers_end_in_findings(data: st.DataObject) -> None:
    def answer(question: Question) -> Answer:
        status = data.draw(st.sampled_from(AnswerStatus))
        found = status is AnswerStatus.FOUND
        records = data.draw(st.lists(DATA[question.type], min_size=1, max_size=3)) if found else []
        return Answer(status=status, records=tuple(records))

    for inquiry in inquiries(make_site(RIGHT["site"]), ["example.com"]):
        for finding in settle(inquiry, answer):
            assert finding.message
            assert (finding.level is Level.OK) <= (not finding.publish)


def test_a_host_is_compared_with_the_certificate_that_clients_who_ask_for_it_read() -> None:
    exact = (Certificate(whole=b"1", public_key=b"1", names=("mx.example.net",)),)
    wild = (Certificate(whole=b"2", public_key=b"2", names=("*.example.org",)),)
    site = Site(hostname="mail.example.com", now=0, chains=((CERTIFICATE,), exact, wild))
    assert site.chain_for("mx.example.net") == exact
    assert site.chain_for("in.example.org") == wild
    assert site.chain_for("deep.in.example.org") == (CERTIFICATE,)
    assert site.chain_for("other.example") == (CERTIFICATE,)
    assert Site(hostname="mail.example.com", now=0).chain_for("mail.example.com") == ()
