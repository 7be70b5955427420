"""Authentication-Results: our field holds what it is given and nothing else, and forged ones do not hide."""

import re
import tracemalloc

import pytest
from effort import costs_less_than
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.authres import authserv_id, claimed, compose, without_claimed
from relaygw.core.content import MAX_HEADER
from relaygw.core.headers import fields, value_of
from relaygw.core.verdict import AuthResult, field_flaw

KEYWORDS = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
ANY = st.text(max_size=700)
RESULTS = st.builds(
    AuthResult,
    method=KEYWORDS,
    result=KEYWORDS,
    reason=ANY,
    properties=st.lists(st.tuples(st.builds("{}.{}".format, KEYWORDS, KEYWORDS), ANY), max_size=4).map(tuple),
)


def test_the_field_for_several_methods() -> None:
    field = compose(
        "mx.example.org",
        [
            AuthResult(method="spf", result="pass", properties=(("smtp.mailfrom", "a@example.com"),)),
            AuthResult(
                method="dkim",
                result="fail",
                reason="body hash did not verify",
                properties=(("header.d", "example.com"), ("header.b", "ab/c="), ("header.i", "@example.com")),
            ),
        ],
    )
    assert field == (
        b"Authentication-Results: mx.example.org;\r\n"
        b"\tspf=pass smtp.mailfrom=a@example.com;\r\n"
        b'\tdkim=fail reason="body hash did not verify" header.d=example.com\r\n'
        b'\theader.b="ab/c=" header.i="@example.com"\r\n'
    )


def test_nothing_checked_is_said_so() -> None:
    assert compose("mx.example.org", []) == b"Authentication-Results: mx.example.org;\r\n\tnone\r\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("example.org", b"example.org"),
        ("a@b.example", b"a@b.example"),
        ('"a b"@c.example', rb'"\"a b\"@c.example"'),
        ("a;b", b'"a;b"'),
        ("a\r\nBcc: x", b'"a??Bcc: x"'),
        ("", b'""'),
        ("a\0b", b'"a?b"'),
        ("jörg@example.org", '"jörg@example.org"'.encode()),
        ("(comment)", b'"(comment)"'),
    ],
)
def test_values_are_quoted_where_they_must_be(value: str, written: bytes) -> None:
    results = [AuthResult(method="spf", result="none", properties=(("smtp.mailfrom", value),))]
    field = compose("x", results, utf8=True)
    assert field.endswith(b"smtp.mailfrom=" + written + b"\r\n")


def test_what_is_not_ascii_stands_only_where_the_message_may_hold_it() -> None:
    """RFC 6532: a word in a stranger's DNS record made a field of ours that a next hop without SMTPUTF8 may refuse."""
    results = [AuthResult(method="dmarc", result="permerror", reason="p=r\u00e9ject is no policy")]
    assert compose("x", results, utf8=True).endswith(' reason="p=r\u00e9ject is no policy"\r\n'.encode())
    assert compose("x", results).endswith(b' reason="p=r?ject is no policy"\r\n')


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": "spf\r\nX: y", "result": "pass"},
        {"method": "", "result": "pass"},
        {"method": "spf", "result": "pass;"},
        {"method": "spf", "result": "pass", "properties": (("smtp", "x"),)},
        {"method": "spf", "result": "pass", "properties": (("smtp.mail from", "x"),)},
    ],
)
def test_the_words_of_a_result_are_checked_when_it_is_made(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        AuthResult(**arguments)  # type: ignore[arg-type]


QUOTED = rb'"(?:[^"\\\r\n]|\\.)*"'
VALUE = rb"(?:" + QUOTED + rb"|[^\s;\"()\\]+)"
RESINFO = (
    rb"\r\n\t[a-z0-9-]+=[a-z0-9-]+(?:(?: |\r\n\t)reason=" + QUOTED + rb")?"
    rb"(?:(?: |\r\n\t)[a-z0-9-]+\.[a-z0-9-]+=" + VALUE + rb")*"
)
FORM = re.compile(rb"Authentication-Results: " + VALUE + rb"(?:;" + RESINFO + rb")+\r\n\Z")


@given(ANY, st.lists(RESULTS, min_size=1, max_size=4), st.booleans())
def test_no_value_leaves_its_place(name: str, results: list[AuthResult], utf8: bool) -> None:
    field = compose(name, results, utf8=utf8)
    assert utf8 or field.isascii()
    assert FORM.match(field)
    assert not field_flaw(field), field_flaw(field)
    assert not set(field) & ({*range(32), 127} - {9, 10, 13})
    assert [found.name for found in fields(field)] == [b"Authentication-Results"]


@given(st.from_regex(r"[a-z0-9]{1,20}(?:\.[a-z0-9]{1,20}){0,3}", fullmatch=True), st.lists(RESULTS, max_size=2))
def test_our_own_field_is_found_again(name: str, results: list[AuthResult]) -> None:
    [found] = claimed(b"Subject: x\r\n" + compose(name, results), [name])
    assert authserv_id(value_of(found)) == name


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: mx.example.org; spf=pass\r\n",
        b"AUTHENTICATION-RESULTS:MX.Example.ORG;none\r\n",
        b"Authentication-Results : mx.example.org 1; none\r\n",
        b"Authentication-Results:\r\n\tmx.example.org;\r\n\tspf=pass\r\n",
        b"Authentication-Results: (a (nested) \\) comment) mx.example.org; none\r\n",
        b"Authentication-Results: (x)\r\n (y) mx.example.org(z); none\r\n",
        b'Authentication-Results: "mx.example.org"; none\r\n',
        b'Authentication-Results: "mx\\.example.org"; none\r\n',
        b"Authentication-Results: mx.example.org.; none\r\n",
        b"Authentication-Results: mx.example.org/1; none\r\n",
        b"Authentication-Results: mx.example.org\0; none\r\n",
        b"Authentication-Results: mx.example.org\r\n",
        b"Authentication-Results: mx.example.org;\n\tnone\n",
        # To the letter these are another's id, or none; whoever drops comments, quotes or folds first reads ours.
        b"Authentication-Results: mx.(x)example.org; none\r\n",
        b"Authentication-Results: mx.(x (y) z)example.org 1; none\r\n",
        b"Authentication-Results: mx.exam\r\n ple.org; none\r\n",
        b'Authentication-Results: "mx".example.org; none\r\n',
        b'Authentication-Results: mx."example".org (x;y) 1; none\r\n',
        "Authentication-Results: \u200bmx.example.org; none\r\n".encode(),
        "Authentication-Results: \uff4d\uff58\u3002example.org\u3002; none\r\n".encode(),
        b"Authentication-Results: 'mx.example.org'; none\r\n",
        b"Authentication-Results: mx\x01.example.org; none\r\n",
        "Authentication-Results: mx.\u202eexample.org\u2066; none\r\n".encode(),
        # No field, but some programs show it as one.
        b"Authentication-Results\r\n : mx.example.org; none\r\n",
        # Nothing of these can be told; somebody may read ours out of them.
        b"Authentication-Results: ; spf=pass\r\n",
        b"Authentication-Results:\r\n",
        b"Authentication-Results: (unclosed mx.example.org; spf=pass\r\n",
        b'Authentication-Results: "unclosed; spf=pass\r\n',
    ],
)
def test_a_field_that_claims_to_be_ours_is_found(field: bytes) -> None:
    head = b"From: a@b\r\n" + field + b"To: c@d\r\n"
    assert without_claimed(head, ["mx.example.org"]) == (b"From: a@b\r\nTo: c@d\r\n", [field])
    [found] = claimed(head, ["other.example", "mx.example.org"])
    assert found == field


