"""Delivery reports: machines can read them, people understand them, and nothing hostile gets out of its place."""

import quopri
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Any

import attrs
import pytest
from flufl.bounce import all_failures
from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.core.address import Address, parse_address
from relaygw.core.content import BytesContent
from relaygw.core.dsn import RETURN_LIMIT, Reporter, make_report
from relaygw.core.dsn_fields import printable, status_code
from relaygw.core.dsn_original import HEAD_LIMIT
from relaygw.core.dsn_words import MAX_TOLD, readable_subject
from relaygw.core.envelope import Body, Envelope, Recipient
from relaygw.core.lifecycle import Kind, Report, begin
from relaygw.core.outcome import Outcome, Status, deferred, failed, from_reply
from relaygw.core.record import Origin, Progress, RecipientState, Record
from relaygw.core.reply import Reply

BY = Reporter(hostname="mail.example.net", postmaster="postmaster@example.net")
CONTENT = b"From: alice@example.org\r\nSubject: lunch?\r\nMessage-ID: <one@example.org>\r\n\r\nAt noon.\r\n"
BOB = parse_address("bob@example.com")
NO_SUCH_USER = from_reply(BOB, Reply(550, "5.1.1", "No such user here"), host="mx.example.com", address="192.0.2.1")


def record_of(sender: str = "alice@example.org", message_id: str = "<one@example.org>", **envelope: Any) -> Record:
    recipients = (Recipient(address=BOB),)
    envelope = {"recipients": recipients, **envelope}
    made = begin(
        queue_id="q1", envelope=Envelope(sender=parse_address(sender), **envelope), now=1e9, message_id=message_id
    )
    return attrs.evolve(made, size=len(CONTENT))


def state_of(outcome: Outcome | None, recipient: Recipient | None = None, attempts: int = 1) -> RecipientState:
    tried = 1e9 + 60 if attempts else None
    return RecipientState(recipient=recipient or Recipient(address=BOB), attempts=attempts, last=outcome, tried=tried)


def made(
    *states: RecipientState, kind: Kind = Kind.FAILURE, record: Record | None = None, content: bytes = CONTENT
) -> tuple[Record, bytes]:
    return make_report(
        Report(kind=kind, recipients=states),
        record or record_of(),
        BytesContent(content),
        queue_id="q2",
        now=1e9 + 60,
        retry_until=1e9 + 432000,
        by=BY,
    )


def parsed(data: bytes) -> EmailMessage:
    message = message_from_bytes(data, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


def parts(data: bytes) -> tuple[Message, Message, Message]:
    """The three parts of the report."""
    message = message_from_bytes(data)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    words, status, original = message.get_payload()
    return words, status, original


def status_groups(data: bytes) -> list[dict[str, str]]:
    """The fields of message/delivery-status, the message's group first."""
    _, status, _ = parts(data)
    assert status.get_content_type() == "message/delivery-status"
    return [{name.lower(): value for name, value in group.items()} for group in status.get_payload() if group.keys()]


def words_of(data: bytes) -> str:
    words, _, _ = parts(data)
    payload = words.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode(words.get_content_charset("us-ascii"))


def test_the_report_is_a_message_of_its_own_from_nobody_to_the_sender() -> None:
    record, data = made(state_of(NO_SUCH_USER))
    assert record.envelope.sender is None
    assert [str(recipient.address) for recipient in record.envelope.recipients] == ["alice@example.org"]
    assert (record.queue_id, record.origin, record.size) == ("q2", Origin.REPORT, len(data))
    assert record.header_from == "mail.example.net"
    message = parsed(data)
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@mail.example.net>"
    assert message["To"] == "alice@example.org"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == record.message_id == "<q2@mail.example.net>"
    assert message["Date"] == "Sun, 09 Sep 2001 01:47:40 +0000"
    assert message["MIME-Version"] == "1.0"
    assert message["In-Reply-To"] == message["References"] == "<one@example.org>"
    assert data.isascii()
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))


