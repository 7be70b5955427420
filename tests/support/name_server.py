"""A real NSD on loopback that serves what a test writes: any names below the root, so that one file holds all zones."""

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
    try:
        eventually(lambda: process.poll() is None and _answers(port))
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    try:
        dns.query.udp(dns.message.make_query(".", "SOA"), "127.0.0.1", port=port, timeout=0.5)
    except (OSError, dns.exception.DNSException):
        return False
    return True
