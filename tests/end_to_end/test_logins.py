"""Logins into a whole gateway with clients others wrote: SCRAM bound to the channel or not, certificates, bans."""

import base64
import imaplib
import json
import poplib
import smtplib
import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import issue
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from real import eventually, journaled, unchecked
from scram_client import ScramClient

from relaygw.testing.gateway import Gateway

pytestmark = pytest.mark.interop

PASSWORD = "wonder,=land"
EXEMPT = "127.0.0.0/8"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("logins")
    made = Gateway.make(
        folder / "g", domains=["example.test"], users=[f"alice:{PASSWORD}", "bob:second"], hostname="localhost"
    )
    client = issue("printer")
    client.write(folder / "g", "client")
    made.configure("[tls]\n", '[tls]\nclient_authorities = "client.pem"\n')
    made.config.write_text(
        made.config.read_text().replace("[[listener]]\n", '[[listener]]\nclient_certificates = "request"\n')
    )
    made.append(f'[bans]\nexempt = ["{EXEMPT}"]')
    made.append(f'[[directory.certificates]]\nlogin = "bob"\nfingerprint = "{client.fingerprint}"')
    with made:
        yield made


def mechanisms(gateway: Gateway) -> list[str]:
    return [told["mechanism"] for told in journaled(gateway, "logged_in")]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"])
def test_gsasl_logs_in_over_imap(gateway: Gateway, peer: Callable[[str], str], mechanism: str) -> None:
    before = mechanisms(gateway).count(mechanism)
    plain = ["--no-cb"] if mechanism == "SCRAM-SHA-256" else []
    done = gsasl(gateway, peer("gsasl"), mechanism, PASSWORD, *plain)
    assert done.returncode == 0, done.stderr
    eventually(lambda: mechanisms(gateway).count(mechanism) > before)


def test_gsasl_that_hides_its_binding_is_refused_and_its_session_ends(
    gateway: Gateway, peer: Callable[[str], str]
) -> None:
    before = len(journaled(gateway, "connected"))
    done = gsasl(gateway, peer("gsasl"), "SCRAM-SHA-256-PLUS", "wrong")
    assert done.returncode != 0
    eventually(lambda: len(journaled(gateway, "connected")) > before)
    eventually(lambda: len(journaled(gateway, "disconnected")) >= len(journaled(gateway, "connected")))


