"""SPF records and macro strings: what parses, what does not, and what macros expand to (RFC 7208 4.5, 5, 7, 12)."""

import pytest
from effort import costs_less_than
from hypothesis import example, given
from hypothesis import strategies as st

from relaygw.core.spf.macro import (
    MAX_NAME,
    NAME_END,
    MacroString,
    SpfSyntaxError,
    fit_name,
    is_name,
    parse_domain_spec,
    parse_macro_string,
)
from relaygw.core.spf.record import MAX_RECORD, Record, parse_record, select
from relaygw.core.spf.result import Result

VALUES = {
    "s": "strong-bad@email.example.com",
    "l": "strong-bad",
    "o": "email.example.com",
    "d": "email.example.com",
    "i": "192.0.2.3",
    "p": "mx.example.org",
    "v": "in-addr",
    "h": "mx.example.org",
    "c": "192.0.2.3",
    "r": "receiver.example",
    "t": "1700000000",
}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [  # RFC 7208 7.4
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{s-.}", "strong.bad@email.example.com"),
        ("%{s2r/.-}", "bad@email.strong"),
        ("%{s2r-/}", "bad@email.example.com.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%{S}", "strong-bad%40email.example.com"),
        ("%{D2R}", "example.email"),
        ("%{d0002}", "example.com"),
        ("%{d99999999999999999999}", "email.example.com"),
        ("a%%b%_c%-d", "a%b c%20d"),
    ],
)
def test_macros_expand(text: str, expanded: str) -> None:
    assert parse_macro_string(text).expand(VALUES) == expanded


@pytest.mark.parametrize(
    "text", ["%", "%(d)", "%{d", "%{}", "%{d0}", "%{d00}", "%{x}", "%{c}", "%{d!}", "%{2d}", "a b", "é"]
)
def test_what_is_no_macro_string(text: str) -> None:
    with pytest.raises(SpfSyntaxError):
        parse_macro_string(text)


def test_explanations_have_spaces_and_letters_of_their_own() -> None:
    assert parse_macro_string("for %{c} by %{R} at %{t}", explanation=True).expand(VALUES) == (
        "for 192.0.2.3 by receiver.example at 1700000000"
    )


@pytest.mark.parametrize(
    "text", ["example.com", "example.com.", "%{d}", "a.%{d}", "a%%", "a.b-c", "a.1-2", "_spf.%{d2}.xn--p1ai", "a:b/c.d"]
)
def test_domain_specs(text: str) -> None:
    assert isinstance(parse_domain_spec(text), MacroString)


@pytest.mark.parametrize(
    "text", ["", "museum", "museum.", "a..", "a.-b", "a.b-", "a.1", "a.b:8080", "%{d}com", "a.b/24", "."]
)
def test_what_is_no_domain_spec(text: str) -> None:
    with pytest.raises(SpfSyntaxError):
        parse_domain_spec(text)


def test_names_are_cut_from_the_left_until_they_fit() -> None:
    exact = ".".join(["x" * 63] * 3 + ["y" * 61])
    assert len(exact) == MAX_NAME
    assert fit_name(exact + ".") == exact
    assert fit_name("a." + exact) == exact
    assert fit_name("a.b.c." + exact) == exact


def test_a_name_of_millions_of_labels_is_cut_at_once() -> None:
    """Macros can make one out of a record of ordinary size; a loop over its labels would take minutes."""
    assert fit_name("a." * 2_000_000 + "b") == ("a." * 126 + "b")
    assert fit_name("a" * 4_000_000) == "a" * MAX_NAME


@pytest.mark.parametrize(("name", "fits"), [("a" * 63, True), ("a" * 64, False), ("", False), ("a..b", False)])
def test_names_the_dns_can_have(name: str, fits: bool) -> None:
    assert is_name(name) is fits


def test_the_longest_name_and_one_octet_more() -> None:
    exact = ".".join(["x" * 63] * 3 + ["y" * 61])
    assert is_name(exact)
    assert not is_name(exact + "y")


def test_only_records_of_version_1_are_selected() -> None:
    records = [b"v=spf1", b"V=SPF1 -all", b"v=spf10", b"v=spf1-all", b" v=spf1", b"other", b"v=spf1\t-all", "v=spf1 "]
    assert select(records) == [b"v=spf1", b"V=SPF1 -all"]


def parsed(text: str) -> Record:
    return parse_record(b"v=spf1 " + text.encode("latin-1"))


