"""`route` explains where a message would go: the rule, the hosts, the TLS policy, the keys that sign."""

from typing import Any

import attrs
import pytest
from operators import CONFIG, NOW, Office, ask

from relaygw.config.load import parse
from relaygw.config.schema import Config
from relaygw.control.app import ControlApp
from relaygw.control.web import make_site
from relaygw.core.address import Address
from relaygw.core.record import Route
from relaygw.interfaces import Rehearsal


def explain(recipient: str, sender: str = "a@example.com", config: Config | None = None) -> Any:
    office = Office(config=config)
    site = make_site(ControlApp(office.parts, NOW).app, office.clock)
    query = f"sender={sender}&recipient={recipient}"
    return ask(site, "GET", f"/route?{query}").document


def test_mail_to_the_world_goes_by_mx_signed() -> None:
    answer = explain("b@world.example")
    assert (answer["action"], answer["transport"], answer["tls"]) == ("deliver", "mx", "may")
    assert sorted(host["address"] for host in answer["hosts"]) == ["192.0.2.1", "2001:db8::1"]
    assert {(host["host"], host["port"], host["preference"]) for host in answer["hosts"]} == {
        ("mx.world.example", 25, 10)
    }
    assert answer["signing"] == [{"domain": "example.com", "selector": "s1"}]
    assert [step["matched"] for step in answer["steps"]] == [False, False, False, True]
    assert answer["steps"][-1] == {"step": "route 4 (world)", "matched": True, "why": "it matches everything"}


def test_a_smart_host_is_named_with_its_port_and_no_secret_is_told() -> None:
    answer = explain("b@partner.example", sender="<>")
    assert answer["hosts"] == [{"host": "in.partner.example", "address": "192.0.2.2", "port": 2525, "preference": 0}]
    assert answer["tls"] == "verify"  # there is a login
    assert answer["parameters"] == {"host": "in.partner.example", "port": 2525, "username": "we"}
    assert (answer["sender"], answer["signing"]) == ("<>", [])


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("alice@example.com", {"action": "deliver", "mailbox": "alice", "hosts": [], "tls": ""}),
        ("bob@example.com", {"action": "fail", "reason": "there is no mailbox for bob@example.com"}),
        ("x@drop.example", {"action": "discard", "transport": "discard"}),
        ("x@null.example", {"action": "fail", "reason": "5.1.10 the domain null.example accepts no mail (null MX)"}),
        ("x@nowhere.example", {"action": "fail", "hosts": []}),
    ],
)
def test_where_nothing_is_sent(recipient: str, expected: dict[str, object]) -> None:
    answer = explain(recipient)
    assert {name: answer[name] for name in expected} == expected


HOST = {"host": "mx.world.example", "address": "192.0.2.1", "port": 25, "preference": 10, "tls": "dane", "tls_why": "w"}


def rehearsed(found: Rehearsal, query: str = "") -> Any:
    """The answer where the route's transport tells for itself; and what it was asked."""
    office, asked = Office(), []

    async def rehearse() -> Rehearsal:
        return found

    def answer(route: Route, recipient: Address, connect: bool) -> Any:
        asked.append((route.transport, str(recipient), connect))
        return rehearse() if route.transport == "mx" else None

    parts = attrs.evolve(office.parts, rehearse=answer)
    site = make_site(ControlApp(parts, NOW).app, office.clock)
    document = ask(site, "GET", f"/route?sender=a@example.com&recipient=b@world.example{query}").document
    return document, asked


def test_a_transport_tells_for_itself_what_it_would_do() -> None:
    document, asked = rehearsed(Rehearsal(hosts=(HOST,), credentials="we (password in the file secret)"))
    assert asked == [("mx", "b@world.example", False)]
    assert (document["hosts"], document["tls"]) == ([HOST], "dane")
    assert document["credentials"] == "we (password in the file secret)"
    assert document["ceilings"]["concurrency"] == 200
    assert document["retry"]["expire"] == 432000.0
    assert document["signing"] == [{"domain": "example.com", "selector": "s1"}]


def test_connecting_is_asked_for_by_name() -> None:
    assert rehearsed(Rehearsal(hosts=(HOST,)), "&connect=yes")[1] == [("mx", "b@world.example", True)]


@pytest.mark.parametrize(
    ("found", "action", "reason"),
    [
        (Rehearsal(refusal="5.1.2 none", permanent=True), "fail", "5.1.2 none"),
        (Rehearsal(refusal="4.4.3 later"), "defer", "4.4.3 later"),
        (Rehearsal(hosts=(HOST | {"refused": "no DANE"},)), "defer", "no DANE"),
        (Rehearsal(hosts=(HOST | {"refused": "no DANE"}, HOST)), "deliver", ""),
    ],
)
def test_what_would_become_of_the_mail(found: Rehearsal, action: str, reason: str) -> None:
    document, _ = rehearsed(found)
    assert (document["action"], document["reason"]) == (action, reason)


def test_several_smart_hosts_are_told_in_their_order() -> None:
    several = 'hosts = ["in.partner.example", "192.0.2.9:26", "gone.example:27"]\nimplicit_tls = true'
    text = CONFIG.replace('host = "in.partner.example"', several).replace(
        'username = "we"\npassword_file = "secret"\n', ""
    )
    answer = explain("b@partner.example", config=parse(text, "/c.toml"))
    assert [(host["address"], host["port"]) for host in answer["hosts"]] == [("192.0.2.2", 2525), ("192.0.2.9", 26)]
    assert (answer["action"], answer["tls"]) == ("deliver", "encrypt")


@pytest.mark.parametrize(
    ("parameters", "action", "reason"),
    [
        ('transport = "hold"', "hold", "held by world"),
        ('transport = "hold"\nreason = "odd"', "hold", "odd"),
        ('transport = "reject"', "fail", "the route says reject"),
        ('transport = "reject"\nreason = "no"', "fail", "no"),
    ],
)
def test_routes_that_hand_nothing_on(parameters: str, action: str, reason: str) -> None:
    before, after = CONFIG.split('name = "world"')
    text = before + 'name = "world"' + after.replace('transport = "mx"', parameters, 1)
    assert text != CONFIG
    answer = explain("b@world.example", config=parse(text, "/c.toml"))
    assert (answer["action"], answer["reason"]) == (action, reason)
