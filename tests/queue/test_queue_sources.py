"""Who goes to a destination, as the spool is told before it looks: never fewer than those whose destination it is."""

from collections.abc import Iterable, Set
from pathlib import Path
from typing import Any

import attrs
import pytest
from queue_kit import busy, make_kit, run
from zope.interface import implementer

from relaygw.config.schema import MatchConfig, RouteConfig, ShapingConfig
from relaygw.core.address import Address
from relaygw.core.patterns import Patterns, compile_patterns
from relaygw.core.record import Detour, Route
from relaygw.core.routing import compile_routes
from relaygw.core.selection import Selection
from relaygw.core.shaping import compile_providers
from relaygw.egress.sites import Sites
from relaygw.interfaces import IOneDestination, ISources, ITransport
from relaygw.queue.planner import Planner
from relaygw.spool.clauses import MOST
from relaygw.spool.memory import MemorySpool
from relaygw.spool.sqlite import SqliteSpool
from relaygw.testing.spool import NOW, make_record, store
from relaygw.testing.transport import ScriptedTransport


@implementer(ITransport, IOneDestination)
class Fixed(ScriptedTransport):
    def destination(self, route: Route, recipient: Address) -> str:
        return "hub.example:25"


@implementer(ITransport, ISources)
class Sited(ScriptedTransport):
    def domains_of(self, names: Set[str]) -> Iterable[str]:
        return [*names, ".below.example"]


@implementer(ITransport, ISources)
class Broken(ScriptedTransport):
    def domains_of(self, names: Set[str]) -> Iterable[str]:
        raise ZeroDivisionError


def sources(*routes: RouteConfig, names: Iterable[str]) -> Patterns | None:
    transports = {"fixed": Fixed(), "sited": Sited(), "broken": Broken(), "other": ScriptedTransport()}
    deliveries: Any = attrs.make_class("Deliveries", ["transports"])(transports)
    planner = Planner(routing=compile_routes(routes), deliveries=deliveries, clock=None, random=lambda: 0.5)  # type: ignore[arg-type]  # nobody asks for the time
    return planner.sources(frozenset(names))


def route(transport: str, *recipient: str) -> RouteConfig:
    return RouteConfig(transport=transport, match=MatchConfig(recipient=recipient), name=transport)


@pytest.mark.parametrize(
    ("routes", "name", "wanted"),
    [
        ([route("fixed")], "hub.example:25", None),
        ([route("fixed")], "elsewhere.example", []),
        ([route("fixed", "ours.example")], "hub.example:25", ["ours.example"]),
        ([route("sited")], "mx.example", ["mx.example", ".below.example"]),
        ([route("fixed", "ann@ours.example"), route("sited")], "hub.example:25",
         ["ann@ours.example", "hub.example:25", ".below.example"]),
        ([route("other")], "mx.example", None),
        ([route("other", ".example"), route("fixed")], "mx.example", [".example"]),
        ([route("broken")], "mx.example", None),
        ([route("unknown")], "mx.example", []),
    ],
)  # fmt: skip
def test_sources_of_a_table(routes: list[RouteConfig], name: str, wanted: list[str] | None) -> None:
    found = sources(*routes, names=[name])
    texts = None if found is None else sorted([*found.addresses, *found.domains, *found.suffixes])
    assert texts == (None if wanted is None else sorted(wanted))


def test_the_domains_of_a_site_are_those_that_lead_there_and_the_domain_of_its_name() -> None:
    big = ShapingConfig(name="big", domain=("big.example", ".big.example"), mx=(".mx.big.example",))
    sites = Sites(compile_providers([big], ()), lambda: 0.0)
    sites.learn("a.example", ["mx1.example", "mx2.example"])
    sites.learn("b.example", ["mx2.example", "mx1.example"])
    sites.learn("c.example", ["in.mx.big.example"])
    assert set(sites.domains_of(frozenset({"mx2.example"}))) == {"mx2.example", "a.example", "b.example"}
    assert set(sites.domains_of(frozenset({"big"}))) == {"big", "c.example", "big.example", ".big.example"}
    for name in ("mx1.example", "big", "d.example"):
        patterns = compile_patterns([each for each in sites.domains_of(frozenset({name})) if "." in each], {})
        for domain in ("a.example", "b.example", "c.example", "x.big.example", "d.example"):
            site = sites.site(domain)
            assert name not in (site, *site.split(",")) or patterns.match_domain(domain)


@pytest.mark.parametrize("more", [0, MOST + 1])
def test_the_spool_finds_those_of_the_sources_those_sent_another_way_and_those_tried_there(
    more: int, tmp_path: Path
) -> None:
    spool = SqliteSpool(str(tmp_path), None)
    spool.open()
    record = make_record("a")
    state = record.recipients[0]
    tried = attrs.evolve(busy(state.address), host="mx.example")
    for queue_id, changed in (
        ("a", state),
        ("b", attrs.evolve(state, detour=Detour(hosts=("mx.example",)))),
        ("c", attrs.evolve(state, last=tried)),
        ("d", attrs.evolve(state, recipient=attrs.evolve(state.recipient, address=Address("x", "elsewhere.example")))),
    ):
        run(store(spool, attrs.evolve(record, queue_id=queue_id, recipients=(changed,))))
    texts = ["elsewhere.example", *(f"d{number}.example" for number in range(more))]
    chosen = Selection(destinations=frozenset({"mx.example"}), sources=compile_patterns(texts, {}))
    records, after = run(spool.search(chosen, "", 10, NOW))
    assert [each.queue_id for each in records] == (["b", "c", "d"] if not more else ["a", "b", "c", "d"])
    assert after == ""
    run(spool.close())


def test_a_listing_by_destination_asks_for_the_sources() -> None:
    asked: list[Selection] = []

    class Watched(MemorySpool):
        def search(self, selection: Selection, *more: Any) -> Any:
            asked.append(selection)
            return super().search(selection, *more)

    routes = (route("fixed", "example.net"), route("sited"))
    kit = make_kit({"fixed": Fixed(), "sited": Sited(lambda _, person: busy(person))}, spool=Watched(), routes=routes)
    sent = kit.send("bob@example.com")
    listing = run(kit.queue.operations.listing(Selection(destinations=frozenset({"example.com"}))))
    assert [each.record.queue_id for each in listing.messages] == [sent.queue_id]
    assert asked[0].sources == compile_patterns(["example.com", ".below.example"], {})
