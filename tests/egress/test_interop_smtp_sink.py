"""The transports against Postfix's smtp-sink: content byte for byte, and every way to misbehave in its manual."""

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
from ended import all_ended
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from relaygw.core.content import BytesContent
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Route
from relaygw.egress.smarthost import SmarthostTransport
from relaygw.testing.ports import free_port

Fact = tuple[Status, int, bool, bool]
"""Status, code of the reply, whether it is the sink's own, whether the message may have been taken."""

SMALL = b"Subject: x\r\n\r\n.dot\r\n..two\r\nFrom here\r\n\xe9\r\n" + b"x" * 900 + b"\r\n"
LARGE = b"Subject: x\r\n\r\n" + b".a line that begins with a dot\r\n" * 60_000


COMMANDS = ("connect", "ehlo", "helo", "mail", "rcpt", "data", ".", "rset", "quit", "noop", "vrfy", "lhlo")
"""All that the manual lists."""

FINE = ("helo", "rset", "quit", "noop", "vrfy", "lhlo")
"""What a usual conversation does not hang on, or does not hold."""

LATE = 5.0
"""Seconds we wait for anything, where the sink waits for a minute: more than a busy machine lets a sink wait that is
not told to.
"""

DELIVERED = (Status.DELIVERED, 250, True, False)


def hard(command: str) -> Fact:
    """Refused for good. A server that does not know EHLO is asked again with HELO (RFC 5321 3.2)."""
    return DELIVERED if command in (*FINE, "ehlo") else (Status.FAILED, 500, True, False)


def soft(command: str) -> Fact:
    return DELIVERED if command in FINE else (Status.DEFERRED, 450, True, False)


def leaving(command: str) -> Fact:
    return DELIVERED if command in FINE else (Status.DEFERRED, 421, True, False)


def silent(command: str) -> Fact:
    """Hung up on, or not answered. After the content nobody knows whether it was taken (RFC 5321 4.5.3.2.6)."""
    if command in (*FINE, "ehlo"):  # which some take for an attack, and HELO not
        return DELIVERED
    return Status.DEFERRED, 451, False, command == "."


def stalled(command: str) -> Fact:
    return (Status.DEFERRED, 451, False, False) if command == "ehlo" else silent(command)


MODES: dict[str, Callable[[str], Fact]] = {"-f": hard, "-r": soft, "-Q": leaving, "-q": silent, "-W": stalled}

TOGETHER: list[tuple[tuple[str, ...], Fact]] = [
    (("-f", "ehlo,helo"), (Status.FAILED, 500, True, False)),
    (("-r", "ehlo,helo"), (Status.DEFERRED, 450, True, False)),
    (("-f", "ehlo", "-r", "helo"), (Status.DEFERRED, 450, True, False)),
    (("-q", "ehlo,helo"), (Status.DEFERRED, 451, False, False)),
    (("-Q", "ehlo,helo"), (Status.DEFERRED, 421, True, False)),
    (("-f", "rcpt", "-r", "mail"), (Status.DEFERRED, 450, True, False)),
    (("-f", "rcpt", "-B", "552 5.2.2 mailbox full"), (Status.FAILED, 552, True, False)),
    (("-f", ".", "-B", "554 5.7.1 spam"), (Status.FAILED, 554, True, False)),
    (("-f", "data", "-B", "503 no valid recipients"), (Status.FAILED, 503, True, False)),
    (("-r", "rcpt", "-b", "452 4.2.2 later"), (Status.DEFERRED, 452, True, False)),
    (("-r", "mail", "-b", "421 4.3.2 closing"), (Status.DEFERRED, 421, True, False)),
    (("-r", ".", "-b", "451 4.3.0 disk"), (Status.DEFERRED, 451, True, False)),
    (("-f", "connect", "-B", "554 5.7.1 not from you"), (Status.FAILED, 554, True, False)),
    (("-f", "quit", "-r", "rset"), DELIVERED),
    (("-w", "60"), (Status.DEFERRED, 451, False, False)),
    (("-a", "-C", "-F", "-8", "-e", "-E", "-N", "-p"), DELIVERED),
    (("-P",), DELIVERED),
    (("-H", "1"), DELIVERED),
    (("-T", "512"), DELIVERED),
    (("-m", "1"), DELIVERED),
    (("-4", "-c", "-h", "hop.example", "-v"), DELIVERED),
]


