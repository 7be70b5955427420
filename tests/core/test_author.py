"""The author's domain is found in every form From may take, and nothing hides one from us."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.author import MAX_FIELDS, MAX_OCTETS, Authors, read_authors


@pytest.mark.parametrize(
    ("value", "domains"),
    [
        ("alice@example.com", ["example.com"]),
        ("<alice@example.com>", ["example.com"]),
        ("Alice <alice@Example.COM>", ["example.com"]),
        ('"Alice, of <a@b.c>" <alice@example.com>', ["example.com"]),
        ('"a \\" b" <alice@example.com>', ["example.com"]),
        ("Alice (a@b.c (nested \\) )) <alice@example.com>", ["example.com"]),
        ("alice@example.com (Alice)", ["example.com"]),
        ("alice @ example . com", ["example.com"]),
        ('"a@b.c"@example.com', ["example.com"]),
        ('<"a b@c.d"@example.com>', ["example.com"]),
        ("Alice\r\n\t<alice@example.com>", ["example.com"]),
        ("<@a.test,@b.test:alice@example.com>", ["example.com"]),
        ("=?utf-8?q?=40?= <alice@example.com>", ["example.com"]),
        ("a@one.test, b@two.test", ["one.test", "two.test"]),
        ("a@one.test,, b@two.test,", ["one.test", "two.test"]),
        ("Group: a@one.test, B <b@two.test>;", ["one.test", "two.test"]),
        ("Group:;, a@one.test", ["one.test"]),
        ("a@example.com.", ["example.com"]),
        ("a@.example.com..", ["example.com"]),
        ("jörg@bücher.example", ["xn--bcher-kva.example"]),
        # Not well formed: whatever may be shown as an author counts.
        ("<a@one.test> <b@two.test>", ["one.test", "two.test"]),
        ("a@one.test b@two.test", ["one.test", "two.test"]),
        ("alice@example.com <eve@other.test>", ["other.test"]),
        ("<alice@example.com", ["example.com"]),
        ('"Alice <alice@example.com>', ["example.com"]),
        ("alice@example.com <>", ["example.com"]),
        ('"alice@example.com"', ["example.com"]),
        ("(alice@example.com)", ["example.com"]),
        ("Alice", []),
        ("a@exa_mple..com", []),
        # No name, but one below a name: who reads it takes it for one of its owner's.
        ("a@-.example.com", ["example.com"]),
        ("a@x!.example.com", ["example.com"]),
        ("a@x..example.com", ["example.com"]),
        ("a@\u2603.example\u3002com", ["example.com"]),
        (f"a@{'x' * 64}.mail.example.com", ["mail.example.com"]),
        (f"a@{'x.' * 140}example.com", ["x.x.x.x.x.x.example.com"]),
        ("a@example.com!", []),
        ("a@[192.0.2.1", []),
        # Quoted strings, comments and brackets that hide one.
        ('eve@other.test "a <alice@example.com>', ["other.test", "example.com"]),
        ("eve@other.test (a <alice@example.com>", ["other.test", "example.com"]),
        ('eve <eve@"other.test> <alice@example.com>', ["example.com", "other.test"]),
        ("<eve@other.test, alice@example.com", ["other.test", "example.com"]),
        ('alice@"example.com"', ["example.com"]),
        ('alice@example."com"', ["example", "example.com"]),
        ("alice@exam(a)ple.com", ["exam", "example.com"]),
        ("alice@example(a).com(b)", ["example.com"]),
        ('alice@example.com "Alice"', ["example.com"]),
        ("alice@example.com(Alice)", ["example.com"]),
        # What shows nowhere, and what shows as space.
        ("a@one.test\tb@two.test", ["one.test", "two.test"]),
        ("a@exam\x01ple.com\x7f", ["example.com"]),
        ("a@", []),
    ],
)
def test_domains(value: str, domains: list[str]) -> None:
    found = read_authors(b"To: x@y.test\r\nFrom: " + value.encode() + b"\r\nSubject: From: z@z.test\r\n")
    assert list(found.domains) == domains
    assert found.fields == 1
    assert bool(found.flaw) or domains


@pytest.mark.parametrize(
    "value", ["<alice@example.com", '"Alice <alice@example.com>', "Alice", "a@", "(a@b.c", "a@[192.0.2.1]"]
)
def test_what_is_wrong_is_told(value: str) -> None:
    assert read_authors(b"From: " + value.encode() + b"\r\n").flaw


def test_several_fields_are_told_and_all_read() -> None:
    found = read_authors(b"From: a@one.test\r\nfrom: b@two.test\r\n")
    assert found == Authors(domains=("one.test", "two.test"), fields=2, flaw="2 From fields")


def test_octets_that_are_no_text_hide_no_author() -> None:
    assert read_authors(b'From: "\xff\\"" <a@b.test>\r\n') == Authors(domains=("b.test",), fields=1)
    assert read_authors(b"From: a@b\xfccher.example\r\n").domains == ("xn--bcher-kva.example",)
    assert read_authors(b'From: "\xff" <a@b\xc3\xbccher.example>\r\n').domains == ("xn--bcher-kva.example",)
    assert read_authors(b"From: a@\x80.test\r\n").domains == ()


@pytest.mark.parametrize("junk", ["@ ", " ", "()", "@[", ". ", "@.", "\\(", '\\"'])
@pytest.mark.parametrize("start", ["a@", "<a@", "a@.", ""])
def test_a_hostile_field_takes_little_time(start: str, junk: str) -> None:
    value = start + junk * ((MAX_OCTETS - 10) // len(junk)) + "("
    started = time.process_time()
    assert not read_authors(b"From: " + value.encode() + b"\r\n").unread
    assert time.process_time() - started < 0.5


def test_a_crowd_in_from_is_told_and_not_read() -> None:
    """Somebody's name could stand behind whatever is the last that is read."""
    room = MAX_OCTETS - len("<a@b.test>")
    assert read_authors(b"From: " + b"x" * room + b"<a@b.test>\r\n").domains == ("b.test",)
    found = read_authors(b"From: " + b"x" * (room + 1) + b"<a@b.test>\r\n")
    assert (found.domains, found.unread, found.flaw) == ((), True, "From has 20001 octets in 1 field")
    many = b"From: a@b.test\r\n" * MAX_FIELDS
    assert read_authors(many).domains == ("b.test",)
    assert read_authors(many + b"From: c@d.test\r\n").unread
    started = time.process_time()
    assert read_authors((b"From: " + b"x@y;" * 4900 + b"\r\n") * 50).unread
    assert time.process_time() - started < 0.05


def test_white_space_of_any_length_hides_no_author() -> None:
    assert read_authors(b"From: a@" + b" \t" * 500 + b"b." + b" " * 500 + b"test\r\n").domains == ("b.test",)


def test_no_more_flaws_are_told_than_somebody_reads() -> None:
    found = read_authors(b"From: nobody\r\n" * 50)
    assert found.flaw.count("is no address") == 4
    assert found.flaw.startswith("50 From fields; ")


PIECES = st.lists(
    st.sampled_from(["a@b.test", "<", ">", '"', "(", ")", ",", ";", ":", "@", "[", "]", "\\", " ", "x", "\u00fc"]),
    max_size=20,
).map("".join)


@given(st.one_of(PIECES, st.text(max_size=60)))
def test_any_field_has_domains_or_a_flaw(value: str) -> None:
    found = read_authors(b"From: " + value.replace("\n", " ").encode("utf-8", "surrogatepass") + b"\r\n")
    assert found.domains or found.flaw
