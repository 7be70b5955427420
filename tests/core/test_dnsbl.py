"""DNS lists: patterns of reply codes, what an answer means, lists that misbehave, and the sum of it all."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.dnsbl import (
    CodeError,
    Health,
    Listing,
    Reputation,
    Rule,
    State,
    Subject,
    ask_list,
    label,
    parse_code,
    weigh,
)
from relaygw.core.question import Answer, AnswerStatus, settle
from relaygw.dns import FixedResolver

CLIENT = ipaddress.ip_address("192.0.2.1")
SIX = ipaddress.ip_address("2001:db8::1")
NIBBLES = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("127.0.0.2", ["127.0.0.2"], ["127.0.0.3", "127.0.1.2"]),
        ("127.0.0.2-11", ["127.0.0.2", "127.0.0.11"], ["127.0.0.1", "127.0.0.12"]),
        ("127.0.*.3", ["127.0.0.3", "127.0.255.3"], ["127.0.0.2", "127.1.0.3"]),
        ("127.*.*.*", ["127.0.0.0", "127.9.9.9"], ["126.0.0.1"]),
        ("127.0.0.&6", ["127.0.0.2", "127.0.0.4", "127.0.0.7"], ["127.0.0.1", "127.0.0.8", "127.0.0.0"]),
    ],
)
def test_patterns_of_codes(pattern: str, matching: list[str], others: list[str]) -> None:
    parsed = parse_code(pattern)
    assert all(parsed.matches(ipaddress.IPv4Address(code)) for code in matching)
    assert not any(parsed.matches(ipaddress.IPv4Address(code)) for code in others)


@pytest.mark.parametrize(
    "text",
    ["", "127.0.0", "127.0.0.2.3", "10.0.0.2", "127.0.0.256", "127.0.0.9-2", "127.0.0.x", "127.0.0.2-", "*.0.0.2"],
)
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(CodeError):
        parse_code(text)


@given(st.text(alphabet="127.0&*-x9", max_size=20))
def test_any_text_is_a_pattern_or_one_named_error(text: str) -> None:
    try:
        parsed = parse_code(text)
    except CodeError:
        return
    assert parsed.text == text
    assert isinstance(parsed.matches(ipaddress.IPv4Address("127.0.0.2")), bool)


@given(st.ip_addresses())
def test_labels_lead_back_to_the_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    parts = label(address).split(".")[::-1]
    if address.version == 4:
        assert ".".join(parts) == str(address)
    else:
        assert "".join(parts) == address.exploded.replace(":", "")


def ask(subject: Subject, records: dict[str, list[str]], failing: tuple[str, ...] = ()) -> Listing:
    resolver = FixedResolver({f"{name}.bl.test": {"A": codes} for name, codes in records.items()}, failing)
    return settle(ask_list("bl.test", subject), resolver.answer)


@pytest.mark.parametrize(
    ("subject", "name", "never"),
    [
        (CLIENT, "1.2.0.192", "1.0.0.127"),
        (SIX, NIBBLES, label(ipaddress.ip_address("::ffff:127.0.0.1"))),
        ("spam.test", "spam.test", "invalid"),
    ],
)
def test_listed_clear_silent_and_broken(subject: Subject, name: str, never: str) -> None:
    listed = ask(subject, {name: ["127.0.0.2", "127.0.0.4"]})
    assert (listed.state, list(map(str, listed.codes))) == (State.LISTED, ["127.0.0.2", "127.0.0.4"])
    assert ask(subject, {}).state is State.CLEAR
    silent = ask(subject, {}, (f"{name}.bl.test",))
    assert (silent.state, silent.reason) == (State.SILENT, "the server does not answer")
    everything = ask(subject, {name: ["127.0.0.2"], never: ["127.0.0.2"]})
    assert (everything.state, everything.codes, everything.reason) == (State.BROKEN, (), "it lists everything")
    assert ask(subject, {name: ["127.0.0.2"]}, (f"{never}.bl.test",)).state is State.SILENT


@pytest.mark.parametrize(
    "code", ["127.255.255.252", "127.255.255.254", "127.255.255.255", "127.0.0.1", "203.0.113.9", "126.255.255.255"]
)
def test_a_list_that_answers_nonsense_lists_nobody(code: str) -> None:
    listing = ask(CLIENT, {"1.2.0.192": ["127.0.0.2", code]})
    assert (listing.state, listing.codes, listing.reason) == (State.BROKEN, (), f"it answers {code}")


@pytest.mark.parametrize("code", ["127.0.0.2", "127.0.0.0", "127.255.254.255", "127.0.0.255"])
def test_codes_at_the_edge_of_sense_count(code: str) -> None:
    assert ask(CLIENT, {"1.2.0.192": [code]}).state is State.LISTED


def listing(zone: str, *codes: str, subject: Subject = CLIENT) -> Listing:
    state = State.LISTED if codes else State.CLEAR
    return Listing(zone=zone, subject=subject, state=state, codes=tuple(map(ipaddress.IPv4Address, codes)))


def test_weights_of_all_rules_that_match_add_up() -> None:
    rules = [
        Rule(zone="a.test", weight=2.0, codes=(parse_code("127.0.0.2-3"),)),
        Rule(zone="a.test", weight=0.5, codes=(parse_code("127.0.0.10"),)),
        Rule(zone="a.test", weight=9.0, codes=(parse_code("127.0.0.99"),)),
        Rule(zone="good.test", weight=-1.0),
    ]
    reputation = weigh(
        [(rule, CLIENT) for rule in rules], [listing("a.test", "127.0.0.3", "127.0.0.10"), listing("good.test")]
    )
    assert reputation.score == 2.5
    assert not reputation.welcome
    assert str(reputation.worst) == "a.test: 127.0.0.3 (+2) for 192.0.2.1"
    reputation = weigh([(rule, CLIENT) for rule in rules], [listing("a.test"), listing("good.test", "127.0.10.1")])
    assert (reputation.score, reputation.welcome, reputation.worst) == (-1.0, True, None)
    assert weigh([], []) == Reputation()


def test_a_rule_counts_for_its_own_subject_only() -> None:
    rule = Rule(zone="dbl.test", weight=1.0)
    listings = [listing("dbl.test", "127.0.1.2", subject="spam.test"), listing("dbl.test", subject="ham.test")]
    assert weigh([(rule, "ham.test")], listings).score == 0
    assert weigh([(rule, "spam.test"), (rule, "ham.test")], listings).score == 1


def test_a_list_rests_after_silences_in_a_row_or_nonsense() -> None:
    silent = Listing(zone="a.test", subject=CLIENT, state=State.SILENT, reason="x")
    broken = Listing(zone="a.test", subject=CLIENT, state=State.BROKEN, reason="x")
    health = Health(rest=600.0, patience=3)
    assert [health.heard(silent, 0.0) for _ in range(2)] == [False, False]
    assert health.well("a.test", 0.0)
    assert health.heard(silent, 0.0)
    assert not health.heard(silent, 0.0)  # told once
    assert not health.well("a.test", 599.9)
    assert health.well("a.test", 600.0)
    assert health.well("b.test", 0.0)
    assert health.heard(silent, 600.0)  # one more try, and it rests again
    assert not health.well("a.test", 700.0)
    assert not health.heard(listing("a.test"), 1200.0)  # well again
    assert health.well("a.test", 1200.0)
    assert not health.heard(silent, 1200.0)
    assert health.heard(broken, 1200.0)
    assert not health.well("a.test", 1799.9)


def test_an_answer_between_silences_begins_the_count_anew() -> None:
    silent = Listing(zone="a.test", subject=CLIENT, state=State.SILENT, reason="x")
    health = Health(rest=600.0, patience=2)
    for _ in range(5):
        assert not health.heard(silent, 0.0)
        health.heard(listing("a.test"), 0.0)


CODES = st.lists(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=4, network="127.0.0.0/8")), max_size=4)


@given(st.sampled_from(AnswerStatus), CODES, st.sampled_from(AnswerStatus))
def test_no_list_that_misbehaves_ever_counts(
    status: AnswerStatus, codes: list[ipaddress.IPv4Address], probe: AnswerStatus
) -> None:
    answers = iter(
        [
            Answer(status=status, records=tuple(map(str, codes)) if status is AnswerStatus.FOUND else ()),
            Answer(status=probe, records=("127.0.0.2",) if probe is AnswerStatus.FOUND else ()),
        ]
    )
    found = settle(ask_list("bl.test", CLIENT), lambda question: next(answers))
    score = weigh([(Rule(zone="bl.test", weight=1.0), CLIENT)], [found]).score
    sound = all(str(code).startswith("127.") and not str(code).startswith("127.255.255.") for code in codes)
    sound = sound and "127.0.0.1" not in map(str, codes)
    expected = status is AnswerStatus.FOUND and bool(codes) and sound
    expected = expected and probe in (AnswerStatus.NO_NAME, AnswerStatus.NO_DATA)
    assert score == (1.0 if expected else 0.0)
