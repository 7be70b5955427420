"""The filter `dmarc` takes what others found, finds out the rest, acts by the operator's table, and keeps a record."""

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dkim_signer import sign
from twisted.internet.defer import Deferred

from relaygw.config.schema import FilterConfig
from relaygw.core import arc, dkim, spf
from relaygw.core.arc.seal import Findings as Said
from relaygw.core.arc.seal import Sealer, seal
from relaygw.core.content import BytesContent
from relaygw.core.dkim_signature import body_hash
from relaygw.core.dmarc import Evaluation, Result
from relaygw.core.events import Event, TaskFailed
from relaygw.core.question import Answer, Question
from relaygw.core.reply import Reply
from relaygw.core.spf.result import Findings as SpfFindings
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.dns import FixedResolver
from relaygw.filters.chain import Chain, ChainResult
from relaygw.filters.dmarc import FOLDER, DmarcFilter
from relaygw.filters.evaluations import EvaluationLog, read_evaluations
from relaygw.filters.spf import SpfFilter
from relaygw.filters.uses import Mode, Use, build_use
from relaygw.plugins import OptionsError
from relaygw.tasks import Tasks
from relaygw.testing.filters import check_filter, make_services, make_session, make_transaction, run_filter
from relaygw.testing.threads import InlineReactor

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RECORD = b"v=DKIM1; k=ed25519; p=A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
ZONE = FixedResolver(
    {
        "ed25519._domainkey.example.com": {"TXT": [RECORD]},
        "example.com": {"TXT": [b"v=spf1 ip4:192.0.2.1 -all"]},
        "mx.example.com": {"TXT": [b"v=spf1 ip4:192.0.2.1 -all"]},
        "_dmarc.example.com": {"TXT": [b"v=DMARC1; p=reject; rua=mailto:r@example.com"]},
        "ed25519._domainkey.lists.test": {"TXT": [RECORD]},
        "_dmarc.soft.test": {"TXT": [b"v=DMARC1; p=quarantine"]},
        "_dmarc.none.test": {"TXT": [b"v=DMARC1; p=none"]},
        "_dmarc.trial.test": {"TXT": [b"v=DMARC1; p=reject; t=y"]},
        "_dmarc.half.test": {"TXT": [b"v=DMARC1; p=none; np=reject"]},
        "_dmarc.asks.test": {"TXT": [b"v=DMARC1; p=what; rua=mailto:r@asks.test"]},
        "_dmarc.wrong.test": {"TXT": [b"v=DMARC1; p=what"]},
        "_dmarc.lame.test": {"TXT": [b"v=DMARC1; p=quarantine; t=y"]},
        "_dmarc.spoilt.test": {"TXT": [b"v=DMARC1; p=what; rua=mailto:r@spoilt.test"]},
    },
    failing=["_dmarc.down.test", "b.half.test", "down._domainkey.lists.test"],
)


def message(author: str) -> bytes:
    return f"From: <{author}>\r\nTo: b@here.test\r\nSubject: x\r\n\r\nHello\r\n".encode()


def judge(
    author: str = "a@example.com",
    options: Mapping[str, Any] | None = None,
    *,
    sender: str | None = "x@elsewhere.test",
    content: bytes | None = None,
    results: Mapping[str, object] | None = None,
    **session: Any,
) -> Verdict:
    services = make_services(resolver=ZONE, clock=InlineReactor())
    transaction = make_transaction(
        sender=sender,
        content=content or message(author),
        session=make_session(**{"hello": "client.test", **session}),
        results=dict(results or {}),
    )
    return run_filter(DmarcFilter(options or {}, services), Phase.DATA, transaction)


def test_it_passes_the_suite_for_filters() -> None:
    check_filter(DmarcFilter({}, make_services()))


