"""What the tests with real processes share: waiting, a real next hop, and one of our own that remembers everything."""

import contextlib
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import attrs

from relaygw.testing.gateway import wait_for

T = TypeVar("T")


def unchecked() -> ssl.SSLContext:
    """A client's context that takes any certificate: the demonstration's is its own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def eventually(answer: Callable[[], T], seconds: float = 20.0) -> T:
    """The first true answer within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := answer():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def smtp_sink(program: str, folder: Path, *options: str) -> Iterator[tuple[int, Path]]:
    """Postfix's smtp-sink as the next hop: (port, the folder it writes each message into)."""
    port = free_port()
    folder.mkdir()
    folder.chmod(0o777)
    for parent in folder.parents[:3]:
        parent.chmod(0o755)
    process = subprocess.Popen(
        [program, "-u", "nobody", "-d", f"{folder}/%M.", *options, f"127.0.0.1:{port}", "100"], stderr=subprocess.PIPE
    )
    try:
        wait_for(port, process)
        yield port, folder
    finally:
        process.terminate()
        process.wait()


def dumped(folder: Path) -> list[bytes]:
    """The messages smtp-sink has written, without its own fields on top, with CRLF line ends."""
    found = []
    for path in sorted(folder.iterdir()):
        own = rb"\A(?:X-[A-Za-z-]+: [^\n]*\n)*Received: (?:[^\n]*\n[ \t])*[^\n]*\n"
        text = re.sub(own, b"", path.read_bytes()).replace(b"\n", b"\r\n")
        found.append(text.removesuffix(b"\r\n"))
    return found


@attrs.define
class NextHop:
    """A next hop on loopback that takes everything; `log` is every content it answered 250 for, in order.

    `delay` seconds pass before each final answer, so that a crash finds answers on their way.
    """

    delay: float = 0.0
    log: list[bytes] = attrs.field(factory=list)
    port: int = 0
    _socket: socket.socket | None = None

    def __enter__(self) -> "NextHop":
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def _accept(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"220 next.test ESMTP\r\n")
            for line in lines:
                verb = line[:4].upper()
                if verb == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                    if not self._take(lines):
                        return
                    connection.sendall(b"250 2.0.0 taken\r\n")
                elif verb == b"EHLO":
                    connection.sendall(b"250-next.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
                elif verb == b"QUIT":
                    connection.sendall(b"221 bye\r\n")
                    return
                else:
                    connection.sendall(b"250 ok\r\n")

    def _take(self, lines: Iterator[bytes]) -> bool:
        content = []
        for line in lines:
            if line == b".\r\n":
                time.sleep(self.delay)
                self.log.append(b"".join(content))
                return True
            content.append(line[1:] if line.startswith(b".") else line)
        return False
