"""The chain asks in order, combines what filters answer, and turns every failure of a filter into its on_error."""

import gc
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from relaygw.core.address import Address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.events import Connected, Event, FilterBroke, Judged
from relaygw.core.reply import Reply
from relaygw.core.session import Role, Session, Transaction
from relaygw.core.verdict import PASS, Action, AuthResult, Phase, Verdict, defer, reject
from relaygw.filters.arc import ArcFilter
from relaygw.filters.chain import UNTOUCHED, Chain, ChainResult
from relaygw.filters.dkim import DkimFilter
from relaygw.filters.dmarc import DmarcFilter
from relaygw.filters.iprev import IprevFilter
from relaygw.filters.spf import SpfFilter
from relaygw.filters.uses import Use
from relaygw.filters.waiting import Abandoned
from relaygw.interfaces import IAuthenticating, IFilter, IObserver
from relaygw.testing.filters import SAMPLE, make_services, make_session, make_transaction, run_filter
from relaygw.testing.threads import InlineReactor

SESSION = Session(id="s1", listener="public", role=Role.MX, client="192.0.2.1", hello="client.example")
ENVELOPE = Envelope(sender=Address("a", "sender.example"))
TRANSACTION = Transaction(session=SESSION, envelope=ENVELOPE, queue_id="q1")
Answerer = Callable[[Phase, Transaction], Any]


@implementer(IFilter)
class Answering:
    """A filter that answers what a function says, and remembers what it was asked."""

    def __init__(self, answer: Answerer, *phases: Phase) -> None:
        self.phases = frozenset(phases or Phase)
        self.asked: list[tuple[Phase, Transaction]] = []
        self._answer = answer

    def check(self, phase: Phase, transaction: Transaction) -> Verdict | Awaitable[Verdict]:
        self.asked.append((phase, transaction))
        return self._answer(phase, transaction)


def saying(verdict: object, *phases: Phase) -> Answering:
    return Answering(lambda *_: verdict, *phases)


def use(name: str, filter_: Answering, **kwargs: Any) -> Use:
    return Use(name=name, filter=filter_, **kwargs)


class Desk:
    """A chain with its clock and the events it wrote."""

    def __init__(self, *uses: Use) -> None:
        self.clock = Clock()
        self.events: list[Event] = []
        self.chain = Chain(uses, self.clock, self.events.append)

    def ask(self, phase: Phase = Phase.MAIL, transaction: Transaction = TRANSACTION) -> ChainResult:
        result = self.chain.ask(phase, transaction)
        assert isinstance(result, ChainResult)
        return result

    def ask_later(self, phase: Phase = Phase.MAIL) -> Deferred[ChainResult]:
        result = self.chain.ask(phase, TRANSACTION)
        assert isinstance(result, Deferred)
        return result


def raising(error: Exception) -> Answering:
    def answer(*_: object) -> Verdict:
        raise error

    return Answering(answer)


def test_a_phase_that_no_filter_wants_costs_one_shared_value() -> None:
    desk = Desk(use("f", saying(reject("no"), Phase.DATA)))
    assert desk.ask(Phase.MAIL) is UNTOUCHED
    assert desk.events == []


def test_filters_are_asked_in_order_until_one_decides() -> None:
    first, second, third = saying(PASS), saying(reject("go away")), saying(PASS)
    desk = Desk(use("one", first), use("two", second), use("three", third))
    result = desk.ask()
    assert (result.action, result.filter) == (Action.REJECT, "two")
    assert result.verdict.reply == Reply(550, "5.7.1", "go away")
    assert (len(first.asked), len(second.asked), len(third.asked)) == (1, 1, 0)
    assert desk.events == [
        Judged(session="s1", queue_id="q1", filter="two", phase="mail", action="reject", reason="go away")
    ]


def test_fields_auth_and_results_of_all_filters_add_up_and_are_seen_by_the_next() -> None:
    spf = AuthResult(method="spf", result="pass")
    later = Answering(lambda _, transaction: Verdict(result=transaction.results["one"]))
    desk = Desk(
        use("one", saying(Verdict(fields=(b"A: 1\r\n",), auth=(spf,), result=7))),
        use("two", saying(Verdict(fields=(b"B: 2\r\n\t3\r\n",)))),
        use("three", later),
    )
    result = desk.ask()
    assert result.action is Action.PASS
    assert result.fields == (b"A: 1\r\n", b"B: 2\r\n\t3\r\n")
    assert result.auth == (spf,)
    assert result.results == {"one": 7, "three": 7}
    assert TRANSACTION.results == {}


