"""A real gateway tells a sender of three failures, at three domains and by three ways, in one report, in his language
and in the operator's words; and the check finds a text that is wrong."""

import json
import smtplib
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from flufl.bounce import all_failures
from real import eventually, unchecked

from relaygw.testing.gateway import Gateway

pytestmark = pytest.mark.interop
USER, PASSWORD = "alice", "correct horse"
ZONE = """\
closed.test: {MX: 0 .}
lost.test: {MX: 10 gone.lost.test}
"""
TEXT = """\
Subject: Unzustellbar: {{ subject }}
From: Poststelle Süd

Folgende Empfänger waren nicht zu erreichen:
{% for recipient in recipients %}
- {{ recipient.address }} ({{ recipient.status }})
{% endfor %}
"""


def test_one_report_in_the_operators_words(tmp_path: Path) -> None:
    gateway = Gateway.make(tmp_path / "demo", domains=["example.test"], users=[f"{USER}:{PASSWORD}"])
    (gateway.folder / "zone.yaml").write_text(ZONE)
    (gateway.folder / "texts").mkdir()
    (gateway.folder / "texts/failure.de.txt").write_text(TEXT)
    gateway.append('[dns]\nzone = "zone.yaml"\n[reports]\ntemplates = "texts"\n')
    with gateway:
        with smtplib.SMTP("127.0.0.1", gateway.port(587), timeout=60) as client:
            client.starttls(context=unchecked())
            client.login(USER, PASSWORD)
            content = "Subject: Mittag\r\nAccept-Language: de-CH, en;q=0.5\r\nFrom: alice@example.test\r\n\r\nx\r\n"
            client.sendmail("alice@example.test", ["a@closed.test", "b@lost.test", "c@nowhere.test"], content)
        [path] = eventually(lambda: list(gateway.folder.rglob("new/*")))
        report = message_from_bytes(path.read_bytes(), policy=policy.SMTP)
    assert isinstance(report, EmailMessage)
    assert (report["Subject"], report["Auto-Submitted"]) == ("Unzustellbar: Mittag", "auto-replied")
    assert report["From"] == "Poststelle Süd <MAILER-DAEMON@gateway.example.test>"
    words = report.get_payload(0).get_content()  # type: ignore[union-attr]  # a part
    for told in ("- a@closed.test (5.1.10)", "- b@lost.test (5.4.4)", "- c@nowhere.test (5.1.2)"):
        assert told in words
    _, permanent = all_failures(message_from_bytes(path.read_bytes()))
    assert permanent == {b"a@closed.test", b"b@lost.test", b"c@nowhere.test"}
    (gateway.folder / "texts/failure.de.txt").write_text(TEXT + "{{ nobody }}")
    checked = gateway.command("check", "--json")
    findings = json.loads(checked.stdout)["findings"]
    assert checked.returncode == 1
    assert [each["path"] for each in findings if "failure.de.txt" in each["message"]] == ["reports.templates"]
