"""Other mail servers as our clients: Postfix with TLS, DSN and SMTPUTF8, by SMTP and by LMTP; Exim with BDAT."""

import contextlib
import re
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mailers import sending_exim, sending_postfix
from real import eventually
from recording_hop import RecordingHop

from relaygw.testing.gateway import Gateway
from relaygw.testing.ports import free_port

pytestmark = pytest.mark.interop
OFFERS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN")
LINES = "".join(f".{number} a line of some length\r\n" for number in range(3000)).encode()


@contextlib.contextmanager
def relay(folder: Path) -> Iterator[tuple[Gateway, RecordingHop, int]]:
    """A gateway that trusts loopback and hands everything to a hop; and the port of its LMTP listener."""
    with RecordingHop(OFFERS) as hop:
        gateway = Gateway.make(
            folder / "demo", domains=["example.test"], smarthost=f"127.0.0.1:{hop.port}", trust=["127.0.0.0/8"]
        )
        lmtp = free_port()
        gateway.append(
            f'[[listener]]\nname = "lmtp"\nendpoint = "tcp:{lmtp}:interface=127.0.0.1"\n'
            'protocol = "lmtp"\ntls = "none"\n'
        )
        with gateway:
            yield gateway, hop, lmtp


def hand_over(port: int) -> None:
    """An internationalized message with wishes for reports, to whatever listens there."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo("client.test")
        client.sendmail(
            "jörg@elsewhere.test",
            ["用户@bücher.test", "b@elsewhere.test"],
            "Subject: Grüße\r\n\r\n".encode() + LINES,
            mail_options=["SMTPUTF8", "BODY=8BITMIME", "RET=HDRS", "ENVID=from+2Bpostfix"],
            rcpt_options=["NOTIFY=SUCCESS,FAILURE"],
        )


def check(hop: RecordingHop, received: str) -> None:
    eventually(lambda: hop.contents and len(hop.said("RCPT")) >= 2)
    assert all(" SMTPUTF8 " in mail and " RET=HDRS ENVID=from+2Bpostfix" in mail for mail in hop.said("MAIL"))
    recipients = sorted(hop.said("RCPT"))
    assert all(" NOTIFY=FAILURE,SUCCESS ORCPT=" in recipient for recipient in recipients)
    assert recipients[0].startswith("RCPT TO:<b@elsewhere.test>")
    assert recipients[1].startswith("RCPT TO:<用户@xn--bcher-kva.test>")
    assert re.search(received.encode(), hop.contents[0])
    assert "Subject: Grüße\r\n".encode() in hop.contents[0]
    assert hop.contents[0].endswith(b"\r\n\r\n" + LINES)


def test_postfix_by_smtp_over_tls(tmp_path: Path, peer: Callable[[str], str]) -> None:
    with relay(tmp_path) as (gateway, hop, _):
        with sending_postfix(peer("postfix"), f"smtp:[127.0.0.1]:{gateway.port(25)}") as port:
            hand_over(port)
            check(hop, r"by gateway\.example\.test \(relaygw\) with UTF8SMTPS id")


def test_postfix_by_lmtp(tmp_path: Path, peer: Callable[[str], str]) -> None:
    with relay(tmp_path) as (_, hop, lmtp):
        with sending_postfix(peer("postfix"), f"lmtp:inet:127.0.0.1:{lmtp}") as port:
            hand_over(port)
            check(hop, r"by gateway\.example\.test \(relaygw\) with UTF8LMTP id")


def test_exim_by_bdat_over_tls(tmp_path: Path, peer: Callable[[str], str]) -> None:
    program = peer("exim4")
    with relay(tmp_path) as (gateway, hop, _), sending_exim(program, gateway.port(25)) as (command, folder):
        message = b"Subject: by BDAT\n\n" + LINES.replace(b"\r\n", b"\n")
        done = subprocess.run(
            [*command, "-f", "a@client.test", "b@elsewhere.test"], input=message, capture_output=True, timeout=300
        )
        log = "".join(path.read_text() for path in folder.glob("*log"))
        assert done.returncode == 0, (done.stderr, log)
        eventually(lambda: hop.contents)
        assert hop.contents[0].endswith(b"\r\n\r\n" + LINES)
        assert " K " in log, log  # Exim's mark for CHUNKING
