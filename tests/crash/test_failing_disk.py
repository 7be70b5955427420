"""The whole gateway on a disk whose syncs fail: no 250 is given, nothing is refused for good, and it recovers."""

import contextlib
import signal
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real import eventually
from recording_hop import RecordingHop

from relaygw.testing.gateway import Gateway

pytestmark = [pytest.mark.crash, pytest.mark.interop]
MESSAGE = b"From: <s@example.test>\r\nSubject: %d\r\n\r\nbody\r\n"


def answer(gateway: Gateway, number: int, size: int = 0) -> int:
    """The code the client reads at the end of data, or at MAIL, where a spool that failed is known already."""
    with smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client:
        client.ehlo()
        code, _ = client.mail("s@example.test")
        if code != 250:
            return code
        client.rcpt("r@elsewhere.test")
        code, _ = client.data(MESSAGE % number + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * (size // 72))
        return code


@contextlib.contextmanager
def injected(strace: str, gateway: Gateway, fault: str) -> Iterator[None]:
    """The gateway's system calls fail as told while the block runs."""
    assert gateway.process is not None
    command = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"inject={fault}", "-p", str(gateway.process.pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    threads = Path(f"/proc/{gateway.process.pid}/task")

    def attached() -> bool:
        """One after the other; none of them ends before the service does."""
        return all(f"TracerPid:\t{tracer.pid}\n" in path.read_text() for path in threads.glob("*/status"))

    eventually(attached)
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()


@pytest.mark.parametrize("fault", ["fsync,fdatasync:error=EIO", "fsync,fdatasync:error=ENOSPC"])
@pytest.mark.parametrize("size", [0, 600_000])
def test_no_250_without_a_sync(fault: str, size: int, tmp_path: Path, peer: Callable[[str], str]) -> None:
    strace = peer("strace")
    with RecordingHop() as hop:
        gateway = Gateway.make(
            tmp_path / "demo", domains=["example.test"], smarthost=f"127.0.0.1:{hop.port}", trust=["127.0.0.0/8"]
        )
        with gateway:
            assert answer(gateway, 1, size) == 250
            with injected(strace, gateway, fault):
                assert [answer(gateway, number, size) // 100 for number in (2, 3)] == [4, 4]
            eventually(lambda: answer(gateway, 4, size) == 250)
            eventually(lambda: len(hop.contents) >= 2)
        subjects = {content.split(b"\r\n")[1] for content in map(_own, hop.contents)}
        assert {b"Subject: 1", b"Subject: 4"} <= subjects


def _own(content: bytes) -> bytes:
    return content[content.index(b"From: <s@") :]
