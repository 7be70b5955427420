"""Where mail for a domain goes, by RFC 5321 5.1 and RFC 7505: as a table of zones and results."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.mx import (
    MAX_ADDRESSES,
    MAX_HOSTS,
    Found,
    Locality,
    Refusal,
    Targets,
    targets_for_domain,
    targets_for_host,
)
from relaygw.core.question import Answer, AnswerStatus, Exchange, Inquiry, Question

Zone = dict[tuple[str, str], Any]
FAILED, NO_NAME, NO_DATA = AnswerStatus.FAILED, AnswerStatus.NO_NAME, AnswerStatus.NO_DATA


def answer(zone: Zone, question: Question) -> Answer:
    found = zone.get((question.name, question.type))
    if isinstance(found, AnswerStatus):
        return Answer(status=found, reason="SERVFAIL" if found is FAILED else "")
    if found is not None:
        return Answer(status=AnswerStatus.FOUND, records=tuple(found))
    return Answer(status=NO_DATA if any(name == question.name for name, _ in zone) else NO_NAME)


def settle(inquiry: Inquiry[Found], zone: Zone) -> tuple[Found, list[Question]]:
    asked: list[Question] = []
    try:
        question = next(inquiry)
        while True:
            asked.append(question)
            question = inquiry.send(answer(zone, question))
    except StopIteration as stop:
        return stop.value, asked


def here(**facts: Any) -> Locality:
    known: dict[str, Any] = {"is_ours": lambda address: address == "192.0.2.99", "shuffle": lambda items: None}
    return Locality(hostname="Relay.example", **(known | facts))


def find(zone: Zone, domain: str = "example.org", **facts: Any) -> list[tuple[str, str]] | str:
    """Hosts and addresses in order, or the refusal as "permanent code" / "temporary code"."""
    found, _ = settle(targets_for_domain(domain, here(**facts)), zone)
    if isinstance(found, Refusal):
        return f"{'permanent' if found.permanent else 'temporary'} {found.enhanced}"
    return [(target.host, target.address) for target in found.targets]


def mx(*exchanges: tuple[int, str]) -> list[Exchange]:
    return [Exchange(preference, host) for preference, host in exchanges]


MX = ("example.org", "MX")
A1, A2, A3 = [("m1.example.org", "192.0.2.1")], [("m2.example.org", "192.0.2.2")], [("m3.example.org", "192.0.2.3")]
HOSTS: Zone = {(f"m{n}.example.org", "A"): [f"192.0.2.{n}"] for n in (1, 2, 3)}


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        # by preference
        ({MX: mx((20, "m2.example.org"), (10, "m1.example.org"))} | HOSTS, A1 + A2),
        # no MX: the domain's own addresses, IPv6 and IPv4 in turn
        (
            {("example.org", "A"): ["192.0.2.5", "192.0.2.6"], ("example.org", "AAAA"): ["2001:db8::5"]},
            [("example.org", a) for a in ("2001:db8::5", "192.0.2.5", "192.0.2.6")],
        ),
        # nothing there
        ({}, "permanent 5.1.2"),
        ({MX: NO_NAME}, "permanent 5.1.2"),
        ({("example.org", "TXT"): []}, "permanent 5.4.4"),
        # RFC 7505
        ({MX: mx((0, ""))}, "permanent 5.1.10"),
        ({MX: mx((0, ""), (10, "m1.example.org"))} | HOSTS, A1),
        # DNS that does not answer is never a decision
        ({MX: FAILED}, "temporary 4.4.3"),
        ({("example.org", "A"): FAILED, ("example.org", "AAAA"): NO_DATA}, "temporary 4.4.3"),
        ({MX: mx((10, "a.example.org"), (20, "gone.example")), ("a.example.org", "A"): FAILED}, "temporary 4.4.3"),
        ({MX: mx((10, "x.example.org"), (20, "m1.example.org")), ("x.example.org", "A"): FAILED} | HOSTS, A1),
        # exchanges without addresses, or that are no names
        ({MX: mx((10, "gone.example.org"))}, "permanent 5.4.4"),
        ({MX: mx((10, "192.0.2.1"))}, "permanent 5.4.4"),
        ({MX: mx((5, "192.0.2.9"), (10, "m1.example.org"))} | HOSTS, A1),
        # ourselves among them: by name, by address; we and all that are not better fall out
        ({MX: mx((10, "m1.example.org"), (20, "relay.example"), (30, "m2.example.org"))} | HOSTS, A1),
        ({MX: mx((10, "relay.example"), (10, "m1.example.org"))} | HOSTS, "permanent 5.4.6"),
        ({MX: mx((10, "a.example.org"), (10, "b.example.org")), ("a.example.org", "A"): ["192.0.2.1"],
          ("b.example.org", "A"): ["192.0.2.99"]}, "permanent 5.4.6"),
        ({MX: mx((5, "relay.example"), (10, "m1.example.org"))} | HOSTS, "permanent 5.4.6"),
        ({("example.org", "A"): ["192.0.2.99"]}, "permanent 5.4.6"),
        ({MX: mx((10, "x.example.org"), (20, "relay.example")), ("x.example.org", "A"): FAILED}, "temporary 4.4.3"),
        # a host named twice counts once, by its best preference
        ({MX: mx((30, "m1.example.org"), (10, "m1.example.org"), (20, "m2.example.org"))} | HOSTS, A1 + A2),
    ],
)  # fmt: skip
def test_the_table(zone: Zone, expected: object) -> None:
    assert find(zone) == expected


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("[192.0.2.7]", [("[192.0.2.7]", "192.0.2.7")]),
        ("[IPv6:2001:db8::7]", [("[IPv6:2001:db8::7]", "2001:db8::7")]),
        ("[192.0.2.99]", "permanent 5.4.6"),
        ("[x]", "permanent 5.1.2"),
    ],
)
def test_an_address_literal_is_its_own_target(domain: str, expected: object) -> None:
    _found, asked = settle(targets_for_domain(domain, here()), {})
    assert asked == []
    assert find({}, domain) == expected


def test_equal_preferences_are_shuffled_and_others_are_not() -> None:
    zone = {MX: mx((10, "m1.example.org"), (10, "m2.example.org"), (20, "m3.example.org"))} | HOSTS
    orders = {tuple(find(zone, shuffle=random.Random(seed).shuffle)) for seed in range(30)}
    assert orders == {tuple(A1 + A2 + A3), tuple(A2 + A1 + A3)}


@pytest.mark.parametrize(("ipv4", "ipv6", "expected"), [(True, False, ["192.0.2.5"]), (False, True, ["2001:db8::5"])])
def test_a_family_can_be_switched_off(ipv4: bool, ipv6: bool, expected: list[str]) -> None:
    zone = {("example.org", "A"): ["192.0.2.5"], ("example.org", "AAAA"): ["2001:db8::5"]}
    assert find(zone, ipv4=ipv4, ipv6=ipv6) == [("example.org", address) for address in expected]


def test_hosts_and_addresses_of_a_hostile_zone_are_bounded() -> None:
    zone: Zone = {MX: mx(*((number, f"h{number}.example.org") for number in range(500)))}
    zone |= {(f"h{number}.example.org", "A"): [f"198.51.100.{each}" for each in range(200)] for number in range(500)}
    found, asked = settle(targets_for_domain("example.org", here()), zone)
    assert isinstance(found, Targets)
    assert len(found.targets) == MAX_HOSTS * MAX_ADDRESSES
    assert len(asked) == 1 + 2 * MAX_HOSTS


@pytest.mark.parametrize(
    ("host", "zone", "expected"),
    [
        ("192.0.2.99", {}, ["192.0.2.99"]),
        ("2001:db8::1", {}, ["2001:db8::1"]),
        ("localhost", {}, ["::1", "127.0.0.1"]),
        ("relay.example", {("relay.example", "A"): ["192.0.2.99"]}, ["192.0.2.99"]),
        ("gone.example", {}, "temporary 4.4.4"),
        ("gone.example", {("gone.example", "A"): FAILED}, "temporary 4.4.3"),
    ],
)
def test_a_host_named_by_the_operator_is_taken_at_its_word(host: str, zone: Zone, expected: object) -> None:
    found, _ = settle(targets_for_host(host, here()), zone)
    if isinstance(found, Refusal):
        assert f"{'permanent' if found.permanent else 'temporary'} {found.enhanced}" == expected
    else:
        assert [target.address for target in found.targets] == expected


NAMES = st.sampled_from(["example.org", "a.example", "b.example", "relay.example", "", "192.0.2.1"])
RECORDS = st.one_of(
    st.sampled_from([FAILED, NO_NAME, NO_DATA]),
    st.lists(
        st.one_of(st.builds(Exchange, st.integers(0, 3), NAMES), st.sampled_from(["192.0.2.1", "192.0.2.99"])),
        max_size=5,
    ),
)


@given(st.dictionaries(st.tuples(NAMES, st.sampled_from(["MX", "A", "AAAA"])), RECORDS, max_size=8), st.randoms())
def test_any_zone_gives_targets_that_are_not_ourselves_or_one_refusal(zone: Zone, chance: random.Random) -> None:
    found, _ = settle(targets_for_domain("example.org", here(shuffle=chance.shuffle)), zone)
    if isinstance(found, Targets):
        assert found.targets
        assert "192.0.2.99" not in {target.address for target in found.targets}
        assert "relay.example" not in {target.host for target in found.targets}
        assert list(found.targets) == sorted(found.targets, key=lambda target: target.preference)
    else:
        assert found.enhanced.startswith("5." if found.permanent else "4.")


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        ({}, [("AAAA", ("A",)), ("A", ())]),
        ({"ipv4": False}, [("AAAA", ())]),
        ({"ipv6": False}, [("A", ())]),
    ],
)
def test_both_families_of_a_host_are_asked_at_the_same_time(
    families: dict[str, bool], expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    """RFC 8305 3: IPv6 first, IPv4 without waiting for its answer; and what is not wanted is not asked."""
    _, asked = settle(targets_for_host("m1.example.org", here(**families)), HOSTS)
    assert [(each.type, tuple(soon.type for soon in each.soon)) for each in asked] == expected
    assert {soon.name for each in asked for soon in each.soon} <= {"m1.example.org"}
