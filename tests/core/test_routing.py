"""The routing table: the first match wins, every condition works, and mistakes are found before they cost mail."""

import contextlib
import ipaddress
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.config.schema import MatchConfig, RouteConfig
from relaygw.core.address import parse_address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.lifecycle import begin
from relaygw.core.patterns import PatternError
from relaygw.core.record import Record, Route
from relaygw.core.routing import compile_routes, problems

DEFAULT = RouteConfig(transport="mx", name="default")
DOMAINS, RELAYED = ("here.example",), ("relayed.example",)


def message(**known: Any) -> Record:
    """A message from alice@example.org; `known` sets client, login, listener, findings."""
    record = begin(queue_id="q", envelope=Envelope(sender=parse_address("alice@example.org")), now=0.0)
    return attrs.evolve(record, **known)


def chosen(match: MatchConfig, recipient: str = "bob@example.com", record: Record | None = None) -> bool:
    """Whether a rule with this match is chosen before the default."""
    routing = compile_routes((RouteConfig(transport="t", name="special", match=match), DEFAULT), DOMAINS, RELAYED)
    to = Recipient(address=parse_address(recipient))
    record = record or message()
    route = routing.choose(record, to)
    explained = routing.explain(record, to)
    assert explained.route == route, "the explanation and the decision differ"
    assert route is not None
    return route.name == "special"


@pytest.mark.parametrize(
    ("pattern", "recipient", "matches"),
    [
        ("example.com", "bob@example.com", True),
        ("EXAMPLE.com", "bob@Example.COM", True),
        ("example.com", "bob@sub.example.com", False),
        ("@Example.com", "bob@example.com", True),
        ("@example.com", "bob@sub.example.com", False),
        (".example.com", "bob@sub.example.com", True),
        (".example.com", "bob@a.b.example.com", True),
        (".example.com", "bob@example.com", False),
        (".example.com", "bob@badexample.com", False),
        ("bob@example.com", "bob@example.com", True),
        ("Bob@example.com", "bOB@example.com", True),
        ("bob@example.com", "eve@example.com", False),
        ('"b c"@example.com', '"b c"@example.com', True),
        ("local", "x@here.example", True),
        ("local", "x@relayed.example", False),
        ("relay", "x@relayed.example", True),
        ("relay", "x@elsewhere.example", False),
        ("bücher.example", "x@xn--bcher-kva.example", True),
        ("[192.0.2.1]", "x@[192.0.2.1]", True),
    ],
)
def test_recipient_patterns(pattern: str, recipient: str, matches: bool) -> None:
    assert chosen(MatchConfig(recipient=(pattern,)), recipient) is matches


@pytest.mark.parametrize(
    ("pattern", "sender", "matches"),
    [
        ("<>", None, True),
        ("<>", "alice@example.org", False),
        ("example.org", "alice@example.org", True),
        ("example.org", None, False),
        ("alice@example.org", "alice@example.org", True),
    ],
)
def test_sender_patterns(pattern: str, sender: str | None, matches: bool) -> None:
    envelope = Envelope(sender=None if sender is None else parse_address(sender))
    record = begin(queue_id="q", envelope=envelope, now=0.0)
    assert chosen(MatchConfig(sender=(pattern,)), record=record) is matches


@pytest.mark.parametrize(
    ("match", "known", "matches"),
    [
        (MatchConfig(login=("app", "cron")), {"login": "cron"}, True),
        (MatchConfig(login=("app",)), {"login": "App"}, False),
        (MatchConfig(login=("app",)), {}, False),
        (MatchConfig(listener=("submission",)), {"listener": "submission"}, True),
        (MatchConfig(header_from=(".example.net",)), {"header_from": "news.example.net"}, True),
        (MatchConfig(header_from=("example.net", "local")), {"header_from": "example.org"}, False),
        (MatchConfig(header_from=("example.net",)), {}, False),
        (MatchConfig(larger_than=100), {"size": 101}, True),
        (MatchConfig(larger_than=100), {"size": 100}, False),
        (MatchConfig(smaller_than=100), {"size": 99}, True),
        (MatchConfig(smaller_than=100), {"size": 100}, False),
        (MatchConfig(quarantined="yes"), {"quarantined": True}, True),
        (MatchConfig(quarantined="yes"), {}, False),
        (MatchConfig(quarantined="no"), {}, True),
        (MatchConfig(quarantined="no"), {"quarantined": True}, False),
        (MatchConfig(listener=("submission",)), {"listener": "mx"}, False),
        (MatchConfig(client=(ipaddress.ip_network("192.0.2.0/24"),)), {"client": "192.0.2.7"}, True),
        (MatchConfig(client=(ipaddress.ip_network("192.0.2.0/24"),)), {"client": "192.0.3.7"}, False),
        (MatchConfig(client=(ipaddress.ip_network("192.0.2.0/24"),)), {"client": "::ffff:192.0.2.7"}, True),
        (MatchConfig(client=(ipaddress.ip_network("2001:db8::/32"),)), {"client": "2001:db8::1"}, True),
        (MatchConfig(client=(ipaddress.ip_network("0.0.0.0/0"),)), {"client": ""}, False),
        (MatchConfig(finding=("dmarc=fail", "spf=fail")), {"findings": ("dkim=none", "dmarc=fail")}, True),
        (MatchConfig(finding=("dmarc=fail",)), {"findings": ("dmarc=pass",)}, False),
        (MatchConfig(finding=("dmarc=fail",)), {}, False),
    ],
)
def test_conditions_on_the_session(match: MatchConfig, known: dict[str, Any], matches: bool) -> None:
    assert chosen(match, record=message(**known)) is matches


