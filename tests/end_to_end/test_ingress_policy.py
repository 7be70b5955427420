"""A real gateway keeps its house: quotas over a restart, bound senders, old devices fenced, repaired; a full disk."""

import json
import smtplib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from real import eventually, journaled, unchecked

from relaygw.testing.gateway import Gateway, wait_for
from relaygw.testing.ports import free_port

USER, PASSWORD = "alice", "correct horse battery"
ALICE = "alice@example.test"


def make(folder: Path) -> Gateway:
    return Gateway.make(folder / "demo", domains=["example.test"], users=[f"{USER}:{PASSWORD}", "bob:secret"])


def submit(gateway: Gateway, sender: str, author: str, to: str = "bob@example.test") -> None:
    with smtplib.SMTP("127.0.0.1", gateway.port(587), timeout=60) as client:
        client.starttls(context=unchecked())
        client.login(USER, PASSWORD)
        client.sendmail(sender, [to], f"From: {author}\r\nSubject: x\r\n\r\nx\r\n")


def asked(gateway: Gateway, *arguments: str) -> Any:
    done = gateway.command("--json", *arguments)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def mailbox(gateway: Gateway, name: str) -> list[bytes]:
    return [path.read_bytes() for path in gateway.folder.glob(f"state/mail/{name}*/**/new/*")] + [
        path.read_bytes() for path in gateway.folder.glob(f"state/mail/{name}*/**/cur/*")
    ]


