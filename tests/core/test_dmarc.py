"""DMARC is evaluated as RFC 9989 says: golden cases from files, one folder entry per section, and any input survived.

A case in tests/data/dmarc has an author (`from`, or `head` for the whole header section, or `filled`: with 20,000
octets in the place of %s), what SPF and DKIM found ("result domain"), the TXT records of its zone, and
what is expected; `asked` are all questions, in order.
"""

import ipaddress
import itertools
import tomllib
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core import arc, dkim, spf
from relaygw.core.author import read_authors
from relaygw.core.dmarc import Evaluation, Result, evaluate
from relaygw.core.dmarc.policy import (
    DEFAULT_ACTIONS,
    Case,
    Trust,
    auth_result,
    case,
    is_open,
    override,
    reply_for,
    summary,
)
from relaygw.core.dmarc.record import MAX_RECORD, Policy, Record, Suffix, _read_often, is_record, read_record
from relaygw.core.dmarc.walk import MAX_QUERIES, targets
from relaygw.core.permission import domains_of
from relaygw.core.question import settle
from relaygw.core.reply import Reply
from relaygw.core.verdict import Action
from relaygw.dns.fixed import FixedResolver

CASES = Path(__file__).parents[1] / "data" / "dmarc"
ALL = [
    (f"{path.stem} {entry['proves']}", entry)
    for path in sorted(CASES.glob("*.toml"))
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]


def resolver_of(entry: dict[str, Any]) -> FixedResolver:
    zone = {
        name: {"TXT": [text.encode() for text in (texts if isinstance(texts, list) else [texts])]}
        for name, texts in entry["zone"].items()
    }
    return FixedResolver(zone, failing=entry.get("failing", ()))


def spf_finding(text: str) -> spf.Finding:
    result, domain = text.split()
    return spf.Finding(
        result=spf.Result(result), identity=spf.Identity.MAIL_FROM, client="", domain=domain, sender="", hello=""
    )


def signatures(texts: list[str]) -> dkim.Findings:
    found = (text.split() for text in texts)
    return dkim.Findings(
        signatures=tuple(dkim.Finding(result=dkim.Result(result), domain=domain) for result, domain in found)
    )


def evaluated(entry: dict[str, Any], resolver: FixedResolver) -> Evaluation:
    filled = entry["filled"] % ("x" * 20_000) if "filled" in entry else ""
    head = filled or entry.get("head") or f"From: {entry['from']}"
    authors = read_authors(head.replace("\n", "\r\n").encode() + b"\r\n")
    finding = spf_finding(entry["spf"]) if "spf" in entry else None
    return settle(evaluate(authors, finding, signatures(entry.get("dkim", []))), resolver.answer)


@pytest.mark.parametrize("entry", [entry for _, entry in ALL], ids=[name for name, _ in ALL])
def test_case(entry: dict[str, Any]) -> None:
    resolver = resolver_of(entry)
    found = evaluated(entry, resolver)
    told: dict[str, object] = {
        "result": found.result.value,
        "case": case(found).value,
        "policy": found.policy.value,
        "published": found.published.value,
        "aligned": [f"{each.method} {each.domain}" for each in found.identifiers if each.aligned],
        "asked": [question.name for question in resolver.asked],
        **{name: getattr(found, name) for name in ("author", "organizational", "policy_domain", "tag", "reason")},
    }
    assert {name: told[name] for name in entry["expected"]} == entry["expected"]
    kinds = {(question.name.startswith("_dmarc."), question.type) for question in resolver.asked}
    assert kinds <= {(True, "TXT"), (False, "A")}
    names = [question.name for question in resolver.asked]
    assert found.queries == len([name for name in names if name.startswith("_dmarc.")])
    assert len(set(names)) == len(names), "nothing is asked twice"


def test_every_branch_of_section_four_has_cases() -> None:
    told = " ".join(name for name, _ in ALL)
    assert len(ALL) > 80
    for section in ("4.4.1:", "4.4.2:", "4.5:", "4.7:", "4.8:", "4.10:", "4.10.1:", "4.10.2, rule 1", "4.10.2, rule 2"):
        assert section in told


