"""Where an operator may send mail instead: a route by name or hosts; anything else is one DetourError."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.detour import MAX_HOSTS, DetourError, parse_detour, route_of
from relaygw.core.record import Detour, Route

ROUTES = ("backup", "route 3")


@pytest.mark.parametrize(
    ("words", "detour"),
    [
        (["backup"], Detour(route="backup")),
        (["route 3"], Detour(route="route 3")),
        (["MX.Example.NET"], Detour(hosts=("mx.example.net",))),
        (["mx.example.net:2525", "192.0.2.1"], Detour(hosts=("mx.example.net:2525", "192.0.2.1"))),
        (["2001:db8::1"], Detour(hosts=("[2001:db8::1]",))),
        (["[2001:DB8::1]:25"], Detour(hosts=("[2001:db8::1]:25",))),
        (["localhost:10025"], Detour(hosts=("localhost:10025",))),
        (["127.0.0.1:25"], Detour(hosts=("127.0.0.1:25",))),
    ],
)
def test_words_that_name_a_next_hop(words: list[str], detour: Detour) -> None:
    assert parse_detour(words, ROUTES) == detour


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "is wanted"),
        (["backp"], "no route of the configuration, and a host has a dot"),
        (["backup", "mx.example.net"], "goes alone"),
        (["mx.example.net:0"], "a port from 1 to 65535"),
        (["mx.example.net:65536"], "a port from 1 to 65535"),
        (["mx.example.net:smtp"], "a port from 1 to 65535"),
        (["[2001:db8::1"], "is not a host"),
        (["[mx.example.net]"], "is not an address"),
        (["a b.example"], "neither a route"),
        (["mx.example.net"] * (MAX_HOSTS + 1), "at most"),
    ],
)
def test_words_that_name_none(words: list[str], why: str) -> None:
    with pytest.raises(DetourError, match=why):
        parse_detour(words, ROUTES)


@given(st.lists(st.text(max_size=30), max_size=3))
def test_any_words_are_a_detour_or_one_error(words: list[str]) -> None:
    try:
        detour = parse_detour(words, ROUTES)
    except DetourError:
        return
    assert bool(detour.route) != bool(detour.hosts)
    assert parse_detour(detour.hosts or [detour.route], ROUTES) == detour


def test_a_named_route_is_the_configuration_s_and_hosts_are_a_smarthost_s() -> None:
    backup = Route(transport="smarthost", name="backup")
    assert route_of(Detour(route="backup"), {"backup": backup}.get) is backup
    assert route_of(Detour(route="gone"), {"backup": backup}.get) is None
    made = route_of(Detour(hosts=("a.example:25",)), {}.get)
    assert made == Route(
        transport="smarthost", parameters=(("hosts", ("a.example:25",)),), name="rerouted to a.example:25"
    )
