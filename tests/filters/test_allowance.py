"""How many DNS questions one message, and one client, may cause: at n and n + 1, for nothing where the cache knows."""

from typing import Any

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from relaygw.bridge import as_deferred
from relaygw.core.events import Event, QuestionsLimited
from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.core.session import Transaction
from relaygw.core.verdict import Action, Phase
from relaygw.dns import CachingResolver
from relaygw.filters.allowance import AT_ONCE, PERIOD, Allowance, asker
from relaygw.filters.spf import SpfFilter
from relaygw.interfaces import IResolver, Services
from relaygw.testing.filters import make_services, make_session, make_transaction, run_filter


@implementer(IResolver)
class World:
    """Every name exists and includes one below it."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def ask(self, question: Question) -> Deferred[Answer]:
        self.asked.append(question)
        record = f"v=spf1 include:x.{question.name} -all".encode()
        return succeed(Answer(status=AnswerStatus.FOUND, records=(record,), ttl=300))


class Place:
    def __init__(self, *, message: int = 0, client: int = 0) -> None:
        self.world, self.clock = World(), Clock()
        self.events: list[Event] = []
        self.allowance = Allowance(message=message, client=client, clock=self.clock, write_event=self.events.append)
        cache = CachingResolver(self.world, self.clock)
        self.services: Services = make_services(resolver=cache, clock=self.clock, allowance=self.allowance)

    def ask(self, name: str, transaction: Transaction) -> Answer:
        answer: Any = asker(self.services, transaction, 20.0).ask(Question(name, "TXT"))
        found: Answer = answer.result
        return found


def message(number: int, client: str = "192.0.2.1") -> Transaction:
    return attrs.evolve(make_transaction(session=make_session(client=client)), queue_id=f"q{number}")


def test_a_message_may_ask_so_often_and_no_more() -> None:
    place = Place(message=3)
    for name in "abc":
        assert place.ask(name, message(1)).status is AnswerStatus.FOUND
    for name in "de":
        refused = place.ask(name, message(1))
        assert (refused.status, refused.reason) == (AnswerStatus.FAILED, "one message may ask the DNS 3 times")
    assert [question.name for question in place.world.asked] == ["a", "b", "c"]
    assert place.ask("d", message(2)).status is AnswerStatus.FOUND
    assert place.events == [
        QuestionsLimited(session="0session", queue_id="q1", client="192.0.2.1", limit="message", most=3)
    ]


def test_what_has_no_id_yet_counts_for_its_session() -> None:
    place = Place(message=1)
    for session, status in (("a", AnswerStatus.FOUND), ("a", AnswerStatus.FAILED), ("b", AnswerStatus.FOUND)):
        transaction = make_transaction(session=attrs.evolve(make_session(), id=session))
        name = f"n{len(place.world.asked)}"
        assert place.ask(name, attrs.evolve(transaction, queue_id="")).status is status


@pytest.mark.parametrize(("others", "forgotten"), [(9_999, False), (10_000, True)])
def test_the_messages_that_asked_longest_ago_are_forgotten(others: int, forgotten: bool) -> None:
    """However many there are, memory has a bound."""
    place = Place(message=1)
    assert place.allowance.spend(message(0)) == ""
    for number in range(1, others + 1):
        assert place.allowance.spend(message(number)) == ""
    assert (place.allowance.spend(message(0)) == "") is forgotten


def test_what_the_cache_knows_costs_nothing() -> None:
    place = Place(message=1, client=1)
    for _ in range(5):
        assert place.ask("a", message(1)).status is AnswerStatus.FOUND
    assert place.ask("b", message(1)).status is AnswerStatus.FAILED
    assert place.ask("a", message(1)).status is AnswerStatus.FOUND


def test_what_is_on_its_way_to_somebody_costs_nothing() -> None:
    class Slow(World):
        def ask(self, question: Question) -> Deferred[Answer]:
            self.asked.append(question)
            return Deferred()

    place = Place(message=1)
    slow = implementer(IResolver)(Slow)()
    services = attrs.evolve(place.services, resolver=CachingResolver(slow, place.clock))
    waiting: list[Any] = [asker(services, message(1), 5.0).ask(Question("a", "TXT")) for _ in range(3)]
    assert [hasattr(each, "close") for each in waiting] == [True] * 3  # all of them wait, none was refused
    for each in waiting:
        each.close()
    assert len(slow.asked) == 1


@implementer(IResolver)
class Silent(World):
    """No server of the world answers."""

    def ask(self, question: Question) -> Deferred[Answer]:
        self.asked.append(question)
        return Deferred()


def test_domains_that_never_answer_keep_no_other_clients_questions_waiting() -> None:
    place = Place()
    silent = Silent()
    services = attrs.evolve(place.services, resolver=CachingResolver(silent, place.clock, timeout=30.0))

    def begin(name: str, client: str) -> Deferred[Answer]:
        return as_deferred(asker(services, message(1, client), 20.0).ask(Question(name, "TXT")))

    waiting = [begin(f"n{number}.test", "192.0.2.1") for number in range(400)]
    assert len(silent.asked) == AT_ONCE
    other = begin("honest.test", "192.0.2.2")
    assert silent.asked[-1].name == "honest.test"
    # Whoever has gone makes room for the next; who is on this host waits for nobody.
    waiting[0].cancel()
    assert [question.name for question in silent.asked[-1:]] == [f"n{AT_ONCE}.test"]
    local = [begin(f"local{number}.test", "127.0.0.1") for number in range(AT_ONCE + 1)]
    assert silent.asked[-1].name == f"local{AT_ONCE}.test"
    place.clock.advance(20.0)
    gone: Any = waiting.pop(0).addErrback(lambda failure: failure.trap(CancelledError))
    assert gone.result is CancelledError
    late: list[Any] = [answer.result for answer in (*waiting, other, *local)]
    assert {answer.status for answer in late} == {AnswerStatus.FAILED}
    # Nothing of them is left: as many can be asked again, and at once.
    again = [begin(f"again{number}.test", "192.0.2.1") for number in range(AT_ONCE)]
    assert silent.asked[-1].name == f"again{AT_ONCE - 1}.test"
    assert not any(answer.called for answer in again)


def test_a_client_may_ask_so_often_within_a_minute_whatever_the_message() -> None:
    place = Place(client=2)
    assert [place.ask(f"n{n}", message(n)).status for n in range(3)] == [
        AnswerStatus.FOUND, AnswerStatus.FOUND, AnswerStatus.FAILED
    ]  # fmt: skip
    assert place.ask("n3", message(3)).reason == "mail from 192.0.2.1 may ask the DNS 2 times a minute"
    assert place.ask("n4", message(4, "192.0.2.2")).status is AnswerStatus.FOUND
    place.clock.advance(PERIOD / 2)
    assert [place.ask(f"m{n}", message(n)).status for n in range(2)] == [AnswerStatus.FOUND, AnswerStatus.FAILED]
    # Told once a minute, not with every message.
    assert [event.queue_id for event in place.events] == ["q2"]
    place.clock.advance(PERIOD / 2)
    assert [place.ask(f"o{n}", message(n)).status for n in range(2)] == [AnswerStatus.FOUND, AnswerStatus.FAILED]
    assert len(place.events) == 2


def test_addresses_of_one_ipv6_network_share() -> None:
    place = Place(client=1)
    assert place.ask("a", message(1, "2001:db8::1")).status is AnswerStatus.FOUND
    assert place.ask("b", message(2, "2001:db8::2")).reason.startswith("mail from 2001:db8::/64 ")
    assert place.ask("c", message(3, "2001:db8:0:1::1")).status is AnswerStatus.FOUND


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", ""])
def test_clients_on_this_host_share_no_bound(client: str) -> None:
    place = Place(client=1)
    assert {place.ask(f"n{n}", message(n, client)).status for n in range(5)} == {AnswerStatus.FOUND}


@pytest.mark.parametrize(
    ("options", "action"), [({}, Action.DEFER), ({"mail_from": {"temperror": "pass"}}, Action.PASS)]
)
def test_a_chain_of_includes_beyond_the_bound_is_a_temporary_error_by_policy(
    options: dict[str, Any], action: Action
) -> None:
    place = Place(message=4)
    session = make_session(hello="client")
    transaction = attrs.evolve(make_transaction(sender="a@x.test", session=session), queue_id="q")
    verdict = run_filter(SpfFilter(options, place.services), Phase.MAIL, transaction)
    assert verdict.action is action
    assert (verdict.auth[-1].result, len(place.world.asked)) == ("temperror", 4)
    assert verdict.reason.endswith("one message may ask the DNS 4 times)")


def test_nothing_is_bounded_where_the_configuration_says_so() -> None:
    place = Place()
    assert {place.ask(f"n{n}", message(1)).status for n in range(300)} == {AnswerStatus.FOUND}
    assert place.events == []
