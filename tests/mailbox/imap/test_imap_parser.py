"""Every command is one frozen value or one BadCommand, whatever comes."""

import contextlib
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.mailbox.imap import commands as c
from relaygw.mailbox.imap.parser import BadCommand, parse_command, parse_tag
from relaygw.mailbox.imap.search_parser import MAX_DEPTH, MAX_KEYS
from relaygw.mailbox.imap.sequence import STAR, SequenceSet
from relaygw.mailbox.imap.tokens import Literal, StoredLiteral


def arguments(text: bytes, *literals: Literal) -> c.Arguments:
    """Literals stand where `{}` is in the text."""
    return parse_command(text.split(b"{}"), literals).arguments


ONE = SequenceSet(((1, 1),))
ALL = SequenceSet(((1, STAR),))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"a NOOP", c.Nothing()),
        (b"a noop", c.Nothing()),
        (b'a LOGIN alice "se\\"c\\\\ret"', c.Login(b"alice", b'se"c\\ret')),
        (b"a AUTHENTICATE plain", c.Authenticate("PLAIN")),
        (b"a AUTHENTICATE PLAIN AGEAYg==", c.Authenticate("PLAIN", b"AGEAYg==")),
        (b"a AUTHENTICATE PLAIN =", c.Authenticate("PLAIN", b"=")),
        (b'a ID ("name" "x" "version" NIL)', c.Nothing()),
        (b"a ID NIL", c.Nothing()),
        (b"a SELECT inbox", c.Mailbox("INBOX")),
        (b'a SELECT "two words"', c.Mailbox("two words")),
        (b"a SELECT Entw&APw-rfe", c.Mailbox("Entwürfe")),
        (b"a SELECT a]b", c.Mailbox("a]b")),
        (b"a RENAME one two", c.Rename("one", "two")),
        (b'a LIST "" %', c.ListPattern("", "%")),
        (b'a LIST "" ""', c.ListPattern("", "")),
        (b"a STATUS x (MESSAGES unseen MESSAGES)", c.Status("x", ("MESSAGES", "UNSEEN"))),
        (b"a EXPUNGE", c.Expunge()),
        (b"a UID EXPUNGE 1:*", c.Expunge(ALL)),
        (b"a ENABLE CONDSTORE UTF8=ACCEPT", c.Enable(("CONDSTORE", "UTF8=ACCEPT"))),
        (
            b"a STORE 1 -FLAGS.SILENT (\\seen $Junk \\Recent)",
            c.Store(messages=ONE, mode=c.Mode.REMOVE, flags=("\\Seen", "$Junk"), silent=True),
        ),
        (b"a STORE 1 FLAGS ()", c.Store(messages=ONE, mode=c.Mode.SET, flags=())),
        (b"a STORE 1 +FLAGS \\Deleted x", c.Store(messages=ONE, mode=c.Mode.ADD, flags=("\\Deleted", "x"))),
        (b"a UID COPY 1 x", c.Copy(messages=ONE, name="x", by_uid=True)),
        (b"a MOVE 1 x", c.Copy(messages=ONE, name="x")),
    ],
)
def test_commands_are_read(line: bytes, expected: c.Arguments) -> None:
    assert arguments(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"a",
        b"a ",
        b" a NOOP",
        b"+ NOOP",
        b"a  NOOP",
        b"a NOOP ",
        b"a NOOP x",
        b"a FROB",
        b"a UID",
        b"a UID NOOP",
        b"a LOGIN x",
        b"a LOGIN x y z",
        b'a LOGIN "x',
        b'a LOGIN "x\\y" z',
        b"a LOGIN \xff y",
        b"a SELECT",
        b"a SELECT a\xc3\xbc",
        b"a SELECT &",
        b"a SELECT &AGE-",
        b"a SELECT " + b"x" * 1001,
        b"a STATUS x ()",
        b"a STATUS x (FROB)",
        b"a STORE 1 FLAGS (\\Frob)",
        b"a STORE 0 FLAGS ()",
        b"a STORE 1 FLAGS (" + b" ".join(b"f%d" % n for n in range(51)) + b")",
        b"a FETCH 1 ()",
        b"a FETCH 1 (FLAGS",
        b"a FETCH 1 (FAST)",
        b"a FETCH 1 BODY[",
        b"a FETCH 1 BODY[0]",
        b"a FETCH 1 BODY[1.]",
        b"a FETCH 1 BODY[MIME]",
        b"a FETCH 1 BODY[TEXT]<0.0>",
        b"a FETCH 1 BODY[TEXT]<1>",
        b"a FETCH 1 BODY[HEADER.FIELDS ()]",
        b"a FETCH 4294967296 FLAGS",
        b"a FETCH 1,,2 FLAGS",
        b"a FETCH 1:2:3 FLAGS",
        b"a FETCH -1 FLAGS",
        b"a SEARCH",
        b"a SEARCH FROB",
        b"a SEARCH ()",
        b"a SEARCH (ALL",
        b"a SEARCH OR ALL",
        b"a SEARCH SINCE 31-Feb-2020",
        b"a SEARCH SINCE x",
        b"a SEARCH TEXT \xc3\xbc",
        b'a SEARCH TEXT "\xc3\xbc"',
        b"a APPEND x",
        b"a APPEND x y",
        b"a NOOP\x00",
    ],
)
def test_what_is_no_command_is_one_named_error(line: bytes) -> None:
    with pytest.raises(BadCommand):
        parse_command((line,))


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (b"FAST", (c.Attribute.FLAGS, c.Attribute.INTERNALDATE, c.Attribute.SIZE)),
        (b"(uid UID)", (c.Attribute.UID,)),
        (b"BODY", (c.Attribute.BODY,)),
        (b"(BODY BODYSTRUCTURE)", (c.Attribute.BODY, c.Attribute.BODYSTRUCTURE)),
        (b"BODY[]", (c.Section(),)),
        (b"BODY.PEEK[]<5.7>", (c.Section(peek=True, partial=(5, 7), label=b"BODY[]<5>"),)),
        (b"body[header]", (c.Section(text=c.Text.HEADER, label=b"BODY[HEADER]"),)),
        (b"BODY[1.2.MIME]", (c.Section(part=(1, 2), text=c.Text.MIME, label=b"BODY[1.2.MIME]"),)),
        (
            b'BODY[1.HEADER.FIELDS.NOT (To "C c")]',
            (
                c.Section(
                    part=(1,),
                    text=c.Text.FIELDS_NOT,
                    fields=frozenset({b"to", b"c c"}),
                    label=b'BODY[1.HEADER.FIELDS.NOT (To "C c")]',
                ),
            ),
        ),
        (b"RFC822", (c.Section(label=b"RFC822"),)),
        (b"RFC822.HEADER", (c.Section(text=c.Text.HEADER, peek=True, label=b"RFC822.HEADER"),)),
        (b"RFC822.TEXT", (c.Section(text=c.Text.TEXT, label=b"RFC822.TEXT"),)),
    ],
)
def test_fetch_items_are_read(items: bytes, expected: tuple[c.FetchItem, ...]) -> None:
    assert arguments(b"a FETCH 1 " + items) == c.Fetch(messages=ONE, items=expected)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (b"ALL", c.All()),
        (b"1:*", c.Numbered(ALL)),
        (b"UID 1", c.Numbered(ONE, by_uid=True)),
        (b"UNSEEN", c.HasFlag("\\Seen", False)),
        (b"NEW", c.And((c.Recent(), c.HasFlag("\\Seen", False)))),
        (b"KEYWORD $Junk", c.HasFlag("$Junk")),
        (b"NOT (SEEN DRAFT)", c.Not(c.And((c.HasFlag("\\Seen"), c.HasFlag("\\Draft"))))),
        (b"OR LARGER 5 SMALLER 3", c.Or(c.Sized(5, larger=True), c.Sized(3, larger=False))),
        (b"SENTON 1-Feb-1994", c.Dated(c.Relation.ON, date(1994, 2, 1), sent=True)),
        (b'BEFORE "1-Feb-1994"', c.Dated(c.Relation.BEFORE, date(1994, 2, 1))),
        (b'HEADER X-Foo ""', c.HasHeader("x-foo", "")),
        (b'CHARSET UTF-8 TEXT "\xc3\xbc"', c.HasText("ü", headers=True)),
    ],
)
def test_search_programs_are_read(program: bytes, expected: c.SearchKey) -> None:
    assert arguments(b"a UID SEARCH " + program) == c.Search(key=expected, by_uid=True)


