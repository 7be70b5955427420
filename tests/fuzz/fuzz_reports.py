"""Any original and any words of a server make a delivery report that is mail: lines of ours, and nothing that leaves
its place."""

from email import message_from_bytes, policy

from relaygw.core.address import Address
from relaygw.core.content import BytesContent
from relaygw.core.dsn import Reporter, make_report
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.lifecycle import Kind, Report, begin
from relaygw.core.outcome import from_reply
from relaygw.core.record import RecipientState
from relaygw.core.reply_parser import make_reply

SEEDS = (
    b"5.1.1 no such user\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <a@b>\r\n\r\nx\r\n",
    b"\xff\xfe\nSubject: =?\xc3\xbctf-8?b?!?= =?x?q?y?=\r\nContent-Type: multipart/report; boundary=x\r\n\r\n--x\r\n\0",
    b"a\r\nb\nX: y\r\n z\r\n" + b"x" * 1100,
)
BOB = Address("b\u00fcb", "example.com")


def one_input(data: bytes) -> None:
    words, _, original = data.partition(b"\n")
    reply = make_reply(550, words.decode("utf-8", "replace").split("|"))
    state = RecipientState(
        recipient=Recipient(address=BOB, orcpt="rfc822;x"),
        attempts=1,
        tried=1e9,
        last=from_reply(BOB, reply, host="mx.test", address="192.0.2.1"),
    )
    envelope = Envelope(sender=Address("alice", "example.org"), recipients=(state.recipient,), ret="FULL")
    record, made = make_report(
        Report(kind=Kind.FAILURE, recipients=(state,)),
        begin(queue_id="q1", envelope=envelope, now=1e9),
        BytesContent(original),
        queue_id="q2",
        now=1e9,
        retry_until=1e9,
        by=Reporter(hostname="gateway.test", postmaster="postmaster@gateway.test"),
    )
    assert record.envelope.sender is None
    assert b"\n" not in made.replace(b"\r\n", b"")
    assert b"\0" not in made
    assert made.isascii() or record.envelope.body.value != "7BIT"
    message = message_from_bytes(made, policy=policy.default)
    assert message.get_content_type() == "multipart/report"
    assert len(message.get_payload()) == 3