def test_the_fields_that_machines_read() -> None:
    recipient = Recipient(address=BOB, orcpt="rfc822;robert@example.com")
    _, data = made(state_of(NO_SUCH_USER, recipient), record=record_of(envid="ENV-7"))
    message, person = status_groups(data)
    assert message["reporting-mta"] == "dns; mail.example.net"
    assert message["original-envelope-id"] == "ENV-7"
    assert message["arrival-date"] == "Sun, 09 Sep 2001 01:46:40 +0000"
    assert person == {
        "original-recipient": "rfc822; robert@example.com",
        "final-recipient": "rfc822; bob@example.com",
        "action": "failed",
        "status": "5.1.1",
        "remote-mta": "dns; mx.example.com",
        "diagnostic-code": "smtp; 550 5.1.1 No such user here",
        "last-attempt-date": "Sun, 09 Sep 2001 01:47:40 +0000",
    }


def test_a_bounce_detector_made_by_others_finds_the_failed_recipients() -> None:
    eve = parse_address("eve@example.com")
    _, data = made(state_of(NO_SUCH_USER), state_of(failed(eve, "5.4.4", "no mail server"), Recipient(address=eve)))
    temporary, permanent = all_failures(message_from_bytes(data))
    assert permanent == {b"bob@example.com", b"eve@example.com"}
    assert temporary == set()


def test_the_same_detector_knows_a_delay_from_a_failure() -> None:
    _, data = made(state_of(deferred(BOB, "4.4.1", "connection refused")), kind=Kind.DELAY)
    temporary, permanent = all_failures(message_from_bytes(data))
    assert (set(temporary), set(permanent)) == ({b"bob@example.com"}, set())


def test_people_read_what_happened_to_which_message_why_and_what_to_do() -> None:
    _, data = made(state_of(NO_SUCH_USER))
    words = words_of(data)
    for needed in (
        "NOT delivered",
        "<bob@example.com>",
        "lunch?",
        "mx.example.com [192.0.2.1] said: 550 5.1.1 No such user here",
        "Check it for typing errors",
        "postmaster@example.net",
        "mail.example.net",
    ):
        assert needed in words
    assert all(len(line) <= 78 for line in words.splitlines())


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("5.1.0", "The address was refused."),
        ("5.1.1", "The address does not exist there."),
        ("4.1.6", "The address does not exist there."),
        ("5.1.2", "The part after the @ names no place that takes mail."),
        ("5.4.4", "The part after the @ names no place that takes mail."),
        ("5.1.10", "The domain after the @ takes no mail at all."),
        ("5.1.8", "The sender address was not believed."),
        ("5.7.25", "The sender address was not believed."),
        ("5.2.2", "The mailbox is full."),
        ("4.2.2", "The mailbox is full."),
        ("5.2.1", "The mailbox is closed for now."),
        ("5.3.4", "The message is too large for the recipient."),
        ("5.7.1", "The recipient's system refuses the message by its rules."),
        ("5.7.28", "The recipient's system refuses the message by its rules."),
        ("5.4.7", "The recipient's system could not be reached, or was not ready,"),
        ("4.4.7", "The recipient's system could not be reached, or was not ready,"),
        ("4.3.0", "The recipient's system could not be reached, or was not ready,"),
        ("5.6.7", "The recipient's system cannot handle this kind of message."),
        ("5.0.0", "If you do not know why, forward this report to the address at the end."),
        ("", "If you do not know why, forward this report to the address at the end."),
    ],
)
def test_every_failure_comes_with_advice(code: str, advice: str) -> None:
    _, data = made(state_of(failed(BOB, code, "because")))
    assert f"-> {advice}" in " ".join(words_of(data).split())


def test_a_deferral_without_a_code_that_was_final_comes_with_advice() -> None:
    last = Outcome(recipient=BOB, status=Status.DEFERRED, reply=Reply(451, "", "later"))
    assert "-> The recipient's system could not be reached" in " ".join(words_of(made(state_of(last))[1]).split())


@pytest.mark.parametrize(
    ("host", "address", "who"),
    [
        ("mx.example.com", "192.0.2.1", "mx.example.com [192.0.2.1]"),
        ("mx.example.com", "", "mx.example.com"),
        ("", "192.0.2.1", "the next system [192.0.2.1]"),
    ],
)
def test_who_said_what(host: str, address: str, who: str) -> None:
    last = from_reply(BOB, Reply(550, "5.1.1", "no"), host=host, address=address)
    assert f"    {who} said: 550 5.1.1 no\n" in words_of(made(state_of(last))[1]).replace("\r\n", "\n")


