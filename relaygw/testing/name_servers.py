"""Real name servers on loopback, for tests and benchmarks that want the wire: an NSD that serves zones, an Unbound that
asks it as a resolver does, with or without validating, and zones signed for that.

    with serve(folder, "nsd", {"example.test": zone}) as server, resolve_by(folder, "unbound", server) as resolver:
        ...  # both are "address:port", as `dns.nameservers` has them

The programs are ended with their block. What they say is in the folder.
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import dns.dnssec
import dns.exception
import dns.message
import dns.query
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from relaygw.testing.ports import free_port

LOOPBACK = "127.0.0.1"


class NameServerError(Exception):
    """A program does not answer; the message carries what it said."""


def root(text: str) -> dict[str, str]:
    """Records of many domains, names absolute, as zones to serve: all in one, that of the root."""
    start = ". 300 IN SOA ns. hostmaster. 1 3600 600 86400 60\n. 300 IN NS ns.\nns. 300 IN A 127.0.0.1\n"
    return {".": start + text}


def signed(text: str, origin: str) -> tuple[str, str]:
    """A zone's text with signatures, and its trust anchor."""
    zone = dns.zone.from_text(text, origin, relativize=False)
    key = ec.generate_private_key(ec.SECP256R1())
    public = dns.dnssec.make_dnskey(key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
    with zone.writer() as changes:
        dns.dnssec.sign_zone(zone, changes, [(key, public)], lifetime=86400)
    return f"{zone.to_text(relativize=False)}\n", f"{origin}. 300 IN DNSKEY {public.to_text()}"


_NSD = """\
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


@contextlib.contextmanager
def serve(folder: Path, program: str, zones: Mapping[str, str]) -> Iterator[str]:
    """The address of an NSD that serves the zones: names to the texts of their files."""
    port = free_port()
    text = _NSD.format(port=port, folder=folder)
    for number, (name, zone) in enumerate(zones.items()):
        (folder / f"zone.{number}").write_text(zone, encoding="utf-8")
        text += f"zone:\n    name: {name}\n    zonefile: zone.{number}\n"
    with _running(folder / "nsd", program, text, next(iter(zones)), (LOOPBACK, port)) as address:
        yield address


_UNBOUND = """\
server:
    interface: {address}@{port}
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    num-threads: 1
    do-ip6: no
    do-not-query-localhost: no
    module-config: "{modules}"
    local-zone: "2.0.192.in-addr.arpa." nodefault
    local-zone: "example." nodefault
    local-zone: "test." nodefault
{anchors}
remote-control:
    control-enable: no
{servers}
"""


@contextlib.contextmanager
def resolve_by(
    folder: Path, program: str, server: str, zones: Mapping[str, str] | None = None, *, place: str = ""
) -> Iterator[str]:
    """The address of an Unbound that asks the server. It validates where `zones` are given, and asks for nothing else:
    names to trust anchors ("": not signed). `place` is where it listens, as `address:port`; else anywhere."""
    where, _, port = place.partition(":") if place else (LOOPBACK, "", str(free_port()))
    asked = server.replace(":", "@")
    stubs = (f"stub-zone:\n    name: {name}\n    stub-addr: {asked}\n" for name in zones or ())
    text = _UNBOUND.format(
        address=where,
        port=port,
        folder=folder,
        modules="iterator" if zones is None else "validator iterator",
        anchors="".join(f"    trust-anchor: '{anchor}'\n" for anchor in (zones or {}).values() if anchor),
        servers=f'forward-zone:\n    name: "."\n    forward-addr: {asked}\n' if zones is None else "".join(stubs),
    )
    name = "." if zones is None else next(iter(zones))
    with _running(folder / "unbound", program, text, name, (where, int(port))) as address:
        yield address


@contextlib.contextmanager
def _running(files: Path, program: str, configuration: str, zone: str, place: tuple[str, int]) -> Iterator[str]:
    """Both programs are started in the same way; `zone` is what they must know."""
    configured, said = files.with_suffix(".conf"), files.with_suffix(".log")
    configured.write_text(configuration, encoding="utf-8")
    with said.open("wb") as log:
        process = subprocess.Popen([program, "-d", "-c", str(configured)], stdout=log, stderr=log)  # noqa: S603
    try:
        end = time.monotonic() + 60
        while not _answers(zone, place):
            if process.poll() is not None or time.monotonic() > end:
                raise NameServerError(f"{program} does not answer: {said.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield f"{place[0]}:{place[1]}"
    finally:
        process.terminate()
        process.wait(60)


def _answers(zone: str, place: tuple[str, int]) -> bool:
    try:
        dns.query.udp(dns.message.make_query(zone, "SOA"), place[0], port=place[1], timeout=0.5)
    except (OSError, dns.exception.DNSException):
        return False
    return True