@pytest.mark.parametrize(
    ("author", "result", "action", "reply"),
    [
        ("a@example.com", "fail", Action.REJECT, "550 5.7.1"),
        ("a@soft.test", "fail", Action.QUARANTINE, ""),
        ("a@none.test", "fail", Action.PASS, ""),
        ("a@trial.test", "fail", Action.QUARANTINE, ""),
        ("a@nothing.test", "none", Action.PASS, ""),
        ("a@wrong.test", "permerror", Action.PASS, ""),
        ("a@down.test", "temperror", Action.DEFER, "451 4.7.1"),
    ],
)
def test_the_default_table(author: str, result: str, action: Action, reply: str) -> None:
    verdict = judge(author)
    assert (verdict.auth[0].method, verdict.auth[0].result, verdict.action) == ("dmarc", result, action)
    given = verdict.reply
    assert (f"{given.code} {given.enhanced}" if isinstance(given, Reply) else "") == reply


@pytest.mark.parametrize(
    ("author", "table", "action"),
    [
        ("a@example.com", {"reject": "quarantine"}, Action.QUARANTINE),
        ("a@example.com", {"reject": "pass"}, Action.PASS),
        ("a@soft.test", {"quarantine": "hold"}, Action.HOLD),
        ("a@soft.test", {"quarantine": "reject"}, Action.REJECT),
        ("a@down.test", {"temperror": "pass"}, Action.PASS),
        ("a@wrong.test", {"permerror": "reject"}, Action.REJECT),
        ("a@nothing.test", {"absent": "quarantine"}, Action.QUARANTINE),
        ("", {"unreadable": "reject"}, Action.REJECT),
    ],
)
def test_the_operators_table(author: str, table: dict[str, str], action: Action) -> None:
    assert judge(author, {"actions": table}).action is action


@pytest.mark.parametrize(
    ("author", "table", "action"),
    [
        ("a@none.test", {}, Action.PASS),
        ("a@lame.test", {}, Action.PASS),
        ("a@spoilt.test", {}, Action.PASS),
        ("a@sub.none.test", {}, Action.PASS),
        ("a@half.test", {}, Action.PASS),
        ("a@sub.half.test", {}, Action.DEFER),
        ("a@soft.test", {}, Action.DEFER),
        ("a@trial.test", {}, Action.DEFER),
        ("a@none.test", {"none": "quarantine"}, Action.DEFER),
        ("a@none.test, b@soft.test", {}, Action.DEFER),
        ("a@soft.test, b@none.test", {}, Action.DEFER),
    ],
)
def test_no_mail_waits_for_what_nothing_is_done_about(author: str, table: dict[str, str], action: Action) -> None:
    """RFC 9989 5.4: p=none changes nothing; a key that never answers would have the mail waiting until it is lost."""
    names = [each.rpartition("@")[2] for each in author.split(", ")]
    found = tuple(dkim.Finding(result=dkim.Result.TEMPERROR, domain=name, selector="s") for name in names)
    content = message("x@y.test").replace(b"<x@y.test>", author.encode())
    verdict = judge(content=content, options={"actions": table}, results={"dkim": dkim.Findings(signatures=found)})
    assert (verdict.auth[0].result, verdict.action) == ("temperror", action)
    if verdict.reply is not None:
        assert "whether this message is from" in str(verdict.reply)


def test_it_finds_out_itself_what_nobody_has_found() -> None:
    assert judge(sender="x@mx.example.com").auth[0].result == "pass"
    signed = sign(message("a@example.com"), KEY, {}) + message("a@example.com")
    assert judge(content=signed).auth[0].result == "pass"


def test_the_null_reverse_path_is_judged_by_the_hello_name() -> None:
    assert judge(sender=None, hello="mx.example.com").auth[0].result == "pass"
    assert judge(sender=None, hello="").auth[0].result == "fail"


def finding(domain: str, identity: spf.Identity) -> spf.Finding:
    return spf.Finding(result=spf.Result.PASS, identity=identity, client="", domain=domain, sender="", hello="")


