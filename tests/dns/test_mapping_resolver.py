"""A resolver made of a YAML or JSON mapping answers what it says; a wrong mapping is one named error with its place."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.question import AnswerStatus, Data, Exchange, Question, Tlsa
from relaygw.dns import FixedResolver, ZoneError, read_zone

MAPPING = """\
Example.COM.:
  MX: [10 Mx.example.com., "20 backup.example.com"]
  TXT: ["v=spf1 mx -all", ["split ", "text"]]
  NS: ns.example.com.
  SOA: whatever
mx.example.com:
  A: [192.0.2.1, 192.0.2.2]
  aaaa: 2001:10:20:30:40:50:1:2
_25._tcp.mx.example.com: {TLSA: 3 1 1 00FF 01}
pair.example.com: {MX: [10, mx.example.com]}
pairs.example.com: {MX: [[10, mx.example.com], {preference: 20, exchange: mx.example.com}]}
"*.wild.example.com": {A: 192.0.2.7}
listed.example.com:
  - TXT: one
  - TXT: two
  - A: 192.0.2.9
slow.example.com: TIMEOUT
half.example.com: {A: 192.0.2.8, fails: [TXT, MX]}
switch.example.com: {TXT: [no, 1e3, "", 2026-01-01]}
"""

RESOLVER = FixedResolver.from_file(MAPPING, "zone")


@pytest.mark.parametrize(
    ("name", "kind", "records"),
    [
        ("example.com", "MX", (Exchange(10, "mx.example.com"), Exchange(20, "backup.example.com"))),
        ("example.com", "TXT", (b"v=spf1 mx -all", b"split text")),
        ("example.com", "NS", ("ns.example.com",)),
        ("mx.example.com", "A", ("192.0.2.1", "192.0.2.2")),
        ("mx.example.com", "AAAA", ("2001:10:20:30:40:50:1:2",)),  # sexagesimal to YAML 1.1
        ("_25._tcp.mx.example.com", "TLSA", (Tlsa(3, 1, 1, b"\x00\xff\x01"),)),
        ("pair.example.com", "MX", (Exchange(10, "mx.example.com"),)),
        ("pairs.example.com", "MX", (Exchange(10, "mx.example.com"), Exchange(20, "mx.example.com"))),
        ("any.wild.example.com", "A", ("192.0.2.7",)),
        ("listed.example.com", "TXT", (b"one", b"two")),
        ("listed.example.com", "A", ("192.0.2.9",)),
        ("half.example.com", "A", ("192.0.2.8",)),
        ("switch.example.com", "TXT", (b"no", b"1e3", b"", b"2026-01-01")),
    ],
)
def test_what_the_mapping_says_is_answered(name: str, kind: str, records: tuple[Data, ...]) -> None:
    answer = RESOLVER.answer(Question(name, kind))
    assert (answer.status, answer.records) == (AnswerStatus.FOUND, records)


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("slow.example.com", "A", AnswerStatus.FAILED),
        ("half.example.com", "TXT", AnswerStatus.FAILED),
        ("half.example.com", "AAAA", AnswerStatus.NO_DATA),
        ("example.com", "A", AnswerStatus.NO_DATA),
        ("other.example.com", "A", AnswerStatus.NO_NAME),
    ],
)
def test_what_it_does_not_say_is_answered_too(name: str, kind: str, status: AnswerStatus) -> None:
    assert RESOLVER.answer(Question(name, kind)).status is status


BOMB = "abcdefghijklmnopqrstuvwxyz"
"""Anchors of lists of lists: a few lines that would be more than memory holds, were they written out."""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a.test: 1", "'1' is not a mapping of types"),
        ("[a, b]", "not a mapping of names"),
        ("a.test: {A: nonsense}", "nonsense"),
        (
            "first.test: {SOA: &a [x, x, x, x, x, x, x, x]}\n"
            + "".join(
                f"{b}.example: {{SOA: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]}}\n" for a, b in pairwise(BOMB)
            )
            + "last.test: *z\n",
            "[[...], [...], [...], [...], ...], ...] is not a mapping of types",
        ),
        ("a.test: {A: [192.0.2.1, [2, 3]]}", "does not have 1 part"),
        ("a.test: {MX: mail}", "a.test MX: 'mail' does not have 2 parts"),
        ("a.test: {MX: ten mail}", "a.test MX: 'ten' is not a preference"),
        ("a.test: {MX: 65536 mail}", "a.test MX: '65536' is not a preference"),
        ("a.test: {A: 192.0.2.1.2}", "a.test A: Expected 4 octets"),
        ("a.test: {A: 192.0.2.1}\na.test: {MX: 10 mail}", "named.yaml: line 2: 'a.test' stands twice"),
        ("a.test: {TXT: a, TXT: b}", "'TXT' stands twice"),
        ("a.test: {TLSA: 3 1}", "a.test TLSA: '3 1' is not three numbers from 0 to 255 and the data"),
        ("a.test: {TLSA: 3 1 1}", "a.test TLSA: '3 1 1' is not three numbers"),
        ("a.test: {TLSA: 3 1 256 aa}", "'3 1 256 aa' is not three numbers from 0 to 255"),
        ("a.test: {TLSA: 3 -1 1 aa}", "'3 -1 1 aa' is not three numbers from 0 to 255"),
        ("a.test: {TLSA: 3 1 1 zz}", "a.test TLSA: 'zz' is not hexadecimal"),
        ("a.test: {TXT: [[[a]]]}", "a.test TXT: [['a']] is too deep: a record is a word, or a list of its parts"),
        ("a.test: {MX: [[10, [mail]]]}", "a.test MX: ['10', ['mail']] is too deep"),
        ("a.test: {MX: [{preference: 10, host: [mail]}]}", "is too deep"),
        ("a.test: {'a b': c}", "'a b' is not a type"),
        ("a.test: {fails: [{}]}", "types that fail"),
        ("a.test: {A: [", "line"),
        ("? [a]\n: {}", "unhashable key"),
    ],
)
def test_a_wrong_mapping_is_one_named_error_with_its_place(text: str, fault: str) -> None:
    with pytest.raises(ZoneError, match=r"named\.yaml") as caught:
        FixedResolver.from_file(text, "named.yaml")
    assert fault in str(caught.value)


def test_what_stands_twice_is_told_of_a_file_of_any_name() -> None:
    with pytest.raises(ZoneError, match="stands twice"):
        FixedResolver.from_file("a.test: {A: 192.0.2.1}\na.test: {MX: 10 mail}", "named")


def test_one_name_written_in_two_ways_is_one_name() -> None:
    resolver = FixedResolver.from_mapping("A.test: {A: 192.0.2.1}\na.test.: {MX: 65535 mail}\n")
    assert resolver.answer(Question("a.test", "A")).records == ("192.0.2.1",)
    assert resolver.answer(Question("a.test", "MX")).records == (Exchange(65535, "mail"),)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_is_a_mapping_or_one_named_error(text: str) -> None:
    try:
        FixedResolver.from_mapping(text)
    except ZoneError:
        return


def test_a_file_is_read_by_what_stands_in_it(tmp_path: Path) -> None:
    zone, mapping, document = tmp_path / "a", tmp_path / "b", tmp_path / "c.json"
    zone.write_text("; fails: slow.test\na.test. A 192.0.2.1\n")
    mapping.write_text("a.test: {A: 192.0.2.1}\n")
    document.write_text('{"a.test": {"A": ["192.0.2.1"]}}')
    empty = tmp_path / "d"
    empty.write_text("{}")
    assert read_zone(str(empty)).answer(Question("a.test", "A")).status is AnswerStatus.NO_NAME
    (tmp_path / "e").write_text('{"a.test": "fails", "b.test": "timeout"}')
    assert read_zone(str(tmp_path / "e")).answer(Question("b.test", "A")).status is AnswerStatus.FAILED
    for path in (zone, mapping, document):
        assert read_zone(str(path)).answer(Question("a.test", "A")).records == ("192.0.2.1",)
    assert read_zone(str(zone)).answer(Question("slow.test", "A")).status is AnswerStatus.FAILED