@pytest.mark.parametrize(("length", "shown"), [(60, "x" * 60), (61, "x" * 59 + "…")])
def test_a_subject_is_told_up_to_a_length_and_without_space_around_it(length: int, shown: str) -> None:
    assert readable_subject(b"Subject:   " + b"x" * length + b"  \r\n") == shown


@pytest.mark.parametrize(
    ("orcpt", "told"),
    [
        ("rfc822; robert@example.com ", "rfc822; robert@example.com"),
        ("robert@example.com", "rfc822; robert@example.com"),
        ("X400;/s=robert", "X400; /s=robert"),
        ("utf-8;j\\x{F6}@example.com", "utf-8; j\\x{5C}x{F6}@example.com"),
    ],
)
def test_the_original_recipient_is_told_with_its_type(orcpt: str, told: str) -> None:
    _, data = made(state_of(NO_SUCH_USER, Recipient(address=BOB, orcpt=orcpt)))
    assert status_groups(data)[1]["original-recipient"] == told


def test_a_recipient_that_was_never_answered_for_has_a_status_all_the_same() -> None:
    assert status_code(state_of(None)) == "4.4.7"
    assert status_code(attrs.evolve(state_of(None), progress=Progress.EXPANDED)) == "2.0.0"


def test_the_name_a_client_gave_is_told_up_to_its_length() -> None:
    for length, told in ((255, 255), (256, 255)):
        record = attrs.evolve(record_of(), hello="h" * length)
        assert (
            status_groups(made(state_of(NO_SUCH_USER), record=record)[1])[0]["received-from-mta"]
            == f"dns; {'h' * told}"
        )


def test_a_delay_says_until_when_it_is_tried() -> None:
    _, data = made(state_of(deferred(BOB, "4.4.1", "connection refused")), kind=Kind.DELAY)
    _, person = status_groups(data)
    assert (person["action"], person["status"]) == ("delayed", "4.4.1")
    assert person["will-retry-until"] == "Fri, 14 Sep 2001 01:46:40 +0000"
    assert person["diagnostic-code"] == "x-relaygw; 451 4.4.1 connection refused"
    words = " ".join(words_of(data).split())
    assert "You need not do anything" in words
    assert "Friday, 14 September 2001" in words


@pytest.mark.parametrize(("remote", "action"), [(True, "relayed"), (False, "delivered")])
def test_success_tells_delivered_from_relayed(remote: bool, action: str) -> None:
    outcome = Outcome(recipient=BOB, status=Status.DELIVERED, reply=Reply(250, "2.1.5", "ok"), remote=remote)
    _, data = made(state_of(outcome), kind=Kind.SUCCESS)
    _, person = status_groups(data)
    assert (person["action"], person["status"]) == (action, "2.1.5")


def test_a_recipient_that_was_never_attempted_has_no_attempt_date() -> None:
    _, data = made(state_of(failed(BOB, "5.0.0", "returned"), attempts=0))
    assert "last-attempt-date" not in status_groups(data)[1]


def test_a_message_without_a_sender_is_never_reported() -> None:
    record = begin(queue_id="q1", envelope=Envelope(sender=None), now=1e9)
    with pytest.raises(ValueError, match="never reported"):
        made(state_of(NO_SUCH_USER), record=record)


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (Reply(550, "5.1.1", "x"), Status.FAILED, "5.1.1"),
        (Reply(550, "", "x"), Status.FAILED, "5.0.0"),
        (Reply(550, "4.1.1", "x"), Status.FAILED, "5.0.0"),
        (Reply(451, "4.7.500", "x"), Status.DEFERRED, "4.7.500"),
        (Reply(451, "4.7.1\r\nAction: delivered", "x"), Status.DEFERRED, "4.0.0"),
        (Reply(421, "5.7.1", "x"), Status.DEFERRED, "4.0.0"),
    ],
)
def test_status_codes_fit_the_outcome(reply: Reply, status: Status, code: str) -> None:
    assert status_code(state_of(Outcome(recipient=BOB, status=status, reply=reply))) == code


