"""What MAIL and RCPT said is in the record that is committed, and survives its text in the spool."""

import pytest
from ingress_rig import HELLO, Rig

from relaygw.core.address import Address
from relaygw.core.envelope import Body, Envelope, Notify, Recipient
from relaygw.spool.codec import decode_record, encode_record


def envelope(mail: str, rcpt: str, *, secure: bool = False) -> Envelope:
    rig = Rig()
    client = rig.connect()
    if secure:
        client.secure()
    codes = client.codes(f"{HELLO}MAIL FROM:{mail}\r\nRCPT TO:{rcpt}\r\nBDAT 0 LAST\r\n")
    assert codes[-3:] == [250, 250, 250]
    (record,) = rig.records()
    assert decode_record(encode_record(record)) == record
    found: Envelope = record.envelope
    return found


SENDER = Address("a", "client.test")
USER = Recipient(address=Address("user", "here.test"))


@pytest.mark.parametrize(
    ("mail", "rcpt", "expected"),
    [
        (
            "<a@client.test> RET=FULL ENVID=x+2By+20z SIZE=5",
            "<user@here.test> NOTIFY=DELAY,success ORCPT=RFC822;old+2Bname@here.test",
            Envelope(
                sender=SENDER,
                ret="FULL",
                envid="x+y z",
                size=5,
                recipients=(
                    Recipient(
                        address=USER.address,
                        notify=frozenset({Notify.DELAY, Notify.SUCCESS}),
                        orcpt="RFC822;old+name@here.test",
                    ),
                ),
            ),
        ),
        (
            "<ü@bücher.test> SMTPUTF8 BODY=8BITMIME",
            r"<user@here.test> ORCPT=utf-8;\x{FC}@here.test NOTIFY=NEVER",
            Envelope(
                sender=Address("ü", "xn--bcher-kva.test"),
                smtputf8=True,
                body=Body.EIGHT_BIT,
                recipients=(
                    Recipient(address=USER.address, notify=frozenset({Notify.NEVER}), orcpt="utf-8;ü@here.test"),
                ),
            ),
        ),
        (
            "<> BODY=BINARYMIME",
            "<user@here.test>",
            Envelope(sender=None, body=Body.BINARY, recipients=(USER,)),
        ),
        (
            "<> SMTPUTF8",
            "<user@here.test> ORCPT=rfc822;+C3+BC@here.test",
            Envelope(
                sender=None,
                smtputf8=True,
                recipients=(Recipient(address=USER.address, orcpt="utf-8;ü@here.test"),),
            ),
        ),
    ],
)
def test_parameters_reach_the_record(mail: str, rcpt: str, expected: Envelope) -> None:
    assert envelope(mail, rcpt) == expected


def test_requiretls_reaches_the_record() -> None:
    found = envelope("<a@client.test> REQUIRETLS", "<user@here.test>", secure=True)
    assert found == Envelope(sender=SENDER, requiretls=True, recipients=(USER,))