STRICTEST_FIRST = {
    "reject": "v=DMARC1; p=reject",
    "quarantine": "v=DMARC1; p=quarantine",
    "temperror": "",
    "none": "v=DMARC1; p=none",
    "permerror": "v=DMARC1; p=what",
    "absent": "v=spf1 -all",
    "pass": "v=DMARC1; p=reject; adkim=s",
}


@pytest.mark.parametrize("pair", list(itertools.combinations(STRICTEST_FIRST, 2)), ids="-".join)
def test_of_two_authors_the_stricter_outcome_counts_whoever_comes_first(pair: tuple[str, str]) -> None:
    """RFC 9989 5.3.1, 11.5."""
    for order in (pair, pair[::-1]):
        entry: dict[str, Any] = {
            "from": ", ".join(f"a@{each}.test" for each in order),
            "dkim": ["pass pass.test"],
            "zone": {f"_dmarc.{each}.test": STRICTEST_FIRST[each] for each in order if STRICTEST_FIRST[each]},
            "failing": ["_dmarc.temperror.test"],
        }
        assert case(evaluated(entry, resolver_of(entry))).value == pair[0], order


LABELS = st.lists(st.sampled_from(["a", "b", "example", "co", "test"]), min_size=1, max_size=14)


@given(LABELS)
def test_a_walk_is_short_and_goes_upwards(labels: list[str]) -> None:
    domain = ".".join(labels)
    found = targets(domain)
    assert found[0] == domain
    assert len(found) <= MAX_QUERIES
    assert all(domain == target or domain.endswith("." + target) for target in found)
    assert found[-1] == labels[-1]
    assert len(set(map(len, found))) == len(found)


RECORDS = st.lists(
    st.sampled_from(
        [
            "v=DMARC1",
            "p=reject",
            "p=none",
            "p=x",
            "sp=quarantine",
            "np=reject",
            "psd=y",
            "psd=n",
            "t=y",
            "adkim=s",
            "rua=mailto:a@b.example",
            "rua=x",
            "fo=1:d",
            "=",
            ";",
            " ",
        ]
    ),
    max_size=8,
).map(lambda parts: "; ".join(["v=DMARC1", *parts]).encode())


@given(st.one_of(st.binary(max_size=80), RECORDS))
def test_any_text_is_a_record_or_none(text: bytes) -> None:
    if is_record(text):
        assert isinstance(read_record(text), Record)


@given(LABELS, LABELS, LABELS, st.dictionaries(LABELS.map(".".join), RECORDS, max_size=4))
def test_any_zone_gives_an_evaluation_within_the_limits(
    author: list[str], one: list[str], two: list[str], records: dict[str, bytes]
) -> None:
    resolver = FixedResolver({f"_dmarc.{name}": {"TXT": [text]} for name, text in records.items()})
    entry = {"from": "x@" + ".".join(author), "spf": "pass " + ".".join(one), "dkim": ["pass " + ".".join(two)]}
    found = evaluated(entry, resolver)
    assert found.result in (Result.NONE, Result.PASS, Result.FAIL, Result.PERMERROR)
    assert found.queries <= 3 * MAX_QUERIES
    assert len(resolver.asked) <= 3 * MAX_QUERIES + 1
    if found.result is Result.PASS:
        assert any(each.passed for each in found.identifiers)


