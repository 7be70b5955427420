"""The control socket's requests: every verb, its JSON, and a clear sentence for everything that cannot be meant."""

import json
from typing import Any

import pytest
from operators import NOW, Office, ask, message, send
from twisted.web.server import Site

from relaygw.control.app import ControlApp
from relaygw.control.web import MAX_BODY, make_site
from relaygw.core.events import Operated

OLD = message("0a", "a@example.com", "b@world.example", reply="try later")
HELD = message("0b", "", "c@partner.example", "d@partner.example", held="suspicious")
NEW = message("0c", "x@partner.example", "alice@example.com", quarantined=True)


@pytest.fixture
def office() -> Office:
    return Office(OLD, HELD, NEW)


@pytest.fixture
def site(office: Office) -> Site:
    return make_site(ControlApp(office.parts, NOW - 5).app, office.clock)


def ids(answer: Any) -> list[str]:
    return [each["id"] for each in answer.document["messages"]]


def test_status_tells_what_is_common_and_what_the_service_adds(site: Site) -> None:
    document = ask(site, "GET", "/status").document
    assert document["uptime"] == 5
    assert document["started"] == "2027-01-15T07:59:55.000Z"
    assert document["hostname"] == "mail.example.com"
    assert document["listeners"] == [{"name": "mx", "endpoint": "tcp:25"}]
    assert document["queue"] == {"active": 1}


def test_the_queue_is_listed_with_everything_an_operator_asks_for(site: Site) -> None:
    answer = ask(site, "GET", "/queue")
    assert answer.headers["content-type"] == "application/json"
    assert answer.document["after"] == ""
    assert answer.document["messages"][0] == {
        "id": "0a",
        "state": "waiting",
        "sender": "<a@example.com>",
        "recipients": ["b@world.example"],
        "arrived": "2027-01-15T07:59:00.000Z",
        "age": 60,
        "size": 0,
        "attempts": 1,
        "due": "2027-01-15T08:04:00.000Z",
        "held": "",
        "quarantined": False,
        "origin": "received",
        "login": "",
        "reply": "451 4.3.0 try later",
    }
    held = answer.document["messages"][1]
    assert (held["state"], held["held"], held["due"], held["sender"]) == ("held", "suspicious", None, "<>")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["0a", "0b", "0c"]),
        ("id=0a&id=0c", ["0a", "0c"]),
        ("sender=example.com", ["0a"]),
        ("login=nobody", []),
        ("login=nobody&login=other", []),
        ("client=198.51.100.0/24&client=192.0.2.1", []),
        ("sender=%3C%3E", ["0b"]),
        ("sender=example.com&sender=%3C%3E", ["0a", "0b"]),
        ("recipient=d@partner.example", ["0b"]),
        ("recipient=.example", ["0a", "0b"]),
        ("held=true", ["0b"]),
        ("held=no", ["0a", "0c"]),
        ("quarantined=yes", ["0c"]),
        ("older_than=1m", ["0a", "0b", "0c"]),
        ("older_than=61", []),
        ("younger_than=61s&min_attempts=1", ["0a"]),
        ("reply=TRY+L", ["0a"]),
        ("origin=report", []),
        ("held=", ["0a", "0b", "0c"]),
    ],
)
def test_conditions_choose(site: Site, query: str, expected: list[str]) -> None:
    assert ids(ask(site, "GET", f"/queue?{query}")) == expected


