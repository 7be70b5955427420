"""Every event becomes one line of JSON, whatever peers put into it: bounded, escaped, counted, findable."""

import json
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.core import events
from relaygw.core.address import Address
from relaygw.core.events import (
    Accepted,
    Attempted,
    Connected,
    Event,
    Judged,
    LoginRefused,
    Refused,
    Reported,
    Rewritten,
)
from relaygw.core.outcome import Outcome, Status
from relaygw.core.reply import Reply
from relaygw.journal.line import MAX_ITEMS, MAX_TEXT, count_of, event_name, make_line, timestamp
from relaygw.journal.story import _TELLERS, plain, tell

KINDS = [
    kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
]
hostile = st.text(st.characters(), max_size=30) | st.just("\r\n250 \x1b[2J\x00\u2028\udcff") | st.just("x" * 2000)
outcomes = st.builds(
    Outcome,
    recipient=st.builds(Address, hostile, hostile),
    status=st.sampled_from(Status),
    reply=st.builds(Reply, st.integers(200, 599), hostile, hostile),
    host=hostile,
    remote=st.booleans(),
)
BY_TYPE = {
    str: hostile,
    int: st.integers(0, 1 << 40),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    float | None: st.none() | st.floats(),
    tuple[str, ...]: st.lists(hostile, max_size=3).map(tuple) | st.just(("a@example.org",) * 200),
    Outcome: outcomes,
}


def any_event(kind: type[Event]) -> st.SearchStrategy[Event]:
    return st.builds(kind, **{name: BY_TYPE[hint] for name, hint in get_type_hints(kind).items()})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_every_event_is_one_bounded_line_of_ascii_and_one_printable_sentence(
    kind: type[Event], data: st.DataObject
) -> None:
    event = data.draw(any_event(kind))
    line = make_line(event, 1_800_000_000.5)
    assert line.text.isascii()
    assert line.text.isprintable()
    assert len(line.text) < 6 * (MAX_TEXT * 10 + MAX_ITEMS * 40)
    told = json.loads(line.text)
    assert told["event"] == event_name(kind) == count_of(event)[0]
    assert all(key == key.lower() and len(key) <= MAX_TEXT for key in line.keys)
    [day, sentence] = tell([told])
    assert day == "2027-01-15"
    assert sentence.isprintable()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_has_its_sentence(kind: type[Event]) -> None:
    assert event_name(kind) in _TELLERS


def test_the_shape() -> None:
    recipients = ("b@example.net", "c@example.net")
    event = Accepted(
        session="s1", queue_id="q1", origin="received", sender="a@example.org", recipients=recipients, size=2048
    )
    line = make_line(event, 1_763_876_093.12)
    assert line.text == (
        '{"time":"2025-11-23T05:34:53.120Z","event":"accepted","session":"s1","queue_id":"q1","origin":"received",'
        '"sender":"a@example.org","recipients":["b@example.net","c@example.net"],"size":2048}'
    )
    assert line.keys == ("s1", "q1", "a@example.org", "b@example.net", "c@example.net")
    assert count_of(event) == ("accepted", "received")


def test_an_outcome_lies_flat() -> None:
    outcome = Outcome(
        recipient=Address("b c", "example.net"), status=Status.DEFERRED, reply=Reply(451, "4.3.0", "later\nplease"),
        remote=True, host="mx.example.net", address="192.0.2.9", tls="TLSv1.3", uncertain=True,
    )  # fmt: skip
    event = Attempted(
        queue_id="q",
        outcome=outcome,
        transport="mx",
        route="all",
        attempts=2,
        seconds=0.12345,
        next_due=1_763_876_093.0,
    )
    told = json.loads(make_line(event, 0.0).text)
    assert told == {
        "time": "1970-01-01T00:00:00.000Z",
        "event": "attempted",
        "queue_id": "q",
        "recipient": '"b c"@example.net',
        "status": "deferred",
        "reply": "451 4.3.0 later please",
        "host": "mx.example.net",
        "address": "192.0.2.9",
        "tls": "TLSv1.3",
        "remote": True,
        "uncertain": True,
        "transport": "mx",
        "route": "all",
        "attempts": 2,
        "seconds": 0.123,
        "next_due": "2025-11-23T05:34:53.000Z",
    }


