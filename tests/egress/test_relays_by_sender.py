"""The example of relays by sender: each sender and login has its own relay and credentials, and each route is sound."""

from pathlib import Path
from typing import Any

import attrs
import pytest
from egress_support import MemoryReactor, make_record, make_services

from relaygw.config.load import load
from relaygw.core.routing import compile_routes
from relaygw.egress.reject import RejectTransport
from relaygw.egress.smarthost import SmarthostTransport

EXAMPLE = Path(__file__).parents[2] / "etc" / "examples" / "relays-by-sender.toml"
CONFIG = load(str(EXAMPLE))
ROUTING = compile_routes(CONFIG.routes, CONFIG.domains, CONFIG.relay_domains)


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"sender": "sales@example.com"}, "sales"),
        ({"sender": "anna@emea.sales.example.com"}, "sales"),
        ({"sender": "support@example.org"}, "support"),
        ({"sender": "news@example.com", "login": "newsletter", "size": 2**20}, "newsletter"),
        ({"sender": "news@example.com", "login": "newsletter", "size": 2**20 + 1}, "newsletter-too-large"),
        ({"sender": "news@example.com"}, "default"),
        ({"sender": ""}, "default"),
    ],
)
def test_each_sender_has_a_relay(facts: dict[str, Any], name: str) -> None:
    record = make_record(**facts)
    chosen = ROUTING.choose(record, record.envelope.recipients[0])
    assert chosen is not None
    assert chosen.name == name


@pytest.mark.parametrize(
    "route", [rule.route for rule in ROUTING.rules if rule.route.transport != "maildir"], ids=lambda route: route.name
)
def test_each_route_is_sound(route: Any) -> None:
    services = attrs.evolve(make_services(MemoryReactor(lambda address, port: None)), settings=CONFIG)
    transport: Any = {"smarthost": SmarthostTransport, "reject": RejectTransport}[route.transport]({}, services)
    assert transport.check(route) == ()


def test_no_two_share_their_credentials() -> None:
    services = attrs.evolve(make_services(MemoryReactor(lambda address, port: None)), settings=CONFIG)
    transport = SmarthostTransport({}, services)
    routes = [rule.route for rule in ROUTING.rules if rule.route.transport == "smarthost"]
    logins = {transport.plan(route).hosts[0].item[1].login for route in routes}
    assert len(logins) == len(routes) == 4
    assert all(transport.plan(route).hosts[0].item[1].tls.value == "verify" for route in routes)
