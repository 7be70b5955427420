"""Listeners on real sockets with real TLS: what the in-memory wire cannot show, and clients that others wrote."""

import smtplib
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ended import all_ended
from ingress_rig import BODY, HELLO, MAIL, MESSAGE, PASSWORD, RCPT, Rig
from peers import need
from test_tls import write_certificate
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from relaygw.bridge import deferred
from relaygw.core.events import Disconnected, LoggedIn, Secured
from relaygw.core.session import Role
from relaygw.promptly import prompt
from relaygw.tls import ServerTls


def unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def talk(connection: socket.socket, data: bytes, ending: bytes) -> bytes:
    """Send, and hear until the ending or the end of the connection."""
    connection.sendall(data)
    heard = b""
    while not heard.endswith(ending) or not heard:
        piece = connection.recv(65_536)
        if not piece:
            break
        heard += piece
    return heard


class Sockets(TestCase):
    def setUp(self) -> None:
        self.addCleanup(all_ended)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.tls = ServerTls(write_certificate(Path(self.folder.name)))

    def listen(self, implicit: bool = False, **options: Any) -> tuple[Rig, int]:
        running: Any = reactor
        rig = Rig(tls=self.tls, implicit=implicit, clock=running, **options)
        factory: Any = self.tls.wrap(rig.factory, running) if implicit else rig.factory
        port = prompt(running.listenTCP(0, factory, interface="127.0.0.1"))
        self.addCleanup(lambda: rig.factory.drain(1.0))
        self.addCleanup(port.stopListening)
        return rig, int(port.getHost().port)

    def in_thread(self, client: Callable[..., Any], *arguments: Any) -> Any:
        return deferToThread(client, *arguments)

    @deferred
    async def test_starttls(self) -> None:
        rig, port = self.listen()

        def client() -> list[bytes]:
            with socket.create_connection(("127.0.0.1", port), 60) as plain:
                talk(plain, b"", b"relaygw\r\n")
                offered = talk(plain, HELLO.encode(), b"STARTTLS\r\n")
                talk(plain, MAIL.encode() + b"STARTTLS\r\n", b"start TLS\r\n")
                with unverified().wrap_socket(plain) as secure:
                    forgotten = talk(secure, RCPT.encode(), b"\r\n")
                    again = talk(secure, HELLO.encode(), b"ENHANCEDSTATUSCODES\r\n")
                    twice = talk(secure, b"STARTTLS\r\n", b"\r\n")
                    done = talk(secure, MESSAGE.encode() + b"QUIT\r\n", b"Goodbye\r\n")
                    return [offered, forgotten, again, twice, done]

        offered, forgotten, again, twice, done = await self.in_thread(client)
        assert offered.endswith(b"250 STARTTLS\r\n")
        assert forgotten.startswith(b"503 ")
        assert b"STARTTLS" not in again
        assert twice.startswith(b"503 ")
        assert done.count(b"\r\n") == 5
        assert b"with ESMTPS id" in rig.stored()[0]
        assert b"(using TLSv1.3 with cipher TLS_" in rig.stored()[0]
        (secured,) = rig.said(Secured)
        assert secured.version == "TLSv1.3"

    @deferred
    async def test_what_comes_behind_starttls_in_the_clear_is_never_executed(self) -> None:
        rig, port = self.listen()

        def client() -> bytes:
            with socket.create_connection(("127.0.0.1", port), 60) as plain:
                talk(plain, b"", b"relaygw\r\n")
                talk(plain, HELLO.encode(), b"STARTTLS\r\n")
                return talk(plain, b"STARTTLS\r\n" + HELLO.encode() + MESSAGE.encode(), b"never")

        assert (await self.in_thread(client)).startswith(b"501 5.5.1 ")
        assert rig.stored() == []

    @deferred
    async def test_garbage_instead_of_a_handshake(self) -> None:
        rig, port = self.listen()
        _, implicit = self.listen(implicit=True)

        def client(number: int, starttls: bool) -> bytes:
            with socket.create_connection(("127.0.0.1", number), 60) as plain:
                if starttls:
                    talk(plain, b"", b"relaygw\r\n")
                    talk(plain, HELLO.encode(), b"STARTTLS\r\n")
                    talk(plain, b"STARTTLS\r\n", b"start TLS\r\n")
                return talk(plain, MAIL.encode() * 3, b"never")

        await self.in_thread(client, port, True)
        answer = await self.in_thread(client, implicit, False)
        assert b"220" not in answer
        assert "no TLS handshake" in rig.said(Disconnected)[0].cause
        assert rig.said(Disconnected)[0].commands == 2  # EHLO and STARTTLS

    @deferred
    async def test_the_library_of_python_submits_over_both_kinds_of_tls(self) -> None:
        starting, port = self.listen(role=Role.SUBMISSION)
        inside, implicit = self.listen(implicit=True, role=Role.SUBMISSION)

        def client(connect: Callable[[], smtplib.SMTP]) -> None:
            with connect() as server:
                if not isinstance(server, smtplib.SMTP_SSL):
                    assert not server.has_extn("auth")
                    server.starttls(context=unverified())
                server.ehlo("client.test")
                assert not server.has_extn("starttls")
                server.login("user", PASSWORD.decode())
                server.sendmail("a@client.test", ["user@here.test", "x@elsewhere.test"], BODY, ["BODY=8BITMIME"])

        await self.in_thread(client, lambda: smtplib.SMTP("127.0.0.1", port, timeout=60))
        await self.in_thread(client, lambda: smtplib.SMTP_SSL("127.0.0.1", implicit, timeout=60, context=unverified()))
        for rig in (starting, inside):
            (record,) = rig.records()
            assert record.login == "user"
            assert b"with ESMTPSA id" in rig.stored()[0]
            assert [event.mechanism for event in rig.said(LoggedIn)] == ["PLAIN"]

    @deferred
    async def test_a_large_message_in_many_segments(self) -> None:
        rig, port = self.listen()
        line = b"." + b"x" * 70 + b"\r\n"
        body = b"Subject: large\r\n\r\n" + line * 40_000

        def client() -> None:
            with smtplib.SMTP("127.0.0.1", port, timeout=60) as server:
                server.sendmail("a@client.test", "user@here.test", body)

        await self.in_thread(client)
        assert rig.stored()[0].endswith(body)

    @deferred
    async def test_a_client_that_does_not_read_is_not_read_from(self) -> None:
        _, port = self.listen()

        def client() -> int:
            with socket.create_connection(("127.0.0.1", port), 60) as plain:
                plain.settimeout(0.3)
                sent = 0
                try:
                    while sent < 20_000_000:
                        sent += plain.send(b"NOOP\r\n" * 10_000)
                except TimeoutError:
                    pass
                return sent

        assert await self.in_thread(client) < 20_000_000

    @deferred
    async def test_who_has_been_dismissed_can_come_again_at_once(self) -> None:
        """At the last word the session is no longer counted: a client at its limit would be turned away."""
        _, port = self.listen(listener={"max_connections_per_client": 1})

        def client() -> list[bytes]:
            heard = []
            for _ in range(50):
                with socket.create_connection(("127.0.0.1", port), 60) as connection:
                    heard.append(connection.recv(3))
                    talk(connection, b"QUIT\r\n", b"bye\r\n")
            return heard

        assert await self.in_thread(client) == [b"220"] * 50

    @pytest.mark.interop
    @deferred
    async def test_swaks_and_smtp_source(self) -> None:
        swaks, source = need("swaks"), need("smtp-source")
        rig, port = self.listen(role=Role.SUBMISSION)
        mx, mx_port = self.listen()

        def run(*command: str) -> str:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        for mechanism in ("PLAIN", "LOGIN"):
            said = await self.in_thread(
                run, swaks, "--server", f"127.0.0.1:{port}", "-tls", "--auth", mechanism, "--auth-user", "user",
                "--auth-password", PASSWORD.decode(), "--to", "x@elsewhere.test", "--from", "a@client.test",
            )  # fmt: skip
            assert "250 2.0.0 Ok, queued as" in said
        assert [event.mechanism for event in rig.said(LoggedIn)] == ["PLAIN", "LOGIN"]
        await self.in_thread(
            run, source, "-s", "5", "-m", "50", "-l", "2048", "-f", "a@client.test", "-t", "user@here.test",
            f"127.0.0.1:{mx_port}",
        )  # fmt: skip
        assert len(mx.records()) == 50