def test_literals_stand_wherever_strings_may() -> None:
    """Also in lists and in the middle of a command."""
    assert arguments(b"a LOGIN {} {}", b"a b", b"") == c.Login(b"a b", b"")
    assert arguments(b"a SEARCH OR (FROM {}) BODY {} UNSEEN", b"x", b"y z") == c.Search(
        key=c.And((c.Or(c.HasHeader("from", "x"), c.HasText("y z", headers=False)), c.HasFlag("\\Seen", False)))
    )
    fetch = arguments(b"a FETCH 1 BODY[HEADER.FIELDS ({} To)]", b"From")
    assert isinstance(fetch, c.Fetch)
    assert isinstance(fetch.items[0], c.Section)
    assert fetch.items[0].fields == {b"from", b"to"}


def test_a_literal_with_nul_or_in_the_place_of_an_atom_is_refused() -> None:
    for text, literal in ((b"a LOGIN {} x", b"a\x00b"), (b"a {}", b"NOOP"), (b"a STORE 1 FLAGS {}", b"x")):
        with pytest.raises(BadCommand):
            arguments(text, literal)


def test_append_takes_flags_and_date_or_neither() -> None:
    message = StoredLiteral(3, None)
    assert arguments(b"a APPEND x {}", message) == c.Append("x", (), None, message)
    found = arguments(b'a APPEND {} (\\Seen k) "17-Jul-1996 02:44:25 -0700" {}', b"inbox", message)
    assert found == c.Append("INBOX", ("\\Seen", "k"), 837596665.0, message)
    early = arguments(b'a APPEND x " 1-Jan-1970 00:00:00 +0000" {}', message)
    assert early == c.Append("x", (), 0.0, message)
    for wrong in (b'"31-Feb-1996 02:44:25 -0700"', b'"17-Jul-1996 24:44:25 -0700"', b'"17-Jul-1996"'):
        with pytest.raises(BadCommand):
            arguments(b"a APPEND x " + wrong + b" {}", message)


