"""MAIL and RCPT lines: one line each whatever the addresses hold, parameters only where they are offered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.address import Address
from relaygw.core.capabilities import Capabilities, parse_capabilities
from relaygw.core.envelope import Body, Envelope, Notify, Recipient
from relaygw.core.mail_commands import UnsafePath, mail_command, rcpt_command
from relaygw.core.reply import Reply
from relaygw.core.xtext import decode_xtext, encode_xtext

EVERYTHING = parse_capabilities(Reply(250, "", "x\nSIZE 99\nDSN\nSMTPUTF8\n8BITMIME\nREQUIRETLS\nPIPELINING"))


@given(st.text(), st.text())
def test_any_address_gives_one_line_or_is_refused(local: str, domain: str) -> None:
    address = Address(local, domain)
    try:
        lines = [
            rcpt_command(Recipient(address=address, orcpt=f"rfc822;{local}"), EVERYTHING),
            mail_command(Envelope(sender=address, envid=local), EVERYTHING, size=1, body=Body.EIGHT_BIT, smtputf8=True),
        ]
    except UnsafePath:
        return
    for line in lines:
        assert line.count(b"\r\n") == 1
        assert line.endswith(b"\r\n")
        assert not any(octet < 0x20 for octet in line[:-2])
        assert domain.encode() + b">" in line


@given(st.text())
def test_xtext_comes_back(text: str) -> None:
    encoded = encode_xtext(text)
    assert encoded.isascii()
    assert decode_xtext(encoded) == text.encode()


def test_nothing_is_said_that_was_not_offered() -> None:
    envelope = Envelope(sender=None, ret="FULL", envid="x", requiretls=False)
    plain = Capabilities()
    assert mail_command(envelope, plain, size=10, body=Body.EIGHT_BIT, smtputf8=True) == b"MAIL FROM:<>\r\n"
    recipient = Recipient(address=Address("a b", "[192.0.2.1]"), notify=frozenset({Notify.NEVER}), orcpt="rfc822;a")
    assert rcpt_command(recipient, plain) == b'RCPT TO:<"a b"@[192.0.2.1]>\r\n'
    assert rcpt_command(recipient, EVERYTHING) == b'RCPT TO:<"a b"@[192.0.2.1]> NOTIFY=NEVER ORCPT=rfc822;a\r\n'


@pytest.mark.parametrize(
    ("line", "size"), [("SIZE 1000", 1000), ("size", 0), ("SIZE x", 0), ("SIZE 0", 0), ("SIZE " + "9" * 21, 0)]
)
def test_size_is_a_number_or_no_limit(line: str, size: int) -> None:
    offered = parse_capabilities(Reply(250, "", f"host\n{line}"))
    assert offered.size_declared
    assert offered.size == size


def test_login_mechanisms_in_any_case_and_in_the_old_form() -> None:
    offered = parse_capabilities(Reply(250, "", "host\nauth plain\nAUTH=LOGIN CRAM-MD5"))
    assert {"PLAIN", "LOGIN"} <= offered.mechanisms


def test_an_original_recipient_of_500_octets_and_of_501() -> None:
    """In the form that is sent, which may be longer than the form that came (RFC 3461 4.2)."""
    address = Address("a", "b.test")
    for kind, original, sent in (
        ("rfc822", "x" * 493, True),
        ("rfc822", "x" * 494, False),
        ("utf-8", "ü" * 82 + "xx", True),
        ("utf-8", "ü" * 82 + "xxx", False),
    ):
        line = rcpt_command(Recipient(address=address, orcpt=f"{kind};{original}"), EVERYTHING)
        assert (b"ORCPT=" in line) is sent
        assert len(line) <= len("RCPT TO:<a@b.test> ORCPT=\r\n") + 500
