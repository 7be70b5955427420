"""What the tests with real processes share: waiting, and a real next hop."""

import contextlib
import json
import os
import re
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from relaygw.testing.gateway import Gateway, wait_for
from relaygw.testing.ports import free_port

T = TypeVar("T")


def unchecked() -> ssl.SSLContext:
    """A client's context that takes any certificate: the demonstration's is its own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def eventually(answer: Callable[[], T], seconds: float = 120.0) -> T:
    """The first true answer; it fails after a time that a machine busy with something else does not need either."""
    end = time.monotonic() + seconds
    while not (found := answer()):
        if time.monotonic() > end:
            raise AssertionError("it did not happen in time")
        time.sleep(0.05)
    return found


def journaled(gateway: Gateway, event: str) -> list[dict[str, Any]]:
    """What the journal tells by now under this word. Its last line may be being written: only whole ones are read."""
    path = gateway.folder / "state" / "journal.jsonl"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [told for told in map(json.loads, text[: text.rfind("\n") + 1].splitlines()) if told["event"] == event]


@contextlib.contextmanager
def smtp_sink(program: str, *options: str) -> Iterator[tuple[int, Path]]:
    """Postfix's smtp-sink as the next hop: (port, the folder it writes each message into).

    Root's becomes nobody, who cannot write below the folders of pytest: those are closed, again by each run.
    """
    port, user = free_port(), ["-u", "nobody"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="sink-") as folder:
        os.chmod(folder, 0o777)
        command = [program, *user, "-d", f"{folder}/%M.", *options, f"127.0.0.1:{port}", "100"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            wait_for(port, process)
            yield port, Path(folder)
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
