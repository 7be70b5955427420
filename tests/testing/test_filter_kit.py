"""The kit for filter writers notices what is wrong with a filter, and gives back what is right."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer
from zope.interface.exceptions import Invalid

from relaygw.core.reply import Reply
from relaygw.core.verdict import PASS, Action, Phase, Verdict, reject
from relaygw.interfaces import IFilter
from relaygw.testing.filters import check_filter, make_services, make_session, make_transaction, run_filter


@implementer(IFilter)
class Says:
    def __init__(self, answer: Any, phases: Any = frozenset(Phase)) -> None:
        self.answer = answer
        self.phases = phases

    def check(self, phase: Phase, transaction: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_verdicts_now_and_later_are_given_back() -> None:
    async def later() -> Verdict:
        return reject("no")

    assert run_filter(Says(PASS), Phase.MAIL, make_transaction()) is PASS
    assert run_filter(Says(succeed(PASS)), Phase.MAIL, make_transaction()) is PASS
    assert run_filter(Says(later()), Phase.MAIL, make_transaction()).action is Action.REJECT


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "not a Verdict"),
        (Deferred(), "waits for something"),
        (Verdict(action=Action.REJECT, reply=Reply(250, "", "")), "does not fit"),
        (Verdict(fields=(b"x",)), "not one header field"),
    ],
)
def test_what_is_no_sound_verdict_is_an_assertion_error(answer: Any, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        run_filter(Says(answer), Phase.MAIL, make_transaction())


def test_what_a_filter_raises_is_seen() -> None:
    with pytest.raises(ZeroDivisionError):
        run_filter(Says(ZeroDivisionError()), Phase.MAIL, make_transaction())


def test_the_suite_asks_in_every_phase_with_what_the_phase_has() -> None:
    seen: dict[Phase, Any] = {}

    @implementer(IFilter)
    class Looks:
        phases = frozenset(Phase)

        def check(self, phase: Phase, transaction: Any) -> Verdict:
            seen[phase] = transaction
            return PASS

    check_filter(Looks())
    assert set(seen) == set(Phase)
    assert seen[Phase.CONNECT].session.hello == ""
    assert seen[Phase.HELLO].session.hello == "client.test"
    assert seen[Phase.HELLO].envelope.sender is None
    assert seen[Phase.RCPT].recipient is not None
    assert seen[Phase.DATA].content.head.startswith(b"From:")
    assert seen[Phase.MAIL].content is None


def test_the_suite_refuses_what_does_not_fit() -> None:
    with pytest.raises(Invalid):
        check_filter(object())  # type: ignore[arg-type]
    for phases in ({Phase.MAIL}, frozenset(), frozenset({"mail"})):
        with pytest.raises(AssertionError):
            check_filter(Says(PASS, phases))


def test_things_are_made_as_asked() -> None:
    transaction = make_transaction(
        sender=None,
        recipients=["a@b.test"],
        content=b"x",
        session=make_session(login="me"),
        size=3,
        recipient="c@d.test",
    )
    assert transaction.envelope.sender is None
    assert transaction.envelope.size == 3
    assert (transaction.session.login, str(transaction.recipient.address)) == ("me", "c@d.test")
    services = make_services(hostname="h.test")
    assert (services.hostname, services.settings.hostname) == ("h.test", "h.test")


def test_a_background_task_that_fails_is_not_lost() -> None:
    failures: list[Any] = []

    async def fails() -> None:
        raise ValueError("oops")

    from twisted.logger import globalLogPublisher

    globalLogPublisher.addObserver(failures.append)
    try:
        make_services().spawn("task", fails())
        import gc

        gc.collect()
    finally:
        globalLogPublisher.removeObserver(failures.append)
    assert any("task" in repr(event.get("log_failure")) for event in failures)
