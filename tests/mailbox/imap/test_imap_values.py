"""Sequence sets, mailbox names, patterns, dates, addresses and searches: the small pure parts."""

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imap_harness import World

from relaygw.mailbox.imap.addresses import parse_addresses
from relaygw.mailbox.imap.dates import format_date_time, parse_date_time, sent_day
from relaygw.mailbox.imap.matching import Pattern
from relaygw.mailbox.imap.search_text import decoded_words
from relaygw.mailbox.imap.sequence import BadSequence, format_sequence, parse_sequence
from relaygw.mailbox.imap.utf7 import BadName, decode_name, encode_name


@pytest.mark.parametrize(
    ("text", "exists", "numbers"),
    [
        (b"1", 3, [1]),
        (b"*", 3, [3]),
        (b"2:*", 3, [2, 3]),
        (b"*:2", 3, [2, 3]),
        (b"3:1", 3, [1, 2, 3]),
        (b"1,3,1:2", 3, [1, 2, 3]),
        (b"*", 0, []),
        (b"1:*", 0, []),
    ],
)
def test_sequence_numbers(text: bytes, exists: int, numbers: list[int]) -> None:
    assert parse_sequence(text).numbers(exists) == numbers


@pytest.mark.parametrize(("text", "exists"), [(b"4", 3), (b"1:4", 3), (b"4:*", 3), (b"1", 0), (b"1:4294967295", 3)])
def test_sequence_numbers_that_do_not_exist(text: bytes, exists: int) -> None:
    with pytest.raises(BadSequence):
        parse_sequence(text).numbers(exists)


def test_uids_that_do_not_exist_are_passed_over() -> None:
    known = [5, 7, 100]
    assert parse_sequence(b"1:6,100").uids(known) == [5, 100]
    assert parse_sequence(b"200:*").uids(known) == [100]
    assert parse_sequence(b"1:4294967295").uids(known) == known
    assert parse_sequence(b"6").uids(known) == []
    assert parse_sequence(b"*").uids([]) == []


@given(st.sets(st.integers(1, 60)))
def test_sequence_sets_written_are_read_back(numbers: set[int]) -> None:
    if numbers:
        assert parse_sequence(format_sequence(sorted(numbers))).uids(range(1, 61)) == sorted(numbers)


@given(st.text(max_size=40))
def test_names_survive_the_wire(name: str) -> None:
    wire = encode_name(name)
    assert wire.isascii()
    if not any(0xD800 <= ord(letter) < 0xE000 for letter in name):
        assert decode_name(wire) == name


@given(
    st.one_of(st.binary(max_size=30), st.lists(st.sampled_from([b"&", b"-", b"AOk", b",", b"/", b"2D0"])).map(b"".join))
)
def test_each_name_has_one_spelling(wire: bytes) -> None:
    try:
        assert encode_name(decode_name(wire)) == wire
    except BadName:
        return


def test_names_of_the_rfc() -> None:
    assert decode_name(b"~peter/mail/&U,BTFw-/&ZeVnLIqe-") == "~peter/mail/台北/日本語"
    for wrong in (b"&AGE-", b"&", b"&AOk", b"a\xe9", b"&Jjo!", b"&U,BTFw-&ZeVnLIqe-"):
        with pytest.raises(BadName):
            decode_name(wrong)


@settings(max_examples=300)
@given(st.text("ab/*%", max_size=8), st.text("ab/", max_size=10))
def test_patterns_match_as_an_anchored_regular_expression_does(pattern: str, name: str) -> None:
    wanted = "".join({"*": ".*", "%": "[^/]*"}.get(letter, re.escape(letter)) for letter in pattern)
    assert Pattern(pattern, "/").matches(name) == bool(re.fullmatch(wanted, name))


def test_date_times() -> None:
    assert format_date_time(0.0) == b'" 1-Jan-1970 00:00:00 +0000"'
    assert parse_date_time(b" 1-Jan-1970 01:00:00 +0100") == 0.0
    assert parse_date_time(b"31-Dec-2016 23:59:60 +0000") == parse_date_time(b"31-Dec-2016 23:59:59 +0000")
    assert format_date_time(1e300) == format_date_time(0.0)
    assert sent_day("Wed, 17 Jul 1996 23:59:59 -0700 (PDT)") == date(1996, 7, 17)
    for wrong in ("", "x", "99 Jul 1996 00:00 +0000", "17 Jul 99999999999999 00:00 +0000", "\x00"):
        assert sent_day(wrong) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@b", [(None, None, b"a", b"b")]),
        (b'"Doe, Joe" <a@b>, c@d (C)', [(b"Doe, Joe", None, b"a", b"b"), (b"C", None, b"c", b"d")]),
        (b"Joe  Q. Public <a@b>", [(b"Joe Q. Public", None, b"a", b"b")]),
        (b"<@x,@y:z@w>", [(None, b"@x,@y", b"z", b"w")]),
        (b'"a b"@[127.0.0.1]', [(None, None, b"a b", b"[127.0.0.1]")]),
        (b"G: a@b;, c@d", [(None, None, b"G", None), (None, None, b"a", b"b"), (None,) * 4, (None, None, b"c", b"d")]),
        (b",, ,", []),
        (b"no address", [(None, None, b"noaddress", b"")]),
        (b'"unfinished', [(None, None, b"unfinished", b"")]),
        (b"(unfinished", []),
    ],
)
def test_addresses(value: bytes, expected: list[tuple[bytes | None, ...]]) -> None:
    found = parse_addresses(value)
    assert [(one.name, one.route, one.mailbox, one.host) for one in found] == expected