@pytest.mark.parametrize(("length", "cut"), [(MAX_TEXT, False), (MAX_TEXT + 1, True)])
def test_a_text_is_cut_beyond_the_limit(length: int, cut: bool) -> None:
    told = json.loads(make_line(Connected(listener="mx", client="x" * length), 0.0).text)
    assert len(told["client"]) == MAX_TEXT
    assert told["client"].endswith("…") is cut


@pytest.mark.parametrize(("count", "cut"), [(MAX_ITEMS, False), (MAX_ITEMS + 1, True)])
def test_a_list_is_cut_beyond_the_limit_and_still_found_by_all(count: int, cut: bool) -> None:
    names = tuple(f"r{number}@example.org" for number in range(count))
    line = make_line(Reported(kind="failure", report_id="r", recipients=names), 0.0)
    told = json.loads(line.text)
    assert told["recipients"] == list(names[:MAX_ITEMS])
    assert told.get("recipients_count") == (count if cut else None)
    assert set(names) < set(line.keys)


def test_details_are_a_closed_set() -> None:
    assert count_of(Refused(command="RCPT", reply="550 5.7.1 no")) == ("refused", "5xx")
    assert count_of(Refused(command="RCPT", reply="451 4.3.0 no")) == ("refused", "4xx")
    assert count_of(Judged(filter="spf", phase="mail", action="reject", reason="x")) == ("judged", "spf reject")
    refused = LoginRefused(login="x", mechanism="PLAIN", client="192.0.2.1", reason="y")
    assert count_of(refused) == ("login_refused", "")


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e300])
def test_times_beyond_the_calendar_are_never(value: float) -> None:
    assert timestamp(value) == "never"


def test_what_is_zero_is_told_and_what_is_empty_is_left_out() -> None:
    told = json.loads(make_line(Connected(listener="", client="c", port=0), 0.0).text)
    assert told == {"time": "1970-01-01T00:00:00.000Z", "event": "connected", "client": "c", "port": 0}


@given(st.text(st.characters()))
def test_plain_is_printable(text: str) -> None:
    assert plain(text).isprintable()


def test_a_story() -> None:
    outcome = Outcome(
        recipient=Address("b", "example.net"), status=Status.DELIVERED, reply=Reply(250, "2.0.0", "Ok\x1b[0m"),
        remote=True, host="mx.example.net", address="192.0.2.9", tls="TLSv1.3",
    )  # fmt: skip
    told = [
        Connected(session="s", listener="mx", client="192.0.2.1"),
        Accepted(session="s", queue_id="q", origin="received", sender="", recipients=("b@example.net",), size=9),
        Attempted(queue_id="q", outcome=outcome, transport="mx", route="all", attempts=1, seconds=0.5),
    ]
    lines = [json.loads(make_line(event, 86399.0 + number).text) for number, event in enumerate(told)]
    assert tell(lines) == [
        "1970-01-01",
        "23:59:59.000  ingress  s  mx accepts 192.0.2.1",
        "1970-01-02",
        "00:00:00.000  spool    q  committed (received): from <> to <b@example.net>, 9 octets",
        "00:00:01.000  egress   q  delivered at attempt 1 to <b@example.net> by mx.example.net [192.0.2.9] "
        "over TLSv1.3: 250 2.0.0 Ok?[0m (0.5 s)",
    ]


def test_what_is_rewritten_on_its_way_out_is_told_of_egress() -> None:
    for route, part in (("", "ingress"), ("rest", "egress")):
        line = make_line(Rewritten(queue_id="q", rewriter="tidy", sender="<a@b.test>", route=route), 0.0)
        (_, told) = tell([json.loads(line.text)])
        assert f"  {part} " in told
        assert ("for the route rest" in told) is bool(route)
