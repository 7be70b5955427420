"""For those who write filters: sessions, transactions and services made of nothing, and one filter run at a time.

    services = make_services(resolver=FixedResolver({...}))
    verdict = run_filter(MyFilter({"limit": 3}, services), Phase.MAIL, make_transaction(sender="a@example.org"))

`check_filter` proves what every filter must: it fits the interface, and answers a sound verdict in each of its phases.
"""

from collections.abc import Awaitable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from relaygw.bridge import as_deferred
from relaygw.config.schema import Config
from relaygw.core.address import parse_address
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.session import Role, Session, Transaction
from relaygw.core.verdict import Phase, Verdict, flaw
from relaygw.dns.fixed import FixedResolver
from relaygw.interfaces import IAuthenticating, IFilter, IResolver, Services

SAMPLE = b"From: a@client.test\r\nTo: b@here.test\r\nSubject: a sample\r\n\r\nA sample.\r\n"


def make_services(
    *, resolver: IResolver | None = None, clock: Any = None, hostname: str = "gateway.test", **changes: Any
) -> Services:
    """Services with a clock that stands still, no DNS names, and the default configuration; `changes` go over them."""
    return attrs.evolve(
        Services(
            hostname=hostname,
            resolver=resolver if resolver is not None else FixedResolver({}),
            reactor=clock if clock is not None else Clock(),
            state="",
            spawn=_spawn,
            settings=Config(hostname=hostname, state=""),
        ),
        **changes,
    )


def _spawn(name: str, awaitable: Awaitable[Any]) -> None:
    def failed(failure: Failure) -> None:
        raise AssertionError(f"the background task {name!r} failed: {failure.value!r}") from failure.value

    running: Deferred[Any] = as_deferred(awaitable)
    _watched = running.addErrback(failed)


def make_session(**changes: Any) -> Session:
    """A client from 192.0.2.1 that has said EHLO on a public listener."""
    session = Session(
        id="0session", listener="mx", role=Role.MX, client="192.0.2.1", port=40_000, hello="client.test", esmtp=True
    )
    return attrs.evolve(session, **changes)


def make_transaction(
    *,
    sender: str | None = "a@client.test",
    recipients: Sequence[str] = (),
    content: bytes | None = None,
    session: Session | None = None,
    **changes: Any,
) -> Transaction:
    """A transaction; `sender` None is the null reverse-path. `recipient` may be given as text, too."""
    if isinstance(changes.get("recipient"), str):
        changes["recipient"] = Recipient(address=parse_address(changes["recipient"]))
    envelope = Envelope(
        sender=parse_address(sender) if sender is not None else None,
        recipients=tuple(Recipient(address=parse_address(text)) for text in recipients),
        size=changes.pop("size", 0),
    )
    transaction = Transaction(
        session=session or make_session(),
        envelope=envelope,
        queue_id="0queue",
        content=BytesContent(content) if content is not None else None,
    )
    return attrs.evolve(transaction, **changes)


def run_filter(filter_: IFilter, phase: Phase, transaction: Transaction) -> Verdict:
    """The filter's verdict; AssertionError where it still waits for something, or answers no sound verdict."""
    answer = filter_.check(phase, transaction)
    verdict = _result(as_deferred(answer)) if isinstance(answer, Awaitable) else answer
    assert isinstance(verdict, Verdict), f"answered {verdict!r}, not a Verdict"
    assert not flaw(verdict), flaw(verdict)
    if IAuthenticating.providedBy(filter_):
        unnamed = {each.method for each in verdict.auth} - set(filter_.methods)
        assert not unnamed, f"reports {unnamed}, and its methods are {filter_.methods}"
    return verdict


def _result(deferred: Deferred[Verdict]) -> Verdict:
    outcome: list[Any] = []
    _watched = deferred.addBoth(outcome.append)
    assert outcome, "the filter waits for something that has not happened: fire it, or advance the clock, and ask later"
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    verdict: Verdict = outcome[0]
    return verdict


def sample_transaction(phase: Phase) -> Transaction:
    """What a filter sees in a phase, with nothing of later ones."""
    if phase in (Phase.CONNECT, Phase.HELLO):
        session = make_session(hello="client.test" if phase is Phase.HELLO else "", esmtp=phase is Phase.HELLO)
        return make_transaction(sender=None, session=session, queue_id="")
    recipients = ("b@here.test",) if phase is Phase.DATA else ()
    content = SAMPLE if phase is Phase.DATA else None
    transaction = make_transaction(recipients=recipients, content=content)
    if phase is Phase.RCPT:
        return attrs.evolve(transaction, recipient=Recipient(address=parse_address("b@here.test")))
    return transaction


def check_filter(filter_: IFilter) -> None:
    """The suite for any filter that answers at once, or as soon as its resolver does."""
    verifyObject(IFilter, filter_)
    assert isinstance(filter_.phases, frozenset), "phases is a frozenset"
    assert filter_.phases, "a filter wants at least one phase"
    assert all(isinstance(phase, Phase) for phase in filter_.phases), "phases holds members of Phase"
    for phase in filter_.phases:
        run_filter(filter_, phase, sample_transaction(phase))
