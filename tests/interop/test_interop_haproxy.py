"""Behind a load balancer every listener sees the client a PROXY header names, from HAProxy and raw sockets alike."""

import contextlib
import imaplib
import poplib
import smtplib
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real import eventually, journaled, unchecked

from relaygw.testing.gateway import Gateway
from relaygw.testing.ports import free_port

USER, PASSWORD = "alice", "correct horse"
CLIENT = "127.0.0.9"
"""A client's address that is not the load balancer's."""

LISTENERS = {"smtp": "starttls", "lmtp": "none", "smtps": "implicit", "pop3": "starttls", "imap": "starttls"}
MESSAGE = b"Subject: through a load balancer\r\n\r\nx\r\n"
HEADER = b"PROXY TCP4 203.0.113.77 198.51.100.1 40000 25\r\n"


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, dict[str, int]]]:
    """A gateway, and the ports of its listeners that want a PROXY header."""
    gateway = Gateway.make(
        tmp_path_factory.mktemp("behind") / "demo", domains=["example.test"], users=[f"{USER}:{PASSWORD}"]
    )
    ports = {name: free_port() for name in LISTENERS}
    for name, tls in LISTENERS.items():
        gateway.append(
            f'[[listener]]\nname = "behind-{name}"\nendpoint = "tcp:{ports[name]}:interface=127.0.0.1"\n'
            f'protocol = "{"smtp" if name == "smtps" else name}"\ntls = "{tls}"\nproxy_from = ["127.0.0.1"]\n'
        )
    with gateway:
        yield gateway, ports


def clients(gateway: Gateway, listener: str) -> list[str]:
    """Whom the journal knows on this listener."""
    return [event["client"] for event in journaled(gateway, "connected") if event.get("listener") == listener]


def raw(port: int, sent: bytes, source: str = "127.0.0.1") -> bytes:
    """The first line that a connection from this address is answered, or what comes before its end."""
    with socket.create_connection(("127.0.0.1", port), 60, (source, 0)) as connection:
        connection.sendall(sent)
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(4096):
                heard += piece
                if b"\n" in heard:
                    break
        return heard


def test_every_protocol_greets_the_client_of_the_header(behind: tuple[Gateway, dict[str, int]]) -> None:
    gateway, ports = behind
    for name, greeting in (("smtp", b"220 "), ("lmtp", b"220 "), ("pop3", b"+OK "), ("imap", b"* OK ")):
        assert raw(ports[name], HEADER).startswith(greeting)
        eventually(lambda name=name: "203.0.113.77" in clients(gateway, f"behind-{name}"))


def test_others_are_refused_without_a_word(behind: tuple[Gateway, dict[str, int]]) -> None:
    gateway, ports = behind
    for name in LISTENERS:
        assert raw(ports[name], HEADER, "127.0.0.2") == b""
        assert raw(ports[name], b"EHLO client.test\r\n") == b""
        assert "127.0.0.2" not in clients(gateway, f"behind-{name}")


@contextlib.contextmanager
def haproxy(program: str, folder: Path, backends: dict[str, tuple[int, str]]) -> Iterator[dict[str, int]]:
    """HAProxy before these ports, each with the word that makes it send a header; answers its own ports."""
    ports = {name: free_port() for name in backends}
    text = "global\n    maxconn 100\ndefaults\n    mode tcp\n    timeout connect 5s\n"
    text += "    timeout client 60s\n    timeout server 60s\n"
    for name, (port, word) in backends.items():
        text += f"listen {name}\n    bind 127.0.0.1:{ports[name]}\n    server gateway 127.0.0.1:{port} {word}\n"
    configuration = folder / "haproxy.cfg"
    configuration.write_text(text)
    process = subprocess.Popen([program, "-db", "-f", str(configuration)], stderr=subprocess.PIPE)
    try:
        for port in ports.values():
            eventually(lambda port=port: _accepts(port))
        yield ports
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.interop
@pytest.mark.parametrize("word", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"])
def test_haproxy(behind: tuple[Gateway, dict[str, int]], tmp_path: Path, peer: Callable[[str], str], word: str) -> None:
    """SMTP with STARTTLS and with TLS from the octet behind the header, POP3 and IMAP: the client is the client."""
    gateway, ports = behind
    before = {name: clients(gateway, f"behind-{name}").count(CLIENT) for name in LISTENERS}
    with haproxy(peer("haproxy"), tmp_path, {name: (port, word) for name, port in ports.items()}) as front:
        _speak(front)
    for name in ("smtp", "smtps", "pop3", "imap"):
        count = before[name]
        eventually(lambda name=name, count=count: clients(gateway, f"behind-{name}").count(CLIENT) > count)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 60):
        return True
    return False


def _speak(front: dict[str, int]) -> None:
    source = (CLIENT, 0)
    with smtplib.SMTP("127.0.0.1", front["smtp"], timeout=60, source_address=source) as client:
        client.starttls(context=unchecked())
        assert client.sendmail("a@client.test", ["alice@example.test"], MESSAGE) == {}
    with smtplib.SMTP_SSL(
        "127.0.0.1", front["smtps"], timeout=60, source_address=source, context=unchecked()
    ) as client:
        assert client.sendmail("a@client.test", ["alice@example.test"], MESSAGE) == {}
    pop3 = socket.create_connection(("127.0.0.1", front["pop3"]), 60, source)
    with contextlib.closing(pop3), pop3.makefile("rb") as lines:
        assert lines.readline().startswith(b"+OK")
    imap = socket.create_connection(("127.0.0.1", front["imap"]), 60, source)
    with contextlib.closing(imap), imap.makefile("rb") as lines:
        assert lines.readline().startswith(b"* OK")


@pytest.mark.interop
def test_mail_read_through_haproxy(
    behind: tuple[Gateway, dict[str, int]], tmp_path: Path, peer: Callable[[str], str]
) -> None:
    """STLS and STARTTLS go on behind the header as without one."""
    _, ports = behind
    backends = {name: (ports[name], "send-proxy-v2") for name in ("pop3", "imap")}
    with haproxy(peer("haproxy"), tmp_path, backends) as front:
        pop3 = poplib.POP3("127.0.0.1", front["pop3"], timeout=60)
        pop3.stls(context=unchecked())
        pop3.user(USER)
        assert pop3.pass_(PASSWORD).startswith(b"+OK")
        pop3.quit()
        with imaplib.IMAP4("127.0.0.1", front["imap"], timeout=60) as imap:
            imap.starttls(ssl_context=unchecked())
            assert imap.login(USER, PASSWORD)[0] == "OK"