def test_it_takes_what_earlier_filters_found_whatever_they_are_called() -> None:
    mail_from = SpfFindings(mail_from=finding("example.com", spf.Identity.MAIL_FROM))
    hello = SpfFindings(hello=finding("example.com", spf.Identity.HELO))
    signed = dkim.Findings(signatures=(dkim.Finding(result=dkim.Result.PASS, domain="example.com"),))
    assert judge(results={"my spf": mail_from}).auth[0].result == "pass"
    assert judge(results={"my dkim": signed}).auth[0].result == "pass"
    # A pass for HELO alone does not count for a message with a reverse-path (RFC 9989 4.4.2).
    assert judge(results={"spf": hello}).auth[0].result == "fail"
    assert judge(results={"spf": hello}, sender=None).auth[0].result == "pass"


def test_the_finding_is_left_for_routing_and_told() -> None:
    verdict = judge(sender="x@mx.example.com")
    assert isinstance(verdict.result, Evaluation)
    assert verdict.result.result is Result.PASS
    assert verdict.reason == "dmarc example.com: pass; p=reject at example.com"
    assert verdict.auth[0].properties == (("header.from", "example.com"), ("policy.dmarc", "reject"))


@pytest.mark.parametrize("session", [{"trusted": True}, {"login": "alice"}])
def test_mail_of_those_who_may_relay_is_not_checked(session: dict[str, Any]) -> None:
    assert judge(**session) is PASS


def test_without_a_client_s_address_there_is_no_spf_and_what_is_signed_passes() -> None:
    assert judge(sender="x@mx.example.com", client="").auth[0].result == "fail"
    signed = sign(message("a@example.com"), KEY, {}) + message("a@example.com")
    assert judge(content=signed, client="").auth[0].result == "pass"


def test_a_forwarder_we_trust_may_send_on_what_fails() -> None:
    options = {"forwarders": ["192.0.2.0/24"]}
    verdict = judge(options=options)
    assert (verdict.action, verdict.auth[0].result) == (Action.PASS, "fail")
    assert verdict.reason.endswith("; let through: 192.0.2.1 is one of our forwarders")
    assert judge(options=options, client="198.51.100.1").action is Action.REJECT
    assert judge("a@down.test", options).action is Action.DEFER


def test_a_sealer_we_trust_vouches_for_what_fails() -> None:
    seal = arc.finding.Seal(
        instance=1, domain="lists.test", selector="s", results="lists.test; dmarc=pass header.from=example.com"
    )
    chain = {"arc": arc.Findings(result=arc.Result.PASS, seals=(seal,))}
    verdict = judge(options={"sealers": ["lists.test"]}, results=chain)
    assert verdict.action is Action.PASS
    assert verdict.reason.endswith("; let through: arc=pass, and lists.test saw dmarc=pass")
    assert judge(options={"sealers": ["other.test"]}, results=chain).action is Action.REJECT
    broken = {"arc": arc.Findings(result=arc.Result.FAIL, seals=(seal,))}
    assert judge(options={"sealers": ["lists.test"]}, results=broken).action is Action.REJECT


def test_a_chain_that_cannot_be_checked_now_makes_mail_wait_where_it_would_let_it_through() -> None:
    """RFC 8617 5.2.1: the chain is broken all the same, and says so in our field; but no mail is refused for it."""
    seal = arc.finding.Seal(
        instance=1, domain="lists.test", selector="s", results="lists.test; dmarc=pass header.from=example.com"
    )
    chain = {"arc": arc.Findings(result=arc.Result.FAIL, seals=(seal,), temporary=True)}
    verdict = judge(options={"sealers": ["lists.test"]}, results=chain)
    assert (verdict.action, verdict.auth[0].result) == (Action.DEFER, "fail")
    assert verdict.reply is not None
    assert verdict.reply.code == 451
    assert verdict.reason.endswith("; its chain (ARC) would let it through, and cannot be checked now")
    assert judge(options={"sealers": ["other.test"]}, results=chain).action is Action.REJECT
    assert judge("a@none.test", {"sealers": ["lists.test"]}, results=chain).action is Action.PASS
    passing = {"sealers": ["lists.test"], "actions": {"temperror": "pass"}}
    assert judge(options=passing, results=chain).action is Action.PASS


VOUCHED = "lists.test; dmarc=pass header.from={}"


