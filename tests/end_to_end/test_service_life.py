"""The service as a process: it says why it cannot start, reloads at SIGHUP without cutting anybody, and drains."""

import signal
import smtplib
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from real import eventually

from relaygw.testing.gateway import Gateway, GatewayError
from relaygw.testing.ports import PORTS, free_offset


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway.make(tmp_path / "demo", domains=["example.test"], users=["alice:secret"])


def journal(gateway: Gateway) -> str:
    """Lines come a moment after what they tell."""
    path = gateway.folder / "state" / "journal.jsonl"
    return path.read_text() if path.exists() else ""


@pytest.mark.interop
def test_it_says_what_listens_and_the_first_message_works_as_printed(
    gateway: Gateway, peer: Callable[[str], str]
) -> None:
    peer("curl")
    with gateway:
        said = gateway.log.read_text()
        assert f"tcp:{gateway.port(25)}:interface=127.0.0.1" in said
        assert "local domains: example.test" in said
        assert "s1._domainkey.example.test" in said
        first = next(line.strip() for line in said.splitlines() if line.strip().startswith("printf"))
        subprocess.run(["bash", "-c", first], check=True, timeout=300)
        eventually(lambda: list((gateway.folder / "state" / "mail" / "alice" / "new").glob("*")))


def test_a_port_in_use_is_told_in_a_sentence(gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", gateway.port(143))):
        with pytest.raises(GatewayError, match=r"relaygw cannot start: listener 'imap'.*Address already in use"):
            gateway.start()
    assert "Traceback" not in gateway.log.read_text()


def test_a_second_service_on_the_same_spool_is_told(gateway: Gateway, tmp_path: Path) -> None:
    with gateway:
        other = Gateway(tmp_path / "other", free_offset())
        other.folder.mkdir()
        text = gateway.config.read_text()
        for port in PORTS:
            text = text.replace(f":{gateway.port(port)}:", f":{other.port(port)}:")
        for name in ("tls/", "dkim/", "users", "console-token", "state"):
            text = text.replace(f'"{name}', f'"{gateway.folder}/{name}')
        other.config.write_text(text)
        with pytest.raises(GatewayError, match=r"relaygw cannot start: .*spool"):
            other.start()


def test_a_wrong_configuration_is_told_before_anything_starts(gateway: Gateway) -> None:
    gateway.append("[limits]\nrecipents = 5")
    with pytest.raises(GatewayError, match="recipients"):
        gateway.start()
    assert "Traceback" not in gateway.log.read_text()


def test_reload_takes_the_new_for_new_sessions_and_keeps_the_old_going(gateway: Gateway) -> None:
    gateway.append("[limits]\nrecipients = 5")
    with gateway:
        assert gateway.process is not None
        old = smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60)
        old.ehlo()
        gateway.configure("recipients = 5", "recipients = 1")
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: '"event":"reloaded"' in journal(gateway))
        assert accepted(old) == 2
        with smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as new:
            new.ehlo()
            assert accepted(new) == 1
        gateway.configure("recipients = 1", 'recipients = "many"')
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: "limits.recipients" in journal(gateway))
        old.rset()
        assert accepted(old) == 2
        with smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as new:
            new.ehlo()
            assert accepted(new) == 1
        old.quit()


def accepted(client: smtplib.SMTP) -> int:
    """How many of two recipients the session takes."""
    client.mail("<>")
    codes = [client.rcpt(f"{name}@example.test")[0] for name in ("alice", "alice+two")]
    return codes.count(250)


def test_sigterm_waits_for_the_message_at_work(gateway: Gateway) -> None:
    with gateway:
        assert gateway.process is not None
        client = smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60)
        client.ehlo()
        client.mail("<>")
        client.rcpt("alice@example.test")
        client.putcmd("data")
        assert client.getreply()[0] == 354
        gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: "Closed)" in gateway.log.read_text())
        client.send(b"Subject: late\r\n\r\nbody\r\n.\r\n")
        assert client.getreply()[0] == 250
        assert gateway.process.wait(30) in (0, -signal.SIGTERM)  # Twisted ends by the signal it was ended by
    assert '"event":"accepted"' in journal(gateway)
    assert journal(gateway).rstrip().splitlines()[-1].count('"event":"stopped"') == 1
