"""MTA-STS by RFC 8461: records, policies and what they allow; any octets are a policy or one error."""

import pytest
from effort import costs_less_than
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.sts import (
    MAX_AGE,
    MAX_PATTERNS,
    MAX_POLICY,
    KeptPolicy,
    Mode,
    StsError,
    StsPolicy,
    parse_policy,
    record_id,
)

GOOD = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        ([b"v=STSv1; id=1"], "1"),
        ([b"v=STSv1;id=1 ; more=x"], "1"),
        ([b"v=STSv1; more=x; id=1;"], "1"),
        ([b"v=spf1 -all", b"v=STSv1; id=1"], "1"),
        ([b"v=STSv1; id=1", b"v=STSv1; id=2"], ""),
        ([b"v=STSv1;"], ""),
        ([b"v=STSv1"], ""),
        ([b"v=STSv2; id=1"], ""),
        ([b"v=STSv1; id="], ""),
        ([b"v=STSv1; id=" + b"a" * 32], "a" * 32),
        ([b"v=STSv1; id=" + b"a" * 33], ""),
        ([b"v=STSv1; id=a-b"], ""),
        ([b"v=STSv1; id=1; id=2"], ""),
        ([b" v=STSv1; id=1"], ""),
        ([], ""),
    ],
)
def test_records(texts: list[object], expected: str) -> None:
    assert record_id(texts) == expected


def test_a_policy() -> None:
    policy = parse_policy(GOOD)
    assert policy == StsPolicy(mode=Mode.ENFORCE, mx=("mail.example.com", "*.example.net"), max_age=604800)
    assert parse_policy("\n".join(policy.lines()).encode()) == policy


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (GOOD.replace(b"STSv1", b"STSv2"), "the version is not STSv1"),
        (GOOD.replace(b"enforce", b"maybe"), "the mode is none of enforce, testing, none"),
        (b"version: STSv1\nmode: enforce\nmax_age: 1\n", "it names no mx"),
        (GOOD.replace(b"604800", b"1w"), "max_age is no number of seconds"),
        (GOOD.replace(b"604800", b"-1"), "max_age is no number of seconds"),
        (GOOD.replace(b"*.example.net", b"*.*.net"), "an mx is no domain name"),
        (GOOD.replace(b"*.example.net", b"mail.*.net"), "an mx is no domain name"),
        (b"<html>", "line 1 is no field"),
        (GOOD + b"\xff: x", "it is not UTF-8"),
        (GOOD + b" " * MAX_POLICY, f"it is longer than {MAX_POLICY} octets"),
        (b"", "the version is not STSv1"),
        (
            GOOD + b"".join(b"mx: m%d.example\n" % n for n in range(MAX_PATTERNS - 1)),
            f"it names more than {MAX_PATTERNS} mx",
        ),
    ],
)
def test_what_is_no_policy(body: bytes, reason: str) -> None:
    with pytest.raises(StsError) as caught:
        parse_policy(body)
    assert str(caught.value) == reason


def test_what_is_lenient() -> None:
    """Line ends of both kinds, unknown fields, spaces, the first of repeated fields, a long age, no mx for none."""
    body = b"version:STSv1\nmode:\t testing \nmode: enforce\nfuture: thing\nmx: A.Example.COM.\nmax_age: 9999999999\n\n"
    assert parse_policy(body) == StsPolicy(mode=Mode.TESTING, mx=("a.example.com",), max_age=MAX_AGE)
    assert parse_policy(b"version: STSv1\nmode: none\nmax_age: 0").mx == ()
    assert (
        len(parse_policy(GOOD + b"".join(b"mx: m%d.example\n" % n for n in range(MAX_PATTERNS - 2))).mx) == MAX_PATTERNS
    )


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("other.example.com", False),
        ("a.example.net", True),
        ("b.a.example.net", False),
        ("example.net", False),
        ("*.example.net", True),
        ("", False),
    ],
)
def test_a_wildcard_is_one_label(host: str, allowed: bool) -> None:
    assert parse_policy(GOOD).allows(host) is allowed


def test_a_policy_holds_for_its_age_and_is_renewed_early() -> None:
    kept = KeptPolicy(id="1", policy=parse_policy(GOOD), fetched=1000.0)
    assert kept.valid(1000.0 + 604799)
    assert not kept.valid(1000.0 + 604800)
    assert not kept.valid(999.0)
    assert not kept.ageing(1000.0 + 86400)
    assert kept.ageing(1000.0 + 86401)


@given(st.binary(max_size=200) | st.lists(st.sampled_from(GOOD.splitlines(keepends=True))).map(b"".join))
def test_any_octets_are_a_policy_or_one_error(body: bytes) -> None:
    try:
        policy = parse_policy(body)
    except StsError:
        return
    assert parse_policy("\n".join(policy.lines()).encode()) == policy


@given(st.lists(st.binary(max_size=60)))
def test_any_records_have_an_id_or_none(texts: list[bytes]) -> None:
    found = record_id(texts)
    assert found == "" or (found.isalnum() and len(found) <= 32)


def test_long_white_space_takes_little_time() -> None:
    gap = b" " * 60_000

    def read() -> None:
        assert record_id([b"v=STSv1; id=a" + gap + b"x"]) == ""
        assert record_id([b"v=STSv1" + gap + b";" + gap + b"id=a" + gap]) == "a"
        with pytest.raises(StsError, match="an mx is no domain name"):
            parse_policy(b"version: STSv1\nmode: enforce\nmx: a" + gap + b"b\nmax_age: 1\n")

    costs_less_than(0.5, read)
