"""Signatures in relaxed/relaxed form are what dkimpy computes, however the body is cut, and verify with dkimpy."""

import base64
import hashlib
import itertools
import re

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from relaygw import keys
from relaygw.core.dkim_signature import (
    DEFAULT_FORM,
    Form,
    RelaxedBody,
    Signature,
    body_hash,
    relaxed_value,
    signed_fields,
)
from relaygw.core.headers import fields

SOUND = [b"x", b"word", b" ", b"  ", b"\t", b"\r\n", b"\r\n\r\n", b".", b"\x0b", b"\xe9", b" \r\n", b"=20"]
LINES = st.lists(st.sampled_from(SOUND), max_size=40).map(b"".join)
BODIES = st.lists(st.sampled_from([*SOUND, b"\r", b"\n", b"\0"]), max_size=40).map(b"".join)
"""Binary ones too."""
PEM = keys.generate("rsa")
KEY = keys.load(PEM)
RECORD = keys.record(PEM).encode()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces."""
    borders = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(borders)]


def expected(body: bytes) -> bytes:
    """dkimpy's form of the body as it goes over the wire: with its last line ended."""
    ended = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    return hashlib.sha256(Relaxed.canonicalize_body(ended)).digest()


@given(BODIES, st.lists(st.integers(0, 200), max_size=6))
def test_body_hash_is_dkimpys_for_any_body_in_any_pieces(body: bytes, places: list[int]) -> None:
    assert body_hash(cut(body, places)) == expected(body)


@given(BODIES)
def test_body_hash_is_the_same_octet_by_octet(body: bytes) -> None:
    assert body_hash(body[number : number + 1] for number in range(len(body))) == expected(body)


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b" \t\r\n \r\n", b""),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),  # RFC 6376 3.4.5
        (b"no line end", b"no line end\r\n"),
        (b"a\r\n\r\n\r\n\r\nb\r\n", b"a\r\n\r\n\r\n\r\nb\r\n"),
    ],
)
def test_body_canonical_form(body: bytes, canonical: bytes) -> None:
    assert body_hash([body]) == hashlib.sha256(canonical).digest()


def test_a_body_of_blank_lines_is_held_as_a_number() -> None:
    digest = hashlib.sha256()
    body = RelaxedBody(digest)
    for _ in range(100):
        body.feed(b"\r\n" * 10_000)
    body.feed(b"end")
    body.finish()
    assert digest.digest() == hashlib.sha256(b"\r\n" * 1_000_000 + b"end\r\n").digest()


@given(
    st.lists(
        st.sampled_from([b"a", b"word", b" ", b"\t", b"\r\n ", b"\r\n\t", b"\x0b", b"\x0c", b"\xc3\xa9"]), max_size=20
    )
)
def test_a_field_value_is_dkimpys(parts: list[bytes]) -> None:
    # dkimpy strips VT and FF at the ends as well; mail knows them as text (RFC 6376 2.8), so they stand inside here.
    value = b"a" + b"".join(parts) + b"b"
    [(_, canonical)] = Relaxed.canonicalize_headers([(b"X", value)])
    assert relaxed_value(value) + b"\r\n" == canonical


def test_every_field_is_signed_from_the_bottom_and_from_once_more() -> None:
    head = b"To: first\r\nFROM: A <a@x>\r\nReceived: by y\r\nto:  second\r\n\tline\r\nSubject : s\r\n"
    signed = signed_fields(head)
    assert signed.names == (b"from", b"from", b"subject", b"to", b"to")
    assert signed.canonical == b"from:A <a@x>\r\nsubject:s\r\nto:second line\r\nto:first\r\n"


HEADS = st.lists(
    st.tuples(
        st.sampled_from([b"From", b"To", b"SUBJECT", b"date", b"Received", b"X-Other", b"List-Id", b"cc"]),
        st.lists(st.sampled_from([b"word", b" ", b"  ", b"\r\n ", b"\r\n\t", b"\t", b"<a@b.c>"]), max_size=8),
    ),
    max_size=8,
).map(lambda found: b"".join(name + b":" + b"v" + b"".join(value) + b"e\r\n" for name, value in found))


def sign(message: bytes, selector: str = "s1", domain: str = "example.com", form: Form = DEFAULT_FORM) -> bytes:
    """The message signed with PEM."""
    head, _, body = message.partition(b"\r\n\r\n")
    signature = Signature(algorithm="rsa", domain=domain, selector=selector, form=form)
    made = signature.unsigned(signed_fields(head + b"\r\n", form), body_hash([body]), 1_700_000_000)
    assert isinstance(KEY, RSAPrivateKey)
    return made.signed(KEY.sign(made.data, PKCS1v15(), SHA256())) + message


def tags_of(field: bytes) -> dict[bytes, bytes]:
    """The tags of a signature field."""
    tags = re.sub(rb"\s+", b"", field.partition(b":")[2]).split(b";")
    return {name: value for name, _, value in (tag.partition(b"=") for tag in tags)}


def published(name: bytes, timeout: float = 5) -> bytes | None:
    """What the DNS would say."""
    return RECORD if name.startswith(b"s1._domainkey.example.com") else None


@given(HEADS, LINES)
def test_any_message_verifies_with_dkimpy(head: bytes, body: bytes) -> None:
    ended = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    message = b"From: a@example.com\r\n" + head + b"\r\n" + ended
    assert dkim.verify(sign(message), dnsfunc=published)


MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nThe body.\r\n"


@pytest.mark.parametrize(
    ("change", "still_good"),
    [
        (lambda m: m.replace(b"hello", b"Hello"), False),
        (lambda m: m.replace(b"The body", b"The b0dy"), False),
        (lambda m: m.replace(b"Subject", b"From: other@example.net\r\nSubject"), False),
        (lambda m: b"From: other@example.net\r\n" + m, False),
        (lambda m: m.replace(b"hello", b"hello \r\n "), True),
        (lambda m: b"Received: by somewhere\r\n" + m + b"\r\n\r\n", True),
    ],
)
def test_what_breaks_a_signature_and_what_does_not(change: object, still_good: bool) -> None:
    assert callable(change)
    assert dkim.verify(change(sign(MESSAGE)), dnsfunc=published) is still_good


def test_the_field_is_folded_and_well_formed() -> None:
    field = sign(MESSAGE, selector="a" * 60, domain="b" * 60 + ".example.com").removesuffix(MESSAGE)
    lines = field.split(b"\r\n")
    assert lines.pop() == b""
    assert all(line.startswith(b"\t") for line in lines[1:])
    assert max(map(len, lines)) <= 130
    assert max(len(line) for line in lines[1:] if b"s=" not in line) <= 78
    tags = dict(part.strip().split(b"=", 1) for part in re.sub(rb"\s+", b"", field.partition(b":")[2]).split(b";"))
    assert len(base64.b64decode(tags[b"b"])) == 256
    assert tags[b"h"] == b"from:from:subject"


@pytest.mark.parametrize(
    ("head", "names", "canonical"),
    [
        (b"Subject : s\r\n", (b"from", b"subject"), b"subject:s\r\n"),
        (b"Subject\r\n : s\r\n", (b"from",), b""),  # folded before the colon: no field at all
        (b"Subject: a\r\n \r\n b\r\n", (b"from", b"subject"), b"subject:a b\r\n"),
        (b" Subject: a\r\nTo: b\r\n", (b"from", b"to"), b"to:b\r\n"),
        (b"To: a\nCc: b\r\n", (b"from", b"to", b"cc"), b"to:a\r\ncc:b\r\n"),
        (b"To: a\rb \r\n", (b"from", b"to"), b"to:a b\r\n"),
        (b"To: a \t", (b"from", b"to"), b"to:a\r\n"),
        (b"To:\r\n", (b"from", b"to"), b"to:\r\n"),
        (b"no colon\r\nfrom\r\n", (b"from",), b""),
        (b"", (b"from",), b""),
    ],
)
def test_what_stands_in_odd_places_is_read_as_fields_are(
    head: bytes, names: tuple[bytes, ...], canonical: bytes
) -> None:
    signed = signed_fields(head)
    assert (signed.names, signed.canonical) == (names, canonical)


ODD = [
    b"From", b"To", b"SUBJECT", b":", b": ", b" ", b"\t",
    b"\r\n", b"\r\n ", b"\r\n\t", b"a", b"\x0b", b"\n", b"\r", b" :",
]  # fmt: skip


@given(st.lists(st.sampled_from(ODD), max_size=30).map(b"".join))
def test_a_header_section_of_any_kind_is_read_field_by_field(head: bytes) -> None:
    canonical = []
    for name in (b"from", b"subject", b"to"):
        for field in reversed(list(fields(head))):
            if field.name.lower() == name:
                canonical.append(b"%b:%b\r\n" % (name, relaxed_value(field.raw.partition(b":")[2])))
    assert signed_fields(head).canonical == b"".join(canonical)


def test_a_form_chooses_the_fields_oversigns_them_and_tells_times() -> None:
    form = Form(names=(b"from", b"subject", b"x-order"), oversigned=(b"subject", b"x-order"), lifetime=800_000_000)
    message = b"From: a@example.com\r\nTo: b@example.com\r\nX-Order: 1\r\nx-order: 2\r\n\r\nBody\r\n"
    signed = sign(message, form=form)
    tags = tags_of(signed.removesuffix(message))
    assert tags[b"h"] == b"from:subject:x-order:x-order:x-order"
    assert (tags[b"t"], tags[b"x"]) == (b"1700000000", b"2500000000")
    assert dkim.verify(signed.replace(b"To: b", b"To: c"), dnsfunc=published)
    for added in (b"Subject: s\r\n", b"X-Order: 3\r\n"):
        assert not dkim.verify(added + signed, dnsfunc=published)


def test_a_signature_may_be_without_times() -> None:
    signed = sign(MESSAGE, form=Form(timed=False))
    assert not tags_of(signed.removesuffix(MESSAGE)).keys() & {b"t", b"x"}
    assert dkim.verify(signed, dnsfunc=published)


def test_more_fields_than_are_remembered_are_signed_all_the_same() -> None:
    for number in (63, 64, 65, 500):
        message = b"From: a@example.com\r\n" + b"To: b@example.com\r\n" * (number - 2) + b"\r\nBody\r\n"
        signed = sign(message)
        assert tags_of(signed.removesuffix(message))[b"h"].count(b":") == number - 1
        assert dkim.verify(signed, dnsfunc=published)