@pytest.mark.parametrize(
    ("fields", "seen", "action"),
    [
        (["a@example.com"], ["example.com"], Action.PASS),
        (["a@example.com, b@none.test"], ["example.com"], Action.PASS),
        (["a@example.com, b@soft.test"], ["example.com"], Action.REJECT),
        (["b@soft.test, a@example.com"], ["soft.test"], Action.REJECT),
        (["a@example.com, b@down.test"], ["example.com"], Action.REJECT),
        (["a@example.com, b@soft.test"], ["example.com", "soft.test"], Action.PASS),
        (["a@example.com", "b@example.com"], ["example.com"], Action.REJECT),
        (["a@example.com", "b@none.test"], ["example.com"], Action.REJECT),
    ],
)
def test_who_is_put_beside_an_author_is_not_vouched_for(fields: list[str], seen: list[str], action: Action) -> None:
    """Whoever has one message of his own sealed could send anybody's, with a second address in From."""
    content = "".join(f"From: {field}\r\n" for field in fields).encode() + b"Subject: x\r\n\r\nHello\r\n"
    seals = tuple(
        arc.finding.Seal(instance=number, domain="lists.test", selector="s", results=VOUCHED.format(name))
        for number, name in enumerate(seen, 1)
    )
    whole = {"arc": arc.Findings(result=arc.Result.PASS, seals=seals)}
    assert judge(content=content, options={"sealers": ["lists.test"]}, results=whole).action is action
    waits = {"arc": arc.Findings(result=arc.Result.FAIL, seals=seals, temporary=True)}
    expected = Action.DEFER if action is Action.PASS else action
    assert judge(content=content, options={"sealers": ["lists.test"]}, results=waits).action is expected


def sealed(author: str, selector: str = "ed25519") -> bytes:
    """A message that a list has sealed, having seen DMARC pass."""
    content = BytesContent(message(author))
    sealer = Sealer(
        domain="lists.test",
        selector=selector,
        algorithm="ed25519",
        sign=lambda data: KEY.sign(hashlib.sha256(data).digest()),
    )
    found = Said(results=f"dmarc=pass header.from={author.rpartition('@')[2]}; arc=none", chain=arc.Result.NONE)
    digest = body_hash(content.chunks(len(content.head) + 2))
    return seal(content.head, digest, found, "lists.test", sealer, 1_790_000_000) + content.data


def test_a_chain_that_nobody_has_looked_at_is_looked_at_where_it_matters() -> None:
    """The filter arc may be broken, or in shadow mode: that is no reason to refuse what it would have let through."""
    options = {"sealers": ["lists.test"]}
    assert judge(options=options, content=sealed("a@example.com")).action is Action.PASS
    assert judge(options=options, content=sealed("a@example.com", "down")).action is Action.DEFER
    assert judge(options=options, content=sealed("a@example.com", "gone")).action is Action.REJECT
    assert judge(options={}, content=sealed("a@example.com")).action is Action.REJECT
    for added in (b"From: a@example.com, b@soft.test\r\n", b"From: b@example.com\r\n"):
        assert judge(options=options, content=added + sealed("a@example.com")).action is Action.REJECT


def test_in_shadow_mode_it_judges_and_does_nothing_also_beside_a_shadow_spf() -> None:
    events: list[Any] = []
    reactor = InlineReactor()
    services = make_services(resolver=ZONE, clock=reactor)
    uses = [
        Use(name="spf", filter=SpfFilter({}, services), mode=Mode.SHADOW),
        Use(name="dmarc", filter=DmarcFilter({}, services), mode=Mode.SHADOW),
    ]
    found = Chain(uses, reactor, events.append).ask(
        Phase.DATA, make_transaction(sender="x@elsewhere.test", content=message("a@example.com"))
    )
    assert isinstance(found, ChainResult)
    assert (found.action, found.auth) == (Action.PASS, ())
    [judged] = events
    assert (judged.filter, judged.action, judged.shadow) == ("dmarc", "reject", True)


