"""The filter `iprev`: refuses nobody unless told to, tells others what it found, and keeps its time."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from relaygw.core.iprev import IprevFinding, IprevResult
from relaygw.core.question import Answer, Question
from relaygw.core.reply import Reply
from relaygw.core.verdict import PASS, Action, AuthResult, Phase, Verdict
from relaygw.dns import FixedResolver
from relaygw.filters.iprev import IprevFilter
from relaygw.interfaces import IResolver
from relaygw.plugins import OptionsError
from relaygw.testing.filters import check_filter, make_services, make_session, make_transaction, run_filter

RESOLVER = FixedResolver(
    {
        "1.2.0.192.in-addr.arpa": {"PTR": ["good.test"]},
        "2.2.0.192.in-addr.arpa": {"PTR": ["good.test"]},
        "good.test": {"A": ["192.0.2.1"]},
    },
    failing=["4.2.0.192.in-addr.arpa"],
)
CLIENTS = {
    "192.0.2.1": IprevResult.PASS,
    "192.0.2.2": IprevResult.FAIL,
    "192.0.2.3": IprevResult.PERMERROR,
    "192.0.2.4": IprevResult.TEMPERROR,
}


def judge(options: dict[str, Any], phase: Phase = Phase.MAIL, **session: Any) -> Verdict:
    iprev = IprevFilter(options, make_services(resolver=RESOLVER))
    assert iprev.phases == {phase}
    return run_filter(iprev, phase, make_transaction(session=make_session(**session)))


def test_it_passes_the_suite_for_filters() -> None:
    check_filter(IprevFilter({}, make_services(resolver=RESOLVER)))


@pytest.mark.parametrize(("client", "result"), CLIENTS.items())
def test_by_default_it_only_finds_out(client: str, result: IprevResult) -> None:
    verdict = judge({}, client=client)
    assert (verdict.action, verdict.reply) == (Action.PASS, None)
    assert isinstance(verdict.result, IprevFinding)
    assert verdict.result.result is result
    [auth] = verdict.auth
    assert (auth.method, auth.result) == ("iprev", result.value)
    told = verdict.result.name if result is IprevResult.PASS else verdict.result.reason
    assert told
    assert verdict.reason == f"iprev {result.value}: {told}"


@pytest.mark.parametrize(
    ("client", "action", "code", "enhanced"),
    [
        ("192.0.2.1", Action.PASS, 0, ""),
        ("192.0.2.2", Action.REJECT, 550, "5.7.25"),
        ("192.0.2.3", Action.QUARANTINE, 0, ""),
        ("192.0.2.4", Action.DEFER, 451, "4.7.25"),
    ],
)
def test_the_operators_table(client: str, action: Action, code: int, enhanced: str) -> None:
    actions = {"fail": "reject", "permerror": "quarantine", "temperror": "defer"}
    verdict = judge({"actions": actions}, client=client)
    assert verdict.action is action
    assert (verdict.reply.code, verdict.reply.enhanced) == (code, enhanced) if verdict.reply else not code


def test_in_phase_connect_the_answer_fits_a_greeting() -> None:
    options = {"phase": "connect", "actions": {"fail": "reject", "temperror": "defer"}}
    assert judge(options, Phase.CONNECT, client="192.0.2.2").reply == Reply(
        554, "5.7.25", "Reverse DNS check: fail, good.test does not lead back to 192.0.2.2"
    )
    deferred = judge(options, Phase.CONNECT, client="192.0.2.4").reply
    assert deferred is not None
    assert deferred.code == 421


def test_the_confirmed_name_is_told_downstream() -> None:
    assert judge({}).auth == (
        AuthResult(method="iprev", result="pass", reason="good.test", properties=(("policy.iprev", "192.0.2.1"),)),
    )


@pytest.mark.parametrize(
    "session", [{"trusted": True}, {"login": "alice"}, {"client": ""}, {"client": "10.0.0.1"}, {"client": "192.0.2.77"}]
)
def test_who_is_not_asked_about(session: dict[str, Any]) -> None:
    assert judge({"skip": ["192.0.2.64/26"]}, **session) is PASS


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(OptionsError) as caught:
        judge({"actions": {"none": "reject"}, "phase": "data"})
    assert len(caught.value.problems) == 2


@implementer(IResolver)
class Silent:
    def ask(self, question: Question) -> Deferred[Answer]:
        return Deferred()


class DeadlineTests(SynchronousTestCase):
    def test_a_silent_dns_is_a_temporary_error_in_time(self) -> None:
        clock = Clock()
        iprev = IprevFilter({"timeout": "10s"}, make_services(resolver=Silent(), clock=clock))
        waiting = Deferred.fromCoroutine(iprev.check(Phase.MAIL, make_transaction()))  # type: ignore[arg-type]
        clock.advance(9.9)
        self.assertNoResult(waiting)
        clock.advance(0.1)
        found = self.successResultOf(waiting).result
        assert isinstance(found, IprevFinding)
        assert found.result is IprevResult.TEMPERROR
        assert clock.getDelayedCalls() == []