def test_quarantine_and_hold_mark_the_message_and_a_later_filter_may_still_refuse_it() -> None:
    marks = [
        use("q", saying(Verdict(action=Action.QUARANTINE, reason="smells"))),
        use("h", saying(Verdict(action=Action.HOLD))),
    ]
    marked = Desk(*marks).ask()
    assert (marked.action, marked.quarantine, marked.hold) == (Action.PASS, "smells", "filter h")
    refused = Desk(*marks, use("r", saying(defer("later")))).ask()
    assert (refused.action, refused.filter, refused.quarantine) == (Action.DEFER, "r", "smells")


def test_the_first_reason_to_mark_a_message_stays() -> None:
    """Of the filters of a phase, and of the phases."""
    for action, named in ((Action.QUARANTINE, "quarantine"), (Action.HOLD, "hold")):
        marks = [use(name, saying(Verdict(action=action, reason=f"{name}'s"))) for name in ("one", "two")]
        found, later = Desk(*marks).ask(), Desk(marks[1]).ask()
        assert getattr(found, named) == "one's"
        assert getattr(found.then(later), named) == "one's"
        assert getattr(Desk(use("x", saying(Verdict(result=1)))).ask().then(later), named) == "two's"


@implementer(IFilter, IObserver)
class Observing(Answering):
    """Is told what happens; breaks where `broken`."""

    def __init__(self, broken: bool = False) -> None:
        super().__init__(lambda *_: PASS)
        self.events: list[Event] = []
        self.broken = broken

    def observe(self, event: Event) -> None:
        self.events.append(event)
        if self.broken:
            raise ValueError("it" * 300)


def test_filters_that_observe_are_told_what_happens_in_the_sessions_they_are_asked_about() -> None:
    """The journal first; one that breaks is told there, and nobody else misses anything."""
    broken, last, others = Observing(broken=True), Observing(), Observing()
    desk = Desk(
        use("silent", saying(PASS)),
        use("broken", broken),
        use("last", last),
        use("others", others, listeners=frozenset({"elsewhere"})),
    )
    event = Connected(session="s1", listener="public", client="192.0.2.1")
    desk.chain.telling("public", Role.MX)(event)
    assert (broken.events, last.events, others.events) == ([event], [event], [])
    error = f"ValueError: {'it' * 300}"[:500]
    assert desk.events == [
        event,
        FilterBroke(session="s1", queue_id="", filter="broken", phase="connected", error=error, on_error="skip"),
    ]


def test_where_nobody_observes_the_journal_is_told_and_nothing_comes_between() -> None:
    written: list[Event] = []
    write = written.append
    assert Chain([use("silent", saying(PASS))], Clock(), write).telling("public", Role.MX) is write


def test_discard_decides() -> None:
    last = saying(reject("no"))
    desk = Desk(use("d", saying(Verdict(action=Action.DISCARD, reason="trap"))), use("l", last))
    assert desk.ask().action is Action.DISCARD
    assert last.asked == []


@pytest.mark.parametrize(
    ("action", "phase", "code", "enhanced"),
    [
        (Action.REJECT, Phase.CONNECT, 554, "5.7.1"),
        (Action.REJECT, Phase.DATA, 550, "5.7.1"),
        (Action.DEFER, Phase.CONNECT, 421, "4.7.1"),
        (Action.DEFER, Phase.RCPT, 451, "4.7.1"),
    ],
)
def test_a_refusal_without_a_reply_gets_the_one_of_its_action(
    action: Action, phase: Phase, code: int, enhanced: str
) -> None:
    reply = Desk(use("f", saying(Verdict(action=action)))).ask(phase).verdict.reply
    assert reply is not None
    assert (reply.code, reply.enhanced) == (code, enhanced)
    assert reply.text == ("Refused by local policy" if action is Action.REJECT else "Try again later")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "pass",
        True,
        Verdict(action="reject"),  # type: ignore[arg-type]
        Verdict(action=Action.REJECT, reply=Reply(250, "2.0.0", "fine")),
        Verdict(action=Action.REJECT, reply=Reply(550, "4.7.1", "mixed")),
        Verdict(action=Action.DEFER, reply=Reply(550, "5.7.1", "no")),
        Verdict(action=Action.DEFER, reply="451 later"),  # type: ignore[arg-type]
        Verdict(fields=(b"A: 1",)),
        Verdict(fields=(b"A: 1\r\n\r\nbody",)),
        Verdict(fields=(b"A: 1\r\nB: 2\r\n",)),
        Verdict(fields=(b"A: 1\r\n \r\n",)),
        Verdict(fields=(b"A: 1\nB: 2\r\n",)),
        Verdict(fields=(b"A: \0\r\n",)),
        Verdict(fields=(b": 1\r\n",)),
        Verdict(fields=(b"A: " + b"x" * 996 + b"\r\n",)),
        Verdict(fields=("A: 1\r\n",)),  # type: ignore[arg-type]
        Verdict(fields=b"A: 1\r\n"),  # type: ignore[arg-type]
        Verdict(auth=("spf=pass",)),  # type: ignore[arg-type]
    ],
)
def test_an_answer_that_is_no_sound_verdict_is_a_failure_of_the_filter(answer: object) -> None:
    desk = Desk(use("f", saying(answer)))
    result = desk.ask()
    assert (result.action, result.verdict.reply) == (
        Action.DEFER,
        Reply(451, "4.3.0", "Temporary failure, try again"),
    )
    assert result.fields == ()
    [event] = desk.events
    assert isinstance(event, FilterBroke)
    assert (event.filter, event.phase, event.on_error) == ("f", "mail", "defer")
    if not isinstance(answer, Verdict):
        assert event.error == f"answered {type(answer).__name__} where a Verdict is wanted"


