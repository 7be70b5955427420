"""What an operator's own words become in a report: the author's name, the subject, and the text, whatever they hold."""

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from relaygw.core.address import parse_address
from relaygw.core.content import BytesContent
from relaygw.core.dsn import MAX_TEXT, Reporter, Words, make_report
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.lifecycle import Kind, Report, begin
from relaygw.core.outcome import failed
from relaygw.core.record import RecipientState

BOB = parse_address("bob@example.com")


def made(words: Words, hostname: str = "mail.example.net") -> bytes:
    envelope = Envelope(sender=parse_address("alice@example.org"), recipients=(Recipient(address=BOB),))
    state = RecipientState(recipient=Recipient(address=BOB), attempts=1, last=failed(BOB, "5.1.1", "no"))
    record, data = make_report(
        Report(kind=Kind.FAILURE, recipients=(state,)),
        begin(queue_id="q1", envelope=envelope, now=1e9),
        BytesContent(b"Subject: x\r\n\r\nx\r\n"),
        queue_id="q2",
        now=1e9,
        retry_until=1e9,
        by=Reporter(hostname=hostname, postmaster="postmaster@example.net"),
        words=lambda facts: words,
    )
    assert record.header_from == hostname.lower()
    return data


def field(data: bytes, name: str) -> str:
    """As it is written."""
    head = data.partition(b"\r\n\r\n")[0].decode().replace("\r\n ", "\n ")
    (found,) = [line for line in head.split("\r\n") if line.startswith(f"{name}: ")]
    return found.removeprefix(f"{name}: ")


def read(data: bytes) -> EmailMessage:
    message = message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


@pytest.mark.parametrize(
    ("author", "written"),
    [
        ("Example Mail", "Example Mail"),
        ("Mail-Delivery  System\n2", "Mail-Delivery System 2"),
        ("Mail, Inc.", '"Mail, Inc."'),
        ('the "post" \\ office', '"the \\"post\\" \\\\ office"'),
        ("", "Mail Delivery System"),
        (" \x00\t", "Mail Delivery System"),
        ("x" * 100 + "y", "x" * 100),
        ("Grüße", "=?utf-8?b?R3LDvMOfZQ==?="),
        ("=?utf-8?q?Boss?=", "=?utf-8?b?PT91dGYtOD9xP0Jvc3M/PQ==?="),
    ],
)
def test_the_authors_name(author: str, written: str) -> None:
    data = made(Words(subject="x", text="x\n", author=author))
    assert field(data, "From") == f"{written} <MAILER-DAEMON@mail.example.net>"


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("Your mail", "Your mail"),
        ("two\r\nBcc: eve@evil.example", "two Bcc: eve@evil.example"),
        ("", "Delivery report"),
        ("\x00 \t", "Delivery report"),
        ("Grüße " * 20, ("Grüße " * 20).strip()),
        ("=?utf-8?q?Boss?=", "=?utf-8?q?Boss?="),
        ("abcdefghi " * 91, ("abcdefghi " * 90).strip()),
    ],
)
def test_the_subject_is_read_as_it_was_written(subject: str, shown: str) -> None:
    data = made(Words(subject=subject, text="x\n"))
    assert read(data)["Subject"] == shown
    assert all(len(line) <= 78 or " " not in line for line in field(data, "Subject").split("\n"))


def test_a_plain_subject_is_not_encoded() -> None:
    assert field(made(Words(subject="Your mail", text="x\n")), "Subject") == "Your mail"


@pytest.mark.parametrize(
    ("text", "shown", "encoded"),
    [
        ("one\r\ntwo\n", "one\ntwo\n", False),
        ("a\tb\n", "a    b\n", False),
        ("a\x1b[2Jb\u2028c\x00\n", "a[2Jbc\n", False),
        ("x" * 998 + "\n", "x" * 998 + "\n", False),
        ("x" * 999 + "\n", "x" * 999 + "\n", True),
        ("--=_q2--\n", "--=_q2--\n", True),
        ("Grüße\n", "Grüße\n", True),
        ("x\n" * (MAX_TEXT // 2) + "y", "x\n" * (MAX_TEXT // 2), False),
    ],
)
def test_the_text_is_what_people_read(text: str, shown: str, encoded: bool) -> None:
    part = read(made(Words(subject="x", text=text, language="de")))
    (body, *_) = part.iter_parts()
    assert isinstance(body, EmailMessage)
    assert body.get_content().replace("\r\n", "\n").rstrip("\n") == shown.rstrip("\n")
    assert (body["Content-Transfer-Encoding"] is not None) is encoded
    assert body["Content-Language"] == "de"


def test_a_text_in_no_language_says_none() -> None:
    (body, *_) = read(made(Words(subject="x", text="x\n"))).iter_parts()
    assert body["Content-Language"] is None


def test_our_domain_is_in_lower_case_where_it_is_compared() -> None:
    made(Words(subject="x", text="x\n"), hostname="Mail.Example.NET")
