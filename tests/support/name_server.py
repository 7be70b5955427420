"""Real name servers on loopback: an NSD that serves what a test writes, an Unbound that asks it as a resolver does.

The NSD has the root, so that one file holds all zones.
"""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dns.exception
import dns.message
import dns.query
from real import eventually

_CONFIGURATION = """\
server:
    ip-address: 127.0.0.1
    port: {port}
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{folder}"
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    rrl-ratelimit: 0
    server-count: 1
remote-control:
    control-enable: no
zone:
    name: .
    zonefile: served.zone
"""

_START = ". 300 IN SOA ns. hostmaster. 1 3600 600 86400 60\n. 300 IN NS ns.\nns. 300 IN A 127.0.0.1\n"


def free_port() -> int:
    """A port free for UDP and TCP a moment ago."""
    for _ in range(50):
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return int(tcp.getsockname()[1])
    raise AssertionError("no port is free for UDP and TCP")


@contextlib.contextmanager
def serve_zone(folder: Path, program: str, text: str) -> Iterator[str]:
    """The address of an NSD that answers with these records, names absolute; ends with the block."""
    port = free_port()
    (folder / "served.zone").write_text(_START + text, encoding="utf-8")
    (folder / "nsd.conf").write_text(_CONFIGURATION.format(port=port, folder=folder), encoding="utf-8")
    with (folder / "nsd.log").open("wb") as log:
        process = subprocess.Popen([program, "-d", "-c", str(folder / "nsd.conf")], stdout=log, stderr=log)
    with _running(process, port):
        yield f"127.0.0.1:{port}"


_RESOLVER = """\
server:
    interface: 127.0.0.1@{port}
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    num-threads: 1
    do-ip6: no
    do-not-query-localhost: no
    module-config: "iterator"
    local-zone: "2.0.192.in-addr.arpa." nodefault
    local-zone: "example." nodefault
    local-zone: "test." nodefault
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: {server}
"""


@contextlib.contextmanager
def resolve_by(folder: Path, program: str, server: str) -> Iterator[str]:
    """The address of an Unbound that asks the server ("address:port"); ends with the block."""
    port = free_port()
    text = _RESOLVER.format(port=port, folder=folder, server=server.replace(":", "@"))
    (folder / "unbound.conf").write_text(text, encoding="utf-8")
    with (folder / "unbound.log").open("wb") as log:
        process = subprocess.Popen([program, "-d", "-c", str(folder / "unbound.conf")], stdout=log, stderr=log)
    with _running(process, port):
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def _running(process: subprocess.Popen[bytes], port: int) -> Iterator[None]:
    try:
        eventually(lambda: process.poll() is None and _answers(port))
        yield
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    try:
        dns.query.udp(dns.message.make_query(".", "SOA"), "127.0.0.1", port=port, timeout=0.5)
    except (OSError, dns.exception.DNSException):
        return False
    return True
