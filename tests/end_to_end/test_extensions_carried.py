"""What a client asks for by an extension reaches the next hop through a real spool, or its sender hears of it."""

import contextlib
import smtplib
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real import eventually, unchecked
from recording_hop import RecordingHop

from relaygw.testing.gateway import Gateway

pytestmark = pytest.mark.interop
USER, PASSWORD = "alice", "correct horse"
EVERYTHING = ("PIPELINING", "SIZE", "8BITMIME", "CHUNKING", "BINARYMIME", "SMTPUTF8", "DSN", "LIMITS RCPTMAX=1")
BINARY = (
    b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\n" + bytes(range(256)) * 3000 + b"\n"
)


@contextlib.contextmanager
def relay(folder: Path, *offers: str) -> Iterator[tuple[Gateway, RecordingHop]]:
    """A gateway that trusts loopback, has one user, and hands all else to a hop with these extensions."""
    with RecordingHop(offers) as hop:
        gateway = Gateway.make(
            folder / "demo",
            domains=["example.test"],
            users=[f"{USER}:{PASSWORD}"],
            smarthost=f"127.0.0.1:{hop.port}",
            trust=["127.0.0.0/8"],
        )
        with gateway:
            yield gateway, hop


def delivered(gateway: Gateway) -> list[bytes]:
    """What lies in the user's mailbox."""
    return [path.read_bytes() for path in gateway.folder.rglob("new/*")]


def exchange(client: smtplib.SMTP, line: bytes) -> int:
    client.send(line)
    return client.getreply()[0]


def test_dsn_smtputf8_and_limits(tmp_path: Path) -> None:
    with (
        relay(tmp_path, *EVERYTHING) as (gateway, hop),
        smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client,
    ):
        client.ehlo("client.test")
        for line in (
            "MAIL FROM:<jörg@example.test> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=q+2Br",
            "RCPT TO:<用户@bücher.test> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;用户@bücher.test",
            "RCPT TO:<b@elsewhere.test> NOTIFY=NEVER ORCPT=rfc822;b+2Bc@elsewhere.test",
        ):
            assert exchange(client, line.encode() + b"\r\n") == 250
        assert client.data("Subject: Grüße\r\n\r\nx\r\n".encode())[0] == 250
        eventually(lambda: len(hop.contents) == 2)
        mails, recipients = hop.said("MAIL"), sorted(hop.said("RCPT"))
        assert len(mails) == 2  # one recipient each: the hop's limit
        assert all(mail.startswith("MAIL FROM:<jörg@example.test>") for mail in mails)
        assert all(" SMTPUTF8 RET=HDRS ENVID=q+2Br" in mail for mail in mails)
        assert recipients == [
            "RCPT TO:<b@elsewhere.test> NOTIFY=NEVER ORCPT=rfc822;b+2Bc@elsewhere.test",
            "RCPT TO:<用户@xn--bcher-kva.test> NOTIFY=DELAY,SUCCESS "
            r"ORCPT=utf-8;\x{7528}\x{6237}@b\x{FC}cher.test",
        ]
        assert b"with UTF8SMTP id" in hop.contents[0]
        assert hop.contents[0].endswith("Subject: Grüße\r\n\r\nx\r\n".encode())


def test_binary_content_by_bdat(tmp_path: Path) -> None:
    with (
        relay(tmp_path, *EVERYTHING) as (gateway, hop),
        smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client,
    ):
        client.ehlo("client.test")
        assert exchange(client, b"MAIL FROM:<a@client.test> BODY=BINARYMIME\r\n") == 250
        assert exchange(client, b"RCPT TO:<b@elsewhere.test>\r\n") == 250
        half = len(BINARY) // 2
        assert exchange(client, b"BDAT %d\r\n%s" % (half, BINARY[:half])) == 250
        assert exchange(client, b"BDAT %d LAST\r\n%s" % (len(BINARY) - half, BINARY[half:])) == 250
        eventually(lambda: hop.contents)
        assert hop.contents[0].endswith(b"\r\n" + BINARY)
        assert " BODY=BINARYMIME" in hop.said("MAIL")[0]


