"""DANE by RFC 7672: which records count for a host, as a table of zones; which certificates they mean."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core import dane
from relaygw.core.dane import Dane, DaneUnknown, NoDane, Presented, dane_for_host, signed_names
from relaygw.core.question import Answer, AnswerStatus, Data, Exchange, Question, Tlsa, settle

HOST = "mx.example.org"
EE = Tlsa(3, 1, 1, b"\1" * 32)
SERVER, AUTHORITY = Presented(b"server", b"server key"), Presented(b"authority", b"authority key")


def found(*records: Data, ad: bool = True, canonical: str = "") -> Answer:
    return Answer(status=AnswerStatus.FOUND, records=records, ttl=60, authentic=ad, canonical=canonical)


ABSENT = Answer(status=AnswerStatus.NO_DATA, authentic=True, ttl=30)
NO_NAME = Answer(status=AnswerStatus.NO_NAME, authentic=True, ttl=30)
UNSIGNED = Answer(status=AnswerStatus.NO_NAME, ttl=30)
FAILED = Answer(status=AnswerStatus.FAILED, reason="SERVFAIL")


def ask(zone: dict[tuple[str, str], Answer], host: str = HOST, **families: bool) -> Any:
    return settle(dane_for_host(host, 25, **families), lambda q: zone.get((q.name, q.type), UNSIGNED))


SIGNED = {(HOST, "A"): found("192.0.2.1"), (HOST, "AAAA"): ABSENT}
TLSA = (f"_25._tcp.{HOST}", "TLSA")


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (SIGNED | {TLSA: found(EE)}, Dane(base=HOST, records=(EE,), usable=(EE,), ttl=60)),
        (SIGNED | {TLSA: NO_NAME}, NoDane(why="there are no signed TLSA records", ttl=30)),
        (SIGNED | {TLSA: ABSENT}, NoDane(why="there are no signed TLSA records", ttl=30)),
        (SIGNED | {TLSA: UNSIGNED}, NoDane(why="there are no signed TLSA records", ttl=30)),
        (SIGNED | {TLSA: found(EE, ad=False)}, NoDane(why="there are no signed TLSA records", ttl=60)),
        (
            SIGNED | {TLSA: FAILED},
            DaneUnknown("the TLSA records of mx.example.org cannot be found out: SERVFAIL"),
        ),
        # What is signed under an address that is not does not count (RFC 7672 2.2.2).
        (
            {(HOST, "A"): found("192.0.2.1", ad=False), TLSA: found(EE)},
            NoDane(why="its addresses are not signed", ttl=60),
        ),
        (
            {(HOST, "A"): found("192.0.2.1"), (HOST, "AAAA"): found("2001:db8::1", ad=False), TLSA: found(EE)},
            NoDane(why="its addresses are not signed", ttl=60),
        ),
    ],
)
def test_what_counts_is_signed_all_the_way(zone: dict[tuple[str, str], Answer], expected: object) -> None:
    assert ask(zone) == expected


ALIAS = "real.example.net"


@pytest.mark.parametrize(
    ("zone", "base"),
    [
        ({(HOST, "A"): found("192.0.2.1", canonical=ALIAS), (f"_25._tcp.{ALIAS}", "TLSA"): found(EE)}, ALIAS),
        ({(HOST, "A"): found("192.0.2.1", canonical=ALIAS), TLSA: found(EE)}, HOST),
        (
            {
                (HOST, "A"): found("192.0.2.1", ad=False, canonical=ALIAS),
                (HOST, "CNAME"): found(ALIAS),
                TLSA: found(EE),
                (f"_25._tcp.{ALIAS}", "TLSA"): found(EE),
            },
            HOST,
        ),
        (
            {
                (HOST, "A"): found("192.0.2.1", ad=False, canonical=ALIAS),
                (HOST, "CNAME"): found(ALIAS, ad=False),
                TLSA: found(EE),
            },
            None,
        ),
    ],
)
def test_aliases_lead_to_the_expanded_name_first(zone: dict[tuple[str, str], Answer], base: str | None) -> None:
    assert getattr(ask(zone), "base", None) == base


def test_an_alias_nobody_answers_for_is_unknown() -> None:
    zone = {(HOST, "A"): found("192.0.2.1", ad=False, canonical=ALIAS), (HOST, "CNAME"): FAILED}
    assert isinstance(ask(zone), DaneUnknown)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "[192.0.2.1]", "localhost", "/run/lmtp"])
def test_addresses_are_not_asked_about(host: str) -> None:
    asked: list[Question] = []
    assert isinstance(settle(dane_for_host(host, 25), lambda q: asked.append(q) or ABSENT), NoDane)
    assert asked == []


def test_only_the_families_in_use_are_asked_about() -> None:
    asked: list[str] = []

    def answer(question: Question) -> Answer:
        asked.append(question.type)
        return SIGNED.get((question.name, question.type), UNSIGNED)

    settle(dane_for_host(HOST, 25, ipv6=False), answer)
    assert asked == ["A", "TLSA"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (found(Exchange(1, HOST)), ("example.org",)),
        (found(Exchange(1, HOST), canonical="real.example"), ("example.org", "real.example")),
        (ABSENT, ("example.org",)),
        (found(Exchange(1, HOST), ad=False), ()),
        (FAILED, ()),
    ],
)
def test_a_list_of_exchangers_is_signed_or_not(answer: Answer, expected: tuple[str, ...]) -> None:
    assert settle(signed_names("example.org"), lambda _: answer) == expected


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Tlsa(0, 0, 1, b"x" * 32), False),  # PKIX-TA and PKIX-EE are not for SMTP
        (Tlsa(1, 1, 1, b"x" * 32), False),
        (Tlsa(2, 0, 1, b"x" * 32), True),
        (Tlsa(2, 1, 2, b"x" * 64), True),
        (Tlsa(3, 0, 0, b"x"), True),
        (Tlsa(3, 1, 0, b""), False),
        (Tlsa(3, 1, 1, b"x" * 31), False),
        (Tlsa(3, 1, 1, b"x" * 33), False),
        (Tlsa(3, 1, 2, b"x" * 32), False),
        (Tlsa(3, 2, 1, b"x" * 32), False),
        (Tlsa(3, 1, 3, b"x" * 32), False),
        (Tlsa(4, 1, 1, b"x" * 32), False),
    ],
)
def test_which_records_are_usable(record: Tlsa, expected: bool) -> None:
    assert (dane.usable([record]) == (record,)) is expected


def test_of_two_hashes_of_one_kind_the_stronger_counts_and_whole_data_always() -> None:
    weak, strong, whole = Tlsa(3, 1, 1, b"a" * 32), Tlsa(3, 1, 2, b"b" * 64), Tlsa(3, 1, 0, b"c")
    other = Tlsa(2, 1, 1, b"d" * 32)
    assert dane.usable([weak, strong, whole, other]) == (strong, whole, other)


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_a_record_means_the_certificate_or_the_key_it_was_made_from(selector: int, matching: int) -> None:
    of = {
        0: lambda data: data,
        1: lambda data: hashlib.sha256(data).digest(),
        2: lambda data: hashlib.sha512(data).digest(),
    }
    record = Tlsa(3, selector, matching, of[matching]((SERVER.certificate, SERVER.key)[selector]))
    assert dane.means(record, SERVER)
    assert not dane.means(record, AUTHORITY)
    assert dane.names_server([record], SERVER)


def test_a_rollover_has_both_and_either_is_right() -> None:
    old, new = (Tlsa(3, 1, 1, hashlib.sha256(key).digest()) for key in (b"old key", b"server key"))
    assert dane.names_server([old, new], SERVER)
    assert not dane.names_server([old], SERVER)


def test_anchors_are_what_usage_2_names() -> None:
    named = Tlsa(2, 0, 0, b"authority")
    assert dane.anchors([named], [SERVER, AUTHORITY]) == (AUTHORITY,)
    assert dane.anchor_certificates([named, EE]) == (b"authority",)
    assert dane.anchor_keys([named, Tlsa(2, 1, 0, b"key")]) == (b"key",)
    assert not dane.names_server([named], AUTHORITY)


@given(st.lists(st.builds(Tlsa, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=70))))
def test_any_records_come_to_a_choice_among_them(records: list[Tlsa]) -> None:
    for record in dane.usable(records):
        assert record in records
        assert not dane.means(record, Presented(b"", b"")) or not record.data


def test_the_same_records_found_later_are_the_same() -> None:
    """Sessions are kept by what was proven; the order and the time of an answer are no part of that."""
    first, later = (Dane(base=HOST, records=(EE,), usable=(EE,), ttl=ttl) for ttl in (60, 5))
    assert first == later
    assert hash(first) == hash(later)
    other = Tlsa(3, 1, 1, b"\2" * 32)
    orders = [ask(SIGNED | {TLSA: found(*records)}) for records in ((EE, other), (other, EE))]
    assert orders[0] == orders[1]
