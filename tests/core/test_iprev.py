"""Forward-confirmed reverse DNS as RFC 8601 2.7.3 names its results, under a dict."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.client import parse_client
from relaygw.core.iprev import MAX_ADDRESSES, MAX_NAMES, IprevFinding, IprevResult, auth_result, check_iprev
from relaygw.core.question import Answer, AnswerStatus, Data, Question, settle
from relaygw.core.verdict import AuthResult
from relaygw.dns import FixedResolver

REVERSE = "1.2.0.192.in-addr.arpa"
REVERSE6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"


def find(client: str, records: dict[str, dict[str, list[Data]]], failing: tuple[str, ...] = ()) -> IprevFinding:
    resolver = FixedResolver(records, failing)
    address = parse_client(client)
    assert address is not None
    finding = settle(check_iprev(address), resolver.answer)
    assert len(resolver.asked) <= MAX_NAMES + 1
    return finding


def test_a_name_that_leads_back_passes() -> None:
    finding = find("192.0.2.1", {REVERSE: {"PTR": ["mx.test"]}, "mx.test": {"A": ["192.0.2.9", "192.0.2.1"]}})
    assert (finding.result, finding.name, finding.reason) == (IprevResult.PASS, "mx.test", "")
    assert auth_result(finding) == AuthResult(
        method="iprev", result="pass", reason="mx.test", properties=(("policy.iprev", "192.0.2.1"),)
    )


def test_an_ipv6_client_is_looked_up_by_nibbles_and_compared_as_an_address() -> None:
    records: dict[str, dict[str, list[Data]]] = {
        REVERSE6: {"PTR": ["six.test"]},
        "six.test": {"AAAA": ["2001:DB8:0::1"], "A": ["192.0.2.1"]},
    }
    assert find("2001:db8::1", records).result is IprevResult.PASS


def test_a_mapped_client_is_an_ipv4_one() -> None:
    records: dict[str, dict[str, list[Data]]] = {REVERSE: {"PTR": ["mx.test"]}, "mx.test": {"A": ["192.0.2.1"]}}
    assert find("::ffff:192.0.2.1", records).result is IprevResult.PASS


@pytest.mark.parametrize(
    ("records", "failing", "result", "says"),
    [
        ({}, (), IprevResult.PERMERROR, "192.0.2.1 has no name"),
        ({REVERSE: {"TXT": [b"x"]}}, (), IprevResult.PERMERROR, "192.0.2.1 has no name"),
        ({}, (REVERSE,), IprevResult.TEMPERROR, "looking up the name of 192.0.2.1: the server does not answer"),
        ({REVERSE: {"PTR": ["gone.test"]}}, (), IprevResult.FAIL, "gone.test does not lead back to 192.0.2.1"),
        (
            {REVERSE: {"PTR": ["mx.test"]}, "mx.test": {"A": ["192.0.2.2"]}},
            (),
            IprevResult.FAIL,
            "mx.test does not lead back to 192.0.2.1",
        ),
        (
            {REVERSE: {"PTR": ["slow.test", "mx.test"]}, "mx.test": {"A": ["192.0.2.2"]}},
            ("slow.test",),
            IprevResult.TEMPERROR,
            "looking up the address of slow.test: the server does not answer",
        ),
    ],
)
def test_the_other_results(
    records: dict[str, dict[str, list[Data]]], failing: tuple[str, ...], result: IprevResult, says: str
) -> None:
    finding = find("192.0.2.1", records, failing)
    assert (finding.result, finding.reason, finding.name) == (result, says, "")


def test_a_name_that_fails_does_not_hide_one_that_leads_back() -> None:
    records: dict[str, dict[str, list[Data]]] = {
        REVERSE: {"PTR": ["slow.test", "mx.test"]},
        "mx.test": {"A": ["192.0.2.1"]},
    }
    assert find("192.0.2.1", records, ("slow.test",)).result is IprevResult.PASS


@pytest.mark.parametrize(("position", "result"), [(MAX_NAMES - 1, IprevResult.PASS), (MAX_NAMES, IprevResult.FAIL)])
def test_ten_names_are_looked_at_and_no_eleventh(position: int, result: IprevResult) -> None:
    names = [f"n{number}.test" for number in range(MAX_NAMES + 1)]
    records: dict[str, dict[str, list[Data]]] = {REVERSE: {"PTR": list(names)}}
    records[names[position]] = {"A": ["192.0.2.1"]}
    assert find("192.0.2.1", records).result is result


@pytest.mark.parametrize(
    ("others", "result"), [(MAX_ADDRESSES - 1, IprevResult.PASS), (MAX_ADDRESSES, IprevResult.FAIL)]
)
def test_so_many_addresses_of_a_name_are_compared(others: int, result: IprevResult) -> None:
    """Names of the client's choice, of thousands of addresses each, cost every one of its connections that much."""
    addresses: list[Data] = [*["198.51.100.1"] * others, "192.0.2.1"]
    found = find("192.0.2.1", {REVERSE: {"PTR": ["mx.test"]}, "mx.test": {"A": addresses}})
    assert found.result is result


def test_a_name_given_twice_is_asked_once() -> None:
    resolver = FixedResolver({REVERSE: {"PTR": ["a.test", "a.test"]}})
    settle(check_iprev(ipaddress.ip_address("192.0.2.1")), resolver.answer)
    assert [question.type for question in resolver.asked] == ["PTR", "A"]


ANSWERS = st.builds(
    Answer,
    status=st.sampled_from(AnswerStatus),
    records=st.lists(
        st.one_of(st.text(max_size=20), st.binary(max_size=9)), max_size=20
    ).map(tuple),
    reason=st.text(max_size=400),
)  # fmt: skip


@given(st.ip_addresses(), ANSWERS, st.lists(st.sampled_from(["192.0.2.1", "2001:db8::1"]), max_size=3))
def test_any_answers_give_a_bounded_finding(
    client: ipaddress.IPv4Address | ipaddress.IPv6Address, pointers: Answer, addresses: list[str]
) -> None:
    asked: list[Question] = []

    def answer(question: Question) -> Answer:
        asked.append(question)
        if question.type == "PTR":
            return pointers
        return Answer(status=AnswerStatus.FOUND if addresses else AnswerStatus.NO_DATA, records=tuple(addresses))

    finding = settle(check_iprev(client), answer)
    assert (finding.result is IprevResult.PASS) == bool(finding.name)
    assert len(asked) <= MAX_NAMES + 1
    assert len(finding.reason) <= 300
    auth_result(finding)
