"""The filter `dkim` asks for keys together, hashes large bodies elsewhere, and refuses only what its table says."""

import threading
from collections.abc import Awaitable, Iterator, Mapping
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dkim_signer import sign
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from relaygw.bridge import as_deferred
from relaygw.core.content import BytesContent
from relaygw.core.dkim import Findings, Result
from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.core.reply import Reply
from relaygw.core.verdict import PASS, Action, AuthResult, Phase, Verdict
from relaygw.dns import FixedResolver
from relaygw.filters.content import SMALL
from relaygw.filters.dkim import DkimFilter
from relaygw.interfaces import IResolver
from relaygw.plugins import OptionsError
from relaygw.testing.filters import check_filter, make_services, make_session, make_transaction, run_filter
from relaygw.testing.threads import InlineReactor

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RECORD = b"v=DKIM1; k=ed25519; p=A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
MESSAGE = b"From: a@example.com\r\nTo: b@here.test\r\nSubject: x\r\n\r\nHello\r\n"
ZONE = FixedResolver(
    {
        "ed25519._domainkey.example.com": {"TXT": [RECORD]},
        "testing._domainkey.example.com": {"TXT": [RECORD + b"; t=y"]},
    },
    failing=["down._domainkey.example.com"],
)


def judge(content: bytes, options: Mapping[str, Any] | None = None, **session: Any) -> Verdict:
    services = make_services(resolver=ZONE, clock=InlineReactor())
    transaction = make_transaction(content=content, session=make_session(**session))
    return run_filter(DkimFilter(options or {}, services), Phase.DATA, transaction)


def signed(**tags: str) -> bytes:
    return sign(MESSAGE, KEY, {"c": "relaxed/relaxed", **tags})


def test_it_passes_the_suite_for_filters() -> None:
    check_filter(DkimFilter({}, make_services()))


def test_a_pass_leaves_its_traces() -> None:
    verdict = judge(signed() + MESSAGE)
    assert (verdict.action, verdict.reply) == (Action.PASS, None)
    assert verdict.reason == "dkim example.com/ed25519: pass"
    [result] = verdict.auth
    assert (result.method, result.result) == ("dkim", "pass")
    assert isinstance(verdict.result, Findings)
    assert verdict.result.result is Result.PASS


def test_no_signature_is_said() -> None:
    assert judge(MESSAGE).auth == (AuthResult(method="dkim", result="none"),)


@pytest.mark.parametrize(
    "content", [signed() + MESSAGE + b"x\r\n", signed(s="gone") + MESSAGE, signed(s="down") + MESSAGE]
)
def test_nothing_is_refused_by_default(content: bytes) -> None:
    assert judge(content).action is Action.PASS


@pytest.mark.parametrize(
    ("content", "table", "action", "reply"),
    [
        (MESSAGE, {"none": "quarantine"}, Action.QUARANTINE, ""),
        (signed() + MESSAGE + b"x\r\n", {"fail": "reject"}, Action.REJECT, "550 5.7.20"),
        (signed(l="1") + MESSAGE, {"policy": "reject"}, Action.REJECT, "550 5.7.21"),
        (signed(s="down") + MESSAGE, {"temperror": "defer"}, Action.DEFER, "451 4.7.20"),
        (signed(s="testing") + MESSAGE + b"x\r\n", {"fail": "reject"}, Action.PASS, ""),
        (signed(s="testing") + MESSAGE + b"x\r\n", {"none": "quarantine"}, Action.QUARANTINE, ""),
        (signed(s="testing") + signed() + MESSAGE + b"x\r\n", {"fail": "reject"}, Action.REJECT, "550 5.7.20"),
        (signed(s="gone") + signed() + MESSAGE, {"permerror": "reject"}, Action.PASS, ""),
    ],
)
def test_the_operators_table(content: bytes, table: dict[str, str], action: Action, reply: str) -> None:
    verdict = judge(content, {"actions": table})
    assert verdict.action is action
    given = verdict.reply
    assert (f"{given.code} {given.enhanced}" if isinstance(given, Reply) else "") == reply
    if isinstance(given, Reply):
        found = verdict.result
        assert isinstance(found, Findings)
        assert given.text == f"DKIM: no signature of this message is good enough: {found.result.value}"


