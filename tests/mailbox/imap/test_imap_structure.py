"""MIME structure, ENVELOPE and sections: golden cases, Python's email package as a second opinion, and hostile MIME.

A golden case is `tests/data/imap/NAME.eml` with `NAME.expected`: one line per item, `ITEM = answer`, where a section's
answer is its octets as Python writes bytes, and NIL says that there is no such part. So are answers with literals.
"""

import email
from ast import literal_eval
from email.message import Message as EmailMessage
from pathlib import Path

import pytest
from effort import costs_less_than
from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.core.content import BytesContent
from relaygw.mailbox.imap.commands import Attribute, Fetch, Section
from relaygw.mailbox.imap.fetch import Message, Shown, computed, joined
from relaygw.mailbox.imap.parser import parse_command
from relaygw.mailbox.imap.search_text import SearchedMessage
from relaygw.mailbox.imap.structure import MAX_DEPTH, MAX_PARTS, Part, scan
from relaygw.mailbox.values import Entry

DATA = Path(__file__).parents[2] / "data" / "imap"
CASES = sorted(path.stem for path in DATA.glob("*.eml"))


class InMemory(BytesContent):
    """Content that can be closed, as stored content is."""

    def close(self) -> None:
        pass


def answer(data: bytes, item: str) -> bytes:
    """What FETCH says of one item, without the frame."""
    request = parse_command((b"a FETCH 1 " + item.encode("ascii"),)).arguments
    assert isinstance(request, Fetch)
    (wanted,) = request.items
    message = Message(InMemory(data))  # type: ignore[arg-type]  # of a StoredContent only the Content is used
    shown = Shown(1, Entry(uid=1, size=len(data), internal_date=0.0, modseq=1), b"()")
    (row,) = joined(message.fragments(request.items, shown, message.compute()))
    assert isinstance(row, bytes)
    label = wanted.label if isinstance(wanted, Section) else wanted.value
    start = b"* 1 FETCH (" + label + b" "
    assert row.startswith(start)
    assert row.endswith(b")\r\n")
    return row[len(start) : -3]


def octets(data: bytes, item: str) -> bytes | None:
    """The octets of a section; None for NIL."""
    text = answer(data, item)
    if text == b"NIL":
        return None
    head, _, value = text.partition(b"\r\n")
    assert head == b"{%d}" % len(value)
    return value


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    data = (DATA / f"{case}.eml").read_bytes()
    for line in (DATA / f"{case}.expected").read_text("utf-8").splitlines():
        item, _, expected = line.partition(" = ")
        value = literal_eval(expected) if expected.startswith(("b'", 'b"')) else expected.encode("ascii")
        if item.startswith("BODY[") and expected != "NIL":
            assert octets(data, item) == value, item
        else:
            assert answer(data, item) == value, item


def test_there_are_golden_cases() -> None:
    assert len(CASES) >= 6


def _agrees(part: Part, other: EmailMessage, data: bytes) -> None:
    assert f"{part.main.decode()}/{part.sub.decode()}".lower() == other.get_content_type()
    if part.children:
        payload = other.get_payload()
        assert len(part.children) == len(payload)
        for child, inner in zip(part.children, payload, strict=True):
            assert isinstance(inner, EmailMessage)
            _agrees(child, inner, data)
    elif part.message is not None:
        inner = other.get_payload(0)
        assert isinstance(inner, EmailMessage)
        _agrees(part.message, inner, data)
    else:
        assert data[part.body : part.end].decode("latin-1") == other.get_payload()


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("broken")])
def test_the_email_package_sees_the_same_parts(case: str) -> None:
    data = (DATA / f"{case}.eml").read_bytes()
    _agrees(scan(data), email.message_from_string(data.decode("latin-1")), data)


BODY = st.lists(
    st.sampled_from([
        b"--a\r\n", b"--a--\r\n", b"--b\r\n", b"--b--\r\n", b"--a", b"--ab\r\n", b"\r\n", b"\n", b"text", b" ", b"\xff",
        b"Content-Type: multipart/mixed; boundary=a\r\n", b"Content-Type: multipart/digest; boundary=b\r\n",
        b"Content-Type: message/rfc822\r\n", b"Content-Type: text/plain; charset=\"x;y\"\r\n", b"Content-Type: ;;=\r\n",
        b"From: a@b, \"c\" <d@e>, g: h;\r\n", b"Subject: =?utf-8?b?w7w?=\r\n", b"Content-Transfer-Encoding: base64\r\n",
        b"\x00", b"(", b"Content-Disposition: attachment; filename=\"a\\\"b\"\r\n", b"To: <", b"Date: x\r\n",
    ]),
    max_size=40,
).map(b"".join)  # fmt: skip


