"""The author's domain is found in every form From may take, and nothing hides one from us."""

import pytest
from effort import costs_less_than
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.author import MAX_CONVERTED, MAX_FIELDS, MAX_NAMES, MAX_OCTETS, Authors, read_authors


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
        ('"a.b c"@example.com', ["example.com"]),
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
        ("alice@example.com <eve@other.test>", ["other.test", "example.com"]),
        ("<alice@example.com", ["example.com"]),
        ('"Alice <alice@example.com>', ["example.com"]),
        ("alice@example.com <>", ["example.com"]),
        ('"alice@example.com"', ["example.com"]),
        ("(alice@example.com)", ["example.com"]),
        ("Alice", []),
        ("a@exa_mple..com", ["exa_mple.com"]),
        # No name, but one below a name: who reads it takes it for one of its owner's.
        ("a@-.example.com", ["example.com"]),
        ("a@x!.example.com", ["example.com"]),
        ("a@x..example.com", ["x.example.com"]),
        ("a@\u2603.example\u3002com", ["example.com"]),
        (f"a@{'x' * 64}.mail.example.com", ["mail.example.com"]),
        (f"a@{'x.' * 140}example.com", ["x.x.x.x.x.x.example.com"]),
        ("a@example.com!", ["example.com"]),
        ("{alice@example.com}", ["example.com"]),
        ("alice@example.com-", ["example.com"]),
        ("\u201calice@example.com\u201d", ["example.com"]),
        ("alice@example.com!eve@other.test", ["example.com", "other.test"]),
        ("alice@[example.com]", ["example.com"]),
        ("alice@[192.0.2.1.2]", []),
        ("a@[192.0.2.1", []),
        ("alice@[example.com", ["example.com"]),
        ("alice@\\example.com", ["example.com"]),
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
        ("[<alice@example.com>] <eve@other.test>", ["example.com", "other.test"]),
        ("<<alice@example.com>@other.test>", ["example.com", "other.test"]),
        ("<eve@other.test> alice@example.com", ["other.test", "example.com"]),
        ("<eve@other.test>@example.com", ["other.test", "example.com"]),
        ("alice@example.com: eve@other.test;", ["other.test", "example.com"]),
        ("<eve@other.test>: alice@example.com", ["other.test", "example.com"]),
        ("<@a.test,alice@example.com:eve@other.test>", ["other.test", "a.test", "example.com"]),
        ("<eve@other.test>\\(<alice@example.com>)", ["other.test", "example.com"]),
        ('"alice@example.com"@other.test', ["other.test", "example.com"]),
        ('<"alice@example.com"@other.test>', ["other.test", "example.com"]),
        # Quoted pairs, and comments in comments, which not all programs know.
        ('"a\\" <alice@example.com> " <eve@other.test>', ["other.test", "example.com"]),
        ("(a (b) <alice@example.com>) <eve@other.test>", ["other.test", "example.com"]),
        ("eve@other.test (a \\) <alice@example.com>)", ["other.test", "example.com"]),
        ('"\\"alice@example.com\\" at work" <eve@other.test>', ["other.test"]),
        # Encoded words where no name of somebody is: some programs decode first.
        ("=?utf-8?q?alice=40example=2Ecom?=", ["example.com"]),
        ("=?utf-8?B?PGFsaWNlQGV4YW1wbGUuY29tPg==?= <>", ["example.com"]),
        ("=?utf-8?b?YWxpY2VAZXhhbXBsZS5jb20=?==?x?q?=00?=@other.test", ["other.test", "example.com"]),
        ("<=?x?b?YWxpY2VAZXhhbXBsZS5jb20?=@other.test>", ["other.test", "example.com"]),
        ("alice@=?utf-8?q?example=2Ecom?=", ["example.com"]),
        ("=?utf-8?b?YWxpY2VAZXhhbXBsZS5jb20?=, <eve@other.test>", ["other.test", "example.com"]),
        ("=?utf-8?b?YWxpY2VAZXhhbXBsZS5jb20?= <eve@other.test>", ["other.test"]),
        ("=?utf-8?q?=3Calice=40example=2Ecom=3E?= <eve@other.test>", ["other.test", "example.com"]),
        ("=?utf-8?q?Doe=2C_alice=40example=2Ecom?= <eve@other.test>", ["other.test"]),
        ("=?utf-8?q?alice=40example=2Ecom?=: eve@other.test;", ["other.test", "example.com"]),
        ('"alice@example.com": eve@other.test;', ["other.test", "example.com"]),
        ("=?utf-8?b?A?=", []),
        # What looks like @ and the full stop.
        ("alice\uff20example.com", ["example.com"]),
        ("<alice\uff20example.com@other.test>", ["example.com", "other.test"]),
        ("alice@example\u2024com", ["example.com"]),
        ("Alice \uff20 Work <alice@example.com>", ["example.com"]),
        # What shows nowhere, and what shows as space.
        ("alice@exam\u202eple.com", ["example.com"]),
        ("a@one.test\tb@two.test", ["one.test", "two.test"]),
        ("a@exam\x01ple.com\x7f", ["example.com"]),
        ("alice@example.com\x00.other.test", ["example.com.other.test", "example.com"]),
        ("alice@example.com\r\n .other.test", ["example.com.other.test", "example.com"]),
        ('<eve@other.test> "alice@example.com"', ["other.test", "example.com"]),
        ("<eve@other.test> =?utf-8?q?=3Calice=40example=2Ecom=3E?=", ["other.test", "example.com"]),
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


