"""A validating resolver (Unbound) on loopback in front of a name server, and zones signed for it."""

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import dns.dnssec
import dns.exception
import dns.message
import dns.query
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from nsd import free_port
from real import eventually


def signed(text: str, origin: str) -> tuple[str, str]:
    """A zone's text with signatures, and its trust anchor."""
    zone = dns.zone.from_text(text, origin, relativize=False)
    key = ec.generate_private_key(ec.SECP256R1())
    public = dns.dnssec.make_dnskey(key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
    with zone.writer() as changes:
        dns.dnssec.sign_zone(zone, changes, [(key, public)], lifetime=86400)
    whole = zone.to_text(relativize=False)
    assert isinstance(whole, str)
    return f"{whole}\n", f"{origin}. 300 IN DNSKEY {public.to_text()}"


@contextlib.contextmanager
def validate(program: str, folder: Path, server: str, zones: Mapping[str, str]) -> Iterator[str]:
    """The address of an Unbound that asks `server` for `zones`; they map names to trust anchors ("": unsigned)."""
    port = free_port()
    anchors = "".join(f"    trust-anchor: '{anchor}'\n" for anchor in zones.values() if anchor)
    stubs = "".join(f"stub-zone:\n    name: {name}\n    stub-addr: {server.replace(':', '@')}\n" for name in zones)
    configuration = folder / "unbound.conf"
    configuration.write_text(
        f"""
server:
    interface: 127.0.0.1
    port: {port}
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: "{folder}/unbound.pid"
    do-daemonize: no
    use-syslog: no
    do-not-query-localhost: no
    module-config: "validator iterator"
    local-zone: "test." nodefault
{anchors}
remote-control:
    control-enable: no
{stubs}""",
        encoding="ascii",
    )
    with (folder / "unbound.log").open("wb") as log:
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
