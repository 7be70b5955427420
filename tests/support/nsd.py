"""A real name server (NSD) on loopback that serves the zones it is given."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import dns.exception
import dns.message
import dns.query
from real import eventually


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
def serve(program: str, folder: Path, zones: Mapping[str, str]) -> Iterator[str]:
    """Its address, as the configuration names one; `zones` maps names to zone files' texts."""
    port = free_port()
    for name, text in zones.items():
        (folder / name).write_text(text, encoding="ascii")
    configuration = folder / "nsd.conf"
    configuration.write_text(
        f"""
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
"""
        + "".join(f"zone:\n    name: {name}\n    zonefile: {name}\n" for name in zones),
        encoding="ascii",
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-d", "-c", str(configuration)], stdout=log, stderr=log)
    try:
        eventually(lambda: process.poll() is None and _answers(next(iter(zones)), port))
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _answers(zone: str, port: int) -> bool:
    try:
        dns.query.udp(dns.message.make_query(zone, "SOA"), "127.0.0.1", port=port, timeout=0.5)
    except (OSError, dns.exception.DNSException):
        return False
    return True
