"""The transports against Postfix's smtp-sink: content byte for byte, and its many ways to misbehave."""

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from egress_support import make_attempt, make_record, make_services
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import TestCase

from relaygw.core.content import BytesContent
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Route
from relaygw.egress.smarthost import SmarthostTransport

SMALL = b"Subject: x\r\n\r\n.dot\r\n..two\r\nFrom here\r\n\xe9\r\n" + b"x" * 900 + b"\r\n"
LARGE = b"Subject: x\r\n\r\n" + b".a line that begins with a dot\r\n" * 60_000


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.interop
class SinkTests(TestCase):
    """Each test starts a sink with options of its own."""

    peer: Callable[[str], str]
    folder: Path

    @pytest.fixture(autouse=True)
    def _given(self, peer: Callable[[str], str], tmp_path: Path) -> None:
        self.peer, self.folder = peer, tmp_path

    def sink(self, *options: str) -> int:
        """Start one; answers its port when it listens."""
        port = free_port()
        user = ["-u", "root"] if os.getuid() == 0 else []
        command = [self.peer("smtp-sink"), *user, "-d", f"{self.folder}/m.", *options, f"127.0.0.1:{port}", "50"]
        process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            assert process.poll() is None, "smtp-sink does not run"
        raise AssertionError("smtp-sink does not listen")

    def send(self, port: int, content: bytes = SMALL, *recipients: str, lmtp: bool = False) -> Deferred[Any]:
        services = make_services(reactor, idle_timeout=5)
        transport = SmarthostTransport({}, services)
        parameters: dict[str, object] = {"host": "127.0.0.1", "port": port}
        if lmtp:
            parameters["lmtp"] = True
        route = Route(transport="smarthost", parameters=tuple(sorted(parameters.items())))
        attempt = make_attempt(make_record(*recipients), route, BytesContent(content))
        return Deferred.fromCoroutine(self.deliver(transport, attempt))

    async def deliver(self, transport: SmarthostTransport, attempt: Any) -> tuple[Outcome, ...]:
        try:
            outcomes = await transport.deliver(attempt)
            again = attrs.evolve(attempt, content=BytesContent(b"Subject: again\r\n\r\n"))
            if outcomes[0].status is Status.DELIVERED:
                assert (await transport.deliver(again))[0].status is Status.DELIVERED
            return outcomes
        finally:
            await transport.stop()

    def received(self) -> list[bytes]:
        """The messages in the order of their size, without what the sink adds at both ends, with CRLF."""
        found = [path.read_bytes().partition(b"(UTC)\n")[2].removesuffix(b"\n") for path in self.folder.glob("m.*")]
        return sorted((data.replace(b"\n", b"\r\n") for data in found), key=len)

    @inlineCallbacks
    def test_small_and_large_arrive_byte_for_byte_over_one_connection(self) -> Any:
        for options in ((), ("-p",), ("-8", "-N", "-E"), ("-e",)):
            for content in (SMALL, LARGE):
                for path in self.folder.glob("m.*"):
                    path.unlink()
                [outcome] = yield self.send(self.sink(*options), content)
                assert outcome.status is Status.DELIVERED
                assert self.received() == [b"Subject: again\r\n\r\n", content]

    @inlineCallbacks
    def test_lmtp_answers_each_recipient(self) -> Any:
        outcomes = yield self.send(self.sink("-L"), SMALL, "b@example.org", "c@example.org", lmtp=True)
        assert [outcome.status for outcome in outcomes] == [Status.DELIVERED] * 2

    @inlineCallbacks
    def test_refusals_are_what_the_sink_says(self) -> Any:
        for command in ("connect", "mail", "rcpt", "data", "."):
            [soft] = yield self.send(self.sink("-r", command))
            [hard] = yield self.send(self.sink("-f", command))
            assert (soft.status, soft.reply.code, soft.remote) == (Status.DEFERRED, 450, True), command
            assert (hard.status, hard.reply.code, hard.remote) == (Status.FAILED, 500, True), command

    @inlineCallbacks
    def test_421_and_hanging_up_defer_everywhere(self) -> Any:
        for command in ("connect", "ehlo", "mail", "rcpt", "data", "."):
            [said] = yield self.send(self.sink("-Q", command))
            assert (said.status, said.reply.code, said.uncertain) == (Status.DEFERRED, 421, False), command
            options = ("-q", "ehlo,helo") if command == "ehlo" else ("-q", command)
            [silent] = yield self.send(self.sink(*options))
            assert (silent.status, silent.reply.enhanced) == (Status.DEFERRED, "4.4.2"), command
            assert silent.uncertain is (command == ".")

    @inlineCallbacks
    def test_a_sink_that_hangs_up_on_ehlo_gets_its_mail_with_helo(self) -> Any:
        [outcome] = yield self.send(self.sink("-q", "ehlo"))
        assert outcome.status is Status.DELIVERED

    @inlineCallbacks
    def test_an_answer_amid_the_content_never_counts_as_delivered(self) -> Any:
        [outcome] = yield self.send(self.sink("-A", "0"), LARGE * 4)
        assert outcome.status in (Status.FAILED, Status.DEFERRED)
        assert not outcome.uncertain
        assert self.received() in ([], [b""])