class TestOriginal:
    """What comes back of the original message."""

    def test_its_header_section_by_default(self) -> None:
        _, _, original = parts(made(state_of(NO_SUCH_USER))[1])
        assert original.get_content_type() == "text/rfc822-headers"
        text = original.get_payload()
        assert "Subject: lunch?" in text
        assert "At noon" not in text

    def test_the_whole_of_it_where_the_sender_asked(self) -> None:
        _, _, original = parts(made(state_of(NO_SUCH_USER), record=record_of(ret="FULL"))[1])
        assert original.get_content_type() == "message/rfc822"
        assert original.get_payload()[0].get_payload() == "At noon.\r\n"

    def test_only_the_header_section_of_one_that_is_too_large(self) -> None:
        at_limit = CONTENT + b"x" * 70 + b"\r\n"
        at_limit += (b"y" * 70 + b"\r\n") * ((RETURN_LIMIT - len(at_limit)) // 72)
        at_limit += b"z" * (RETURN_LIMIT - len(at_limit))
        for extra, kind in ((b"", "message/rfc822"), (b"!", "text/rfc822-headers")):
            _, data = made(state_of(NO_SUCH_USER), record=record_of(ret="FULL"), content=at_limit + extra)
            assert parts(data)[2].get_content_type() == kind

    def test_only_the_header_section_for_a_delay(self) -> None:
        state = state_of(deferred(BOB, "4.4.1", "refused"))
        _, data = made(state, kind=Kind.DELAY, record=record_of(ret="FULL"))
        assert parts(data)[2].get_content_type() == "text/rfc822-headers"

    def test_eight_bit_header_sections_come_back_in_seven_bits(self) -> None:
        record, data = made(state_of(NO_SUCH_USER), content="Subject: Grüße\r\n\r\nx\r\n".encode())
        assert data.isascii()
        assert record.envelope.body is Body.SEVEN_BIT
        assert parts(data)[2].get_payload(decode=True) == "Subject: Grüße\r\n".encode()

    def test_eight_bit_messages_come_back_whole_and_the_envelope_says_so(self) -> None:
        content = "Subject: x\r\n\r\nGrüße\r\n".encode()
        record, data = made(state_of(NO_SUCH_USER), record=record_of(ret="FULL"), content=content)
        assert record.envelope.body is Body.EIGHT_BIT
        assert content in data

    @pytest.mark.parametrize(
        "body", [b"\0", b"x" * 999, b"bare\rreturn", b"bare\nfeed"], ids=["NUL", "long line", "CR", "LF"]
    )
    def test_what_does_not_fit_into_mime_comes_back_as_header_section(self, body: bytes) -> None:
        content = b"Subject: x\r\n\r\n" + body + b"\r\n"
        _, data = made(state_of(NO_SUCH_USER), record=record_of(ret="FULL"), content=content)
        assert parts(data)[2].get_content_type() == "text/rfc822-headers"

    def test_huge_header_sections_are_cut_between_lines(self) -> None:
        head = b"".join(b"X-%06d: %s\r\n" % (number, b"x" * 60) for number in range(2000))
        _, data = made(state_of(NO_SUCH_USER), content=head + b"\r\nx\r\n")
        text = parts(data)[2].get_payload()
        assert isinstance(text, str)
        assert len(text) <= HEAD_LIMIT
        assert all(line.startswith("X-") and line.endswith("x" * 60) for line in text.splitlines() if line)

    @pytest.mark.parametrize(("more", "kept"), [(0, True), (1, False)])
    def test_a_header_section_of_the_greatest_size_comes_back_whole(self, more: int, kept: bool) -> None:
        last = b"X-Last: " + b"x" * (HEAD_LIMIT % 64 + more + 54) + b"\r\n"
        head = (b"X-Some: " + b"x" * 54 + b"\r\n") * (HEAD_LIMIT // 64 - 1) + last
        assert len(head) == HEAD_LIMIT + more
        _, data = made(state_of(NO_SUCH_USER), content=head + b"\r\nx\r\n")
        assert (b"X-Last: " in data) is kept

    def test_binary_content_comes_back_as_header_section(self) -> None:
        """RFC 3030 3: also where it would fit."""
        _, data = made(state_of(NO_SUCH_USER), record=record_of(ret="FULL", body=Body.BINARY))
        assert parts(data)[2].get_content_type() == "text/rfc822-headers"

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            ("Subject: x\r\n\r\nGrüße\r\n".encode(), "message/rfc822"),
            ("Subject: x\r\n\r\nGrüße\r\n".encode("latin-1"), "message/rfc822"),
            ("Subject: Grüße\r\n\r\nx\r\n".encode("latin-1"), "message/rfc822"),
            ("Subject: Grüße\r\n\r\nx\r\n".encode(), "message/global"),
        ],
    )
    def test_only_a_header_section_in_utf_8_makes_a_message_a_global_one(self, content: bytes, kind: str) -> None:
        record, data = made(state_of(NO_SUCH_USER), record=record_of(ret="FULL"), content=content)
        assert b"Content-Type: %s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s" % (kind.encode(), content) in data
        assert record.envelope.body is Body.EIGHT_BIT

    @pytest.mark.parametrize(
        ("head", "utf8", "says"),
        [
            ("Subject: Grüße\r\n".encode(), False, "text/rfc822-headers; charset=utf-8"),
            ("Subject: Grüße\r\n".encode(), True, "message/global-headers"),
            ("Subject: Grüße\r\n".encode("latin-1"), False, "text/rfc822-headers; charset=unknown-8bit"),
            ("Subject: Grüße\r\n".encode("latin-1"), True, "text/rfc822-headers; charset=unknown-8bit"),
            (b"Subject: x\r\n", True, "text/rfc822-headers"),
            (b"Subject: %s\r\n" % (b"x" * 989), False, "text/rfc822-headers"),
            (b"Subject: %s\r\n" % (b"x" * 990), False, "text/rfc822-headers; charset=utf-8"),
            (b"Subject: %s\r\n" % ("ü" * 495).encode(), True, "text/rfc822-headers; charset=utf-8"),
        ],
    )
    def test_how_a_header_section_comes_back(self, head: bytes, utf8: bool, says: str) -> None:
        """As it is where that fits, and where it does not in quoted-printable."""
        record = record_of(sender="müller@example.org", smtputf8=True) if utf8 else record_of()
        dsn, data = made(state_of(NO_SUCH_USER), record=record, content=head + b"\r\nx\r\n")
        original = data.rsplit(b"\r\n--=_q2\r\n", 1)[1]
        assert original.startswith(f"Content-Type: {says}\r\n".encode())
        payload = original.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n--=_q2--\r\n")
        quoted = b"quoted-printable" in original
        assert (
            quopri.decodestring(payload.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n") if quoted else payload
        ) == head
        assert quoted is ("charset" in says)
        assert dsn.envelope.body is (Body.EIGHT_BIT if utf8 else Body.SEVEN_BIT)


def test_addresses_beyond_ascii_are_written_as_rfc_6533_says() -> None:
    jo = Address("jö", "example.com")
    outcome = failed(jo, "5.1.1", "unknown")
    record = record_of(sender="müller@example.org", smtputf8=True)
    dsn, data = made(state_of(outcome, Recipient(address=jo)), record=record)
    # Whoever has such an address reads UTF-8 everywhere (RFC 6533 6), and its hosts do.
    assert b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" in data
    assert "Final-Recipient: utf-8; jö@example.com\r\n".encode() in data
    assert dsn.envelope.smtputf8
    assert "<jö@example.com>" in words_of(data)
    # Anyone else gets a report in 7 bits.
    dsn, data = made(state_of(outcome, Recipient(address=jo)), record=record_of(smtputf8=True))
    assert status_groups(data)[1]["final-recipient"] == "utf-8; j\\x{F6}@example.com"
    assert (dsn.envelope.smtputf8, dsn.envelope.body) == (False, Body.SEVEN_BIT)


HOSTILE = st.one_of(
    st.text(
        st.one_of(st.characters(codec="utf-8"), st.sampled_from('\r\n\0\x1b\t\u2028\u202e:;<>"\\=.-')), max_size=80
    ),
    st.sampled_from(["\r\nBcc: eve@evil.example\r\n\r\n", "x\r\n\r\nAction: delivered", "--=_q2--", "y" * 2000]),
)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, st.binary(max_size=200), st.booleans())
@settings(max_examples=400, deadline=None)
def test_no_text_of_others_leaves_its_place(
    reply: str, enhanced: str, host: str, orcpt: str, envid: str, head: bytes, full: bool
) -> None:
    outcome = Outcome(
        recipient=BOB,
        status=Status.FAILED,
        reply=Reply(550, enhanced, reply),
        remote=True,
        host=host,
        address="192.0.2.1",
    )
    record = record_of(envid=envid, ret="FULL" if full else "", message_id=reply)
    _, data = made(state_of(outcome, Recipient(address=BOB, orcpt=orcpt)), record=record, content=head + b"\r\n\r\nx")
    message = message_from_bytes(data)
    expected = {"date", "from", "to", "subject", "message-id", "auto-submitted", "mime-version", "content-type"}
    assert {name.lower() for name in message.keys()} - {"in-reply-to", "references"} == expected  # noqa: SIM118
    assert len(message.get_payload()) == 3
    groups = status_groups(data)
    assert len(groups) == 2
    allowed = {
        "reporting-mta", "original-envelope-id", "arrival-date", "x-relaygw-queue-id", "original-recipient",
        "final-recipient", "action", "status", "remote-mta", "diagnostic-code", "last-attempt-date",
    }  # fmt: skip
    assert {name for group in groups for name in group} <= allowed
    assert groups[1]["action"] == "failed"
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))


