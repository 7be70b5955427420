"""What is changed at every attempt: the wrapped transport sees it, the queue does not; SRS is for others' mail only."""

from collections.abc import Awaitable, Sequence
from typing import Any

import attrs
import pytest
from results import at_once
from zope.interface import implementer

from relaygw.core.address import Address, parse_address
from relaygw.core.content import BytesContent, Content
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.events import Rewritten
from relaygw.core.lifecycle import begin
from relaygw.core.outcome import Outcome
from relaygw.core.permission import domains_of
from relaygw.core.record import Origin, Record, Route
from relaygw.core.srs import Srs
from relaygw.egress.outgoing import Outgoing, OutgoingError, OutgoingTransport, Reheaded, ReturnPolicy
from relaygw.interfaces import Attempt, ILocator, IPreparer, IRehearser, IRewriter, ITransport
from relaygw.rewriters.headers import HeaderRewriter
from relaygw.testing.transport import ScriptedTransport, check_transport, delivered

SRS = Srs(domain="fwd.test", secrets=(b"secret of the test",))
POLICY = ReturnPolicy(
    srs=SRS,
    ours=domains_of(["here.test", ".relayed.test"]),
    exempt=domains_of([".partner.test"]),
    trusts=lambda client: client == "203.0.113.9",
)
ROUTE = Route(transport="t", name="out")
MESSAGE = b"From: a@far.test\r\nX-Secret: yes\r\n\r\nbody\r\nbody\r\n"


@implementer(IRewriter)
class Renamed:
    """Senders and recipients get another domain; `gone` loses a recipient."""

    def __init__(self, gone: bool = False, domains: Sequence[str] = ("new.test",)) -> None:
        self.gone = gone
        self.domains = domains

    def rewrite(self, envelope: Envelope, head: bytes) -> tuple[Envelope, bytes]:
        recipients = tuple(
            attrs.evolve(each, address=Address(each.address.local, self.domains[at % len(self.domains)]))
            for at, each in enumerate(envelope.recipients)
        )
        sender = envelope.sender and Address(envelope.sender.local, "here.test")
        return attrs.evolve(envelope, sender=sender, recipients=recipients[: -1 if self.gone else None]), head


@implementer(ILocator, IPreparer)
class ByDomain(ScriptedTransport):
    def locate(self, route: Route, recipient: Address) -> Awaitable[None] | None:
        return None


def attempt(*recipients: str, sender: str | None = "a@far.test", **known: Any) -> Attempt:
    named = tuple(Recipient(address=parse_address(each)) for each in recipients or ("b@else.test",))
    envelope = Envelope(sender=parse_address(sender) if sender else None, recipients=named)
    record = begin(queue_id="q", envelope=envelope, now=1_700_000_000.0, header_from="far.test")
    record = attrs.evolve(record, **({"client": "192.0.2.1"} | known))
    return Attempt(record=record, recipients=record.recipients, route=ROUTE, content=BytesContent(MESSAGE), started=0.0)


def carried(
    given: Attempt, *rewriters: IRewriter, policy: ReturnPolicy | None = POLICY, inner: Any = None
) -> tuple[list[Attempt], list[Any], tuple[Outcome, ...]]:
    """The attempts that the transport got, the events, and the outcomes."""
    inner = inner or ScriptedTransport()
    events: list[Any] = []
    outgoing = Outgoing(rewriters={"out": [(f"r{n}", each) for n, each in enumerate(rewriters)]}, returns=policy)
    transport = OutgoingTransport(inner, outgoing, events.append)
    outcomes = at_once(transport.deliver(given))
    assert [outcome.recipient for outcome in outcomes] == [state.address for state in given.recipients]
    return inner.attempts, events, outcomes


def senders(attempts: Sequence[Attempt]) -> list[str]:
    return [str(each.record.envelope.sender or "<>") for each in attempts]


@pytest.mark.parametrize(
    ("given", "rewritten"),
    [
        (attempt(), True),
        (attempt(sender="a@here.test"), False),
        (attempt(sender="a@x.relayed.test"), False),
        (attempt(sender=None), False),
        (attempt(sender="SRS0=AAAA=AA=x.test=a@fwd.test"), False),
        (attempt(sender="SRS0=AAAA=AA=x.test=a@other.test"), True),
        (attempt("b@here.test"), False),
        (attempt("b@x.relayed.test"), False),
        (attempt("b@x.partner.test"), False),
        (attempt(login="alice"), False),
        (attempt(client="203.0.113.9"), False),
        (attempt(origin=Origin.REPORT), False),
        (attempt(origin=Origin.LOCAL), False),
    ],
)
def test_mail_of_strangers_that_goes_on_gets_a_return_address(given: Attempt, rewritten: bool) -> None:
    (got,), events, _ = carried(given)
    sender, before = got.record.envelope.sender, given.record.envelope.sender
    if not rewritten:
        assert got == given
        assert events == []
        return
    assert sender is not None
    assert sender.domain == "fwd.test"
    assert SRS.reverse(sender, given.record.arrived) == before
    assert [(type(event), event.rewriter, event.route, event.queue_id) for event in events] == [
        (Rewritten, "srs", "out", "q")
    ]


def test_everybodys_mail_is_meant_where_that_is_asked_for() -> None:
    everybody = attrs.evolve(POLICY, everybody=True)
    for given in (attempt(login="alice"), attempt(client="203.0.113.9")):
        assert carried(given, policy=everybody)[0][0].record.envelope.sender.domain == "fwd.test"  # type: ignore[union-attr]