@pytest.mark.parametrize(
    ("text", "reports", "failures", "options"),
    [
        ("rua=mailto:a@b.example,mailto:c@d.example!10m", ("mailto:a@b.example", "mailto:c@d.example"), (), ("0",)),
        ("rua=mailto:nobody, https://x.example/r; ruf=mailto:f@b.example; fo=1:d:s", ("https://x.example/r",),
         ("mailto:f@b.example",), ("1", "d", "s")),
        ("rua=; fo=x", (), (), ("0",)),
    ],
)  # fmt: skip
def test_where_reports_go(
    text: str, reports: tuple[str, ...], failures: tuple[str, ...], options: tuple[str, ...]
) -> None:
    record = read_record(f"v=DMARC1; p=none; {text}".encode())
    assert (record.reports, record.failure_reports, record.failure_options) == (reports, failures, options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("sp=quarantine; np=reject", {"subdomains": Policy.QUARANTINE, "absent": Policy.REJECT}),
        ("SP = Quarantine ; sp=reject", {"subdomains": Policy.QUARANTINE}),
        ("psd=y", {"suffix": Suffix.YES}),
        ("psd=N", {"suffix": Suffix.NO}),
        ("psd=u", {}),
        ("psd=x", {}),
        ("t=Y; adkim=S; aspf=S", {"testing": True, "strict_dkim": True, "strict_spf": True}),
        ("t=n; adkim=r; aspf=x", {}),
        ("fo=0:1:D: s", {"failure_options": ("0", "1", "d", "s")}),
        ("fo=01", {}),
        ("t; adkim", {}),
        ("sp\u00e9=reject; s2=reject; =reject", {}),
        ("sp=none" + "x" * 50, {"flaw": "sp=none" + "x" * 36 + " is no policy"}),
        ("np=", {"flaw": "np= is no policy"}),
    ],
)
def test_what_a_record_says_and_what_counts_as_not_said(text: str, expected: dict[str, object]) -> None:
    whole = f"v=DMARC1; p=none; {text}"
    assert read_record(whole.encode()) == attrs.evolve(Record(text=whole, policy=Policy.NONE), **expected)


@pytest.mark.parametrize(("text", "flaw"), [("sp=reject", "p= is missing"), ("p=all; sp=reject", "p=all is no policy")])
def test_a_record_without_a_policy_is_flawed(text: str, flaw: str) -> None:
    record = read_record(f"v=DMARC1; {text}".encode())
    assert (record.policy, record.subdomains, record.flaw) == (None, Policy.REJECT, flaw)


def test_a_record_is_read_up_to_a_size_and_octets_that_are_no_text_do_no_harm() -> None:
    for room, policy in ((len("; t=y"), True), (len("; t=y") - 1, False)):
        head = b"v=DMARC1; p=none; x=\xff"
        text = head + b"x" * (MAX_RECORD - len(head) - room) + b"; t=y"
        assert read_record(text).testing is policy
        assert read_record(text).policy is Policy.NONE


def test_what_is_long_is_read_and_not_remembered() -> None:
    """A zone may have any number of records of 64 KB, and a thousand of them would fill the memory."""
    for length, kept in ((1024, 1), (1025, 0)):
        _read_often.cache_clear()
        text = b"v=DMARC1; p=reject; x=".ljust(length, b"x")
        assert read_record(text).policy is Policy.REJECT
        assert _read_often.cache_info().currsize == kept


def failing(policy: str, *signers: str) -> Evaluation:
    entry = {
        "from": "x@example.com",
        "dkim": [f"pass {signer}" for signer in signers],
        "zone": {"_dmarc.example.com": f"v=DMARC1; p={policy}"},
    }
    return evaluated(entry, resolver_of(entry))


@pytest.mark.parametrize("temporary", [False, True])
@pytest.mark.parametrize(
    ("evaluation", "spared"),
    [
        (failing("reject"), True),
        (failing("quarantine"), True),
        (failing("none"), False),
        (failing("reject", "example.com"), False),
        (failing("what"), False),
    ],
)
def test_only_what_would_not_be_let_in_can_be_spared(evaluation: Evaluation, spared: bool, temporary: bool) -> None:
    """By a forwarder, by a chain, or by a chain that cannot be checked now."""
    seal = arc.finding.Seal(
        instance=1, domain="lists.test", selector="s", results="mx; dmarc=pass header.from=example.com"
    )
    result = arc.Result.FAIL if temporary else arc.Result.PASS
    chain = arc.Findings(result=result, seals=(seal,), temporary=temporary)
    client = ipaddress.ip_address("192.0.2.1")
    sealers = Trust(sealers=domains_of(["lists.test"]))
    forwarders = Trust(forwarders=(ipaddress.ip_network("192.0.2.0/24"),))
    assert bool(override(evaluation, client, None, forwarders)) is spared
    assert bool(override(evaluation, client, chain, sealers)) is (spared and not temporary)
    assert is_open(evaluation, chain, sealers) is (spared and temporary)
    assert override(evaluation, client, chain, Trust()) is None
    assert not is_open(evaluation, chain, Trust())


