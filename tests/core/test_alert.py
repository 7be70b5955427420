"""Mail of our own: it parses, nobody answers it, and nothing a client said can begin a line in it."""

from email import message_from_bytes, policy

from relaygw.core.address import Address
from relaygw.core.alert import make_alert
from relaygw.core.lifecycle import Kind, tells
from relaygw.core.record import Origin

TO = (Address("alice", "here.test"), Address("postmaster", "here.test"))


def test_it_is_a_message_that_nobody_answers() -> None:
    record, data = make_alert(
        queue_id="q1",
        hostname="gateway.test",
        to=TO,
        subject="held: evil\r\nBcc: victim@elsewhere.test",
        paragraphs=("word " * 40, "  relaygw queue list --login evil\r\nX: y", "Ünicode\0"),
        now=1_700_000_000.0,
    )
    message = message_from_bytes(data, policy=policy.SMTP)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["To"] == "alice@here.test, postmaster@here.test"
    assert message["Bcc"] is None
    assert message["Message-ID"] == record.message_id == "<q1@gateway.test>"
    assert data.isascii()
    assert data.count(b"\n") == data.count(b"\r\n")
    assert max(map(len, data.split(b"\r\n"))) <= 100
    assert "  relaygw queue list --login evil  X: y" in message.get_content()
    assert (record.size, record.origin, record.envelope.sender) == (len(data), Origin.LOCAL, None)
    assert not tells(record, record.recipients[0], Kind.FAILURE)
