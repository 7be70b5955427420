"""DNS for a benchmark: an NSD that serves the senders' names, and an Unbound in front of it with a warm cache.

Both sides ask the same Unbound.
"""

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import rig

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
zone:
    name: .
    zonefile: names.zone
"""

_UNBOUND = """\
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
    local-zone: "test." nodefault
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{server}
"""

_START = ". 3600 IN SOA ns. hostmaster. 1 3600 600 86400 60\n. 3600 IN NS ns.\nns. 3600 IN A 127.0.0.1\n"


@contextlib.contextmanager
def serve(zone: str) -> Iterator[int]:
    """The port of a resolver on 127.0.0.1 that knows these records, names absolute."""
    with tempfile.TemporaryDirectory(prefix="bench-names-") as name, contextlib.ExitStack() as processes:
        folder, server, resolver = Path(name), _free_port(), _free_port()
        (folder / "names.zone").write_text(_START + zone, encoding="ascii")
        (folder / "nsd.conf").write_text(_NSD.format(port=server, folder=folder), encoding="utf-8")
        text = _UNBOUND.format(port=resolver, server=server, folder=folder)
        (folder / "unbound.conf").write_text(text, encoding="utf-8")
        for command, port in (("nsd", server), ("unbound", resolver)):
            configuration = str(folder / f"{command}.conf")
            with (folder / f"{command}.log").open("wb") as log:
                process = subprocess.Popen([rig.program(command), "-d", "-c", configuration], stdout=log, stderr=log)
            processes.callback(_end, process)
            _wait(command, process, port)
        yield resolver


def _free_port() -> int:
    """A loopback port free for UDP and TCP at this moment."""
    for _ in range(100):
        port = rig.free_port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    sys.exit("no port is free for UDP and TCP")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(10)


def _wait(command: str, process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError, dns.exception.DNSException):
            dns.query.udp(dns.message.make_query(".", "SOA"), "127.0.0.1", port=port, timeout=0.5)
            return
        time.sleep(0.05)
    sys.exit(f"{command} does not answer")