def gsasl(gateway: Gateway, program: str, mechanism: str, password: str, *options: str) -> Any:
    return subprocess.run(
        [
            program, "--imap", "--quiet", "-m", mechanism, "-a", "alice", "-p", password, *options,
            "--connect", f"localhost:{gateway.port(143)}",
            "--x509-ca-file", str(gateway.folder / "tls" / "certificate.pem"),
        ],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("mechanism", ["scram-sha-256", "plain", "login"])
@pytest.mark.parametrize("port", [587, 465])
def test_msmtp_submits(gateway: Gateway, peer: Callable[[str], str], mechanism: str, port: int) -> None:
    before = mechanisms(gateway).count(mechanism.upper())
    done = subprocess.run(
        [
            peer("msmtp"), "--host=localhost", f"--port={gateway.port(port)}", f"--auth={mechanism}", "--user=alice",
            f"--passwordeval=printf %s '{PASSWORD}'", "--tls=on", f"--tls-starttls={'on' if port == 587 else 'off'}",
            f"--tls-trust-file={gateway.folder}/tls/certificate.pem", "--from=alice@example.test", "bob@example.test",
        ],
        input=b"Subject: by msmtp\r\n\r\nHello.\r\n", capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    eventually(lambda: mechanisms(gateway).count(mechanism.upper()) > before)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_submits_with_every_mechanism_it_shares_with_us(
    gateway: Gateway, peer: Callable[[str], str], mechanism: str
) -> None:
    done = subprocess.run(
        [
            peer("swaks"), "-s", "127.0.0.1", "-p", str(gateway.port(587)), "-tls", "--from", "alice@example.test",
            "--to", "bob@example.test", "-a", mechanism, "-au", "alice", "-ap", PASSWORD,
        ],
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("scheme", "port", "login", "option"),
    [("smtps", 465, "smtp", "AUTH=PLAIN"), ("imaps", 993, "imap", "AUTH=LOGIN"), ("pop3s", 995, "pop3", "AUTH=+LOGIN")],
)
def test_curl_logs_in(
    gateway: Gateway, peer: Callable[[str], str], scheme: str, port: int, login: str, option: str
) -> None:
    done = subprocess.run(
        [
            peer("curl"), "-sk", f"{scheme}://localhost:{gateway.port(port)}/", "-u", f"alice:{PASSWORD}",
            "--login-options", option.replace("+", ""), *(["-X", "NOOP"] if login == "smtp" else []),
        ],
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (login, done.stderr)


def test_pop3_by_scram_bound_to_the_certificate(gateway: Gateway) -> None:
    server = poplib.POP3_SSL("127.0.0.1", gateway.port(995), context=unchecked())
    assert "SCRAM-SHA-256-PLUS" in server.capa()["SASL"]
    certificate = x509.load_der_x509_certificate(server.sock.getpeercert(True))  # type: ignore[attr-defined]
    bound = ("tls-server-end-point", certificate.fingerprint(hashes.SHA256()))
    client = ScramClient("alice", PASSWORD, binding=bound)
    ask: Any = server._shortcmd  # type: ignore[attr-defined]  # poplib has no public way to AUTH
    server._putcmd("AUTH SCRAM-SHA-256-PLUS " + base64.b64encode(client.first).decode())  # type: ignore[attr-defined]
    first = server._getline()[0]  # type: ignore[attr-defined]
    server._putcmd(base64.b64encode(client.final(base64.b64decode(first[2:]))).decode())  # type: ignore[attr-defined]
    assert client.trusts(base64.b64decode(server._getline()[0][2:]))  # type: ignore[attr-defined]
    assert ask("").startswith(b"+OK")
    server.quit()


def test_smtp_by_scram_bound_to_the_handshake_of_tls_1_2(gateway: Gateway) -> None:
    old = unchecked()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with smtplib.SMTP("127.0.0.1", gateway.port(587)) as smtp:
        smtp.starttls(context=old)
        smtp.ehlo()
        assert smtp.esmtp_features["auth"].split()[:2] == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
        wire: Any = smtp.sock
        for bound, code in ((b"x" * 12, 535), (wire.get_channel_binding("tls-unique"), 235)):
            client = ScramClient("alice", PASSWORD, binding=("tls-unique", bound))
            said = smtp.docmd("AUTH", "SCRAM-SHA-256-PLUS " + base64.b64encode(client.first).decode())
            said = smtp.docmd(base64.b64encode(client.final(base64.b64decode(said[1]))).decode())
            if code == 235:
                assert client.trusts(base64.b64decode(said[1]))
                said = smtp.docmd("")
            assert said[0] == code


def test_a_client_that_vanishes_in_an_exchange_under_tls_leaves_no_session(gateway: Gateway) -> None:
    before = len(journaled(gateway, "disconnected"))
    imap: Any = imaplib.IMAP4("127.0.0.1", gateway.port(143))
    imap.starttls(unchecked())
    imap.send(b"a AUTHENTICATE SCRAM-SHA-256\r\n")
    assert imap.readline() == b"+ \r\n"
    imap.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    imap.sock.close()
    imap.file.close()
    eventually(lambda: len(journaled(gateway, "disconnected")) > before)


def context(gateway: Gateway) -> ssl.SSLContext:
    made = unchecked()
    made.load_cert_chain(gateway.folder / "client.pem", gateway.folder / "client.key")
    return made


def test_a_client_certificate_is_a_login_in_all_three_protocols(gateway: Gateway) -> None:
    with smtplib.SMTP_SSL("127.0.0.1", gateway.port(465), context=context(gateway)) as smtp:
        smtp.ehlo()
        assert "EXTERNAL" in smtp.esmtp_features["auth"].split()
        assert smtp.docmd("AUTH", "EXTERNAL =")[0] == 235
    with smtplib.SMTP_SSL("127.0.0.1", gateway.port(465), context=unchecked()) as smtp:
        smtp.ehlo()
        assert "EXTERNAL" not in smtp.esmtp_features["auth"].split()
        assert smtp.docmd("AUTH", "EXTERNAL =")[0] == 504
    for port in (993, 143):
        imap: Any = (
            imaplib.IMAP4_SSL("127.0.0.1", gateway.port(port), ssl_context=context(gateway))
            if port == 993
            else imaplib.IMAP4("127.0.0.1", gateway.port(port))
        )
        if port == 143:
            imap.starttls(context(gateway))
        assert "AUTH=EXTERNAL" in imap.capabilities
        assert (b"AUTH=EXTERNAL" in imap.welcome) is (port == 993), "the greeting offers what works already"
        assert imap.authenticate("EXTERNAL", lambda _: b"bob")[0] == "OK"
        imap.logout()
    pop: Any = poplib.POP3_SSL("127.0.0.1", gateway.port(995), context=context(gateway))
    assert "EXTERNAL" in pop.capa()["SASL"]
    assert pop._shortcmd("AUTH EXTERNAL =").startswith(b"+OK")
    pop.quit()
    eventually(
        lambda: [t["login"] for t in journaled(gateway, "logged_in") if t["mechanism"] == "EXTERNAL"] == ["bob"] * 4
    )


def test_guessers_are_banned_in_all_three_protocols_until_lifted_also_over_a_restart(tmp_path: Path) -> None:
    gateway = Gateway.make(tmp_path / "g", domains=["example.test"], users=["alice:first"], hostname="localhost")
    gateway.append("[bans]\nfailures = 3")
    with gateway:
        for attempt in range(3):
            with (
                smtplib.SMTP_SSL("127.0.0.1", gateway.port(465), context=unchecked()) as smtp,
                pytest.raises(smtplib.SMTPException),
            ):
                smtp.login("alice", f"guess{attempt}")
        assert _turned_away(gateway)
        (ban,) = json.loads(gateway.command("ban", "list", "--json").stdout)["bans"]
        assert (ban["kind"], ban["subject"]) == ("address", "127.0.0.1/32")
        assert eventually(lambda: journaled(gateway, "banned"))[0]["subject"] == "127.0.0.1/32"
        assert gateway.command("ban", "add", "192.0.2.0/24", "--for", "1h", "--reason", "maintenance").returncode == 0
        gateway.stop()
        assert "127.0.0.1/32" in gateway.command("ban", "list").stdout
        assert gateway.command("ban", "lift", "127.0.0.1").returncode == 0
        assert gateway.command("ban", "lift", "127.0.0.1").returncode == 1
        gateway.start()
        assert "maintenance" in gateway.command("ban", "list").stdout
        with smtplib.SMTP_SSL("127.0.0.1", gateway.port(465), context=unchecked()) as smtp:
            smtp.login("alice", "first")
        assert gateway.command("ban", "add", "127.0.0.0/8").returncode == 0
        assert _turned_away(gateway)
        assert gateway.command("ban", "add", "not a subject").returncode == 2
        assert gateway.command("ban", "lift", "127.0.0.0/8").returncode == 0


def _turned_away(gateway: Gateway) -> bool:
    with pytest.raises(smtplib.SMTPConnectError) as refused:
        smtplib.SMTP("127.0.0.1", gateway.port(25))
    with pytest.raises(poplib.error_proto):
        poplib.POP3("127.0.0.1", gateway.port(110))
    with pytest.raises(imaplib.IMAP4.error):
        imaplib.IMAP4("127.0.0.1", gateway.port(143))
    return refused.value.smtp_code == 421