def test_all_that_is_wrong_with_the_options_is_told_at_once() -> None:
    with pytest.raises(OptionsError) as caught:
        DmarcFilter({"actions": {"fail": "reject"}, "forwarders": ["x"], "sealers": ["a b"], "x": 1}, make_services())
    assert len(caught.value.problems) == 4


class Reactor(InlineReactor):
    """Its clock can be set to a date."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        super().__init__()
        self.rightNow = now


def record(tmp_path: Path, author: str, **more: Any) -> dict[str, Any]:
    reactor = Reactor()
    services = make_services(resolver=ZONE, clock=reactor, state=str(tmp_path), shadow=more.pop("shadow", False))
    filter_ = DmarcFilter(more.pop("options", {}), services)
    content = sign(message(author), KEY, {}) + message(author) if more.pop("signed", False) else message(author)
    more.setdefault("sender", "x@mx.example.com")
    transaction = make_transaction(recipients=["b@here.test", "c@here.test"], content=content, **more)
    run_filter(filter_, Phase.DATA, transaction)
    reactor.advance(1)
    entries = list(read_evaluations(tmp_path / FOLDER, "2026-09-21"))
    return entries[0] if entries else {}


def test_what_is_kept_of_a_pass(tmp_path: Path) -> None:
    assert record(tmp_path, "a@example.com", signed=True) == {
        "time": 1_790_000_000.0,
        "queue_id": "0queue",
        "source_ip": "192.0.2.1",
        "header_from": "example.com",
        "envelope_from": "mx.example.com",
        "envelope_to": ["here.test"],
        "result": "pass",
        "reason": "",
        "policy_published": {
            "domain": "example.com", "p": "reject", "sp": None, "np": None, "adkim": "r", "aspf": "r", "testing": "n",
            "discovery_method": "treewalk", "fo": "0", "rua": ["mailto:r@example.com"], "ruf": [],
        },
        "errors": [],
        "policy_evaluated": {"disposition": "pass", "dkim": "pass", "spf": "pass", "reasons": []},
        "dkim": [{"domain": "example.com", "selector": "ed25519", "result": "pass", "human_result": ""}],
        "spf": [{"domain": "mx.example.com", "scope": "mfrom", "result": "pass", "human_result": ""}],
    }  # fmt: skip


def test_what_is_kept_of_a_record_that_only_asks_for_reports(tmp_path: Path) -> None:
    """RFC 9989 4.10.1: it counts as p=none; and where the client is not known, there is no SPF to tell."""
    kept = record(tmp_path, "a@asks.test", session=make_session(client=""))
    assert (kept["result"], kept["policy_published"]["p"], kept["spf"]) == ("fail", "none", [])


@pytest.mark.parametrize(
    ("author", "options", "disposition", "reasons"),
    [
        ("a@soft.test", {}, "quarantine", []),
        ("a@none.test", {}, "none", []),
        ("a@trial.test", {}, "quarantine", ["policy_test_mode"]),
        ("a@soft.test", {"actions": {"quarantine": "pass"}}, "none", ["local_policy"]),
        ("a@none.test", {"actions": {"none": "reject"}}, "reject", ["local_policy"]),
        ("a@soft.test", {"forwarders": ["192.0.2.1"]}, "none", ["trusted_forwarder"]),
    ],
)
def test_what_is_kept_of_a_failure(
    tmp_path: Path, author: str, options: dict[str, Any], disposition: str, reasons: list[str]
) -> None:
    kept = record(tmp_path, author, options=options)["policy_evaluated"]
    assert kept["disposition"] == disposition
    assert [each["type"] for each in kept["reasons"]] == reasons


@pytest.mark.parametrize(
    ("author", "options", "disposition", "reasons"),
    [
        ("a@example.com", {}, "pass", []),
        ("a@none.test", {}, "none", []),
        ("a@trial.test", {}, "pass", []),
        ("a@example.com", {"actions": {"pass": "quarantine"}}, "quarantine", ["local_policy"]),
    ],
)
def test_what_is_kept_of_what_passed(
    tmp_path: Path, author: str, options: dict[str, Any], disposition: str, reasons: list[str]
) -> None:
    """RFC 9990 tells mail that passed under an enforcing policy from mail that nobody wants anything done to."""
    found = SpfFindings(mail_from=finding(author.rpartition("@")[2], spf.Identity.MAIL_FROM))
    kept = record(tmp_path, author, options=options, results={"spf": found})["policy_evaluated"]
    assert (kept["disposition"], kept["spf"]) == (disposition, "pass")
    assert [each["type"] for each in kept["reasons"]] == reasons


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (message("a@soft.test"), 1),
        (b"From: a@soft.test\r\nFrom: b@soft.test\r\n\r\n", 2),
        (message("a@long.test"), 2),
    ],
)
def test_only_what_is_ordinary_is_remembered(content: bytes, asked: int) -> None:
    """Strangers could fill the memory with records and fields that are as long as they like."""
    zone = FixedResolver(
        {
            "_dmarc.soft.test": {"TXT": [b"v=DMARC1; p=quarantine"]},
            "_dmarc.long.test": {"TXT": [b"v=DMARC1; p=quarantine; x=" + b"x" * 1000]},
        }
    )
    filter_ = DmarcFilter({}, make_services(resolver=zone, clock=InlineReactor()))
    found = SpfFindings(mail_from=finding("elsewhere.test", spf.Identity.MAIL_FROM))
    for _ in range(2):
        verdict = run_filter(filter_, Phase.DATA, make_transaction(content=content, results={"spf": found}))
        assert verdict.action is Action.QUARANTINE
    names = [question.name for question in zone.asked]
    assert names.count("_dmarc.soft.test") + names.count("_dmarc.long.test") == asked


def shape(value: Any) -> Any:
    """The names in a document, whatever their values."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value[:1]] if isinstance(value, list) else None


