"""A gateway over a real LDAP server: one directory for SMTP, POP3 and IMAP4, and what it says while that is down."""

import imaplib
import poplib
import smtplib
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import issue
from real import eventually, unchecked
from slapd import start

from relaygw.testing.gateway import Gateway

pytestmark = pytest.mark.interop

DIRECTORY = """
[directory]
kind = "ldap"
[directory.options]
servers = ["{uri}"]
base = "dc=example,dc=com"
authorities = "{authority}"
bind_dn = "cn=reader,dc=example,dc=com"
bind_password_file = "reader"
timeout = 30
"""


def test_mail_and_logins_by_ldap_and_temporary_answers_without_it(tmp_path: Path, peer: Callable[[str], str]) -> None:
    folder = tmp_path / "slapd"
    folder.mkdir()
    slapd = start(peer("slapd"), folder, issue("Test Authority", authority=True))
    try:
        gateway = Gateway.make(tmp_path / "g", domains=["example.com"], users=["nobody:x"], hostname="localhost")
        gateway.configure('[directory]\n# Names and password hashes; edit with `relaygw user`.\nusers = "users"\n', "")
        gateway.append(DIRECTORY.format(uri=slapd.ldap, authority=folder / "authority.pem"))
        (gateway.folder / "reader").write_text("reading\n")
        (gateway.folder / "reader").chmod(0o600)
        with gateway:
            _while_it_answers(gateway)
            slapd.kill()
            _while_it_is_down(gateway)
    finally:
        slapd.kill()


def _while_it_answers(gateway: Gateway) -> None:
    with smtplib.SMTP("127.0.0.1", gateway.port(25)) as client:
        client.sendmail("", ["a.smith@example.com"], b"Subject: by its other name\r\n\r\nHello.\r\n")
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail("", ["mallory@example.com"], b"x\r\n")
        assert refused.value.recipients["mallory@example.com"][0] == 550
    with smtplib.SMTP_SSL("127.0.0.1", gateway.port(465), context=unchecked()) as client:
        client.login("alice", "wonderland")
    eventually(lambda: _waiting(gateway) == 1)
    imap = imaplib.IMAP4_SSL("127.0.0.1", gateway.port(993), ssl_context=unchecked())
    assert imap.login("alice", "wonderland")[0] == "OK"
    assert imap.select()[1] == [b"1"]
    imap.logout()


def _waiting(gateway: Gateway) -> int:
    pop = poplib.POP3_SSL("127.0.0.1", gateway.port(995), context=unchecked())
    pop.user("alice")
    pop.pass_("wonderland")
    count: int = pop.stat()[0]
    pop.quit()
    return count


def _while_it_is_down(gateway: Gateway) -> None:
    with smtplib.SMTP("127.0.0.1", gateway.port(25)) as client:
        client.ehlo()
        client.mail("")
        assert client.rcpt("alice@example.com")[0] == 451
    with smtplib.SMTP_SSL("127.0.0.1", gateway.port(465), context=unchecked()) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as failed:
            client.login("alice", "wonderland")
        assert failed.value.smtp_code == 454
    imap = imaplib.IMAP4_SSL("127.0.0.1", gateway.port(993), ssl_context=unchecked())
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        imap.login("alice", "wonderland")
    imap.shutdown()
    assert gateway.command("ban", "list").stdout.startswith("Nothing"), "an outage is nobody's failed login"
