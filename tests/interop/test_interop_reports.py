"""Our delivery reports before a Postfix that is strict about MIME: every golden one is taken, a broken one is not."""

import smtplib
from collections.abc import Callable
from pathlib import Path

import pytest
from mailers import sending_postfix

pytestmark = pytest.mark.interop
FOLDER = Path(__file__).parents[1] / "data" / "dsn"
STRICT = """\
strict_mime_encoding_domain = yes
strict_8bitmime_body = yes
smtputf8_autodetect_classes = all
"""


def test_every_kind_of_report_is_sound_mime(peer: Callable[[str], str]) -> None:
    reports = {path.stem: path.read_bytes().replace(b"\n", b"\r\n") for path in sorted(FOLDER.glob("*.eml"))}
    assert len(reports) > 8
    with (
        sending_postfix(peer("postfix"), "smtp:[127.0.0.1]:1", STRICT) as port,
        smtplib.SMTP("127.0.0.1", port, timeout=60) as client,
    ):
        client.ehlo("relay.test")
        for name, report in reports.items():
            options = ["BODY=8BITMIME"] + ([] if report.isascii() else ["SMTPUTF8"])
            assert client.sendmail("", ["someone@elsewhere.test"], report, mail_options=options) == {}, name
        broken = reports["failed_whole_message_returned"].replace(
            b"Content-Type: message/rfc822\r\n",
            b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n",
        )
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.sendmail("", ["someone@elsewhere.test"], broken, mail_options=["BODY=8BITMIME"])
        assert b"encoding" in caught.value.smtp_error  # type: ignore[operator]  # bytes, as servers send them
