"""`route` explains where a message would go: the rule, the hosts, the TLS policy, the keys that sign."""

from typing import Any

import pytest
from operators import CONFIG, NOW, Office, ask

from relaygw.config.load import parse
from relaygw.config.schema import Config
from relaygw.control.app import ControlApp
from relaygw.control.web import make_site


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


def test_several_smart_hosts_are_told_in_their_order() -> None:
    several = 'hosts = ["in.partner.example", "192.0.2.9:26", "gone.example:27"]\nimplicit_tls = true'
    text = CONFIG.replace('host = "in.partner.example"', several).replace(
        'username = "we"\npassword_file = "secret"\n', ""
    )
    answer = explain("b@partner.example", config=parse(text, "/c.toml"))
    assert [(host["address"], host["port"]) for host in answer["hosts"]] == [("192.0.2.2", 2525), ("192.0.2.9", 26)]
    assert (answer["action"], answer["tls"]) == ("deliver", "encrypt")