@pytest.mark.parametrize("session", [{"trusted": True}, {"login": "alice"}])
def test_mail_of_those_who_may_relay_is_not_checked(session: dict[str, Any]) -> None:
    assert judge(signed() + MESSAGE + b"x\r\n", {"actions": {"fail": "reject"}}, **session) is PASS


def test_a_large_body_is_hashed_by_the_thread_pool() -> None:
    message = MESSAGE + b"A line of text.\r\n" * 20_000
    assert judge(sign(message, KEY, {}) + message).auth[0].result == "pass"


def test_wrong_options_are_told() -> None:
    with pytest.raises(OptionsError) as caught:
        DkimFilter({"actions": {"failed": "reject"}, "signatures": 0, "x": 1}, make_services())
    assert len(caught.value.problems) == 3


@implementer(IResolver)
class Slow:
    def __init__(self) -> None:
        self.asked: list[tuple[Question, Deferred[Answer]]] = []

    def ask(self, question: Question) -> Deferred[Answer]:
        answer: Deferred[Answer] = Deferred()
        self.asked.append((question, answer))
        return answer


class WaitingTests(SynchronousTestCase):
    def start(self) -> tuple[Slow, Clock, Deferred[Verdict]]:
        slow, clock = Slow(), Clock()
        content = signed(s="one") + signed(s="two") + MESSAGE
        filter_ = DkimFilter({"timeout": "20s"}, make_services(resolver=slow, clock=clock))
        waiting = filter_.check(Phase.DATA, make_transaction(content=content))
        assert isinstance(waiting, Awaitable)
        return slow, clock, as_deferred(waiting)

    def test_all_keys_are_asked_for_at_once(self) -> None:
        slow, _, waiting = self.start()
        assert [question.name.partition(".")[0] for question, _ in slow.asked] == ["one", "two"]
        for _, answer in reversed(slow.asked):
            self.assertNoResult(waiting)
            answer.callback(Answer(status=AnswerStatus.FOUND, records=(RECORD,)))
        assert [each.result for each in self.successResultOf(waiting).auth] == ["pass", "pass"]

    def test_keys_that_do_not_come_are_temporary_errors_in_time(self) -> None:
        slow, clock, waiting = self.start()
        slow.asked[0][1].callback(Answer(status=AnswerStatus.FOUND, records=(RECORD,)))
        clock.advance(19.9)
        self.assertNoResult(waiting)
        clock.advance(0.1)
        assert [each.result for each in self.successResultOf(waiting).auth] == ["pass", "temperror"]
        assert clock.getDelayedCalls() == []


class Unreadable:
    """Content whose body cannot be read."""

    def __init__(self, size: int) -> None:
        self.size, self.head = size, BytesContent(signed() + MESSAGE).head

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        raise OSError("the disk")


@pytest.mark.parametrize("size", [SMALL, SMALL + 1])
def test_where_the_body_cannot_be_read_nobody_waits_for_the_keys(size: int) -> None:
    slow, clock = Slow(), InlineReactor()
    filter_ = DkimFilter({}, make_services(resolver=slow, clock=clock))
    with pytest.raises(OSError, match="the disk"):
        run_filter(filter_, Phase.DATA, attrs.evolve(make_transaction(), content=Unreadable(size)))
    assert [answer.called for _, answer in slow.asked] == [True]
    assert clock.getDelayedCalls() == []


class Watched:
    """Content that remembers in which threads it was read, and how long each piece was."""

    def __init__(self, data: bytes) -> None:
        self._inner = BytesContent(data)
        self.size, self.head = self._inner.size, self._inner.head
        self.threads: set[int] = set()

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        self.threads.add(threading.get_ident())
        return self._inner.chunks(start)


class ThreadTests(TestCase):
    @inlineCallbacks
    def test_a_large_body_is_never_read_by_the_reactors_thread(self) -> Any:
        large = MESSAGE + b"A line of text.\r\n" * 20_000
        for message, in_the_reactor in ((MESSAGE, True), (large, False)):
            content = Watched(sign(message, KEY, {}) + message)
            filter_ = DkimFilter({}, make_services(resolver=ZONE, clock=reactor))
            transaction = attrs.evolve(make_transaction(), content=content)
            verdict = yield filter_.check(Phase.DATA, transaction)
            assert verdict.auth[0].result == "pass"
            assert (content.threads == {threading.get_ident()}) is in_the_reactor