@pytest.mark.parametrize(
    ("evaluation", "line", "action"),
    [
        (failing("reject"), Case.REJECT, Action.REJECT),
        (failing("quarantine"), Case.QUARANTINE, Action.QUARANTINE),
        (failing("none"), Case.NONE, Action.PASS),
        (Evaluation(result=Result.PASS, policy=Policy.REJECT), Case.PASS, Action.PASS),
        (Evaluation(result=Result.NONE, author="example.com"), Case.ABSENT, Action.PASS),
        (Evaluation(result=Result.NONE), Case.UNREADABLE, Action.PASS),
        (Evaluation(result=Result.PERMERROR, crowded=True), Case.CROWDED, Action.REJECT),
        (Evaluation(result=Result.TEMPERROR, author="example.com"), Case.TEMPERROR, Action.DEFER),
        (Evaluation(result=Result.PERMERROR, author="example.com"), Case.PERMERROR, Action.PASS),
    ],
)
def test_the_default_table(evaluation: Evaluation, line: Case, action: Action) -> None:
    assert (case(evaluation), DEFAULT_ACTIONS[case(evaluation)]) == (line, action)


TESTING = Evaluation(
    result=Result.PASS,
    author="example.com",
    record=Record(text="", testing=True),
    policy=Policy.QUARANTINE,
    published=Policy.REJECT,
    tag="sp",
    policy_domain="example.com",
)


@pytest.mark.parametrize(
    ("evaluation", "line", "properties", "reply"),
    [
        (Evaluation(result=Result.NONE), "no author: none", (), "DMARC: none for a message without an author"),
        (
            Evaluation(result=Result.NONE, author="a.example"),
            "a.example: none",
            (("header.from", "a.example"),),
            "DMARC: none for a.example",
        ),
        (
            Evaluation(result=Result.TEMPERROR, author="a.example", reason="no answer"),
            "a.example: temperror; no answer",
            (("header.from", "a.example"),),
            "DMARC: the policy of a.example cannot be checked now",
        ),
        (
            TESTING,
            "example.com: pass; sp=reject at example.com, t=y",
            (("header.from", "example.com"), ("policy.dmarc", "quarantine")),
            "DMARC: pass for example.com",
        ),
    ],
)
def test_how_a_result_is_told(
    evaluation: Evaluation, line: str, properties: tuple[tuple[str, str], ...], reply: str
) -> None:
    """To the journal, to those who read the message, and to the peer where the operator refuses it all the same."""
    assert summary(evaluation) == line
    told = auth_result(evaluation)
    assert (told.method, told.result, told.reason) == ("dmarc", evaluation.result.value, evaluation.reason)
    assert told.properties == properties
    assert reply_for(evaluation, Action.REJECT) == Reply(550, "5.7.1", reply)
    assert reply_for(evaluation, Action.DEFER) == Reply(451, "4.7.1", reply)
    assert reply_for(evaluation, Action.QUARANTINE) is None


def test_how_a_failure_is_told() -> None:
    found = failing("reject")
    assert summary(found) == "example.com: fail; p=reject at example.com; nothing was authenticated"
    told = auth_result(found)
    assert (told.method, told.result) == ("dmarc", "fail")
    assert told.properties == (("header.from", "example.com"), ("policy.dmarc", "reject"))
    refusal = reply_for(found, Action.REJECT)
    assert refusal is not None
    assert (refusal.code, refusal.enhanced) == (550, "5.7.1")
    assert refusal.text == "DMARC: this message is not from example.com, whose policy is reject"
    crowd = reply_for(Evaluation(result=Result.PERMERROR, reason="From names 9 domains", crowded=True), Action.REJECT)
    assert crowd is not None
    assert crowd.text == "DMARC: From names 9 domains, too many to tell who it is from"