def test_a_header_field_of_998_octets_per_line_is_sound() -> None:
    field = b"A: " + b"x" * 995 + b"\r\n"
    assert Desk(use("f", saying(Verdict(fields=(field,))))).ask().fields == (field,)


def test_a_filter_that_raises_is_skipped_where_its_use_says_so() -> None:
    desk = Desk(use("f", raising(RuntimeError("boom")), on_error="skip"), use("g", saying(reject("no"))))
    assert desk.ask().filter == "g"
    assert desk.events[0] == FilterBroke(
        session="s1", queue_id="q1", filter="f", phase="mail", error="RuntimeError: boom", on_error="skip"
    )


def test_a_filter_that_raises_quarantines_where_its_use_says_so() -> None:
    result = Desk(use("f", raising(RuntimeError("boom")), on_error="quarantine")).ask()
    assert (result.action, result.quarantine) == (Action.PASS, "filter f failed")


def test_a_shadow_filter_is_journaled_without_effect() -> None:
    verdict = Verdict(action=Action.REJECT, reason="would refuse", fields=(b"A: 1\r\n",), result=1)
    desk = Desk(use("f", saying(verdict), mode="shadow"))
    assert desk.ask() == ChainResult()
    [event] = desk.events
    assert isinstance(event, Judged)
    assert (event.action, event.shadow) == ("reject", True)


@implementer(IAuthenticating)
class Judging(Answering):
    methods = ("dkim", "x-own")


@pytest.mark.parametrize("on_error", ["skip", "quarantine", "defer"])
def test_what_a_broken_check_would_have_said_is_a_temporary_error(on_error: str) -> None:
    broken = Judging(raising(RuntimeError("boom"))._answer)
    desk = Desk(use("f", broken, on_error=on_error))
    result = desk.ask(Phase.DATA)
    assert [(each.method, each.result, each.reason) for each in result.auth] == [
        ("dkim", "temperror", "the check failed"),
        ("x-own", "temperror", "the check failed"),
    ]
    assert result.action is (Action.DEFER if on_error == "defer" else Action.PASS)
    assert bool(result.quarantine) is (on_error == "quarantine")
    [event] = desk.events
    assert isinstance(event, FilterBroke)
    assert event.error == "RuntimeError: boom"


def test_a_broken_check_in_shadow_says_nothing() -> None:
    assert Desk(use("f", Judging(raising(RuntimeError("boom"))._answer), mode="shadow")).ask() is UNTOUCHED


@pytest.mark.parametrize("check", [SpfFilter, DkimFilter, DmarcFilter, ArcFilter, IprevFilter])
def test_the_checks_of_senders_say_what_they_report(check: Any) -> None:
    filter_ = check({}, make_services())
    assert IAuthenticating.providedBy(filter_)
    assert filter_.methods == (check.__name__.removesuffix("Filter").lower(),)


