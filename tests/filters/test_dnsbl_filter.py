"""The filter `dnsbl`: thresholds, parallel questions, lists that are dead or lie, exemptions, what the peer reads."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from relaygw.core.dnsbl import Reputation
from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.core.reply import Reply
from relaygw.core.verdict import PASS, Action, AuthResult, Phase, Verdict
from relaygw.dns import FixedResolver
from relaygw.filters.dnsbl import DnsblFilter
from relaygw.interfaces import IResolver
from relaygw.plugins import OptionsError
from relaygw.testing.filters import check_filter, make_services, make_session, make_transaction, run_filter

ZONE: dict[str, dict[str, list[Any]]] = {
    "1.2.0.192.bl.test": {"A": ["127.0.0.2"], "TXT": [b"see https://bl.test/?ip=192.0.2.1\r\n250 ok\xff"]},
    "1.2.0.192.mild.test": {"A": ["127.0.0.10"]},
    "9.2.0.192.good.test": {"A": ["127.0.10.3"]},
    "9.2.0.192.bl.test": {"A": ["127.0.0.2"]},
    "*.everything.test": {"A": ["127.0.0.2"]},
    "1.2.0.192.limit.test": {"A": ["127.255.255.254"]},
    "spam.example.dbl.test": {"A": ["127.0.1.2"]},
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test": {"A": ["127.0.0.4"]},
}
FAILING = ["1.2.0.192.dead.test", "7.2.0.192.dead.test"]


def filter_with(options: Mapping[str, Any], resolver: IResolver | None = None, **services: Any) -> DnsblFilter:
    return DnsblFilter(options, make_services(resolver=resolver or FixedResolver(ZONE, FAILING), **services))


def judge(options: Mapping[str, Any], sender: str | None = "a@client.test", **session: Any) -> Verdict:
    transaction = make_transaction(sender=sender, session=make_session(**session))
    return run_filter(filter_with(options), Phase.MAIL, transaction)


def lists(*zones: str) -> dict[str, Any]:
    return {"lists": [{"zone": zone} for zone in zones]}


def test_it_passes_the_suite_for_filters_and_does_nothing_without_lists() -> None:
    check_filter(filter_with({}))
    check_filter(filter_with(lists("bl.test")))
    assert judge({}) is PASS


def test_a_listed_client_is_refused_and_told_by_whom() -> None:
    verdict = judge(lists("bl.test", "mild.test"))
    assert verdict.action is Action.REJECT
    assert verdict.reply == Reply(554, "5.7.1", "192.0.2.1 is listed by bl.test")
    assert verdict.reason == (
        "dnsbl score 2: bl.test: 127.0.0.2 (+1) for 192.0.2.1, mild.test: 127.0.0.10 (+1) for 192.0.2.1"
    )
    assert isinstance(verdict.result, Reputation)
    assert judge(lists("bl.test"), client="192.0.2.2") is PASS


def test_an_ipv6_client_is_asked_about_by_nibbles() -> None:
    assert judge(lists("bl.test"), client="2001:db8::1").action is Action.REJECT
    assert judge(lists("bl.test"), client="2001:db8::2") is PASS


def test_the_lists_own_words_are_safe_in_a_reply() -> None:
    verdict = judge({**lists("bl.test"), "explain": True})
    assert verdict.reply is not None
    assert verdict.reply.wire() == (
        b"554-5.7.1 192.0.2.1 is listed by bl.test\r\n"
        b"554 5.7.1 The list explains: see https://bl.test/?ip=192.0.2.1??250 ok?\r\n"
    )
    silent = judge({**lists("mild.test"), "explain": True})
    assert silent.reply == Reply(554, "5.7.1", "192.0.2.1 is listed by mild.test")


@pytest.mark.parametrize(
    ("weight", "action"),
    [(0.5, Action.PASS), (1.0, Action.QUARANTINE), (2.9, Action.QUARANTINE), (3.0, Action.DEFER), (5.0, Action.REJECT)],
)
def test_thresholds_at_n_and_below(weight: float, action: Action) -> None:
    options = {
        "lists": [{"zone": "bl.test", "weight": weight}],
        "thresholds": {"quarantine": 1, "defer": 3, "reject": 5},
    }
    verdict = judge(options)
    assert verdict.action is action
    assert isinstance(verdict.result, Reputation)
    assert verdict.result.score == weight


def test_without_thresholds_lists_are_only_heard() -> None:
    verdict = judge({**lists("bl.test"), "thresholds": {}})
    assert (verdict.action, verdict.reply) == (Action.PASS, None)


def test_codes_that_are_not_asked_for_do_not_count() -> None:
    def only(*codes: str) -> Verdict:
        return judge({"lists": [{"zone": "bl.test", "codes": list(codes)}]})

    assert only("127.0.0.3-255") is PASS
    assert only("127.0.0.9", "127.0.0.&2").action is Action.REJECT


def test_a_zone_named_twice_is_asked_once() -> None:
    resolver = FixedResolver(ZONE)
    options = {"lists": [{"zone": "bl.test", "codes": ["127.0.0.2"]}, {"zone": "BL.test.", "weight": 2.0}]}
    verdict = run_filter(filter_with(options, resolver), Phase.MAIL, make_transaction())
    assert isinstance(verdict.result, Reputation)
    assert verdict.result.score == 3.0
    assert [question.name for question in resolver.asked] == ["1.2.0.192.bl.test", "1.0.0.127.bl.test"]


@pytest.mark.parametrize(("weight", "welcome"), [(-3.0, True), (-1.0, False), (-0.5, False)])
def test_a_list_of_the_good_outweighs_and_is_told_downstream_whatever_the_others_say(
    weight: float, welcome: bool
) -> None:
    options = {"lists": [{"zone": "bl.test"}, {"zone": "good.test", "weight": weight, "codes": ["127.0.*.1-3"]}]}
    verdict = judge(options, client="192.0.2.9")
    assert verdict.action is Action.PASS
    assert isinstance(verdict.result, Reputation)
    assert verdict.result.welcome is welcome
    properties = (("dns.zone", "good.test"), ("policy.ip", "127.0.10.3"))
    assert verdict.auth == (AuthResult(method="dnswl", result="pass", properties=properties),)


@pytest.mark.parametrize(
    ("of", "hello", "sender", "action"),
    [
        ("hello", "spam.example", "a@client.test", Action.REJECT),
        ("hello", "Spam.Example.", "a@client.test", Action.REJECT),
        ("hello", "client.test", "a@spam.example", Action.PASS),
        ("hello", "[192.0.2.1]", "a@client.test", Action.PASS),
        ("hello", "192.0.2.1", "a@client.test", Action.PASS),
        ("hello", "localhost", "a@client.test", Action.PASS),
        ("sender", "client.test", "a@spam.example", Action.REJECT),
        ("sender", "spam.example", "a@client.test", Action.PASS),
        ("sender", "spam.example", None, Action.PASS),
        ("client", "spam.example", "a@spam.example", Action.PASS),
    ],
)
def test_lists_of_domains(of: str, hello: str, sender: str | None, action: Action) -> None:
    resolver = FixedResolver(ZONE)
    filter_ = filter_with({"lists": [{"zone": "dbl.test", "of": of}]}, resolver)
    transaction = make_transaction(sender=sender, session=make_session(hello=hello))
    assert run_filter(filter_, Phase.MAIL, transaction).action is action
    if hello in ("[192.0.2.1]", "192.0.2.1", "localhost"):  # what is no domain is not asked about
        assert not resolver.asked


@pytest.mark.parametrize(
    "session", [{"trusted": True}, {"login": "alice"}, {"client": ""}, {"client": "10.0.0.1"}, {"client": "::1"}]
)
def test_who_is_not_asked_about(session: dict[str, Any]) -> None:
    resolver = FixedResolver({"*.bl.test": {"A": ["127.0.0.2"]}})
    transaction = make_transaction(session=make_session(**session))
    assert run_filter(filter_with(lists("bl.test"), resolver), Phase.MAIL, transaction) is PASS
    assert not resolver.asked


def test_networks_to_skip() -> None:
    assert judge({**lists("bl.test"), "skip": ["192.0.2.0/31"]}) is PASS
    assert judge({**lists("bl.test"), "skip": ["192.0.2.2/31"]}).action is Action.REJECT


@pytest.mark.parametrize(
    ("zone", "says"),
    [("everything.test", "it lists everything"), ("limit.test", "it answers 127.255.255.254")],
)
def test_a_list_that_answers_nonsense_never_refuses_and_is_left_alone(zone: str, says: str) -> None:
    clock, resolver = Clock(), FixedResolver(ZONE)
    dnsbl = filter_with(lists(zone), resolver, clock=clock)
    assert run_filter(dnsbl, Phase.MAIL, make_transaction()) == Verdict(
        reason=f"{zone} is left alone for 600 s: {says}"
    )
    asked = len(resolver.asked)
    clock.advance(599)
    assert run_filter(dnsbl, Phase.MAIL, make_transaction()) is PASS
    assert len(resolver.asked) == asked
    clock.advance(1)
    assert run_filter(dnsbl, Phase.MAIL, make_transaction()) is not PASS


def test_a_list_that_fails_is_left_alone_after_n_times_and_the_others_still_count() -> None:
    clock, resolver = Clock(), FixedResolver(ZONE, FAILING)
    dnsbl = filter_with({**lists("dead.test", "bl.test"), "patience": 2}, resolver, clock=clock)
    reasons = [run_filter(dnsbl, Phase.MAIL, make_transaction()).reason for _ in range(3)]
    assert ["left alone" in reason for reason in reasons] == [False, True, False]
    assert [question.name.endswith("dead.test") for question in resolver.asked].count(True) == 2
    assert run_filter(dnsbl, Phase.MAIL, make_transaction()).action is Action.REJECT


def test_in_phase_connect_the_answer_fits_a_greeting() -> None:
    def connect(thresholds: Mapping[str, float]) -> Verdict:
        dnsbl = filter_with({**lists("bl.test"), "phase": "connect", "thresholds": thresholds})
        assert dnsbl.phases == {Phase.CONNECT}
        return run_filter(dnsbl, Phase.CONNECT, make_transaction(sender=None))

    rejected, deferred = connect({"reject": 1}).reply, connect({"defer": 1}).reply
    assert rejected is not None
    assert deferred is not None
    assert (rejected.code, deferred.code) == (554, 421)


def test_all_that_is_wrong_with_the_options_is_told() -> None:
    with pytest.raises(OptionsError) as caught:
        filter_with(
            {"lists": [{"zone": "bl.test", "wait": 1}, {"weight": "x"}], "thresholds": {"refuse": 1}, "rest": 0}
        )
    assert [re.sub(r":.*| \(.*", "", problem) for problem in caught.value.problems] == [
        "unknown option 'lists[1].wait'",
        "option 'lists[2].zone' is missing",
        "option 'lists[2].weight'",
        "option 'thresholds[refuse]'",
        "option 'rest'",
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"lists": [{"zone": "bl.test", "codes": ["10.0.0.1"]}]},
        {"lists": [{"zone": "dbl.test", "of": "sender"}], "phase": "connect"},
        {"lists": [{"zone": "bl.test", "weight": float("nan")}]},
        {"lists": [{"zone": "bl.test", "weight": float("-inf")}]},
        {"lists": [{"zone": "bl.test", "weight": 0}]},
        {"lists": [{"zone": "bl.test"}], "thresholds": {"pass": 1}},
        {"lists": [{"zone": "bl.test"}], "thresholds": {"reject": 0}},
        {"lists": [{"zone": "bl.test"}], "thresholds": {"reject": float("nan")}},
    ],
)
def test_options_that_make_no_sense_are_refused(options: Mapping[str, Any]) -> None:
    with pytest.raises(OptionsError):
        filter_with(options)


@implementer(IResolver)
class Fickle:
    """Answers anything at all, as long as it is of the type that was asked for."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = iter(answers)

    def ask(self, question: Question) -> Deferred[Answer]:
        answer = next(self._answers, Answer(status=AnswerStatus.NO_NAME))
        records = tuple(record for record in answer.records if isinstance(record, bytes) == (question.type == "TXT"))
        return succeed(attrs.evolve(answer, records=records))


