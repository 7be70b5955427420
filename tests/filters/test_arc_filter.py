"""The filter `arc` validates chains and refuses only what its table says."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from results import at_once

from relaygw.bridge import as_deferred
from relaygw.core.arc import Findings, Result
from relaygw.core.arc.seal import Findings as Found
from relaygw.core.arc.seal import Sealer, seal
from relaygw.core.content import BytesContent
from relaygw.core.dkim_signature import body_hash
from relaygw.core.reply import Reply
from relaygw.core.verdict import PASS, Action, AuthResult, Phase, Verdict
from relaygw.dns import FixedResolver
from relaygw.filters.arc import ArcFilter
from relaygw.testing.filters import check_filter, make_services, make_session, make_transaction, run_filter
from relaygw.testing.threads import InlineReactor

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ZONE = FixedResolver(
    {
        "s._domainkey.lists.test": {
            "TXT": [b"v=DKIM1; k=ed25519; p=A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="],
        }
    },
    failing=["down._domainkey.lists.test"],
)
MESSAGE = b"From: a@example.com\r\nTo: b@here.test\r\n\r\n" + b"Hello\r\n" * 40_000


def sealed(selector: str = "s") -> bytes:
    content = BytesContent(MESSAGE)
    sealer = Sealer(
        domain="lists.test",
        selector=selector,
        algorithm="ed25519",
        sign=lambda data: KEY.sign(hashlib.sha256(data).digest()),
    )
    digest = body_hash(content.chunks(len(content.head) + 2))
    return seal(content.head, digest, Found(results="spf=pass", chain=Result.NONE), "mx", sealer, 1) + MESSAGE


SEALED = sealed()


def judge(content: bytes, options: Mapping[str, Any] | None = None, **session: Any) -> Verdict:
    services = make_services(resolver=ZONE, clock=InlineReactor())
    transaction = make_transaction(content=content, session=make_session(**session))
    return run_filter(ArcFilter(options or {}, services), Phase.DATA, transaction)


def test_it_passes_the_suite_for_filters() -> None:
    check_filter(ArcFilter({}, make_services()))


def test_a_chain_that_holds() -> None:
    verdict = judge(SEALED)
    assert verdict.auth == (AuthResult(method="arc", result="pass", properties=(("smtp.remote-ip", "192.0.2.1"),)),)
    assert verdict.reason == "arc pass through lists.test"
    assert isinstance(verdict.result, Findings)


class LazyReactor(InlineReactor):
    """Its threads work when they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Callable[[], object]] = []

    def getThreadPool(self) -> Any:
        return SimpleNamespace(callInThreadWithCallback=self.put)

    def put(self, done: Callable[[bool, Any], object], function: Callable[..., Any], *arguments: Any) -> None:
        self.jobs.append(lambda: done(True, function(*arguments)))


def test_a_large_body_is_waited_for() -> None:
    reactor = LazyReactor()
    filter_ = ArcFilter({}, make_services(resolver=ZONE, clock=reactor))
    waiting = filter_.check(Phase.DATA, make_transaction(content=SEALED, session=make_session()))
    assert isinstance(waiting, Awaitable)
    answer = as_deferred(waiting)
    assert not answer.called
    (job,) = reactor.jobs
    job()
    assert at_once(answer).auth[0].result == "pass"


def test_no_chain() -> None:
    assert judge(MESSAGE).auth[0].result == "none"


@pytest.mark.parametrize(
    ("table", "action", "reply"),
    [
        ({}, Action.PASS, None),
        ({"fail": "reject"}, Action.REJECT, Reply(550, "5.7.29", "ARC: the chain of this message is broken")),
    ],
)
def test_a_chain_that_is_broken(table: dict[str, str], action: Action, reply: Reply | None) -> None:
    verdict = judge(SEALED + b"x\r\n", {"actions": table})
    assert verdict.auth[0].reason == "the message signature of instance 1: the body hash did not verify"
    assert (verdict.action, verdict.reply) == (action, reply)


def test_a_chain_that_cannot_be_checked_now_refuses_nobody_for_good() -> None:
    verdict = judge(sealed("down"), {"actions": {"fail": "reject"}})
    reply = Reply(451, "4.7.29", "ARC: the chain of this message did not validate")
    assert (verdict.auth[0].result, verdict.action, verdict.reply) == ("fail", Action.DEFER, reply)


@pytest.mark.parametrize("session", [{"trusted": True}, {"login": "alice"}])
def test_mail_of_those_who_may_relay_is_not_checked(session: dict[str, Any]) -> None:
    assert judge(SEALED, **session) is PASS