def _consistent(part: Part, start: int, end: int) -> int:
    """Every part lies inside its parent, and parts do not overlap."""
    assert start <= part.start <= part.body <= part.end <= end
    place = part.body
    count = 1
    for child in part.children:
        assert child.start >= place
        count += _consistent(child, place, part.end)
        place = child.end
    if part.message is not None:
        assert (part.message.start, part.message.end) == (part.body, part.end)
        count += _consistent(part.message, part.body, part.end)
    return count


@settings(max_examples=300, deadline=None)
@given(BODY)
def test_hostile_mime_never_raises(data: bytes) -> None:
    """Structure, envelope, sections and search text of anything; parts lie within one another."""
    part = scan(data)
    assert _consistent(part, 0, len(data)) <= MAX_PARTS + 1
    made = Message(InMemory(data)).compute()  # type: ignore[arg-type]  # as above
    assert computed(made.cached()) == made
    _balanced(made.envelope)
    _balanced(made.body)
    _balanced(made.bodystructure)
    assert octets(data, "BODY[]") == data
    header, text = octets(data, "BODY[HEADER]"), octets(data, "BODY[TEXT]")
    assert header is not None
    assert text is not None
    assert header + text == data
    for item in ("BODY[1]", "BODY[1.1.MIME]", "BODY[2.HEADER]", "BODY[1.HEADER.FIELDS (From)]<1.5>"):
        octets(data, item)
    searched = SearchedMessage(BytesContent(data))
    assert isinstance(searched.body() + searched.head() + "".join(searched.header("subject")), str)


def _balanced(text: bytes) -> None:
    """A value of the grammar: strings whole, parentheses even, nothing that would end the line."""
    place, depth = 0, 0
    while place < len(text):
        octet = text[place : place + 1]
        if octet == b'"':
            place += 1
            while text[place : place + 1] != b'"':
                assert text[place] not in (0, 10, 13)
                place += 2 if text[place : place + 1] == b"\\" else 1
        elif octet == b"{":
            end = text.index(b"}\r\n", place)
            place = end + 2 + int(text[place + 1 : end])
        else:
            assert octet not in (b"\r", b"\n", b"\x00")
            depth += (octet == b"(") - (octet == b")")
        assert depth >= 0
        place += 1
    assert depth == 0


def nested(depth: int) -> bytes:
    text = b"innermost\r\n"
    for level in range(depth):
        text = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n%b\r\n--b%d--\r\n" % (
            level,
            level,
            text,
            level,
        )
    return text


def test_depth_is_bounded() -> None:
    """Below MAX_DEPTH a part is taken as it is."""

    def depth(part: Part) -> int:
        return 1 + max((depth(child) for child in part.children), default=0)

    assert depth(scan(nested(MAX_DEPTH))) == MAX_DEPTH + 1
    assert depth(scan(nested(MAX_DEPTH + 1))) == MAX_DEPTH + 1
    assert depth(scan(nested(500))) == MAX_DEPTH + 1


def test_the_number_of_parts_is_bounded() -> None:
    """The last part that is told apart holds all the rest."""
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    few = scan(head + b"--b\r\n\r\nx\r\n" * (MAX_PARTS - 1) + b"--b--\r\n")
    assert len(few.children) == MAX_PARTS - 1
    data = head + b"--b\r\n\r\nx\r\n" * (MAX_PARTS + 500) + b"--b--\r\n"
    many = scan(data)
    assert len(many.children) == MAX_PARTS - 1
    assert many.children[-1].end == len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 200_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\r\n--bx" * 200_000,
        nested(2000) + b"x" * 1_000_000,
        b"To: " + b"a" * 60_000 + b'"b"' * 1000 + b"\r\n\r\n",
        b"To: " + b"(" * 60_000 + b"\r\n\r\n",
        b"To: " + b"<@,:;" * 12_000 + b"\r\n\r\n",
        b"Content-Type: text/plain" + b";a" * 100_000 + b"\r\n\r\n",
        b"Content-Type: text/plain; a=" + b'"\\' * 15_000 + b"\r\n\r\n",
        b"Subject: " + b"=?utf-8?q?" * 10_000 + b"\r\n\r\n",
        b"Content-Type: message/rfc822\r\n\r\n" * 20_000,
        b"Content-Type: text/plain" + b";" * 32_000 + b"\r\n\r\n",
        b"Content-Type: text/plain" + b" ;\t" * 10_000 + b"\r\n\r\n",
    ],
    ids=[
        "delimiters",
        "near delimiters",
        "nesting",
        "words",
        "comments",
        "specials",
        "parameters",
        "quotes",
        "words",
        "messages",
        "semicolons",
        "gaps",
    ],
)
def test_hostile_mime_takes_little_time(data: bytes) -> None:
    def read() -> None:
        message = Message(InMemory(data))  # type: ignore[arg-type]  # as above
        message.compute()
        SearchedMessage(BytesContent(data)).header("subject")

    costs_less_than(2.0, read)


def test_all_attributes_have_an_answer() -> None:
    for attribute in Attribute:
        assert answer(b"Subject: x\r\n\r\nbody\r\n", attribute.value.decode("ascii"))