def test_the_line_in_the_docs_is_one_of_those_that_are_kept(tmp_path: Path) -> None:
    text = Path(__file__).parents[2].joinpath("docs", "filters.md").read_text(encoding="utf-8")
    told = json.loads(text.partition("**What is kept for reports.**")[2].partition("```json\n")[2].partition("```")[0])
    kept = record(tmp_path, "a@example.com", signed=True)
    assert shape(told) == shape(kept)
    assert list(told) == list(kept)


def test_a_flaw_of_the_record_is_kept_for_the_owner_and_told_in_the_journal(tmp_path: Path) -> None:
    kept = record(tmp_path, "a@spoilt.test")
    assert (kept["errors"], kept["policy_published"]["p"]) == (["p=what is no policy"], "none")
    assert kept["spf"][0]["result"] == "pass"
    assert "; p=none at spoilt.test; taken for p=none, as p=what is no policy" in judge("a@spoilt.test").reason


def test_spf_is_kept_as_reports_have_it(tmp_path: Path) -> None:
    """RFC 9990: `mfrom` is the only scope, also of the HELO name that stands for the null reverse-path."""
    broken = spf.Finding(
        result=spf.Result.PERMERROR, identity=spf.Identity.HELO, client="", domain="mx.soft.test", sender="", hello="",
        reason="two SPF records",
    )  # fmt: skip
    kept = record(tmp_path, "a@soft.test", sender=None, results={"spf": SpfFindings(hello=broken)})
    told = {"domain": "mx.soft.test", "scope": "mfrom", "result": "permerror", "human_result": "two SPF records"}
    assert (kept["spf"], kept["envelope_from"]) == ([told], "")


def test_in_shadow_mode_is_kept_what_was_done_and_not_what_would_have_been(tmp_path: Path) -> None:
    kept = record(tmp_path, "a@soft.test", shadow=True)["policy_evaluated"]
    assert kept["disposition"] == "none"
    assert kept["reasons"] == [{"type": "local_policy", "comment": "our policy for quarantine is pass"}]