JUNK = MatchConfig(quarantined="yes", recipient=("example.com",))


@pytest.mark.parametrize(
    ("match", "recipients", "wanted"),
    [
        (JUNK, ["a@example.com"], True),
        (JUNK, ["a@example.com", "b@example.com"], True),
        (JUNK, ["a@example.com", "b@example.net"], False),
        (JUNK, ["b@example.net"], False),
        (MatchConfig(recipient=("example.com",)), ["a@example.com"], False),
        (MatchConfig(quarantined="yes", header={"X-Spam": "yes"}), ["a@example.com"], True),
        (MatchConfig(quarantined="yes", header={"X-Spam": "no"}), ["a@example.com"], False),
    ],
)
def test_whether_routes_ask_for_what_is_in_quarantine(match: MatchConfig, recipients: list[str], wanted: bool) -> None:
    routes = (RouteConfig(transport="maildir", match=match), DEFAULT)
    envelope = Envelope(sender=None, recipients=tuple(Recipient(address=parse_address(each)) for each in recipients))
    record = begin(queue_id="q", envelope=envelope, now=0.0, quarantined=True)
    assert compile_routes(routes, DOMAINS, RELAYED).wants(record, b"X-Spam: yes\r\n") is wanted


def test_all_conditions_must_hold() -> None:
    match = MatchConfig(recipient=("example.com",), login=("app",))
    assert chosen(match, record=message(login="app"))
    assert not chosen(match, record=message(login="other"))
    assert not chosen(match, "bob@example.net", record=message(login="app"))


def test_the_first_match_wins() -> None:
    routes = (
        RouteConfig(transport="a", match=MatchConfig(recipient=("bob@example.com",))),
        RouteConfig(transport="b", match=MatchConfig(recipient=("example.com",))),
        DEFAULT,
    )
    routing = compile_routes(routes)
    found = [
        routing.choose(message(), Recipient(address=parse_address(f"{name}@{domain}")))
        for name, domain in (("bob", "example.com"), ("eve", "example.com"), ("eve", "example.net"))
    ]
    assert [route.transport for route in found if route is not None] == ["a", "b", "mx"]


def test_a_message_that_nothing_matches_has_no_route() -> None:
    routing = compile_routes((RouteConfig(transport="a", match=MatchConfig(login=("app",))),))
    recipient = Recipient(address=parse_address("bob@example.com"))
    assert routing.choose(message(), recipient) is None
    assert routing.explain(message(), recipient).route is None


def test_the_explanation_names_every_rule_tried_and_why() -> None:
    routes = (
        RouteConfig(transport="maildir", name="mailboxes", match=MatchConfig(recipient=("local",))),
        RouteConfig(transport="smarthost", match=MatchConfig(sender=("example.org",), recipient=(".example.com",))),
        DEFAULT,
    )
    routing = compile_routes(routes, DOMAINS)
    choice = routing.explain(message(), Recipient(address=parse_address("bob@a.example.com")))
    assert [(step.rule, step.matched) for step in choice.tried] == [
        ("route 1 (mailboxes)", False),
        ("route 2 (smarthost)", True),
    ]
    assert choice.tried[0].why == "recipient <bob@a.example.com> matches none of its patterns"
    assert choice.tried[1].why == (
        "recipient <bob@a.example.com> matches '.example.com'; sender <alice@example.org> matches 'example.org'"
    )
    last = routing.explain(message(), Recipient(address=parse_address("bob@example.net")))
    assert last.tried[-1].why == "it matches everything"


def test_parameters_are_sorted_and_hashable() -> None:
    config = RouteConfig(transport="t", parameters={"b": [1, {"x": [2]}], "a": "y"})
    route = compile_routes((config,)).rules[0].route
    assert route == Route(transport="t", parameters=(("a", "y"), ("b", (1, (("x", (2,)),)))), name="route 1")
    assert hash(route) == hash(route)


