"""What an idle connection costs: memory per session that said EHLO and waits, and of one large message on its way in.

    python benchmarks/idle.py [--connections 10000] [--tls] [--message 100] [--wait 5]

Starts a gateway of its own on loopback. Memory is the proportional set size (PSS) of the process, from /proc. The
clients are plain sockets in this process; RLIMIT_NOFILE is raised for both, as far as the hard limit allows.
Exits with 1 where a bound is broken: 60 KB for an idle connection, 20 MB of extra memory for a large message.
"""

import argparse
import re
import resource
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path

from relaygw.testing.gateway import Gateway

SPARE = 500
"""Descriptors that are not connections."""

KIB, MIB = 1024, 1024 * 1024
IDLE_LIMIT = 60 * KIB
LARGE_LIMIT = 20 * MIB
CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE
PIECE = b"x" * 76 + b"\r\n"


def pss(pid: int, what: str = "Pss") -> int:
    """Octets of the proportional set size."""
    found = re.search(rf"^{what}:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    return int(found[1]) * KIB if found else 0


def raise_limit(wanted: int) -> int:
    """How many descriptors there may be, at most `wanted`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def settled(pid: int) -> int:
    """PSS when it has stopped to change."""
    before = -1
    for _ in range(40):
        now = pss(pid)
        if abs(now - before) < 64 * KIB:
            return now
        before = now
        time.sleep(0.25)
    return before


def connect(port: int, number: int, tls: bool) -> list[socket.socket]:
    """So many sessions, greeted, each having said EHLO and heard the answer; inside TLS where that is asked."""
    clients: list[socket.socket] = []
    while len(clients) < number:
        batch = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(min(200, number - len(clients)))]
        for client in batch:
            read_to(client, b"220 ")
        hello(batch)
        if tls:
            batch = [secure(client) for client in batch]
            hello(batch)
        clients += batch
    return clients


def hello(clients: list[socket.socket]) -> None:
    for client in clients:
        client.sendall(b"EHLO idle.test\r\n")
    for client in clients:
        read_to(client, b"250 ")


def secure(client: socket.socket) -> socket.socket:
    client.sendall(b"STARTTLS\r\n")
    read_to(client, b"220 ")
    return CONTEXT.wrap_socket(client)


def read_to(client: socket.socket, begin: bytes) -> None:
    """Read up to a line that begins like this."""
    heard = b""
    while not (heard.endswith(b"\r\n") and heard.split(b"\r\n")[-2].startswith(begin)):
        piece = client.recv(4096)
        if not piece:
            sys.exit(f"the gateway hung up: {heard!r}")
        heard += piece


def idle(gateway: Gateway, pid: int, number: int, tls: bool, wait: float) -> bool:
    """Whether each cost less than IDLE_LIMIT, and all stayed up."""
    port = gateway.port(25)
    warm = connect(port, 50, tls)  # what the first sessions load is not theirs
    for client in warm:
        client.close()
    before = settled(pid)
    began = time.monotonic()
    clients = connect(port, number, tls)
    took = time.monotonic() - began
    after = settled(pid)
    time.sleep(wait)
    alive = sum(answers(client) for client in clients)
    each = (after - before) / number / KIB
    kind = "idle connections in TLS" if tls else "idle connections"
    print(f"{number} {kind}: {each:.1f} KB each ({before / MIB:.1f} MB -> {after / MIB:.1f} MB PSS),")
    print(f"  opened in {took:.1f} s ({number / took:.0f}/s); {alive} answer NOOP {wait:.0f} s later")
    for client in clients:
        client.close()
    return alive == number and each * KIB < IDLE_LIMIT


def answers(client: socket.socket) -> bool:
    client.sendall(b"NOOP\r\n")
    return client.recv(100).startswith(b"250 ")


def large(gateway: Gateway, pid: int, size: int) -> bool:
    """The most memory while one large message comes in, over what there was before; whether below LARGE_LIMIT."""
    before = settled(pid)
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew (proc(5))
    rss_before = status(pid, "VmRSS")
    with socket.create_connection(("127.0.0.1", gateway.port(25)), 60) as client:
        client.settimeout(120)
        read_to(client, b"220 ")
        client.sendall(b"EHLO large.test\r\n")
        read_to(client, b"250 ")
        for line in (b"MAIL FROM:<a@large.test>", b"RCPT TO:<alice@example.test>", b"DATA"):
            client.sendall(line + b"\r\n")
            read_to(client, b"354 " if line == b"DATA" else b"250 ")
        began = time.monotonic()
        client.sendall(b"Subject: large\r\n\r\n")
        pieces = PIECE * 840  # nearly 64 KiB
        for _ in range(size // len(pieces)):
            client.sendall(pieces)
        client.sendall(b".\r\n")
        read_to(client, b"250 ")
        took = time.monotonic() - began
    peak = status(pid, "VmHWM") - rss_before
    print(
        f"a message of {size / MIB:.0f} MB: {peak / MIB:.1f} MB of extra memory at most (RSS), {took:.1f} s;", end=" "
    )
    print(f"{(settled(pid) - before) / MIB:+.1f} MB PSS when it was delivered")
    return peak < LARGE_LIMIT


def status(pid: int, what: str) -> int:
    found = re.search(rf"^{what}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found[1]) * KIB if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--message", type=int, default=100, metavar="MB")
    parser.add_argument("--wait", type=float, default=5.0, help="seconds for which the connections are idle")
    parser.add_argument("--tls", action="store_true", help="each connection is inside TLS")
    options = parser.parse_args()
    number = min(options.connections, raise_limit(options.connections + SPARE) - SPARE)
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as folder:
        gateway = Gateway.make(Path(folder) / "gateway", domains=["example.test"], users=["alice:secret"])
        most = f"max_connections = {number + 100}\nmax_connections_per_client = {number + 100}\n"
        gateway.configure('role = "mx"\n', f'role = "mx"\n{most}')
        gateway.append(f'[limits]\nmessage_size = "{options.message + 10}M"\n')
        with gateway:
            assert gateway.process is not None
            pid = gateway.process.pid
            good = large(gateway, pid, options.message * MIB)  # first: later, freed memory would hide it
            good = idle(gateway, pid, number, options.tls, options.wait) and good
    sys.exit(None if good else "a bound is broken: 60 KB for an idle connection, 20 MB for a large message")


if __name__ == "__main__":
    main()