def test_a_long_queue_comes_in_parts(site: Site) -> None:
    first = ask(site, "GET", "/queue?limit=2")
    assert (ids(first), first.document["after"]) == (["0a", "0b"], "0b")
    assert ids(ask(site, "GET", "/queue?limit=2&after=0b")) == ["0c"]


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "sentence"),
    [
        ("GET", "/queue?sendr=x", b"", 400, "there is no parameter 'sendr'"),
        ("GET", "/queue?sender=%40", b"", 400, "is not a pattern"),
        ("GET", "/queue?held=maybe", b"", 400, "held: true or false is wanted"),
        ("GET", "/queue?limit=10001", b"", 400, "limit: a whole number up to 10000"),
        ("GET", "/queue?older_than=soon", b"", 400, "older_than: a duration"),
        ("GET", "/queue?origin=mars", b"", 400, "origin: one of received, report, local"),
        ("GET", "/queue?reply=" + "x" * 1001, b"", 400, "at most 1000 characters"),
        ("GET", "/queue?%FF=1", b"", 400, "not UTF-8"),
        ("GET", "/queue/zz", b"", 404, "there is no message 'zz' in the queue"),
        ("GET", "/queue/zz/why", b"", 404, "there is no message 'zz' in the queue"),
        ("POST", "/queue/hold", b"", 400, "say which messages"),
        ("POST", "/queue/hold", b'{"all": false}', 400, "say which messages"),
        ("POST", "/queue/hold", b'{"sendr": ["x"]}', 400, "there is no parameter 'sendr'"),
        ("POST", "/queue/hold", b'{"id": "0a", "reason": 7}', 400, "reason: a text"),
        ("POST", "/queue/hold", b'{"id": [7]}', 400, "id: a text"),
        ("POST", "/queue/hold", b'{"held": []}', 400, "held: true or false"),
        ("POST", "/queue/hold", b"[]", 400, "not a JSON object"),
        ("POST", "/queue/hold", b"{", 400, "not JSON"),
        ("POST", "/queue/hold", b"[" * 100_000, 400, "not JSON"),
        ("POST", "/queue/explode", b'{"all": true}', 400, "there is no verb 'explode'"),
        ("POST", "/status", b"", 405, "this cannot be done with it"),
        ("GET", "/nowhere", b"", 404, "there is no such thing here"),
        ("GET", "/trace", b"", 400, "text: a queue id"),
        ("GET", "/trace?text=x&limit=1001", b"", 400, "limit"),
        ("GET", "/route?sender=a%40b.example&recipient=nobody", b"", 400, "recipient: there is no @"),
        ("GET", "/route?sender=@&recipient=a@b.example", b"", 400, "sender: "),
        ("GET", "/route?recipient=a@b.example&recipient=c@b.example", b"", 400, "recipient: one is wanted"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    site: Site, office: Office, method: str, target: str, body: bytes, status: int, sentence: str
) -> None:
    answer = ask(site, method, target, body)
    assert answer.status == status
    assert sentence in answer.document["error"]
    assert not office.events


def test_one_message_in_full_and_what_it_waits_for(site: Site) -> None:
    document = ask(site, "GET", "/queue/0a").document
    assert document["recipients"] == [
        {
            "address": "b@world.example",
            "progress": "waiting",
            "attempts": 1,
            "due": "2027-01-15T08:04:00.000Z",
            "warned": None,
            "notify": [],
            "orcpt": "",
            "rerouted": "",
            "ordered": "",
            "last": {
                "status": "deferred",
                "reply": "451 4.3.0 try later",
                "remote": False,
                "host": "",
                "address": "",
                "tls": "",
            },
        }
    ]
    why = ask(site, "GET", "/queue/0a/why").document
    assert (why["id"], why["state"]) == ("0a", "waiting")
    assert "try later" in why["why"]


def test_orders_are_carried_out_and_journaled(site: Site, office: Office) -> None:
    answer = ask(site, "POST", "/queue/hold", json.dumps({"sender": ["example.com"], "reason": "a look"}).encode())
    messages = [{"id": "0a", "done": True, "message": "held: a look"}]
    assert answer.document == {"verb": "hold", "messages": messages, "after": ""}
    assert office.events == [Operated(queue_id="0a", verb="hold", reason="a look")]
    assert ids(ask(site, "GET", "/queue?held=true")) == ["0a", "0b"]
    released = ask(site, "POST", "/queue/release", b'{"all": true}')
    assert ids(released) == ["0a", "0b", "0c"]
    assert ids(ask(site, "GET", "/queue?held=true")) == []
    assert ask(site, "POST", "/queue/retry", b'{"id": "0a"}').document["messages"][0]["done"] is True
    assert ids(ask(site, "POST", "/queue/remove", b'{"id": ["0b", "0c"]}')) == ["0b", "0c"]
    assert ids(ask(site, "GET", "/queue")) == ["0a"]
    returned = ask(site, "POST", "/queue/bounce", b'{"id": "0a", "reason": "no such partner"}').document["messages"]
    assert returned == [{"id": "0a", "done": True, "message": "returned to the sender: 1 recipient"}]
    assert ids(ask(site, "GET", "/queue")) == ["report"]


def test_an_order_for_a_message_that_is_not_there_says_so(site: Site) -> None:
    (answer,) = ask(site, "POST", "/queue/retry", b'{"id": ["zz"]}').document["messages"]
    assert answer == {"id": "zz", "done": False, "message": "there is no such message"}


def test_a_failing_spool_is_503_with_its_own_words(site: Site, office: Office) -> None:
    office.spool.broken = "the disk is full"
    answer = ask(site, "GET", "/queue")
    assert (answer.status, answer.document) == (503, {"error": "the disk is full"})


def test_what_breaks_inside_is_500_without_its_words(office: Office, site: Site) -> None:
    office.config = None  # type: ignore[assignment]  # anything that raises what nobody expects
    answer = ask(site, "GET", "/status")
    assert answer.status == 500
    assert answer.document["error"] == "this failed inside the service (AttributeError); its log tells more"


def test_trace_answers_the_journals_lines(site: Site, office: Office) -> None:
    office.traced = [{"time": "t", "event": "connected"}, {"time": "u", "event": "accepted"}]
    assert ask(site, "GET", "/trace?text=known").document == {"events": office.traced}
    assert ask(site, "GET", "/trace?text=known&limit=1").document == {"events": office.traced[:1]}
    assert ask(site, "GET", "/trace?text=other").document == {"events": []}


def test_reload_says_what_is_wrong(site: Site, office: Office) -> None:
    assert ask(site, "POST", "/reload").document == {"reloaded": True, "problems": [], "waiting": []}
    office.waiting = ["listener mx"]
    assert ask(site, "POST", "/reload").document == {"reloaded": True, "problems": [], "waiting": ["listener mx"]}
    office.waiting = []
    office.problems = ["listener[1].tls: found …"]
    assert ask(site, "POST", "/reload").document == {
        "reloaded": False,
        "problems": ["listener[1].tls: found …"],
        "waiting": [],
    }


def test_filters_in_their_order(site: Site) -> None:
    (use,) = ask(site, "GET", "/filters").document["filters"]
    assert (use["name"], use["use"], use["listeners"], use["mode"]) == ("spf", "spf", ["mx"], "enforce")


def test_metrics_are_prometheus_text(site: Site) -> None:
    answer = ask(site, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'relaygw_events_total{detail="received",event="accepted"} 3.0' in answer.text
    assert 'relaygw_authentication_total{method="spf",result="pass"} 2.0' in answer.text
    assert 'event="authentication"' not in answer.text
    assert "relaygw_queue_active 1.0" in answer.text
    assert "relaygw_messages 2.0" in answer.text
    assert "pid" not in answer.text


def test_a_body_up_to_the_limit_is_read_and_one_octet_more_is_not(site: Site) -> None:
    fits = b'{"id": "zz"}'.ljust(MAX_BODY)
    assert ask(site, "POST", "/queue/hold", fits).status == 200
    assert ask(site, "POST", "/queue/hold", fits + b" ").status == 413
    head = b"POST /queue/hold HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    assert send(site, head + chunk * 15 + b"c\r\n" + b'{"id": "zz"}' + b"\r\n0\r\n\r\n").status == 200
    assert send(site, head + chunk * 16 + b"1\r\n \r\n0\r\n\r\n").status == 413


def test_destinations_are_listed_and_found_by_name_and_what_cannot_be_meant_is_refused(site: Site) -> None:
    assert ask(site, "GET", "/destinations?all=true").document == {"destinations": [], "left_off": 0}
    assert ask(site, "GET", "/destinations?name=example.com").document["destinations"] == []
    assert ask(site, "GET", "/destinations?nmae=x").status == 400