@pytest.mark.parametrize("check", [DkimFilter, DmarcFilter, ArcFilter, SpfFilter, IprevFilter])
@pytest.mark.parametrize(
    ("client", "skipped"),
    [
        ("192.0.2.0", True),
        ("192.0.2.255", True),
        ("::ffff:192.0.2.1", True),
        ("192.0.3.0", False),
        ("2001:db8::1", True),
    ],
)
def test_the_checks_of_senders_leave_alone_whom_they_are_told_to(check: Any, client: str, skipped: bool) -> None:
    options = {"skip": ["192.0.2.0/24", "2001:db8::1"]}
    filter_ = check(options, make_services(clock=InlineReactor()))
    transaction = make_transaction(session=make_session(client=client), content=SAMPLE)
    phase = min(filter_.phases, key=lambda each: each is not Phase.DATA)
    assert (run_filter(filter_, phase, transaction) is PASS) is skipped


def test_a_shadow_filter_that_breaks_is_skipped_whatever_its_on_error_says() -> None:
    desk = Desk(use("f", raising(RuntimeError("boom")), mode="shadow", on_error="defer"))
    assert desk.ask() == ChainResult()
    assert [event.on_error for event in desk.events if isinstance(event, FilterBroke)] == ["skip"]


def test_the_recipient_asked_about_stands_in_the_journal() -> None:
    desk = Desk(use("f", saying(reject("no"))))
    recipient = Recipient(address=Address("b", "here.example"))
    desk.ask(Phase.RCPT, attrs.evolve(TRANSACTION, recipient=recipient))
    assert [event.recipient for event in desk.events if isinstance(event, Judged)] == ["b@here.example"]


@pytest.mark.parametrize(
    ("listeners", "session", "wanted"),
    [
        ((), SESSION, True),
        ((), attrs.evolve(SESSION, role=Role.SUBMISSION, listener="submission"), False),
        (("submission",), attrs.evolve(SESSION, role=Role.SUBMISSION, listener="submission"), True),
        (("submission",), SESSION, False),
    ],
)
def test_a_use_is_for_its_listeners_or_else_for_those_of_role_mx(
    listeners: tuple[str, ...], session: Session, wanted: bool
) -> None:
    desk = Desk(use("f", saying(reject("no")), listeners=frozenset(listeners)))
    result = desk.ask(Phase.MAIL, attrs.evolve(TRANSACTION, session=session))
    assert (result.action is Action.REJECT) is wanted


def test_findings_of_several_phases_add_up_and_the_first_decision_stays() -> None:
    early = ChainResult(verdict=reject("early"), filter="a", fields=(b"A: 1\r\n",), results={"a": 1})
    late = ChainResult(verdict=defer("late"), filter="b", fields=(b"B: 1\r\n",), results={"b": 2}, hold="look")
    both = early.then(late)
    assert (both.filter, both.fields, both.hold) == ("a", (b"A: 1\r\n", b"B: 1\r\n"), "look")
    assert both.results == {"a": 1, "b": 2}
    assert UNTOUCHED.then(late) is late
    assert late.then(UNTOUCHED) is late
    marked = ChainResult(filter="", fields=(b"C: 1\r\n",))
    assert (marked.then(late).action, marked.then(late).filter) == (Action.DEFER, "b")


