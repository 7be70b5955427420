"""Conditions on header fields: what they match, how much is read, and that no stranger's text makes them slow."""

import fnmatch
from typing import Any

import pytest
from effort import costs_less_than
from hypothesis import given
from hypothesis import strategies as st

from relaygw.config.schema import MatchConfig, RouteConfig
from relaygw.core.address import parse_address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.glob import MAX_PATTERN, compile_glob
from relaygw.core.header_match import MAX_VALUE, MAX_VALUES, compile_conditions, look_for
from relaygw.core.lifecycle import begin
from relaygw.core.routing import compile_routes, problems

HEAD = (
    b"Subject: [Invoice] nine\r\n of ten\r\nX-Spam : YES\r\nList-Id: Us <us.lists.test>\r\n"
    b"x-spam: maybe\r\nX-Empty:\r\n"
)
DEFAULT = RouteConfig(transport="mx", name="default")


def holds(head: bytes = HEAD, **table: Any) -> bool:
    conditions = compile_conditions({name.replace("_", "-"): value for name, value in table.items()})
    return look_for(conditions).find(head) == frozenset(conditions)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"X_Spam": "yes"}, True),
        ({"x_spam": "MAYBE"}, True),
        ({"X_Spam": "no"}, False),
        ({"X_Spam": ["no", "yes"]}, True),
        ({"Subject": "[invoice]*"}, True),
        ({"Subject": "*nine of*"}, True),
        ({"Subject": "invoice"}, False),
        ({"List_Id": "*<*.lists.test>"}, True),
        ({"X_Empty": "*"}, True),
        ({"X_Empty": ""}, False),
        ({"X_Gone": ""}, True),
        ({"X_Gone": ["", "a"]}, True),
        ({"X_Gone": "*"}, False),
        ({"X_Spam": "yes", "X_Gone": "*"}, False),
        ({"X_Spam": "yes", "X_Gone": ""}, True),
    ],
)
def test_conditions(table: dict[str, Any], expected: bool) -> None:
    assert holds(**table) is expected


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_a_pattern_means_what_shells_mean(pattern: str, text: str) -> None:
    assert compile_glob(pattern).match(text) is fnmatch.fnmatchcase(text, pattern)


def test_a_long_text_and_many_asterisks_take_no_time() -> None:
    glob = compile_glob("*a" * (MAX_PATTERN // 2 - 1) + "*b")

    def matched() -> None:
        for _ in range(20):
            assert not glob.match("a" * MAX_VALUE)

    costs_less_than(0.5, matched)


@pytest.mark.parametrize(("count", "expected"), [(MAX_VALUES, True), (MAX_VALUES + 1, False)])
def test_so_many_fields_of_a_name_are_read(count: int, expected: bool) -> None:
    assert holds(b"X-A: no\r\n" * (count - 1) + b"X-A: yes\r\n", X_A="yes") is expected


def test_so_much_of_a_value_is_read() -> None:
    assert holds(b"X-A: " + b"a" * (MAX_VALUE - 1) + b"b\r\n", X_A="*b")
    assert not holds(b"X-A: " + b"a" * MAX_VALUE + b"b\r\n", X_A="*b")


@given(st.binary(max_size=80))
def test_any_header_section_is_read(head: bytes) -> None:
    assert holds(head, X_A=["*", ""])


def route(name: str, **header: Any) -> RouteConfig:
    table = {field.replace("_", "-"): value for field, value in header.items()}
    return RouteConfig(transport="t", name=name, match=MatchConfig(header=table))


def test_a_route_is_chosen_by_header_and_explained() -> None:
    routing = compile_routes((route("spam", X_Spam="yes", X_Gone=""), DEFAULT))
    recipient = Recipient(address=parse_address("b@there.test"))
    record = begin(queue_id="q", envelope=Envelope(sender=None, recipients=(recipient,)), now=0.0)
    for head, name in ((HEAD, "spam"), (b"X-Spam: no\r\n", "default"), (b"", "default")):
        found = routing.headers.find(head)
        chosen = routing.choose(record, recipient, found)
        explained = routing.explain(record, recipient, found)
        assert chosen is not None
        assert explained.route == chosen
        assert chosen.name == name
    assert "has not x-gone" in routing.explain(record, recipient).tried[0].why
    assert not compile_routes((DEFAULT,)).headers


@pytest.mark.parametrize(
    ("header", "wrong"),
    [
        ({"a b": "x"}, "is not the name of a header field"),
        ({"X-A": 7}, "wants a pattern"),
        ({"X-A": []}, "wants a pattern"),
        ({"X-A": ["a", 1]}, "wants a pattern"),
        ({"X-A": "a" * (MAX_PATTERN + 1)}, "at most 500"),
        ({"X-A": "a\nb"}, "control"),
    ],
)
def test_what_is_no_condition_is_told_with_its_route(header: Any, wrong: str) -> None:
    (problem,) = problems((RouteConfig(transport="t", name="n", match=MatchConfig(header=header)), DEFAULT))
    assert problem.startswith("route 1 (n): ")
    assert wrong in problem


@pytest.mark.parametrize(
    ("wide", "narrow", "dead"),
    [
        ({"X_A": "*"}, {"X_A": "yes"}, True),
        ({"X_A": ["yes", "no"]}, {"x_a": "YES"}, True),
        ({"X_A": "yes"}, {"X_A": "yes", "X_B": "*"}, True),
        ({"X_A": "yes"}, {"X_A": ["yes", "no"]}, False),
        ({"X_A": "*"}, {"X_A": ""}, False),
        ({"X_A": "yes", "X_B": "*"}, {"X_A": "yes"}, False),
        ({"X_A": "*"}, {}, False),
        ({}, {"X_A": "*"}, True),
    ],
)
def test_a_rule_that_is_never_reached_is_found(wide: Any, narrow: Any, dead: bool) -> None:
    found = problems((route("wide", **wide), route("narrow", **narrow), DEFAULT))
    assert any("narrow) can never be reached" in each for each in found) is dead