@pytest.mark.parametrize(("mode", "disposition"), [("shadow", "none"), ("enforce", "quarantine")])
def test_a_use_is_told_its_mode(tmp_path: Path, mode: str, disposition: str) -> None:
    reactor = Reactor()
    services = make_services(resolver=ZONE, clock=reactor, state=str(tmp_path))
    use = build_use(FilterConfig(use="dmarc", mode=mode), services)
    run_filter(use.filter, Phase.DATA, make_transaction(content=message("a@soft.test")))
    reactor.advance(1)
    [kept] = read_evaluations(tmp_path / FOLDER, "2026-09-21")
    assert kept["policy_evaluated"]["disposition"] == disposition


@pytest.mark.parametrize(
    ("author", "options"),
    [("a@nothing.test", {}), ("a@soft.test", {"record": False}), ("a@b.half.test", {})],
)
def test_what_is_not_kept(tmp_path: Path, author: str, options: dict[str, Any]) -> None:
    assert record(tmp_path, author, options=options) == {}


def log_in(tmp_path: Path, **options: Any) -> tuple[EvaluationLog, Reactor, Tasks, list[Event]]:
    reactor = Reactor()
    events: list[Event] = []
    tasks = Tasks(lambda event: pytest.fail(repr(event)))
    services = make_services(clock=reactor, spawn=tasks.spawn, write_event=events.append)
    return EvaluationLog(tmp_path / "log", services, keep=86400.0, **options), reactor, tasks, events


def test_what_waits_is_written_together_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    log, reactor, _, _ = log_in(tmp_path)
    log.add(1_790_000_000.0, partial(dict, n=1))
    log.add(1_790_000_000.0, partial(dict, n=2))
    log.add(1_790_000_000.0 + 86400, partial(dict, n=3))
    assert not (tmp_path / "log").exists()
    reactor.advance(1)
    assert [each["n"] for each in read_evaluations(tmp_path / "log", "2026-09-21")] == [1, 2]
    assert [each["n"] for each in read_evaluations(tmp_path / "log", "2026-09-22")] == [3]
    assert (tmp_path / "log" / "2026-09-21.jsonl").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o700
    assert reactor.getDelayedCalls() == []
    log.add(1_790_000_000.0, partial(dict, n=4))
    reactor.advance(1)
    assert [each["n"] for each in read_evaluations(tmp_path / "log", "2026-09-21")] == [1, 2, 4]


def test_no_more_than_so_many_wait_and_the_others_are_counted(tmp_path: Path) -> None:
    log, reactor, _, events = log_in(tmp_path)
    for number in range(10_002):
        log.add(1_790_000_000.0, partial(dict, n=number))
    assert len(reactor.getDelayedCalls()) == 1, "one task writes them all"
    reactor.advance(1)
    kept = [each["n"] for each in read_evaluations(tmp_path / "log", "2026-09-21")]
    assert (kept, log.lost) == (list(range(10_000)), 2)
    [event] = events
    assert isinstance(event, TaskFailed)
    assert event.error == "1 in all are not kept: more than 10000 wait to be written"


def test_a_line_that_was_cut_short_takes_no_other_one_with_it(tmp_path: Path) -> None:
    log, _, _, _ = log_in(tmp_path)
    day = tmp_path / "log" / "2026-09-21.jsonl"
    log.write([(1_790_000_000.0, partial(dict, n=1)), (1_790_000_000.0, partial(dict, n=2))])
    day.write_bytes(day.read_bytes()[:-4])
    for number in (3, 4):
        log.write([(1_790_000_000.0, partial(dict, n=number))])
    assert [each["n"] for each in read_evaluations(tmp_path / "log", "2026-09-21")] == [1, 3, 4]


def test_what_waits_when_the_service_stops_is_written(tmp_path: Path) -> None:
    log, _, tasks, _ = log_in(tmp_path)
    log.add(1_790_000_000.0, partial(dict, n=1))
    _stopped = Deferred.fromCoroutine(tasks.stop())
    assert [each["n"] for each in read_evaluations(tmp_path / "log", "2026-09-21")] == [1]


def test_days_are_forgotten(tmp_path: Path) -> None:
    log, _, _, _ = log_in(tmp_path)
    log.write([(1_790_000_000.0 + day * 86400, partial(dict, n=day)) for day in range(4)])
    assert sorted(path.stem for path in (tmp_path / "log").iterdir()) == ["2026-09-23", "2026-09-24"]