def test_every_attempt_has_the_same_return_address() -> None:
    first = carried(attempt())[0][0]
    assert first.record.envelope == carried(attrs.evolve(attempt(), started=9e9))[0][0].record.envelope


def test_recipients_that_keep_the_sender_travel_apart_and_the_order_is_kept() -> None:
    attempts, _, outcomes = carried(attempt("b@else.test", "c@x.partner.test", "d@else.test"))
    assert [[str(state.address) for state in each.recipients] for each in attempts] == [
        ["c@x.partner.test"],
        ["b@else.test", "d@else.test"],
    ]
    assert len(outcomes) == 3


def test_a_sender_that_cannot_be_rewritten_stays_and_the_journal_says_why() -> None:
    (got,), (event,), _ = carried(attempt(sender='"a%b"@far.test'))
    assert senders([got]) == ["a%b@far.test"]
    assert "could be read as a route" in event.reason


def test_rewriters_work_on_a_copy_and_signing_sees_what_is_sent() -> None:
    given = attempt()
    (got,), events, _ = carried(
        given, HeaderRewriter({"remove": ["X-Secret", "From"], "add": {"From": "x@here.test"}}, None)
    )  # type: ignore[arg-type]
    assert got.content.head == b"From: x@here.test\r\n"
    assert b"".join(got.content.chunks()) == b"From: x@here.test\r\n\r\nbody\r\nbody\r\n"
    assert got.record.header_from == "here.test"
    assert given.content.head == MESSAGE[: MESSAGE.index(b"\r\n\r\n") + 2]
    assert [event.rewriter for event in events] == ["r0", "srs"]


def test_a_sender_that_a_rewriter_has_made_ours_gets_no_return_address() -> None:
    (got,), events, outcomes = carried(attempt(), Renamed())
    assert senders([got]) == ["a@here.test"]
    assert [str(state.address) for state in got.recipients] == ["b@new.test"]
    assert [event.rewriter for event in events] == ["r0"]
    assert str(outcomes[0].recipient) == "b@else.test"


def test_a_transport_that_goes_by_domain_gets_one_domain_at_a_time() -> None:
    given = attempt("b@else.test", "c@else.test", "d@else.test")
    two = Renamed(domains=("one.test", "two.test"))
    apart, _, outcomes = carried(given, two, inner=ByDomain())
    assert [[str(state.address) for state in each.recipients] for each in apart] == [
        ["b@one.test", "d@one.test"],
        ["c@two.test"],
    ]
    assert len(outcomes) == 3
    together, _, _ = carried(given, two)
    assert len(together) == 1


def test_a_rewriter_that_loses_a_recipient_sends_nothing() -> None:
    with pytest.raises(OutgoingError, match="adds or removes recipients"):
        carried(attempt(), Renamed(gone=True))


def test_who_has_an_answer_keeps_it_when_the_next_part_breaks() -> None:
    def answer(one: Attempt, recipient: Address) -> Outcome:
        if recipient.domain == "else.test":
            raise RuntimeError("broken")
        return delivered(recipient)

    _, _, outcomes = carried(attempt("b@else.test", "c@x.partner.test"), inner=ScriptedTransport(answer))
    assert [outcome.status.value for outcome in outcomes] == ["deferred", "delivered"]
    with pytest.raises(RuntimeError):
        carried(attempt("b@else.test"), inner=ScriptedTransport(answer))


def test_another_route_changes_nothing() -> None:
    given = attrs.evolve(attempt(sender="a@here.test"), route=Route(transport="t", name="other"))
    (got,), events, _ = carried(given, Renamed())
    assert got == given
    assert events == []


def test_it_provides_what_the_transport_provides() -> None:
    outgoing = Outgoing(rewriters={})
    wrapped: Any = OutgoingTransport(ByDomain(), outgoing, lambda _: None)
    assert ITransport.providedBy(wrapped)
    assert ILocator.providedBy(wrapped)
    assert not IRehearser.providedBy(wrapped)
    assert not IPreparer.providedBy(wrapped), "what it hands on is not known beforehand"
    assert ILocator(wrapped).locate(ROUTE, Address("a", "b.test")) is None
    assert wrapped.destination(ROUTE, Address("a", "b.test"))


def test_it_is_a_transport_like_any_other() -> None:
    transport: Any = OutgoingTransport(ScriptedTransport(), Outgoing(rewriters={}, returns=POLICY), lambda _: None)
    at_once(check_transport(transport, ROUTE, [Address("b", "else.test"), Address("c", "x.partner.test")]))


@pytest.mark.parametrize("start", [0, 1, 5, 19, 20, 21, 22, 25, 40])
@pytest.mark.parametrize("old", [MESSAGE, b"\r\nonly a body\r\n", b"", b"From: a\r\n"])
def test_a_content_with_another_head_reads_like_one(old: bytes, start: int) -> None:
    new = b"From: x@here.test\r\n\r\n"[:-2]
    inner: Content = BytesContent(old)
    content = Reheaded(new, inner)
    whole = new + old[len(inner.head) :]
    assert content.size == len(whole)
    assert b"".join(content.chunks(start)) == whole[start:]


def test_a_record_keeps_its_own_recipients() -> None:
    (got,), _, _ = carried(attempt("b@else.test"), Renamed())
    record: Record = got.record
    assert [str(each.address) for each in record.envelope.recipients] == ["b@else.test"]