@pytest.mark.interop
class SinkTests(TestCase):
    """Each test starts a sink with options of its own."""

    timeout = 300
    peer: Callable[[str], str]
    folder: Path

    def setUp(self) -> None:
        self.addCleanup(all_ended)

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
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            assert process.poll() is None, "smtp-sink does not run"
        raise AssertionError("smtp-sink does not listen")

    def send(
        self, port: int, content: bytes = SMALL, *recipients: str, lmtp: bool = False, **egress: float
    ) -> Deferred[Any]:
        services = make_services(reactor, idle_timeout=60, **egress)
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
    def facts(self, *options: str, lmtp: bool = False) -> Any:
        """What a message to such a sink comes to; nothing is waited for as long as the sink makes us wait."""
        phases = ("greeting_timeout", "hello_timeout", "command_timeout", "data_start_timeout", "data_timeout")
        patience = dict.fromkeys(phases, LATE)
        patience = patience if {"-W", "-w"}.intersection(options) else {}
        [found] = yield self.send(self.sink(*options), SMALL, lmtp=lmtp, **patience)
        return found.status, found.reply.code, found.remote, found.uncertain

    @inlineCallbacks
    def compare(self, cases: dict[tuple[str, ...], Fact], lmtp: bool = False) -> Any:
        slots = DeferredSemaphore(4)
        found = yield gatherResults(
            [slots.run(self.facts, *options, lmtp=lmtp) for options in cases], consumeErrors=True
        )
        assert dict(zip(cases, found, strict=True)) == cases

    def test_every_command_refused_ignored_answered_with_421_or_late(self) -> Any:
        cases = {
            # Late in a pipeline, the sink answers what came after it first.
            ("-p", mode, f"{command}:60") if mode == "-W" else (mode, command): fact(command)
            for mode, fact in MODES.items()
            for command in COMMANDS
        }
        return self.compare(cases)

    def test_every_option_for_itself_and_some_together(self) -> Any:
        return self.compare(dict(TOGETHER))

    def test_the_same_over_lmtp(self) -> Any:
        """LHLO has nothing to fall back on."""
        begin = {("-L", mode, "lhlo"): fact("mail") for mode, fact in MODES.items() if mode != "-W"}
        then = {
            ("-L", mode, command): fact(command)
            for mode, fact in MODES.items()
            for command in (".", "rcpt")
            if mode != "-W"
        }
        return self.compare({**begin, **then}, lmtp=True)

    @inlineCallbacks
    def test_a_session_that_cannot_be_reset_is_replaced(self) -> Any:
        """The transaction that every recipient was refused in is still open when the next message comes."""
        for options in (("-f", "rcpt,rset"), *(("-f", "rcpt", mode, "rset") for mode in ("-r", "-q", "-Q"))):
            found = yield self.twice(self.sink(*options))
            assert [(each.status, each.reply.code) for each in found] == [(Status.FAILED, 500)] * 2, options

    @inlineCallbacks
    def test_a_sink_that_is_gone_with_its_answer_may_have_taken_the_message_and_not_the_next(self) -> Any:
        found = yield self.twice(self.sink("-M", "1"))
        assert [(each.status, each.uncertain) for each in found] == [(Status.DEFERRED, True), (Status.DEFERRED, False)]

    @inlineCallbacks
    def test_a_session_that_the_sink_ended_for_idleness_costs_nothing(self) -> Any:
        found = yield self.twice(self.sink("-t", "5"), pause=6.0)
        assert [each.status for each in found] == [Status.DELIVERED] * 2

    def twice(self, port: int, pause: float = 0.0) -> Deferred[Any]:
        """Two messages one after the other over one transport."""
        transport = SmarthostTransport({}, make_services(reactor, idle_timeout=60))
        route = Route(transport="smarthost", parameters=(("host", "127.0.0.1"), ("port", port)))
        attempt = make_attempt(make_record(), route, BytesContent(SMALL))

        async def go() -> list[Outcome]:
            try:
                [first] = await transport.deliver(attempt)
                await deferLater(reactor, pause)  # type: ignore[arg-type]  # the reactor is one
                [second] = await transport.deliver(attempt)
                return [first, second]
            finally:
                await transport.stop()

        return Deferred.fromCoroutine(go())

    @inlineCallbacks
    def test_an_answer_amid_the_content_never_counts_as_delivered(self) -> Any:
        [outcome] = yield self.send(self.sink("-A", "0"), LARGE * 4)
        assert outcome.status in (Status.FAILED, Status.DEFERRED)
        assert not outcome.uncertain
        assert self.received() in ([], [b""])