ANSWERS = st.builds(
    Answer,
    status=st.sampled_from(AnswerStatus),
    records=st.lists(
        st.one_of(
            st.ip_addresses(v=4).map(str),
            st.ip_addresses(v=4, network="127.0.0.0/29").map(str),
            st.binary(max_size=300),
        ),
        max_size=3,
    ).map(tuple),
    reason=st.text(max_size=30),
)


@given(st.lists(ANSWERS, max_size=12), st.sampled_from(["192.0.2.1", "2001:db8::1"]))
def test_whatever_the_dns_answers_the_verdict_is_sound_and_its_reply_stays_in_its_lines(
    answers: list[Answer], client: str
) -> None:
    options = {
        "lists": [{"zone": "a.test"}, {"zone": "b.test", "weight": -1}, {"zone": "c.test", "of": "sender"}],
        "explain": True,
    }
    transaction = make_transaction(session=make_session(client=client))
    verdict = run_filter(filter_with(options, Fickle(answers)), Phase.MAIL, transaction)
    assert (verdict.action is Action.REJECT) == (isinstance(verdict.result, Reputation) and verdict.result.score >= 1)
    if verdict.reply is not None:
        lines = verdict.reply.wire().split(b"\r\n")
        assert len(lines) in (2, 3)
        assert all(line.isascii() and len(line) <= 510 and line.startswith(b"554") for line in lines[:-1])