@pytest.mark.parametrize("odd", [" From: a@one.test\r\n", "From\r\n : a@one.test\r\n", "\tfrom \t: a@one.test\r\n"])
def test_a_line_that_is_no_field_and_shows_as_from_is_read(odd: str) -> None:
    found = read_authors(odd.encode() + b"From: b@two.test\r\nSubject: x\r\n From: c@three.test\r\n")
    assert (set(found.domains), found.fields) == ({"one.test", "two.test"}, 2)
    assert read_authors(b"From a@b.test\r\nFrom: b@two.test\r\n").fields == 1


def test_octets_that_are_no_text_hide_no_author() -> None:
    assert read_authors(b'From: "\xff\\"" <a@b.test>\r\n') == Authors(domains=("b.test",), fields=1)
    assert read_authors(b"From: a@b\xfccher.example\r\n").domains == ("xn--bcher-kva.example",)
    assert read_authors(b'From: "\xff" <a@b\xc3\xbccher.example>\r\n').domains == ("xn--bcher-kva.example",)
    assert read_authors(b"From: a@\x80.test\r\n").domains == ()
    assert "b.test" in read_authors(b"From: <a@b.test\xff>\r\n").domains
    assert "b.test" in read_authors(b"From: a@b.test\xffx@c.test\r\n").domains
    assert "b.test" in read_authors(b"From: a@b\xff.test)\r\n").domains
    assert "b.test" in read_authors(b"From: a@\xffb.test\r\n").domains
    assert read_authors(b"From: a@\xffb\xff.c\xff\r\n").fields == 1


@pytest.mark.parametrize(
    "junk",
    [
        "@ ",
        " ",
        "()",
        "@[",
        ". ",
        "@.",
        "\\(",
        '\\"',
        "=?x?q?=40?=",
        "=?",
        "@a!",
        "@-a.\u00e9-",
        "!a.\u00e9-",
        "[",
        ">",
        "\\",
    ],
)
@pytest.mark.parametrize("start", ["a@", "<a@", "a@.", ""])
def test_a_hostile_field_takes_little_time(start: str, junk: str) -> None:
    value = start + junk * ((MAX_OCTETS - 10) // len(junk.encode())) + "("

    def read() -> None:
        assert not read_authors(b"From: " + value.encode() + b"\r\n").unread

    costs_less_than(0.5, read)


def test_a_crowd_in_from_is_told_and_not_read() -> None:
    """Somebody's name could stand behind whatever is the last that is read."""
    room = MAX_OCTETS - len("<a@b.test>")
    assert read_authors(b"From: " + b"x" * room + b"<a@b.test>\r\n").domains == ("b.test",)
    found = read_authors(b"From: " + b"x" * (room + 1) + b"<a@b.test>\r\n")
    assert (found.domains, found.unread, found.flaw) == ((), True, "From has 20001 octets in 1 field")
    many = b"From: a@b.test\r\n" * MAX_FIELDS
    assert read_authors(many).domains == ("b.test",)
    assert read_authors(many + b"From: c@d.test\r\n").unread
    crowd = (b"From: " + b"x@y;" * 4900 + b"\r\n") * 50
    assert read_authors(crowd).unread
    costs_less_than(0.05, lambda: read_authors(crowd))


def test_a_crowd_of_names_is_told_and_takes_little_time() -> None:
    names = [f"a@-{number}.\u00e9-" for number in range(MAX_NAMES + 1)]
    assert not read_authors(b"From: " + ",".join(names[1:]).encode() + b"\r\n").unread
    found = read_authors(b"From: " + ",".join(names).encode() + b"\r\n")
    assert (found.domains, found.unread, found.flaw) == ((), True, "From names 201 domains")
    crowd = b"From: " + ",".join(f"@-{n}.\u00e9-" for n in range(1700)).encode() + b"\r\n"
    assert read_authors(crowd).unread
    costs_less_than(0.2, lambda: read_authors(crowd))


@pytest.mark.parametrize("between", [",", "\r\nFrom: "])
def test_so_many_labels_are_converted_and_not_one_more(between: str) -> None:
    """Of all fields and names together."""
    number = MAX_CONVERTED // 30
    names = ["a@" + "é." * 29 + f"x{each}" for each in range(number)]
    found = read_authors(f"From: {between.join(names)}\r\n".encode())
    assert (len(found.domains), found.unread) == (number, False)
    found = read_authors(f"From: {between.join([*names, 'a@é'])}\r\n".encode())
    assert (found.domains, found.unread) == ((), True)
    assert found.flaw == "From names domains of more than 1500 labels that are not ASCII"


def test_runs_that_are_names_of_nobody_count_too() -> None:
    runs = "!".join(f"é.ê.ë.{run}.--x" for run in range(10))
    value = ",".join(f"a@{runs}{name}" for name in range(60))
    assert read_authors(f"From: {value}\r\n".encode()).unread


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
