"""Who wrote a message: From fields of all kinds, and those that can be read in two ways are not read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.from_field import MAX_AUTHORS, MAX_VALUE, AuthorsError, parse_authors, read_authors


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("a@b.test", ["a@b.test"]),
        ("<a@b.test>", ["a@b.test"]),
        ("A Name <a@B.test>", ["a@b.test"]),
        ('"Name, with <comma@x.test>" <a@b.test>', ["a@b.test"]),
        ("(a comment <x@y.test>) a@b.test (another (nested) one)", ["a@b.test"]),
        ("a@b.test, c@d.test", ["a@b.test", "c@d.test"]),
        ("One <a@b.test>,, Two <c@d.test>,", ["a@b.test", "c@d.test"]),
        ("Team: a@b.test, C <c@d.test>;, e@f.test", ["a@b.test", "c@d.test", "e@f.test"]),
        ("a . b @ c . test", ["a.b@c.test"]),
        ('<"quoted local"@b.test>', ['"quoted local"@b.test']),
        ("<a@[192.0.2.1]>", ["a@[192.0.2.1]"]),
        ("<a@[IPv6:2001:db8::1]>", ["a@[IPv6:2001:db8::1]"]),
        ("=?utf-8?q?J=C3=BCrgen?= <a@b.test>", ["a@b.test"]),
        ("Jürgen <jürgen@bücher.test>", ["jürgen@xn--bcher-kva.test"]),
        ("Dr. No <a@b.test>", ["a@b.test"]),
    ],
)
def test_everybody_named_is_found(value: str, addresses: list[str]) -> None:
    assert [str(author.address) for author in parse_authors(value.encode())] == addresses


@pytest.mark.parametrize(
    "value",
    [
        "", "nobody", "<>", "()", "Group:;", "a@b.test c@d.test", "<a@b.test> <c@d.test>", "<a@b.test", "a@b.test>",
        "<a@b.test> x@y.test", "x@y.test <a@b.test", '"open <a@b.test>', "(open <a@b.test>", "a) <b@c.test>",
        "a@b@c.test", "<@x.test:a@b.test>", "a b@c.test", "a (c) b@c.test", "a@b (c) c.test",
        "<a b@c.test>", "\\", "<<a@b.test>>", "[ <a@b.test>",
        "a@b.test\0", "Name a@b.test",
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_not_read(value: str) -> None:
    with pytest.raises(AuthorsError):
        parse_authors(value.encode())


def test_names_stay_as_they_were_written() -> None:
    (author,) = parse_authors(b'=?utf-8?q?J=C3=BCrgen?=  "the, boss" <a@b.test>')
    assert author.name == '=?utf-8?q?J=C3=BCrgen?= "the, boss"'


def test_the_header_section_has_one_from_or_none() -> None:
    assert read_authors(b"Subject: x\r\nX-From: <a@b.test>\r\n") == ()
    assert str(read_authors(b"FROM :\r\n <a@b.test>\r\nSubject: x\r\n")[0].address) == "a@b.test"
    with pytest.raises(AuthorsError, match="more than one"):
        read_authors(b"From: <a@b.test>\r\nTo: x\r\nfrom: <c@d.test>\r\n")


def test_a_field_has_a_longest() -> None:
    value = b"<a@b.test>" + b" " * (MAX_VALUE - 10)
    assert parse_authors(value)
    with pytest.raises(AuthorsError, match="too long"):
        parse_authors(value + b" ")


@given(st.one_of(st.binary(max_size=60), st.text('ab@.<>,;:()"\\[] \t', max_size=40).map(str.encode)))
def test_anything_is_authors_or_the_one_error(value: bytes) -> None:
    try:
        authors = parse_authors(value)
    except AuthorsError:
        return
    assert authors
    for author in authors:
        assert parse_authors(f"<{author.address}>".encode())[0].address == author.address


def test_so_many_authors_and_not_one_more() -> None:
    authors = [f"a{number}@b.test".encode() for number in range(MAX_AUTHORS + 1)]
    assert len(parse_authors(b", ".join(authors[1:]))) == MAX_AUTHORS
    with pytest.raises(AuthorsError, match="more than 50 authors"):
        parse_authors(b", ".join(authors))