def test_what_the_next_hop_cannot_take_is_returned(tmp_path: Path) -> None:
    """Binary content, and an address it cannot read: 5.6.3 and 5.6.7 in reports to a local sender."""
    with (
        relay(tmp_path, "8BITMIME") as (gateway, hop),
        smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client,
    ):
        client.ehlo("client.test")
        assert exchange(client, b"MAIL FROM:<alice@example.test> BODY=BINARYMIME\r\n") == 250
        assert exchange(client, b"RCPT TO:<b@elsewhere.test>\r\n") == 250
        assert exchange(client, b"BDAT %d LAST\r\n%s" % (len(BINARY), BINARY)) == 250
        eventually(lambda: any(b"Status: 5.6.3" in each for each in delivered(gateway)))
        assert exchange(client, b"MAIL FROM:<alice@example.test> SMTPUTF8\r\n") == 250
        assert exchange(client, "RCPT TO:<jörg@elsewhere.test>\r\n".encode()) == 250
        assert client.data(b"Subject: x\r\n\r\nx\r\n")[0] == 250
        eventually(lambda: any(b"Status: 5.6.7" in each for each in delivered(gateway)))
        assert not hop.contents


def test_a_next_hop_without_dsn_leaves_the_report_to_us(tmp_path: Path) -> None:
    with relay(tmp_path) as (gateway, hop), smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client:
        client.ehlo("client.test")
        assert exchange(client, b"MAIL FROM:<alice@example.test> ENVID=our+2Bown\r\n") == 250
        orcpt = b"ORCPT=rfc822;original@elsewhere.test"
        assert exchange(client, b"RCPT TO:<b@elsewhere.test> NOTIFY=SUCCESS %s\r\n" % orcpt) == 250
        assert client.data(b"Subject: x\r\n\r\nx\r\n")[0] == 250
        eventually(lambda: delivered(gateway))
        (report,) = delivered(gateway)
        assert b"\r\nAction: relayed\r\n" in report
        assert b"\r\nOriginal-Recipient: rfc822; original@elsewhere.test\r\n" in report
        assert b"\r\nOriginal-Envelope-Id: our+own\r\n" in report
        assert not any("NOTIFY" in command for command in hop.commands)


def test_requiretls_goes_nowhere_without_it(tmp_path: Path) -> None:
    """Under TLS it is taken; a next hop in clear never hears of the message, and it stays in the queue."""
    with (
        relay(tmp_path, "REQUIRETLS") as (gateway, hop),
        smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client,
    ):
        client.ehlo("client.test")
        assert exchange(client, b"MAIL FROM:<a@client.test> REQUIRETLS\r\n") == 530
        client.starttls(context=unchecked())
        client.ehlo("client.test")
        assert client.has_extn("requiretls")
        assert exchange(client, b"MAIL FROM:<a@client.test> REQUIRETLS\r\n") == 250
        assert exchange(client, b"RCPT TO:<b@elsewhere.test>\r\n") == 250
        assert client.data(b"Subject: x\r\n\r\nx\r\n")[0] == 250
        eventually(lambda: hop.said("EHLO"))
        eventually(lambda: "4.7.4" in gateway.command("queue", "list").stdout)
        assert not hop.said("MAIL")


def lmtp_gateway(folder: Path) -> Gateway:
    """LMTP on a UNIX socket for whoever may open it."""
    gateway = Gateway.make(folder / "demo", domains=["example.test"], users=[f"{USER}:{PASSWORD}"])
    gateway.append(
        f'[[listener]]\nname = "lmtp"\nendpoint = "unix:{folder}/lmtp:mode=600"\nprotocol = "lmtp"\ntls = "none"\n'
        "trust_socket = true\n"
    )
    return gateway


def test_lmtp_by_the_standard_library(tmp_path: Path) -> None:
    with lmtp_gateway(tmp_path) as gateway:
        assert (tmp_path / "lmtp").stat().st_mode & 0o777 == 0o600
        with smtplib.LMTP(str(tmp_path / "lmtp"), timeout=60) as client:
            refused = client.sendmail(
                "a@client.test", ["alice@example.test", "nobody@example.test"], b"\r\nby LMTP\r\n"
            )
            assert refused["nobody@example.test"][0] == 550
        eventually(lambda: delivered(gateway))
        assert b"with LMTP id" in delivered(gateway)[0]


def test_lmtp_by_swaks(tmp_path: Path, peer: Callable[[str], str]) -> None:
    with lmtp_gateway(tmp_path) as gateway:
        done = subprocess.run(
            [peer("swaks"), "--protocol", "LMTP", "--socket", str(tmp_path / "lmtp"), "--from", "a@client.test", "--to",
             "alice@example.test,postmaster@example.test", "--body", "\xfcber LMTP"],
            stdin=subprocess.DEVNULL, timeout=300, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("<-  250 2.0.0 Ok, queued as") == 2
        eventually(lambda: len(delivered(gateway)) >= 1)


def test_the_socket_is_gone_and_comes_back(tmp_path: Path) -> None:
    """A killed gateway leaves its socket behind; the next one starts all the same."""
    gateway = lmtp_gateway(tmp_path)
    with gateway:
        gateway.kill()
        gateway.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "lmtp"))
            assert client.recv(4) == b"220 "