@pytest.mark.parametrize("ours", ["xn--bcher-kva.example", "b\u00fccher.example"])
@pytest.mark.parametrize("theirs", ["xn--bcher-kva.example", "b\u00fccher.example", "BU\u0308CHER.example."])
def test_u_labels_and_a_labels_are_the_same_id(ours: str, theirs: str) -> None:
    """RFC 8601 2.3, 5: who reads the field may compare either."""
    assert claimed(f"Authentication-Results: {theirs}; spf=pass\r\n".encode(), [ours])


def test_of_many_fields_that_are_oddly_written_none_is_left() -> None:
    odd = b'Authentication-Results: "other".example; none\r\n'
    assert claimed(odd * 50, ["mx.example.org"]) == []
    assert len(claimed(odd * 51, ["mx.example.org"])) == 1
    assert claimed(b"Authentication-Results: other.example; none\r\n" * 100, ["mx.example.org"]) == []


@pytest.mark.parametrize("junk", [b"(", b"()", b"(())", b"(a", b"((a)", b'"', b"(\\", b" ", b"\xc3\xbc"])
def test_a_hostile_field_takes_little_time(junk: bytes) -> None:
    def judged() -> None:
        for value in (junk * 200_000, b"mx." + junk * 200_000):
            claimed(b"Authentication-Results: " + value + b"\r\n", ["mx.example.org"])

    costs_less_than(0.3, judged)


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: mx.example.com; spf=pass\r\n",
        b"Authentication-Results: (mx.example.org) elsewhere.example; spf=pass\r\n",
        b"Authentication-Results: sub.mx.example.org; spf=pass\r\n",
        b"X-Authentication-Results: mx.example.org; spf=pass\r\n",
        b"ARC-Authentication-Results: i=1; mx.example.org; spf=pass\r\n",
    ],
)
def test_fields_of_others_are_theirs(field: bytes) -> None:
    assert claimed(b"From: a@b\r\n" + field, ["mx.example.org"]) == []


HEADS = st.lists(
    st.sampled_from(
        [
            b"From: a@b\r\n",
            b"Authentication-Results: mx.example.org; none\r\n",
            b"Authentication-Results: other.example;\r\n\tnone\r\n",
            b"authentication-results:\r\n mx.example.org\r\n",
            b"no field\r\n",
            b"X: \xff\r\n\t y\r\n",
        ]
    ),
    max_size=8,
)


@given(HEADS)
def test_what_claims_to_be_ours_goes_and_nothing_else(lines: list[bytes]) -> None:
    head = b"".join(lines)
    kept, forged = without_claimed(head, ["mx.example.org"])
    ours = [line for line in lines if b"mx.example.org" in line]
    assert forged == ours
    assert kept == b"".join(line for line in lines if line not in ours)
    assert forged or kept is head


@given(st.binary(max_size=200))
def test_any_octets_have_an_authserv_id_or_none(value: bytes) -> None:
    assert isinstance(authserv_id(value), str)


@pytest.mark.parametrize("sign", [b"a", b"\\a", b"(", b"\\)"])
@pytest.mark.parametrize("opening", [b'"', b"("])
def test_an_id_that_does_not_end_takes_little_memory(opening: bytes, sign: bytes) -> None:
    value = opening + sign * (MAX_HEADER // len(sign))
    tracemalloc.start()
    try:
        assert authserv_id(value) == ""
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(value)
