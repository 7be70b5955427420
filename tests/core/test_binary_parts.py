"""Binary parts become base64 and mean the same octets; everything else stays as it came, however it is cut."""

import email
import email.policy
import re
import tracemalloc

import pytest
from effort import costs_less_than
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.binary_parts import MAX_DEPTH, MAX_PARTS, as_text

OCTETS = bytes(range(256)) + b"\r\n.\r\n\n\r--x\r\n--\r\n"
LABEL = b"Content-Transfer-Encoding: binary\r\n"


def converted(content: bytes, size: int = 1 << 20) -> bytes:
    return b"".join(as_text(content[at : at + size] for at in range(0, len(content), size)))


def leaves(content: bytes) -> list[bytes]:
    """The octets of every part, as others read them."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    return [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]


def multipart(*parts: bytes, boundary: bytes = b"b", label: bytes = b"") -> bytes:
    kind = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n'
    delimiter = b"\r\n--" + boundary
    return (
        kind + label + b"\r\npreamble" + b"".join(delimiter + b"\r\n" + part for part in parts) + delimiter + b"--\r\n"
    )


def test_a_message_that_is_all_binary() -> None:
    text = converted(b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: image/png\r\n" + LABEL + b"\r\n" + OCTETS)
    assert text.startswith(
        b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64"
    )
    assert leaves(text) == [OCTETS]
    assert text.isascii()
    assert b"\n" not in text.replace(b"\r\n", b"")
    assert max(map(len, text.split(b"\r\n"))) <= 76


def test_parts_of_all_kinds_at_every_cut() -> None:
    inner = multipart(
        b"Content-Type: text/html\r\n" + LABEL + b"\r\n" + OCTETS,
        b"Content-Transfer-Encoding: 8bit\r\n\r\n\xff text \r\n",
        boundary=b"b-inner",
        label=LABEL,
    )
    content = b"Subject: x\r\n" + multipart(
        b"Content-Type: text/plain\r\n\r\nas it was\r\n",
        b"content-transfer-encoding: Binary\r\n\r\n" + OCTETS,
        inner,
        b"Content-Type: message/rfc822\r\n" + LABEL + b"\r\nSubject: inside\r\n" + LABEL + b"\r\n" + OCTETS,
        LABEL + b"\r\n",
        label=LABEL,
    )
    whole = converted(content)
    assert b"binary" not in whole.lower()
    assert b"\n" not in whole.replace(b"\r\n", b"")
    assert b"\0" not in whole
    assert leaves(whole)[1:3] == [OCTETS, OCTETS]
    assert b"\r\n\r\n\xff text \r\n\r\n--b-inner--" in whole
    assert b"\r\n\r\nas it was\r\n\r\n--b\r\n" in whole
    assert len(re.findall(rb"Encoding: base64", whole)) == 4
    assert all(converted(content, size) == whole for size in (1, 2, 3, 7, 56, 57, 58, 113))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"Subject: x",
        b"Subject: x\r\n\r\nbody \xff \0 \n",
        multipart(b"Content-Type: text/plain\r\n\r\nx", b"no header", b"\r\nbody", b""),
        multipart(b"A: b\r\n--not-it\r\n\r\n--bb\r\n--b x\r\n"),
        b"Content-Type: multipart/mixed\r\n\r\n--b\r\n" + LABEL + b"\r\n\0\r\n--b--",
        b'Content-Type: multipart/mixed; boundary="' + b"x" * 201 + b'"\r\n\r\n\n',
        b"Subject: " + b"x" * 100_000 + b"\r\n" + LABEL + b"\r\n\0",
    ],
)
def test_what_is_not_labelled_binary_or_not_understood_stays(content: bytes) -> None:
    for size in (1 << 20, 1, 50):
        assert converted(content, size) == content


def test_parts_without_end() -> None:
    for end in (b"", b"\r\n--b", b"\r\n--b-", b"\r\n--b\r\n", b"\r\n--b\r\nA: b", b"\r\n--b--"):
        content = b"Content-Type: multipart/x; boundary=b\r\n\r\n--b\r\n" + LABEL + b"\r\n\0\1" + end
        text = converted(content)
        assert b"\0" not in text
        assert converted(content, 1) == text


def test_parts_have_an_end_too_and_cost_little() -> None:
    part = b"\r\n--b\r\n" + LABEL + b"\r\n\0"
    head = b"Content-Type: multipart/x; boundary=b\r\n"
    assert b"\0" not in converted(head + part * (MAX_PARTS - 1))

    def many() -> None:
        text = converted(head + part * 200_000)
        assert text.count(b"base64") == MAX_PARTS - 1
        assert text.endswith(part)

    costs_less_than(5, many)


def test_boundaries_of_any_number_cost_no_more_than_one() -> None:
    # A pattern for each of these parts and all boundaries around it would take a minute.
    outer = [b"t" * 150 + b"%d" % depth for depth in range(MAX_DEPTH - 2)]
    head = b"".join(b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n" % (each, each) for each in outer)
    inner = b"--z\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d \r\n" + LABEL + b"\r\n\0\r\n--b%d--\r\n"
    parts = b"".join(inner % (number, number, number) for number in range(2000))
    made = converted(head + b"Content-Type: multipart/mixed; boundary=z\r\n\r\n" + parts)
    assert b"\0" not in made
    assert made.count(b"base64") == 2000


def test_nesting_has_a_floor() -> None:
    content = b"".join(b"Content-Type: multipart/x; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(3000))
    assert converted(content + LABEL + b"\r\n\0") == content + LABEL + b"\r\n\0"
    shallow = b"".join(b"Content-Type: multipart/x; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(MAX_DEPTH))
    assert b"\0" not in converted(shallow + LABEL + b"\r\n\0")


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(1, 90))
def test_any_octets_come_back(bodies: list[bytes], size: int) -> None:
    boundary = b"=_never_in_a_body"
    content = multipart(*(LABEL + b"\r\n" + body for body in bodies), boundary=boundary)
    text = converted(content, size)
    assert b"\0" not in text
    assert leaves(text) == bodies


MULTIPART = b"Content-Type: multipart/x; boundary=b\r\n"
WORDS = [LABEL, MULTIPART, b"Content-Type: message/rfc822\r\n", b"\r\n", b"--b", b"--", b"\0", b"x", b"\r", b"\n", b" "]


@given(st.lists(st.sampled_from(WORDS), max_size=30), st.integers(1, 9))
def test_any_content_is_read_alike_in_any_pieces(words: list[bytes], size: int) -> None:
    content = b"".join(words)
    assert converted(content, size) == converted(content)


def test_a_large_part_takes_little_memory() -> None:
    piece = bytes(range(256)) * 256
    tracemalloc.start()
    total = sum(map(len, as_text([LABEL + b"\r\n", *[piece] * 160])))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 160 * len(piece) * 4 // 3
    assert peak < 2_000_000