@implementer(IResolver)
class Slow:
    """Answers nothing until told to."""

    def __init__(self) -> None:
        self.waiting: dict[str, Deferred[Answer]] = {}

    def ask(self, question: Question) -> Deferred[Answer]:
        self.waiting[question.name] = Deferred()
        return self.waiting[question.name]


class TimeTests(SynchronousTestCase):
    def judging(self, clock: Clock, resolver: Slow) -> "Deferred[Verdict]":
        dnsbl = filter_with({**lists("a.test", "b.test", "c.test"), "timeout": "5s"}, resolver, clock=clock)
        return Deferred.fromCoroutine(dnsbl.check(Phase.MAIL, make_transaction()))  # type: ignore[arg-type]

    def test_all_lists_are_asked_at_once(self) -> None:
        resolver = Slow()
        waiting = self.judging(Clock(), resolver)
        assert sorted(resolver.waiting) == [f"1.2.0.192.{zone}.test" for zone in "abc"]
        for answer in list(resolver.waiting.values()):
            answer.callback(Answer(status=AnswerStatus.NO_NAME))
        assert self.successResultOf(waiting) is PASS

    def test_the_time_for_all_is_bounded_and_what_was_heard_counts(self) -> None:
        clock, resolver = Clock(), Slow()
        waiting = self.judging(clock, resolver)
        resolver.waiting["1.2.0.192.b.test"].callback(Answer(status=AnswerStatus.FOUND, records=("127.0.0.2",)))
        resolver.waiting["1.0.0.127.b.test"].callback(Answer(status=AnswerStatus.NO_NAME))
        clock.advance(4.9)
        self.assertNoResult(waiting)
        clock.advance(0.1)
        verdict = self.successResultOf(waiting)
        assert verdict.action is Action.REJECT
        assert clock.getDelayedCalls() == []

    def test_when_the_client_goes_nothing_is_asked_any_more(self) -> None:
        clock, resolver = Clock(), Slow()
        waiting = self.judging(clock, resolver)
        waiting.cancel()
        self.failureResultOf(waiting)
        assert all(answer.called for answer in resolver.waiting.values())
        assert clock.getDelayedCalls() == []