def test_depth_and_number_of_search_keys_are_bounded() -> None:
    assert arguments(b"a SEARCH " + b"(" * MAX_DEPTH + b"ALL" + b")" * MAX_DEPTH)
    with pytest.raises(BadCommand, match="too complex"):
        arguments(b"a SEARCH " + b"(" * (MAX_DEPTH + 1) + b"ALL" + b")" * (MAX_DEPTH + 1))
    with pytest.raises(BadCommand, match="too complex"):
        arguments(b"a SEARCH " + b"(" * 8000)
    assert arguments(b"a SEARCH" + b" ALL" * MAX_KEYS)
    with pytest.raises(BadCommand, match="too complex"):
        arguments(b"a SEARCH" + b" ALL" * (MAX_KEYS + 1))


def test_an_unknown_charset_is_told_apart() -> None:
    with pytest.raises(BadCommand) as caught:
        parse_command((b"a SEARCH CHARSET KOI8-R ALL",))
    assert caught.value.charset


def test_the_error_carries_the_tag() -> None:
    with pytest.raises(BadCommand) as caught:
        parse_command((b"tag1 FROB",))
    assert caught.value.tag == b"tag1"
    assert parse_tag(b"x" * 257 + b" NOOP") == b""
    assert parse_tag(b"x" * 256 + b" NOOP") == b"x" * 256


def test_a_password_is_in_no_repr() -> None:
    assert b"hunter2" not in repr(parse_command((b"a LOGIN alice hunter2",))).encode()
    assert b"aHVudGVyMg" not in repr(parse_command((b"a AUTHENTICATE PLAIN aHVudGVyMg==",))).encode()


_WORDS = [
    b"a", b"UID", b"FETCH", b"STORE", b"SEARCH", b"LIST", b"STATUS", b"APPEND", b"LOGIN", b"1:*", b"*", b"0", b"BODY[",
    b"]", b"<0.1>", b"(", b")", b'"', b"\\Seen", b"\\", b"FLAGS", b"NOT", b"OR", b"TEXT", b"HEADER", b"HEADER.FIELDS",
    b"CHARSET", b"utf-8", b"1-Feb-1994", b"{}", b"&-", b"x", b"\xff", b"\x00", b"%", b".", b"PEEK", b"MIME", b"+",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from(_WORDS), max_size=14),
    st.sampled_from([b" ", b""]),
    st.lists(st.one_of(st.binary(max_size=9), st.builds(StoredLiteral, st.integers(0, 9), st.none())), max_size=3),
)
def test_anything_is_a_request_or_bad_command(words: list[bytes], between: bytes, literals: list[Literal]) -> None:
    """Near-commands from the grammar's own words, with literals anywhere."""
    texts = between.join(words).split(b"{}")
    texts += [b""] * (len(literals) + 1 - len(texts))
    try:
        request = parse_command(texts, (*literals, *[b""] * (len(texts) - 1 - len(literals))))
    except BadCommand:
        return
    assert request.name in c.ALLOWED
    assert isinstance(request.arguments, c.Arguments)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_octets_are_a_request_or_bad_command(text: bytes) -> None:
    with contextlib.suppress(BadCommand):
        assert parse_command((b"a " + text,)).tag == b"a"
