"""The resolver reads a real name server (NSD) as it reads our own zone files."""

import contextlib
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.exception
import dns.message
import dns.query
import pytest
from real import eventually
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from relaygw.config.schema import DnsConfig
from relaygw.core.question import AnswerStatus, Question
from relaygw.dns import make_resolver
from relaygw.testing.resolver import ZONE, check_resolver

pytestmark = pytest.mark.interop


def free_port() -> int:
    """A port free for UDP and TCP a moment ago."""
    for _ in range(50):
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return int(tcp.getsockname()[1])
    raise AssertionError("no port is free for UDP and TCP")


@pytest.fixture
def server(tmp_path: Path, peer: Callable[[str], str]) -> Iterator[str]:
    """The address of an NSD that serves ZONE."""
    program, port = peer("nsd"), free_port()
    (tmp_path / "zone.test").write_text(ZONE, encoding="ascii")
    configuration = tmp_path / "nsd.conf"
    configuration.write_text(
        f"""
server:
    ip-address: 127.0.0.1
    port: {port}
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{tmp_path}"
    pidfile: "{tmp_path}/nsd.pid"
    xfrdfile: "{tmp_path}/xfrd.state"
    zonelistfile: "{tmp_path}/zone.list"
    rrl-ratelimit: 0
    server-count: 1
remote-control:
    control-enable: no
zone:
    name: zone.test
    zonefile: zone.test
""",
        encoding="ascii",
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([program, "-d", "-c", str(configuration)], stdout=log, stderr=log)
    try:
        eventually(lambda: process.poll() is None and answers(port))
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int) -> bool:
    try:
        dns.query.udp(dns.message.make_query("zone.test", "SOA"), "127.0.0.1", port=port, timeout=0.5)
    except (OSError, dns.exception.DNSException):
        return False
    return True


class NsdTests(TestCase):
    timeout = 30
    server: str

    @pytest.fixture(autouse=True)
    def _serve(self, server: str) -> None:
        self.server = server

    def test_it_passes_the_suite_for_resolvers(self) -> Any:
        resolver = make_resolver(DnsConfig(nameservers=(self.server,)), reactor)
        return Deferred.fromCoroutine(check_resolver(resolver))

    def test_a_zone_it_does_not_serve_is_a_failure(self) -> Any:
        async def ask() -> None:
            resolver = make_resolver(DnsConfig(nameservers=(self.server,)), reactor)
            answer = await resolver.ask(Question("elsewhere.test", "A"))
            assert answer.status is AnswerStatus.FAILED
            assert "REFUSED" in answer.reason

        return Deferred.fromCoroutine(ask())
