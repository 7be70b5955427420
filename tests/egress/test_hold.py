"""A route that holds: the message waits for an operator, and once released goes on by the rules after it."""

from typing import Any

import attrs
import pytest
from egress_support import MemoryReactor, make_attempt, make_record, make_services, result, run
from zope.interface.verify import verifyObject

from relaygw.config.schema import MatchConfig, RouteConfig
from relaygw.core.lifecycle import fold
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Route
from relaygw.core.reply import Reply
from relaygw.core.retry import Schedule
from relaygw.core.routing import compile_routes
from relaygw.egress.hold import HoldTransport
from relaygw.interfaces import IRouteChecker, ITransport

ROUTING = compile_routes(
    (
        RouteConfig(transport="hold", name="odd", match=MatchConfig(recipient=("example.org",))),
        RouteConfig(transport="mx", name="rest"),
    )
)

SCHEDULE = Schedule(waits=(300.0,), expire=86400.0, expire_reports=86400.0, delay_warnings=())


def held(reason: str = "") -> tuple[Outcome, ...]:
    services = make_services(MemoryReactor(lambda address, port: None))
    transport = HoldTransport({}, services)
    assert verifyObject(ITransport, transport)
    assert verifyObject(IRouteChecker, transport)
    to = Route(transport="hold", name="odd", parameters=(("reason", reason),) if reason else ())
    assert transport.check(to) == ()
    outcomes: tuple[Outcome, ...] = result(run(services.reactor, transport.deliver(make_attempt(make_record(), to))))
    return outcomes


@pytest.mark.parametrize(("reason", "words"), [("", "held by odd"), ("too odd", "too odd")])
def test_every_outcome_holds_for_the_reason(reason: str, words: str) -> None:
    [outcome] = held(reason)
    assert (outcome.status, outcome.holds, outcome.reply) == (Status.DEFERRED, True, Reply(451, "4.7.0", words))


@pytest.mark.parametrize("parameters", [(("reason", "a\nb"),), (("reasons", "x"),)])
def test_what_is_wrong_is_told(parameters: tuple[tuple[str, object], ...]) -> None:
    transport = HoldTransport({}, make_services(MemoryReactor(lambda address, port: None)))
    assert len(transport.check(Route(transport="hold", parameters=parameters))) == 1


def name_of(record: Any) -> str:
    chosen = ROUTING.choose(record, record.envelope.recipients[0])
    explained = ROUTING.explain(record, record.envelope.recipients[0])
    assert chosen == explained.route
    return chosen.name if chosen else ""


def test_it_holds_once_and_then_the_next_rule_counts() -> None:
    record = make_record()
    assert name_of(record) == "odd"
    step = fold(record, [(0, held()[0])], now=100.0, schedule=SCHEDULE, random=0.0)
    assert step.record.held == "held by odd"
    assert step.record.due == float("inf")
    released = attrs.evolve(step.record, held="")
    assert released.due == 100.0
    assert name_of(released) == "rest"


def test_a_message_that_is_held_already_keeps_its_reason() -> None:
    record = attrs.evolve(make_record(), held="by hand")
    step = fold(record, [(0, held()[0])], now=100.0, schedule=SCHEDULE, random=0.0)
    assert step.record.held == "by hand"