class TestProblems:
    """What is refused when the configuration is read."""

    def test_a_sound_table_has_none(self) -> None:
        local = RouteConfig(transport="maildir", match=MatchConfig(recipient=("local",)))
        assert problems((local, DEFAULT), DOMAINS) == ()

    def test_local_without_local_domains_is_harmless(self) -> None:
        local = RouteConfig(transport="maildir", match=MatchConfig(recipient=("local",)))
        assert problems((local, DEFAULT)) == ()

    def test_a_missing_default(self) -> None:
        (problem,) = problems((RouteConfig(transport="a", match=MatchConfig(login=("x",))),))
        assert "default" in problem

    def test_no_routes_at_all(self) -> None:
        assert len(problems(())) == 1

    @pytest.mark.parametrize(
        ("wide", "narrow"),
        [
            (MatchConfig(), MatchConfig(login=("x",))),
            (MatchConfig(recipient=("example.com",)), MatchConfig(recipient=("bob@example.com",))),
            (MatchConfig(recipient=(".com",)), MatchConfig(recipient=(".example.com", "example.com"))),
            (MatchConfig(recipient=("local",)), MatchConfig(recipient=("here.example",), login=("x",))),
            (MatchConfig(login=("x", "y")), MatchConfig(login=("y",))),
            (MatchConfig(sender=("<>", "a.example")), MatchConfig(sender=("<>",))),
            (MatchConfig(larger_than=10), MatchConfig(larger_than=20, quarantined="yes")),
            (MatchConfig(smaller_than=20), MatchConfig(smaller_than=10)),
            (MatchConfig(header_from=("a.example",)), MatchConfig(header_from=("a.example",), login=("x",))),
            (
                MatchConfig(client=(ipaddress.ip_network("10.0.0.0/8"),)),
                MatchConfig(client=(ipaddress.ip_network("10.1.0.0/16"),)),
            ),
        ],
    )
    def test_a_rule_that_can_never_be_reached(self, wide: MatchConfig, narrow: MatchConfig) -> None:
        routes = [RouteConfig(transport="a", match=wide), RouteConfig(transport="b", match=narrow), DEFAULT]
        found = problems(routes, DOMAINS)
        assert any("route 2 (b) can never be reached: route 1 (a)" in problem for problem in found)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (MatchConfig(recipient=("bob@example.com",)), MatchConfig(recipient=("example.com",))),
            (MatchConfig(recipient=(".example.com",)), MatchConfig(recipient=("example.com",))),
            (MatchConfig(login=("x",)), MatchConfig(recipient=("example.com",))),
            (MatchConfig(sender=("<>",)), MatchConfig(sender=("a.example",))),
            (MatchConfig(larger_than=20), MatchConfig(larger_than=10)),
            (MatchConfig(smaller_than=10), MatchConfig(smaller_than=20)),
            (MatchConfig(smaller_than=10), MatchConfig(larger_than=5)),
            (MatchConfig(quarantined="yes"), MatchConfig(quarantined="no")),
            (
                MatchConfig(client=(ipaddress.ip_network("10.0.0.0/8"),)),
                MatchConfig(client=(ipaddress.ip_network("::/0"),)),
            ),
        ],
    )
    def test_rules_that_only_overlap_are_fine(self, first: MatchConfig, second: MatchConfig) -> None:
        routes = [RouteConfig(transport="a", match=first), RouteConfig(transport="b", match=second), DEFAULT]
        assert problems(routes, DOMAINS) == ()

    def test_two_rules_of_one_name(self) -> None:
        routes = (RouteConfig(transport="a", name="default", match=MatchConfig(login=("x",))), DEFAULT)
        assert problems(routes) == ("route 2 (default) has the same name as route 1 (default)",)

    @pytest.mark.parametrize(
        "pattern",
        ["", "@", "@.example.com", "*.example.com", "*@example.com", "*", "exa mple.com", ".", "a@b@c", "bob@"],
    )
    def test_wrong_patterns_are_named_with_their_route(self, pattern: str) -> None:
        (problem,) = problems((RouteConfig(transport="a", match=MatchConfig(recipient=(pattern,))), DEFAULT))
        assert problem.startswith("route 1 (a): ")
        assert repr(pattern) in problem
        with pytest.raises(PatternError):
            compile_routes((RouteConfig(transport="a", match=MatchConfig(recipient=(pattern,))),))

    def test_the_null_sender_is_no_recipient(self) -> None:
        (problem,) = problems((RouteConfig(transport="a", match=MatchConfig(recipient=("<>",))), DEFAULT))
        assert "never a recipient" in problem


@given(st.lists(st.text(max_size=12), max_size=4), st.lists(st.text(max_size=12), max_size=4))
def test_any_patterns_give_a_table_or_a_pattern_error(recipient: list[str], sender: list[str]) -> None:
    match = MatchConfig(recipient=tuple(recipient), sender=tuple(sender))
    routes: Any = (RouteConfig(transport="a", match=match),)
    assert all(isinstance(problem, str) for problem in problems(routes))
    with contextlib.suppress(PatternError):
        compile_routes(routes)
