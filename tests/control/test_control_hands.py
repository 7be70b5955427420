"""What operators ask of the socket beyond single orders: counts, parts, another way, trash, rules, set-aside mail."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from operators import NOW, Answered, Office, ask, message
from twisted.web.server import Site

from relaygw.cli.queue_text import details
from relaygw.control.app import ControlApp
from relaygw.control.web import make_site
from relaygw.core.events import HeldByRule, Operated
from relaygw.core.record import Detour, Intent
from relaygw.holds import FILE, HoldBook
from relaygw.spool.desk import SpoolDesk
from relaygw.spool.sqlite import SqliteSpool

OLD = message("0a", "a@example.com", "b@world.example", "c@partner.example", reply="try later")
HELD = message("0b", "", "c@partner.example", held="rule lists: a look", findings=("dmarc=fail",))
NEW = message("0c", "x@partner.example", "alice@example.com")


@pytest.fixture
def office() -> Office:
    return Office(OLD, HELD, NEW)


@pytest.fixture
def site(office: Office) -> Site:
    return make_site(ControlApp(office.parts, NOW - 5).app, office.clock)


def post(site: Site, target: str, **body: Any) -> Answered:
    return ask(site, "POST", target, json.dumps(body).encode())


def ids(answer: Answered) -> list[str]:
    return [each["id"] for each in answer.document["messages"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("held_for=LISTS", ["0b"]),
        ("finding=DMARC%3Dfail", ["0b"]),
        ("finding=spf%3Dfail", []),
        ("message_id=none%40x", []),
        ("larger_than=1", []),
        ("smaller_than=1K", ["0a", "0b", "0c"]),
        ("header_from=example.com", []),
        ("listener=mx", []),
    ],
)
def test_more_conditions(site: Site, query: str, expected: list[str]) -> None:
    assert ids(ask(site, "GET", f"/queue?{query}")) == expected


@pytest.mark.parametrize(
    ("method", "target", "body", "sentence"),
    [
        ("GET", "/queue?as=poem", {}, "as: one of summary, details, why"),
        ("GET", "/queue?larger_than=big", {}, "larger_than: a size"),
        ("GET", "/queue?smaller_than=0", {}, "smaller_than: nothing has less"),
        ("POST", "/queue/remove", {"smaller_than": "0K"}, "smaller_than: nothing has less"),
        ("GET", "/queue?destination=x", {}, "only while the service runs"),
        ("POST", "/queue/reroute", {"id": ["0a"]}, "say where to"),
        ("POST", "/queue/reroute", {"id": ["0a"], "to": ["x.example"], "back": True}, "say where to"),
        ("POST", "/queue/reroute", {"id": ["0a"], "to": ["nothing"]}, "no route of the configuration"),
        ("POST", "/queue/hold", {"id": ["0a"], "to": ["x.example"]}, "there is no parameter 'to'"),
        ("POST", "/trash/undo", {}, "say which messages"),
        ("POST", "/trash/burn", {"all": True}, "there is no verb 'burn'; known are undo, purge"),
        ("POST", "/trash/undo", {"destination": ["x"]}, "there is no parameter 'destination'"),
    ],
)
def test_what_cannot_be_meant(site: Site, method: str, target: str, body: Any, sentence: str) -> None:
    answer = ask(site, method, target, json.dumps(body).encode() if method == "POST" else b"")
    assert answer.status == 400
    assert sentence in answer.document["error"]


def test_details_and_reasons_of_all_that_is_meant(site: Site) -> None:
    details = ask(site, "GET", "/queue?as=details&sender=example.com").document["messages"]
    assert [each["recipients"][0]["address"] for each in details] == ["b@world.example"]
    reasons = ask(site, "GET", "/queue?as=why&held=true").document["messages"]
    assert reasons[0]["why"].startswith("It is held: rule lists: a look.")


def test_a_dry_run_counts_and_changes_nothing(site: Site, office: Office) -> None:
    answer = post(site, "/queue/remove", recipient=["partner.example"], dry_run=True)
    assert answer.document == {"verb": "remove", "dry_run": True, "messages": 2, "recipients": 2}
    assert post(site, "/queue/hold", all=True, dry_run=True).document["recipients"] == 4
    assert office.events == []
    assert len(ask(site, "GET", "/queue").document["messages"]) == 3


def test_an_order_for_many_goes_in_parts(site: Site) -> None:
    first = post(site, "/queue/hold", all=True, limit=2)
    assert (ids(first), first.document["after"]) == (["0a", "0b"], "0b")
    rest = post(site, "/queue/hold", all=True, limit=2, after="0b")
    assert (ids(rest), rest.document["after"]) == (["0c"], "")


def test_a_removal_is_listed_counted_and_undone(site: Site, office: Office) -> None:
    post(site, "/queue/remove", recipient=["partner.example"], reason="oops")
    assert ids(ask(site, "GET", "/queue")) == ["0a", "0c"]
    listed = ask(site, "GET", "/trash").document
    assert [(each["id"], each["recipients"], each["reason"]) for each in listed["messages"]] == [
        ("0a", ["c@partner.example"], "oops"),
        ("0b", ["c@partner.example"], "oops"),
    ]
    assert (listed["after"], listed["age"]) == (0, 86400.0)
    assert ids(ask(site, "GET", "/trash?sender=example.com&removed_within=1m")) == ["0a"]
    counted = post(site, "/trash/undo", all=True, dry_run=True).document
    assert (counted["messages"], counted["recipients"]) == (2, 2)
    back = post(site, "/trash/undo", removed_within="1m")
    assert [each["message"] for each in back.document["messages"]] == [
        "brought back: 1 recipient; held: rule lists: a look",
        "brought back: 1 recipient",
    ]
    assert ids(ask(site, "GET", "/queue")) == ["0a", "0b", "0c"]
    assert ask(site, "GET", "/trash").document["messages"] == []
    assert [event.verb for event in office.events if isinstance(event, Operated)] == [
        "remove",
        "remove",
        "undo",
        "undo",
    ]


def test_what_is_removed_forever_or_purged_is_gone(site: Site) -> None:
    post(site, "/queue/remove", id=["0a"], forever=True)
    post(site, "/queue/remove", id=["0b"])
    assert ids(ask(site, "GET", "/trash")) == ["0b"]
    assert post(site, "/trash/purge", id=["0b"]).document["messages"][0]["message"] == "gone for good"
    assert ask(site, "GET", "/trash").document["messages"] == []


def test_what_waits_for_the_end_of_an_attempt_is_shown() -> None:
    intents = (
        Intent(verb="reroute", positions=(0,), to=Detour(route="partner")),
        Intent(verb="remove", positions=(0, 1)),
    )
    office = Office(attrs.evolve(OLD, intents=intents))
    site = make_site(ControlApp(office.parts, NOW - 5).app, office.clock)
    shown = ask(site, "GET", "/queue/0a").document
    assert [each["ordered"] for each in shown["recipients"]] == ["reroute to route partner, then remove", "remove"]
    assert "    before another attempt: remove" in details(shown).splitlines()
    assert "    when its attempt ends without delivery: remove" in details({**shown, "state": "active"}).splitlines()


def test_a_reroute_is_shown_and_ended(site: Site) -> None:
    answer = post(site, "/queue/reroute", recipient=["world.example"], to=["partner"])
    assert answer.document["messages"] == [
        {"id": "0a", "done": True, "message": "rerouted to route partner: 1 recipient"}
    ]
    shown = ask(site, "GET", "/queue/0a").document
    assert [each["rerouted"] for each in shown["recipients"]] == ["route partner", ""]
    assert "1 recipient rerouted to route partner." in ask(site, "GET", "/queue/0a/why").document["why"]
    post(site, "/queue/reroute", id=["0a"], back=True)
    shown = ask(site, "GET", "/queue/0a").document
    assert [each["rerouted"] for each in shown["recipients"]] == ["", ""]


def test_rules_are_made_listed_and_ended(office: Office, tmp_path: Path) -> None:
    book = HoldBook(str(tmp_path / FILE), office.config, now=office.clock.seconds, write_event=office.events.append)
    parts = attrs.evolve(office.parts, holds=book)
    site = make_site(ControlApp(parts, NOW).app, office.clock)
    made = post(site, "/holds/add", name="mine", match={"login": ["bob"]}, **{"for": "1h"}).document["rules"][0]
    assert (made["name"], made["by"], made["until"]) == ("mine", "operator", "2027-01-15T09:00:00.000Z")
    assert [each["name"] for each in ask(site, "GET", "/holds").document["rules"]] == ["mine"]
    for body, sentence in (
        ({"name": "x"}, "no condition"),
        ({"name": "x", "match": {"sendr": ["a"]}}, "did you mean"),
        ({"name": "x", "match": {"login": ["a"]}, "for": "0"}, "more than no time"),
        ({"nam": "x"}, "there is no parameter"),
    ):
        refused = post(site, "/holds/add", **body)
        assert (refused.status, sentence in refused.document["error"]) == (400, True)
    assert post(site, "/holds/remove", name="mine").document["done"]
    assert not post(site, "/holds/remove", name="mine").document["done"]
    assert not any(isinstance(event, HeldByRule) for event in office.events)


def test_where_there_is_no_such_part_it_says_so(site: Site) -> None:
    assert ask(site, "GET", "/damaged").status == 404
    assert ask(site, "GET", "/holds").status == 404


def test_set_aside_messages_and_archives(office: Office, tmp_path: Path) -> None:
    spool = SqliteSpool(str(tmp_path), None)
    spool.open()
    desk = SpoolDesk(spool, now=office.clock.seconds, write_event=office.events.append)
    site = make_site(ControlApp(attrs.evolve(office.parts, spool=desk), NOW).app, office.clock)
    assert ask(site, "GET", "/damaged").document == {"messages": []}
    answer = post(site, "/damaged/retry", id=["zz"]).document
    assert (answer["messages"][0]["done"], "no such message" in answer["messages"][0]["message"]) == (False, True)
    assert post(site, "/damaged/eat", id=["zz"]).status == 400
    assert "absolute path" in post(site, "/spool/import", path="here.tar").document["error"]
    assert post(site, "/spool/import").status == 400
    assert post(site, "/spool/reindex").document == {"reindexing": True}
    assert post(site, "/spool/reindex", path="here").status == 400