def test_a_day_has_its_limit(tmp_path: Path) -> None:
    """It takes one more while it is not beyond the limit; what is beyond is told in the journal, once an hour."""
    log, reactor, _, events = log_in(tmp_path, day_limit=8)
    for number in range(5):
        log.add(1_790_000_000.0, partial(dict, n=number))
        reactor.advance(1 if number < 4 else 3600)
    assert [each["n"] for each in read_evaluations(tmp_path / "log", "2026-09-21")] == [0, 1]
    assert log.lost == 3
    assert [event.error for event in events if isinstance(event, TaskFailed)] == [
        f"{count} in all are not kept: the file of the day has its 8 octets" for count in (1, 3)
    ]


def test_a_line_cut_short_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "2026-09-21.jsonl").write_text(json.dumps({"n": 1}) + '\n{"n": 2')
    assert [each["n"] for each in read_evaluations(tmp_path, "2026-09-21")] == [1]
    assert list(read_evaluations(tmp_path, "2026-09-22")) == []


class Counting:
    """The zone with a time to live of 100 seconds; `asked` are the names."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.zone = FixedResolver(
            {"_dmarc.example.com": {"TXT": [b"v=DMARC1; p=reject"]}}, failing=["_dmarc.down.test"], ttl=100
        )

    def ask(self, question: Question) -> Deferred[Answer]:
        self.asked.append(question.name)
        return self.zone.ask(question)


class Remembering:
    """One filter, a clock and messages: what does each cost?"""

    def __init__(self) -> None:
        self.names = Counting()
        self.clock = InlineReactor()
        self.filter = DmarcFilter({}, make_services(resolver=self.names, clock=self.clock))

    def judge(self, author: str, *, result: spf.Result = spf.Result.PASS, selector: str = "s1") -> Verdict:
        finding = spf.Finding(
            result=result, identity=spf.Identity.MAIL_FROM, client="192.0.2.1", domain="example.com",
            sender="a@example.com", hello="client.test",
        )  # fmt: skip
        signature = dkim.Finding(result=dkim.Result.FAIL, domain="example.com", selector=selector)
        transaction = make_transaction(
            sender="a@example.com",
            content=message(author),
            session=make_session(hello="client.test"),
            results={"spf": SpfFindings(mail_from=finding), "dkim": dkim.Findings(signatures=(signature,))},
        )
        return run_filter(self.filter, Phase.DATA, transaction)

    def questions(self) -> int:
        asked, self.names.asked = self.names.asked, []
        return len(asked)


def test_the_same_findings_are_judged_once_as_long_as_the_answers_hold() -> None:
    mail = Remembering()
    first = mail.judge("a@example.com")
    assert (first.auth[0].result, mail.questions()) == ("pass", 1)
    mail.clock.advance(99)
    assert (mail.judge("b@example.com"), mail.questions()) == (first, 0)
    mail.clock.advance(1)
    assert (mail.judge("a@example.com"), mail.questions()) == (first, 1)


def test_other_findings_are_judged_anew() -> None:
    mail = Remembering()
    assert mail.judge("a@example.com").action is Action.PASS
    failed = mail.judge("a@example.com", result=spf.Result.FAIL)
    assert failed.action is Action.REJECT
    other = mail.judge("a@example.com", result=spf.Result.FAIL, selector="s2")
    assert isinstance(other.result, Evaluation)
    assert [each.selector for each in other.result.identifiers] == ["", "s2"]
    assert mail.judge("a@elsewhere.test").auth[0].result == "none"
    two = mail.judge("a@example.com>, <b@elsewhere.test", result=spf.Result.FAIL)
    assert two.action is Action.REJECT
    assert two.reason != failed.reason


def test_what_the_dns_did_not_answer_is_asked_again() -> None:
    mail = Remembering()
    for _ in range(2):
        assert (mail.judge("a@down.test").action, mail.questions()) == (Action.DEFER, 1)
