"""The resolver made of a mapping or a zone file answers as one in front of real servers does."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relaygw.config.schema import DnsConfig
from relaygw.core.question import Answer, AnswerStatus, Exchange, Question, settle
from relaygw.dns import FixedResolver, ZoneError, make_resolver, read_zone
from relaygw.testing.resolver import ZONE, check_resolver


def status(resolver: FixedResolver, name: str, kind: str) -> AnswerStatus:
    return resolver.answer(Question(name, kind)).status


class SuiteTests(SynchronousTestCase):
    def test_it_passes_the_suite_for_resolvers(self) -> None:
        resolver = FixedResolver.from_zone(ZONE + "; fails: slow.zone.test\n")
        self.successResultOf(Deferred.fromCoroutine(check_resolver(resolver, failing="slow.zone.test")))

    def test_the_suite_notices_a_wrong_answer(self) -> None:
        resolver = FixedResolver.from_zone(ZONE.replace("192.0.2.7", "192.0.2.77"))
        self.failureResultOf(Deferred.fromCoroutine(check_resolver(resolver)), AssertionError)


def test_several_zones_stand_in_one_file() -> None:
    text = (
        "$ORIGIN a.test.\n@ SOA ns h 1 2 3 4 5\n@ A 192.0.2.1\n$ORIGIN b.test.\n@ SOA ns h 1 2 3 4 5\n@ A 192.0.2.2\n"
    )
    resolver = FixedResolver.from_zone(text)
    assert resolver.answer(Question("a.test", "A")).records == ("192.0.2.1",)
    assert resolver.answer(Question("b.test", "A")).records == ("192.0.2.2",)
    assert status(resolver, "c.test", "A") is AnswerStatus.NO_NAME


def test_names_fail_for_all_types_or_for_those_named_but_not_where_there_is_a_record() -> None:
    text = "; fails: all.test\n;fails: some.test MX TXT\nsome.test. A 192.0.2.1\nall.test. TXT here\n"
    resolver = FixedResolver.from_zone(text)
    assert status(resolver, "all.test", "A") is AnswerStatus.FAILED
    assert status(resolver, "ALL.test.", "MX") is AnswerStatus.FAILED
    assert status(resolver, "all.test", "TXT") is AnswerStatus.FOUND
    assert status(resolver, "some.test", "MX") is AnswerStatus.FAILED
    assert status(resolver, "some.test", "TXT") is AnswerStatus.FAILED
    assert status(resolver, "some.test", "AAAA") is AnswerStatus.NO_DATA
    assert status(resolver, "some.test", "A") is AnswerStatus.FOUND


def test_eight_aliases_are_followed_and_a_loop_is_a_failure() -> None:
    chain = {f"{n}.test": {"CNAME": [f"{n + 1}.test"]} for n in range(7)}
    resolver = FixedResolver({**chain, "7.test": {"A": ["192.0.2.1"]}, "loop.test": {"CNAME": ["loop.test"]}})
    assert status(resolver, "0.test", "A") is AnswerStatus.FOUND
    assert status(resolver, "loop.test", "A") is AnswerStatus.FAILED


def test_names_below_a_dname_are_called_otherwise_and_the_name_itself_is_not() -> None:
    """RFC 6672 2.2, 2.3."""
    text = (
        "old.test. DNAME new.test.\nold.test. A 192.0.2.1\n_dmarc.new.test. TXT policy\nb.a.new.test. A 192.0.2.2\n"
        "loop.test. DNAME loop.loop.test.\n; fails: slow.new.test\n"
    )
    resolver = FixedResolver.from_zone(text)
    found = resolver.answer(Question("_dmarc.OLD.test", "TXT"))
    assert (found.records, found.canonical) == ((b"policy",), "_dmarc.new.test")
    assert resolver.answer(Question("b.a.old.test", "A")).records == ("192.0.2.2",)
    assert resolver.answer(Question("old.test", "A")).records == ("192.0.2.1",)
    assert status(resolver, "old.test", "TXT") is AnswerStatus.NO_DATA
    assert status(resolver, "c.old.test", "A") is AnswerStatus.NO_NAME
    assert status(resolver, "slow.old.test", "A") is AnswerStatus.FAILED
    assert status(resolver, "a.loop.test", "A") is AnswerStatus.FAILED


def test_a_wrong_line_is_shown_and_files_in_files_are_not_read() -> None:
    with pytest.raises(ZoneError, match=r"z:2: .* \(a\.test\. A 1\.2\.3\)$"):
        FixedResolver.from_zone("b.test. A 192.0.2.1\na.test. A 1.2.3\nc.test. A 192.0.2.1\n", filename="z")
    with pytest.raises(ZoneError, match=r"z:1: .*'\$INCLUDE' is not allowed: put its records into this file"):
        FixedResolver.from_zone("$INCLUDE /etc/hostname\n", filename="z")


def test_a_zone_file_that_is_no_text_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "z").write_bytes(b"a.test. A 192.0.2.1\n\xff")
    with pytest.raises(ZoneError, match=r"z cannot be read: it is not text in UTF-8 \(octet 20\)"):
        read_zone(str(tmp_path / "z"))
    with pytest.raises(ZoneError, match=r"^the zone file /nonexistent cannot be read: No such file or directory$"):
        read_zone("/nonexistent")
    (tmp_path / "z").write_bytes(b"\xef\xbb\xbfa.test. A 192.0.2.1\n")
    assert status(read_zone(str(tmp_path / "z")), "a.test", "A") is AnswerStatus.FOUND


def test_an_alias_to_a_failing_name_fails() -> None:
    resolver = FixedResolver({"a.test": {"CNAME": ["b.test"]}}, failing=["b.test"])
    assert status(resolver, "a.test", "A") is AnswerStatus.FAILED


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("TXT", "text"),
        ("MX", "mail.test"),
        ("A", "2001:db8::1"),
        ("A", b"192.0.2.1"),
        ("SOA", "x"),
        ("AAAA", "nonsense"),
    ],
)
def test_data_of_the_wrong_shape_is_refused(kind: str, data: object) -> None:
    with pytest.raises(ValueError):
        FixedResolver({"a.test": {kind: [data]}})  # type: ignore[list-item]


def test_data_is_brought_into_the_shape_an_answer_has() -> None:
    resolver = FixedResolver({"A.test.": {"AAAA": ["2001:DB8:0::1"], "MX": [Exchange(1, "Mail.TEST.")]}})
    assert resolver.answer(Question("a.test", "AAAA")).records == ("2001:db8::1",)
    assert resolver.answer(Question("a.test", "MX")).records == (Exchange(1, "mail.test"),)


def test_the_questions_are_remembered() -> None:
    resolver = FixedResolver({})
    resolver.answer(Question("a.test", "A"))
    assert list(resolver.asked) == [Question("a.test", "A")]


@pytest.mark.parametrize("text", ["a.test. A 1.2.3\n", "a.test. A\n", '"', "$INCLUDE /etc/passwd\n", "$ORIGIN\n"])
def test_a_wrong_zone_file_is_one_named_error_with_its_place(text: str) -> None:
    with pytest.raises(ZoneError, match=r"named\.zone"):
        FixedResolver.from_zone(text, filename="named.zone")


@pytest.mark.parametrize(
    "wrong", ["b.test. A nonsense", "b.test. A", 'b.test. TXT "a', "b.test. A 192.0.2.1 junk", "b.test. MX (\n  a b )"]
)
@pytest.mark.parametrize("before", ["", "\n", "; a comment\n", "a.test. TXT ( a\n b )\n"])
@pytest.mark.parametrize("after", ["", "\n", "\nc.test. A 192.0.2.1\n"])
def test_the_place_is_the_line_in_which_it_stands(wrong: str, before: str, after: str) -> None:
    with pytest.raises(ZoneError, match=rf"named\.zone:{before.count(chr(10)) + 1}: "):
        FixedResolver.from_zone(before + wrong + after, filename="named.zone")


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_is_a_zone_or_one_named_error(text: str) -> None:
    try:
        FixedResolver.from_zone(text)
    except ZoneError:
        return


@given(st.text(), st.sampled_from(["A", "TXT", "MX"]))
def test_any_name_gets_an_answer(name: str, kind: str) -> None:
    assert isinstance(FixedResolver({"*.test": {"A": ["192.0.2.1"]}}).answer(Question(name, kind)), Answer)


def test_the_configuration_may_name_a_zone_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "test.zone"
    path.write_text("a.test. A 192.0.2.1\n", encoding="utf-8")
    resolver = make_resolver(DnsConfig(zone=str(path)), None)  # type: ignore[arg-type]  # no reactor is needed
    assert isinstance(resolver, FixedResolver)
    with pytest.raises(ZoneError, match="cannot be read"):
        make_resolver(DnsConfig(zone=str(tmp_path / "none")), None)  # type: ignore[arg-type]


def test_an_inquiry_is_settled_from_answers_at_hand() -> None:
    resolver = FixedResolver({"a.test": {"A": ["192.0.2.1"]}})

    def inquiry():  # type: ignore[no-untyped-def]
        first = yield Question("a.test", "A")
        second = yield Question("b.test", "A")
        return first.records, second.status

    assert settle(inquiry(), resolver.answer) == (("192.0.2.1",), AnswerStatus.NO_NAME)
