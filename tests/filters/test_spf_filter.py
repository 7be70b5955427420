"""The filter `spf`: whom it checks, what the operator's tables make of the findings, and what the peer reads."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from relaygw.core.question import Answer, AnswerStatus, Data, Question
from relaygw.core.reply import Reply
from relaygw.core.session import Session
from relaygw.core.spf import Finding, Identity, Result
from relaygw.core.spf.policy import action_for
from relaygw.core.spf.result import Findings
from relaygw.core.verdict import PASS, Action, AuthResult, Phase, Verdict
from relaygw.dns import FixedResolver
from relaygw.filters.spf import SpfFilter, SpfOptions, actions_of
from relaygw.interfaces import IResolver
from relaygw.plugins import OptionsError, structure_options
from relaygw.testing.filters import check_filter, make_services, make_session, make_transaction, run_filter

ZONE: dict[str, dict[str, Sequence[Data]]] = {
    "good.test": {"TXT": [b"v=spf1 ip4:192.0.2.1 -all"]},
    "bad.test": {"TXT": [b"v=spf1 -all exp=why.test"]},
    "why.test": {"TXT": [b"See https://bad.test/why?ip=%{C}"]},
    "soft.test": {"TXT": [b"v=spf1 ~all"]},
    "broken.test": {"TXT": [b"v=spf1 nonsense"]},
}


def filter_with(
    options: Mapping[str, Any] | None = None, resolver: IResolver | None = None, **services: Any
) -> SpfFilter:
    resolver = resolver or FixedResolver(ZONE, failing=["down.test"])
    return SpfFilter(options or {}, make_services(resolver=resolver, **services))


def judge(
    sender: str | None, options: Mapping[str, Any] | None = None, *, hello: str = "client", **session: Any
) -> Verdict:
    transaction = make_transaction(sender=sender, session=make_session(hello=hello, **session))
    return run_filter(filter_with(options), Phase.MAIL, transaction)


def findings(verdict: Verdict) -> Findings:
    assert isinstance(verdict.result, Findings)
    return verdict.result


def test_it_passes_the_suite_for_filters() -> None:
    check_filter(filter_with())


def test_a_pass_leaves_its_traces() -> None:
    verdict = judge("a@good.test")
    assert (verdict.action, verdict.reply) == (Action.PASS, None)
    assert verdict.reason == "spf helo client: none ('client' is not a fully qualified domain name), " + (
        "mailfrom good.test: pass (ip4:192.0.2.1)"
    )
    assert verdict.auth == (AuthResult(method="spf", result="pass", properties=(("smtp.mailfrom", "a@good.test"),)),)
    [field] = verdict.fields
    assert field.startswith(b"Received-SPF: pass\r\n\t(gateway.test: domain of a@good.test designates 192.0.2.1 ")
    found = findings(verdict)
    assert found.mail_from is not None
    assert (found.mail_from.result, found.mail_from.identity) == (Result.PASS, Identity.MAIL_FROM)


def test_a_fail_is_refused_with_the_explanation_marked_as_the_domains_own() -> None:
    verdict = judge("a@bad.test")
    assert verdict.action is Action.REJECT
    assert verdict.reply == Reply(
        550,
        "5.7.23",
        "SPF MAIL FROM check: fail for bad.test from 192.0.2.1\n"
        "The domain bad.test explains: See https://bad.test/why?ip=192.0.2.1",
    )


@pytest.mark.parametrize(
    ("sender", "action", "code", "enhanced"),
    [
        ("a@good.test", Action.PASS, 0, ""),
        ("a@soft.test", Action.PASS, 0, ""),
        ("a@none.test", Action.PASS, 0, ""),
        ("a@broken.test", Action.PASS, 0, ""),
        ("a@down.test", Action.DEFER, 451, "4.7.24"),
        ("a@bad.test", Action.REJECT, 550, "5.7.23"),
    ],
)
def test_the_default_table(sender: str, action: Action, code: int, enhanced: str) -> None:
    verdict = judge(sender)
    assert verdict.action is action
    if code:
        assert verdict.reply is not None
        assert (verdict.reply.code, verdict.reply.enhanced) == (code, enhanced)


@pytest.mark.parametrize(
    ("sender", "table", "action", "code", "enhanced"),
    [
        ("a@bad.test", {"fail": "pass"}, Action.PASS, 0, ""),
        ("a@bad.test", {"fail": "quarantine"}, Action.QUARANTINE, 0, ""),
        ("a@bad.test", {"fail": "hold"}, Action.HOLD, 0, ""),
        ("a@bad.test", {"fail": "defer"}, Action.DEFER, 451, "4.7.23"),
        ("a@soft.test", {"softfail": "reject"}, Action.REJECT, 550, "5.7.23"),
        ("a@broken.test", {"permerror": "reject"}, Action.REJECT, 550, "5.7.24"),
        ("a@down.test", {"temperror": "pass"}, Action.PASS, 0, ""),
        ("a@none.test", {"none": "discard"}, Action.DISCARD, 0, ""),
    ],
)
def test_the_operators_table(sender: str, table: dict[str, str], action: Action, code: int, enhanced: str) -> None:
    verdict = judge(sender, {"mail_from": table})
    assert verdict.action is action
    assert (verdict.reply.code, verdict.reply.enhanced) == (code, enhanced) if verdict.reply else not code


def test_a_refused_hello_name_costs_no_further_question() -> None:
    resolver = FixedResolver(ZONE)
    transaction = make_transaction(sender="a@good.test", session=make_session(hello="bad.test"))
    verdict = run_filter(filter_with(resolver=resolver), Phase.MAIL, transaction)
    assert verdict.action is Action.REJECT
    assert verdict.reply is not None
    assert verdict.reply.text.startswith("SPF HELO check: fail for bad.test from 192.0.2.1\n")
    assert verdict.auth == (AuthResult(method="spf", result="fail", properties=(("smtp.helo", "bad.test"),)),)
    assert {question.name for question in resolver.asked} == {"bad.test", "why.test"}


def test_both_identities_are_told_where_both_have_something_to_say() -> None:
    verdict = judge("a@soft.test", hello="good.test")
    assert [(each.result, each.properties[0][0]) for each in verdict.auth] == [
        ("pass", "smtp.helo"),
        ("softfail", "smtp.mailfrom"),
    ]
    assert len(verdict.fields) == 2


def test_a_hello_name_under_suspicion_marks_a_message_whose_sender_passes() -> None:
    verdict = judge("a@good.test", {"hello": {"softfail": "quarantine"}}, hello="soft.test")
    assert (verdict.action, verdict.reply) == (Action.QUARANTINE, None)


def test_the_null_reverse_path_is_judged_by_the_hello_name() -> None:
    assert judge(None, hello="bad.test").action is Action.REJECT
    verdict = judge(None, hello="good.test")
    assert (verdict.action, findings(verdict).mail_from) == (Action.PASS, None)
    assert judge(None, hello="") is PASS


@pytest.mark.parametrize("session", [{"trusted": True}, {"login": "alice"}, {"client": ""}])
def test_clients_that_may_relay_are_not_checked(session: dict[str, Any]) -> None:
    assert judge("a@bad.test", **session) is PASS


@pytest.mark.parametrize(
    ("session", "checked"), [({"trusted": True}, True), ({"trusted": True, "login": "alice"}, False)]
)
def test_trusted_clients_are_checked_where_that_is_asked_for(session: dict[str, Any], checked: bool) -> None:
    assert (judge("a@bad.test", {"trusted": True}, **session) is not PASS) is checked


@pytest.mark.parametrize(
    ("client", "checked"),
    [("192.0.2.1", False), ("2001:db8::1", False), ("::ffff:192.0.2.9", False), ("198.51.100.1", True)],
)
def test_networks_to_skip(client: str, checked: bool) -> None:
    verdict = judge("a@bad.test", {"skip": ["192.0.2.0/24", "2001:db8::/32"]}, client=client)
    assert (verdict is not PASS) is checked


def test_the_received_spf_field_can_be_left_out() -> None:
    assert judge("a@good.test", {"received_spf": False}).fields == ()


def test_all_that_is_wrong_with_the_options_is_told_at_once() -> None:
    with pytest.raises(OptionsError) as caught:
        filter_with(
            {"mail_from": {"fails": "reject"}, "hello": {"fail": "refuse"}, "timeout": "soon", "skip": ["x"], "a": 1}
        )
    assert [re.sub(r"[:(].*", "", problem).strip() for problem in caught.value.problems] == [
        "unknown option 'a'",
        "option 'mail_from[fails]'",
        "option 'hello[fail]'",
        "option 'timeout'",
        "option 'skip[1]'",
    ]


def test_a_hostile_hello_name_does_not_leave_its_field() -> None:
    verdict = judge("a@good.test", hello='x.test") evil\r\nBcc: y')
    [received] = [field for field in verdict.fields if b"identity=mailfrom" in field]
    assert b'helo="x.test\\") evil??Bcc: y"' in received


@implementer(IResolver)
class Silent:
    def ask(self, question: Question) -> Deferred[Answer]:
        return Deferred()


class DeadlineTests(SynchronousTestCase):
    def test_when_the_dns_says_nothing_the_result_is_a_temporary_error_in_time(self) -> None:
        clock = Clock()
        spf = filter_with({"timeout": "20s"}, Silent(), clock=clock)
        session: Session = make_session(hello="slow.test")
        waiting = Deferred.fromCoroutine(spf.check(Phase.MAIL, make_transaction(session=session)))  # type: ignore[arg-type]
        clock.advance(19.9)
        self.assertNoResult(waiting)
        clock.advance(0.1)
        verdict = self.successResultOf(waiting)
        assert (verdict.action, verdict.reply) == (
            Action.DEFER,
            Reply(
                451,
                "4.7.24",
                "SPF HELO check: temperror for slow.test from 192.0.2.1\n"
                "looking up TXT of slow.test: no time left: all questions together got 20 s",
            ),
        )
        assert clock.getDelayedCalls() == []


def test_a_failing_answer_says_its_status() -> None:
    """The fake used above answers as the interface says."""
    assert FixedResolver({}, failing=["x"]).answer(Question("x", "A")).status is AnswerStatus.FAILED


@pytest.mark.parametrize(
    ("options", "action"),
    [
        ({}, "reject"),
        ({"mail_from": {"fail": "pass"}}, "pass"),
        ({"mail_from": {"fail": "pass"}, "hello": {"none": "quarantine"}}, "quarantine"),
        ({"hello": {"none": "defer"}}, "defer"),
    ],
)
def test_where_both_identities_are_checked_the_hello_refuses_first(options: dict[str, Any], action: str) -> None:
    found = Findings(hello=_finding(Identity.HELO, Result.NONE), mail_from=_finding(Identity.MAIL_FROM, Result.FAIL))
    assert action_for(found, actions_of(structure_options(SpfOptions, options))).value == action


def _finding(identity: Identity, result: Result) -> Finding:
    return Finding(
        result=result, identity=identity, client="192.0.2.1", domain="a.test", sender="a@a.test", hello="a.test"
    )