@given(st.one_of(st.binary(max_size=80), st.text('<>@,:;"\\() ab[]', max_size=40).map(str.encode)))
def test_any_value_has_addresses(value: bytes) -> None:
    for one in parse_addresses(value):
        assert one.host is None or one.mailbox is not None


def test_encoded_words() -> None:
    assert decoded_words(b"=?utf-8?B?w7w=?= =?iso-8859-1?q?=FC_x?= y") == "üü x y"
    assert decoded_words(b"=?utf-8*de?Q?a?=") == "a"
    for strange in (
        b"=?idna?q?x?=",
        b"=?rot13?q?x?=",
        b"=?zlib?b?eA==?=",
        b"=?utf-8?b?!?=",
        b"=?x?q??=",
        b"=?\xff?q?x?=",
    ):
        assert isinstance(decoded_words(strange), str)


MESSAGES = (
    b"From: Anna <anna@example.org>\r\nTo: bob@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Mon, 1 Jan 2024 23:00:00 -0500\r\n\r\nplain body\r\n",
    b"From: bob@example.org\r\nCc: anna@example.org\r\nBcc: secret@example.org\r\nSubject: two\r\nX-List: dev\r\n"
    b"Date: Tue, 2 Jan 2024 00:00:00 +0000\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8gV29ybGQ=\r\n",
    b"From: carol@example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9 hel=\r\nlo\r\n--b\r\n"
    b"Content-Type: image/png\r\n\r\nnot searched\r\n--b--\r\n",
)


@pytest.mark.parametrize(
    ("program", "found"),
    [
        (b"ALL", b"1 2 3"),
        (b"2:*", b"2 3"),
        (b"UID 1,3", b"1 3"),
        (b"UID 1:4294967295", b"1 2 3"),
        (b"FROM anna", b"1"),
        (b"TO BOB", b"1"),
        (b"CC anna", b"2"),
        (b"BCC secret", b"2"),
        (b"OR FROM anna CC anna", b"1 2"),
        (b"NOT FROM anna", b"2 3"),
        (b'CHARSET UTF-8 SUBJECT "gr\xc3\xbc\xc3\x9f"', b"1"),
        (b'HEADER X-List ""', b"2"),
        (b"HEADER x-list DE", b"2"),
        (b'NOT HEADER Subject ""', b"3"),
        (b'BODY "plain body"', b"1"),
        (b'BODY "hello world"', b"2"),
        (b'CHARSET UTF-8 BODY "caf\xc3\xa9 hello"', b"3"),
        (b'BODY "not searched"', b""),
        (b"BODY anna", b""),
        (b"TEXT anna", b"1 2"),
        (b'TEXT ""', b"1 2 3"),
        (b"SENTON 1-Jan-2024", b"1"),
        (b"SENTBEFORE 2-Jan-2024", b"1"),
        (b"SENTSINCE 2-Jan-2024", b"2"),
        (b"NOT SENTSINCE 1-Jan-1970", b"3"),
        (b"SMALLER %d" % len(MESSAGES[0]), b""),
        (b"SMALLER %d" % (len(MESSAGES[0]) + 1), b"1"),
        (b"LARGER %d" % len(MESSAGES[2]), b""),
        (b"LARGER %d" % (len(MESSAGES[2]) - 1), b"3"),
        (b"SMALLER 10000", b"1 2 3"),
        (b"SINCE 1-Jan-2020", b"1 2 3"),
        (b"BEFORE 1-Jan-2020", b""),
        (b"SEEN", b"1"),
        (b"UNSEEN", b"2 3"),
        (b"KEYWORD BLUE", b"2"),
        (b"UNKEYWORD blue", b"1 3"),
        (b"NEW", b"2 3"),
        (b"OLD", b""),
        (b"FLAGGED DELETED", b""),
        (b"OR (SEEN 1) (KEYWORD blue 2)", b"1 2"),
        (b"OR UNSEEN BODY nowhere", b"2 3"),
        (b"UNDELETED UNDRAFT UNANSWERED UNFLAGGED RECENT", b"1 2 3"),
    ],
)
def test_searches(program: bytes, found: bytes, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.deliver(*MESSAGES)
    client = world.select()
    client.ask(b"a STORE 1 FLAGS (\\Seen)", b"a STORE 2 FLAGS (Blue)")
    expected = b" ".join([b"* SEARCH", *found.split()])
    assert client.ask(b"a SEARCH " + program) == [expected, b"a OK Searched"]
    assert client.ask(b"a UID SEARCH " + program) == [expected, b"a OK Searched"]