class WaitingTests(SynchronousTestCase):
    """Filters that answer later."""

    def test_a_coroutine_and_a_deferred_are_awaited_in_order(self) -> None:
        gate: Deferred[Verdict] = Deferred()

        async def slow(phase: Phase, transaction: Transaction) -> Verdict:
            return await gate

        after = saying(Verdict(result=2))
        desk = Desk(use("now", saying(Verdict(result=0))), use("slow", Answering(slow)), use("after", after))
        later = desk.ask_later()
        self.assertNoResult(later)
        assert after.asked == []
        gate.callback(Verdict(result=1))
        assert self.successResultOf(later).results == {"now": 0, "slow": 1, "after": 2}
        assert desk.clock.getDelayedCalls() == []

    def test_two_filters_wait_one_after_the_other(self) -> None:
        gates: list[Deferred[Verdict]] = [Deferred(), Deferred()]
        desk = Desk(use("one", saying(gates[0])), use("two", saying(gates[1])))
        later = desk.ask_later()
        gates[0].callback(PASS)
        self.assertNoResult(later)
        gates[1].callback(reject("no"))
        assert self.successResultOf(later).filter == "two"

    def test_a_filter_that_answers_just_in_time_counts_and_one_that_does_not_is_cancelled(self) -> None:
        for wait, broken in ((4.9, False), (5.0, True)):
            cancelled: list[object] = []
            gate: Deferred[Verdict] = Deferred(cancelled.append)
            desk = Desk(use("f", saying(gate), timeout=5.0))
            later = desk.ask_later()
            desk.clock.advance(wait)
            if broken:
                assert self.successResultOf(later).action is Action.DEFER
                assert cancelled
                [event] = desk.events
                assert isinstance(event, FilterBroke)
                assert event.error == "FilterTimeout: no answer within 5 s"
            else:
                gate.callback(reject("no"))
                assert self.successResultOf(later).action is Action.REJECT

    def test_a_filter_that_ignores_its_cancellation_cannot_hold_the_session_up(self) -> None:
        never: Deferred[Verdict] = Deferred()

        async def stubborn(phase: Phase, transaction: Transaction) -> Verdict:
            while True:
                try:
                    return await never
                except CancelledError:
                    await Deferred()

        desk = Desk(use("f", Answering(stubborn), on_error="skip"))
        later = desk.ask_later()
        desk.clock.advance(30)
        assert self.successResultOf(later) == ChainResult()

    def test_what_a_filter_answers_after_its_time_is_thrown_away(self) -> None:
        gc.collect()
        self.flushLoggedErrors()  # what other tests have left behind
        for later_still in (Deferred.callback, Deferred.errback):
            gate: Deferred[Any] = Deferred()

            async def late(phase: Phase, transaction: Transaction, gate: Deferred[Any] = gate) -> Verdict:
                try:
                    return await Deferred()
                except CancelledError:
                    await gate
                    return reject("late")

            desk = Desk(use("f", Answering(late), on_error="skip"))
            waiting = desk.ask_later()
            desk.clock.advance(30)
            later_still(gate, ValueError("late"))
            assert self.successResultOf(waiting) == ChainResult()
            assert [type(event) for event in desk.events] == [FilterBroke]
            del waiting, desk, gate, late
            gc.collect()
            assert self.flushLoggedErrors() == []

    def test_a_check_that_is_silent_is_a_temporary_error_with_its_cause_in_the_journal(self) -> None:
        desk = Desk(use("f", Judging(lambda *_: Deferred()), timeout=5.0, on_error="skip"))
        waiting = desk.ask_later()
        desk.clock.advance(5.0)
        found = self.successResultOf(waiting)
        assert [(each.method, each.result) for each in found.auth] == [("dkim", "temperror"), ("x-own", "temperror")]
        assert found.action is Action.PASS
        [event] = desk.events
        assert isinstance(event, FilterBroke)
        assert (event.error, event.on_error) == ("FilterTimeout: no answer within 5 s", "skip")
        assert event.found == ("dkim=temperror", "x-own=temperror")

    def test_a_late_failure_becomes_on_error(self) -> None:
        gate: Deferred[Verdict] = Deferred()
        desk = Desk(use("f", saying(gate), on_error="quarantine"))
        later = desk.ask_later()
        gate.errback(ValueError("bad"))
        assert self.successResultOf(later).quarantine == "filter f failed"

    def test_a_late_wrong_answer_becomes_on_error(self) -> None:
        gate: Deferred[Any] = Deferred()
        desk = Desk(use("f", saying(gate)))
        later = desk.ask_later()
        gate.callback({"not": "a verdict"})
        assert self.successResultOf(later).action is Action.DEFER

    def test_a_cancelled_error_of_the_filters_own_is_a_failure_like_any_other(self) -> None:
        gate: Deferred[Verdict] = Deferred()
        desk = Desk(use("f", saying(gate), on_error="skip"))
        later = desk.ask_later()
        gate.cancel()
        assert self.successResultOf(later) == ChainResult()
        assert len(desk.events) == 1

    def test_when_the_client_has_gone_the_filter_is_cancelled_and_the_walk_ends(self) -> None:
        cancelled: list[object] = []
        gate: Deferred[Verdict] = Deferred(cancelled.append)
        after = saying(PASS)
        desk = Desk(use("f", saying(gate)), use("g", after))
        later = desk.ask_later()
        later.cancel()
        self.failureResultOf(later, Abandoned)
        assert cancelled
        assert (after.asked, desk.events, desk.clock.getDelayedCalls()) == ([], [], [])


def test_results_is_read_only_for_filters() -> None:
    """A filter sees earlier results; evolving the transaction never changes the caller's mapping."""
    seen: list[Mapping[str, object]] = []
    looker = Answering(lambda _, transaction: seen.append(transaction.results) or PASS)
    transaction = attrs.evolve(TRANSACTION, results={"before": 1})
    Desk(use("f", saying(Verdict(result=2))), use("g", looker)).ask(Phase.MAIL, transaction)
    assert seen == [{"before": 1, "f": 2}]
    assert transaction.results == {"before": 1}