def test_a_stolen_login_is_held_over_a_restart_and_released_by_one_command(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    gateway.append('[[quota]]\nname = "logins"\nmessages_per_hour = 2\n')
    with gateway:
        for _ in range(4):
            submit(gateway, ALICE, ALICE)
        eventually(lambda: len(mailbox(gateway, "bob")) == 2)
        assert len(asked(gateway, "queue", "list", "--held", "--login", USER)) == 2
        assert asked(gateway, "queue", "list", "--login", "bob") == []
        (alert,) = eventually(lambda: [each for each in mailbox(gateway, "alice") if b"Mail is held" in each])
        assert b"relaygw queue remove --held --login alice" in alert
        with pytest.raises(smtplib.SMTPSenderRefused, match="is not an address of the login alice"):
            submit(gateway, "bob@example.test", ALICE)
        with pytest.raises(smtplib.SMTPDataError, match="is not an address of the login alice"):
            submit(gateway, ALICE, "Bob <bob@example.test>")
        submit(gateway, "alice+list@example.test", "postmaster@example.test")
        gateway.stop()
        assert (gateway.folder / "state" / "quotas.json").stat().st_mode & 0o777 == 0o600
        gateway.start()
        submit(gateway, ALICE, ALICE)
        held = asked(gateway, "queue", "list", "--held", "--login", USER, "--client", "127.0.0.0/8")
        assert len(held) == 4
        eventually(lambda: len(journaled(gateway, "quota_exceeded")) == 4)
        assert [event.get("told", False) for event in journaled(gateway, "quota_exceeded")] == [
            True, False, False, False,
        ]  # fmt: skip
        one = held[0]["id"]
        assert asked(gateway, "queue", "remove", one)["messages"][0]["done"]
        assert len(asked(gateway, "queue", "release", "--login", USER)["messages"]) == 3
        eventually(lambda: len(mailbox(gateway, "bob")) == 5)
        assert len([each for each in mailbox(gateway, "alice") if b"Mail is held" in each]) == 1


LEGACY = """
[[listener]]
name = "devices"
endpoint = "tcp:{inside}:interface=127.0.0.1"
profile = "legacy"
networks = ["127.0.0.0/8"]

[[listener]]
name = "elsewhere"
endpoint = "tcp:{outside}:interface=127.0.0.1"
profile = "legacy"
networks = ["10.0.0.0/8"]

[[rewriter]]
use = "from-address"
listeners = ["devices"]
options = {{ address = "devices@example.test" }}

[limits]
errors = 2
"""


def old_tls() -> ssl.SSLContext:
    """What a device of 2005 offers."""
    context = unchecked()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated:DeprecationWarning")
def test_old_devices_are_fenced_repaired_and_listed(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    inside, outside = free_port(), free_port()
    gateway.append(LEGACY.format(inside=inside, outside=outside))
    findings = asked(gateway, "check")["findings"]
    assert sum("LEGACY" in each["message"] for each in findings) == 2
    assert any("devices' own From addresses" in each["message"] for each in findings)
    with gateway:
        wait_for(inside)
        with socket.create_connection(("127.0.0.1", inside), 60) as device:
            lines = (
                b"HELO scan\nMAIL FROM:<scan@local>\nRCPT TO:<bob@example.test>\nDATA\nSubject: scan\n\n..x\n.\nQUIT\n"
            )
            device.sendall(lines)
            said = device.makefile("rb").read().decode()
        assert [line[:3] for line in said.splitlines()] == ["220", "250", "250", "250", "354", "250", "221"]
        (scan,) = eventually(lambda: [each for each in mailbox(gateway, "bob") if b"Subject: scan" in each])
        assert b'From: "scan@local"\r\n <devices@example.test>\r\n' in scan
        assert scan.endswith(b"\r\n\r\n.x\r\n")
        assert b"\r\nMessage-ID: " in scan
        with smtplib.SMTP("127.0.0.1", inside, timeout=60) as client:
            client.starttls(context=old_tls())
            client.sendmail("copier@local", ["bob@example.test"], "Subject: copy\r\n\r\nx\r\n")
        with smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client:
            with pytest.raises((ssl.SSLError, smtplib.SMTPException, OSError)):
                client.starttls(context=old_tls())
        with socket.create_connection(("127.0.0.1", outside), 60) as stranger:
            assert stranger.makefile("rb").read() == b"554 5.7.1 This service is not for your network\r\n"
        eventually(lambda: len(journaled(gateway, "old_client")) == 2)
        assert [event.get("tls", "") for event in journaled(gateway, "old_client")] == ["", "TLSv1"]
        assert _last_words(gateway.port(25)).endswith(b"421 4.7.0 Too many errors\r\n")


def _last_words(port: int) -> bytes:
    """What a client hears that goes on sending for some time after it was refused."""
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        client.settimeout(60)
        client.sendall(b"NONSENSE\r\n" * 10)
        eventually(lambda: b"421" in client.recv(65536, socket.MSG_PEEK))
        for _ in range(10):
            client.sendall(b"NONSENSE\r\n" * 100)
        client.shutdown(socket.SHUT_WR)
        heard = b""
        while piece := client.recv(65536):
            heard += piece
        return heard


def test_a_full_disk_refuses_mail_until_there_is_room(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    gateway.append('[pressure]\nfree_space = "1000000G"\ninterval = "0.1s"\n')

    def offer(size: int = 0) -> int:
        with smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client:
            client.ehlo("client.test")
            return client.mail("<a@client.test>", [f"SIZE={size}"] if size else [])[0]

    with gateway:
        assert offer() == 452
        pressure = asked(gateway, "status")["pressure"]
        assert pressure["accepting"] == 0
        assert pressure["reasons"] == ["little space is left on the disk"]
        gateway.configure('free_space = "1000000G"', 'free_space = "1M"')
        assert gateway.command("reload").returncode == 0
        eventually(lambda: offer() == 250)
        pressure = asked(gateway, "status")["pressure"]
        assert pressure["accepting"] == 1
        assert pressure["memory"] > 0
        room = pressure["free_space"] // 1024
        if room < 40 * 1024:
            assert offer(45 * 1024 * 1024) == 452
        eventually(lambda: len(journaled(gateway, "pressure_changed")) == 2)
        assert [event.get("reasons", []) for event in journaled(gateway, "pressure_changed")] == [
            ["little space is left on the disk"], [],
        ]  # fmt: skip