def test_a_record_is_read_in_order_with_its_modifiers() -> None:
    record = parsed("+a ?MX:%{d}/24//64 ip4:192.0.2.0/24  ~all exp=e.%{d} redirect=r.example new=x%{c}")
    assert [(each.name, each.qualifier) for each in record.directives] == [
        ("a", Result.PASS),
        ("mx", Result.NEUTRAL),
        ("ip4", Result.PASS),
        ("all", Result.SOFTFAIL),
    ]
    assert (record.directives[1].prefix4, record.directives[1].prefix6) == (24, 64)
    assert record.directives[1].text == "?MX:%{d}/24//64"
    assert record.redirect is not None
    assert record.explanation is not None


@pytest.mark.parametrize(
    "text",
    [
        "all:x.y", "all/8", "all.", "allx", "include", "include:", "include:a.b/24", "exists", "exists:a", "a:", "a/33",
        "a//129", "a/024", "a/24/64", "a//", "a/", "ptr/24", "ptr:", "ip4", "ip4:", "ip4:1.2.3", "ip4:1.2.3.4/33",
        "ip4:1.2.3.4/032", "ip4:01.2.3.4", "ip4:1.2.3.4//32", "ip4/24", "ip6:1.2.3.4", "ip6:::1/129", "ip6:::1//64",
        "ip6:fe80::1%25", "ip6:fe80::1%eth0", "-", "--all", "all-", "exp=", "exp=a.b exp=a.b", "redirect=",
        "redirect=a.b REDIRECT=a.b", "=x", "1a=x", "a=%x", "new=a%", "all\t", "a\0", "a:b.c\n", "\xe9all", "foo",
        "foo:bar",
    ],
)  # fmt: skip
def test_a_syntax_error_anywhere_is_found(text: str) -> None:
    with pytest.raises(SpfSyntaxError):
        parsed(f"ip4:192.0.2.1 {text} -all")


def test_a_record_of_the_greatest_length_and_one_octet_more() -> None:
    padding = " " * (MAX_RECORD - len(b"v=spf1 -all"))
    assert len(parse_record(f"v=spf1{padding} -all".encode()).directives) == 1
    with pytest.raises(SpfSyntaxError, match="longer"):
        parse_record(f"v=spf1{padding}  -all".encode())


TERMS = st.one_of(
    st.text(alphabet="v=spf1 +-~?al:/.%{}dirslop0123456789_-incudexmtrh4c", max_size=60),
    st.text(alphabet=st.characters(max_codepoint=255), max_size=60),
)


@given(TERMS)
@example("a:%{d/}/24")
def test_any_octets_are_a_record_or_one_named_error(text: str) -> None:
    try:
        record = parsed(text)
    except SpfSyntaxError:
        return
    assert isinstance(record, Record)


@given(TERMS, st.booleans(), st.dictionaries(st.sampled_from(sorted(VALUES)), st.text(max_size=300)))
def test_any_macro_string_expands_or_is_one_named_error(
    text: str, explanation: bool, given_values: dict[str, str]
) -> None:
    try:
        macro = parse_macro_string(text, explanation=explanation)
    except SpfSyntaxError:
        return
    values = {**VALUES, **given_values}
    expanded = macro.expand(values)
    assert macro.letters <= set(VALUES)
    assert macro.expand(values, 20)[:20] == expanded[:20]
    assert fit_name(macro.expand_end(values, NAME_END)) == fit_name(expanded)


def test_of_an_expansion_of_millions_only_what_is_wanted_is_made() -> None:
    """A record of 16 KB can ask for 4 MB, and five of them for one message."""
    macro = parse_macro_string("%{S}" * 4000)
    values = {**VALUES, "s": "x" * 250 + "@example.com"}

    def expanded() -> None:
        for _ in range(100):
            assert len(macro.expand(values, 400)) < 1000
            assert len(macro.expand_end(values, NAME_END)) < 1000

    costs_less_than(0.1, expanded)


@given(st.text(max_size=600))
def test_what_is_cut_to_fit_fits_and_begins_with_a_label(text: str) -> None:
    name, whole = fit_name(text), text.removesuffix(".")
    assert len(name) <= MAX_NAME
    assert whole.endswith(name)
    if name != whole and "." in whole[-MAX_NAME - 1 :]:
        assert f".{whole}".endswith(f".{name}")