@given(st.text(max_size=300), st.integers(1, 100))
def test_printable_is_one_line_of_ascii_within_its_limit(text: str, limit: int) -> None:
    made = printable(text, limit)
    assert made.isascii()
    assert len(made) <= limit
    assert made.isprintable()


@pytest.mark.parametrize(
    ("head", "subject"),
    [
        (b"Subject: plain\r\n", "plain"),
        (b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?q?_an_alle?=\r\n", "Grüße an alle"),
        (b"Subject: =?nonsense?q?x?=\r\n", "=?nonsense?q?x?="),
        ("Subject: =?ütf-8?q?x?=\r\n".encode(), "=?ütf-8?q?x?="),
        (b"Subject: =?\xff?q?x?=\r\n", "=?\ufffd?q?x?="),
        (b"Subject: =?utf-8?b?!!!?=\r\n", None),
        (b"Subject: " + b"x" * 61 + b"\r\n", "x" * 59 + "…"),
        (b"X: y\r\n", ""),
    ],
)
def test_subjects_are_told_as_people_read_them(head: bytes, subject: str | None) -> None:
    found = readable_subject(head)
    assert "\n" not in found
    if subject is not None:
        assert found == subject


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (MAX_TOLD, ""),
        (MAX_TOLD + 1, "There is one more recipient, who is named in the next part of this report."),
        (MAX_TOLD + 950, "There are 950 more recipients, who are named in the next part of this report."),
    ],
)
def test_people_are_told_of_so_many_recipients_and_programs_of_all(number: int, words: str) -> None:
    def state(user: int) -> RecipientState:
        address = Address(f"user{user}", "b.test")
        return RecipientState(recipient=Recipient(address=address), attempts=1, last=failed(address, "5.1.1", "no"))

    _, data = made(*map(state, range(number)))
    text, status, _ = parsed(data).iter_parts()
    told = " ".join(text.get_content().split())
    assert told.count("@b.test>") == MAX_TOLD
    assert words in told
    assert told.count("more recipient") == bool(words)
    assert status.as_string().count("Final-Recipient: ") == number


@given(st.binary(max_size=200))
def test_no_subject_breaks_the_report(value: bytes) -> None:
    found = readable_subject(b"Subject: " + value + b"\r\n")
    assert len(found) <= 60
    assert not set(found) & {"\r", "\n"}
